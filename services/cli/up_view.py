"""Draw what `sluice up` knows: a live table at a terminal, a line a second elsewhere."""

from decimal import Decimal
from typing import Any

import msgspec

from schemas.executions import PositionView
from schemas.health import ServiceView
from schemas.masking import masked
from services.cli.output import UNKNOWN, amount, banner_of, signed, table_of
from services.cli.up_watch import UpWatch, unwell

NEXT_COMMANDS = ("sluice status", "sluice halt", "sluice start")
ORDERS_SHOWN = 6
HELD_ROWS_KEPT, NOTES_LINES_KEPT = 4, 2
"""What is shown of what is held whatever there is to note, and of the newest notes all the same."""

FRAME_LINES = 4
"""What a table takes beside its rows: two empty lines, the names of the columns, a rule."""


def readiness(took_s: float, services: tuple[ServiceView, ...]) -> str:
    """Return how far the services are when the last of them was started and waited for."""
    if ill := unwell(services):
        return f"NOT ready after {took_s:.1f} s: {', '.join(ill)}; HALTED, as always"
    return f"all services are ready after {took_s:.1f} s; HALTED, as always"


def line_of(watch: UpWatch, services: tuple[ServiceView, ...]) -> str:
    """Return the state of this second in one line."""
    held = ", ".join(f"{p.instrument} {signed(p.quantity)}" for p in watch.positions)
    held = held or "none"
    if watch.book is None:
        held = UNKNOWN
    last = watch.last_fills[-1] if watch.last_fills else None
    parts = [
        f"{watch.elapsed_s:5.1f} s",
        watch.trading_state,
        f"equity {_equity(watch)}",
        f"positions {held}",
        f"fills {watch.fills}",
        f"feed {_rate(watch)}",
        f"decisions {watch.rates.decisions_per_s:.1f}/s",
    ]
    if watch.denied:
        parts.append(_denied(watch))
    if last is not None:
        parts.append(f"last {last.side} {last.quantity} {last.instrument} at {last.price}")
    if ill := unwell(services):
        parts.append("; ".join(ill))
    if watch.feed_failure:
        parts.append(f"FEED FAILED: {masked(watch.feed_failure)}")
    return "  ".join(parts)


def page_of(
    watch: UpWatch, services: tuple[ServiceView, ...], title: str, size: tuple[int, int]
) -> Any:
    """Return the whole live page, for a terminal of so many columns and lines.

    What must be seen comes first, with what is held; notes, then the other rows are cut to the
    lines that are left.
    """
    from rich.console import Console, Group
    from rich.text import Text

    width, height = size
    measure = Console(width=width, color_system=None)
    banner = banner_of(watch.arbiter)
    parts: list[Any] = []
    if banner:
        parts.append(Text(banner, style="bold red"))
    parts += [Text(title, style="bold"), _headline(watch), _services(services)]
    if watch.feed_failure:
        parts.append(Text(f"FEED FAILED: {masked(watch.feed_failure)}", style="bold red"))
    parts.append(Text("In another terminal: " + "   ".join(NEXT_COMMANDS)))
    parts.append(Text("Ctrl-C stops everything.", style="dim"))
    room = height - len(measure.render_lines(Group(*parts)))
    held_count = len(watch.positions)
    held_lines = FRAME_LINES + min(held_count, HELD_ROWS_KEPT + 1) if held_count else 0
    notes_room = max(room - held_lines, min(room, NOTES_LINES_KEPT))
    notes: list[Any] = []
    for note in reversed(watch.notes):
        text = Text(f"- {note}")
        lines = len(measure.render_lines(text))
        if lines > notes_room:
            break
        notes_room, room = notes_room - lines, room - lines
        notes.insert(0, text)
    return Group(*parts, *notes, *_tables(watch, room))


def _tables(watch: UpWatch, room: int) -> list[Any]:
    """Return the tables, with as many rows as so many lines hold: what is held before all else."""
    held, more = _positions(watch, room)
    found = [] if held is None else [held]
    room -= more
    if room > FRAME_LINES:
        found.append(_orders(watch, room - FRAME_LINES))
    return found


def _positions(watch: UpWatch, room: int) -> tuple[Any, int]:
    """Return the table of positions, or a line where there is no room for it, and its lines."""
    from rich.text import Text

    rows, held_count = _position_rows(watch), len(watch.positions)
    orders_count = min(len(watch.last_orders), ORDERS_SHOWN)
    orders_lines = FRAME_LINES + orders_count if orders_count else 0
    shown = max(room - FRAME_LINES - orders_lines, min(held_count, room - FRAME_LINES))
    is_cut = len(rows) > shown
    shown = min(len(rows), shown - is_cut)  # the title takes a line
    if shown <= 0:
        is_told = held_count > 0 and room > 0
        return (Text(f"{held_count} held: sluice positions"), 1) if is_told else (None, 0)
    columns = ("instrument", "held", "average price", "market", "realized - fees")
    title = f"{len(rows) - shown} more: sluice positions" if is_cut else ""
    return table_of(title, columns, rows[:shown]), FRAME_LINES + shown + is_cut


def document_of(watch: UpWatch, services: tuple[ServiceView, ...]) -> dict[str, Any]:
    """Return the state of this second for programs; null is what nobody knows."""
    held = {each.instrument: each.quantity for each in watch.positions}
    return {
        "elapsed_s": round(watch.elapsed_s, 1),
        "trading_state": watch.trading_state,
        "equity": watch.equity,
        "positions": None if watch.book is None else held,
        "fills": watch.fills,
        "decisions": watch.decisions,
        "denied": dict(watch.denied),
        "first_fill_s": watch.first_fill_s,
        "is_feed_ended": watch.is_feed_ended,
        "rates": msgspec.to_builtins(watch.rates),
        "services": {view.name: view.state for view in services},
    }


def summary_of(watch: UpWatch) -> list[str]:
    """Return what is worth knowing at the end, line by line."""
    book, feed = watch.book, watch.feed
    first_s = watch.first_fill_s
    first = f"first fill after {first_s:.1f} s" if first_s is not None else "no fill"
    lines = [
        f"ran {watch.elapsed_s:.0f} s; {first}",
        f"market data {feed.counts.get('total', 0):,} events" if feed else "market data unknown",
        f"decisions {watch.decisions}, {_denied(watch)}, fills {watch.fills}",
        f"equity {_equity(watch)}",
    ]
    if book is None:
        lines.append("account unknown: the executor did not answer at the end")
    else:
        realized = sum((each.realized for each in book.positions), Decimal(0))
        lines.append(
            f"account {book.account}: orders {book.order_count}, fees {amount(book.fees)}, "
            f"realized {amount(realized)}, open orders {len(book.open_orders)}"
        )
    for position in watch.positions:
        average = amount(position.average_price)
        lines.append(f"  holds {position.instrument} {signed(position.quantity)} at {average}")
    return lines


def _headline(watch: UpWatch) -> Any:
    from rich.text import Text

    state = watch.trading_state
    style = "bold green" if state == "RUNNING" else "bold red"
    breaker = watch.arbiter.breaker_state if watch.arbiter else UNKNOWN
    line = Text.assemble((state, style), f"   breaker {breaker}   equity {_equity(watch)}   ")
    line.append(f"fills {watch.fills}   ")
    if watch.denied:
        line.append(f"{_denied(watch)}   ", style="yellow")
    line.append(
        f"market {_rate(watch)}   "
        f"decisions {watch.rates.decisions_per_s:.1f}/s   fills {watch.rates.fills_per_s:.1f}/s"
    )
    return line


def _position_rows(watch: UpWatch) -> list[tuple[object, ...]]:
    """Return a row for each position, what is held first."""
    marks = watch.marks()
    book = watch.book.positions if watch.book else ()
    return [
        (
            p.instrument,
            signed(p.quantity),
            amount(p.average_price),
            marks.get(p.instrument),
            _gain(p),
        )
        for p in sorted(book, key=lambda p: not p.quantity)
    ]


def _orders(watch: UpWatch, count: int) -> Any:
    rows = [
        (
            view.order.order_id[:8],
            view.order.side,
            view.order.quantity,
            view.order.instrument,
            view.status,
            view.filled,
        )
        for view in watch.last_orders[-min(count, ORDERS_SHOWN) :]
    ]
    return table_of("", ("last orders", "side", "quantity", "instrument", "status", "filled"), rows)


def _services(services: tuple[ServiceView, ...]) -> Any:
    from rich.text import Text

    text = Text("services  ")
    for view in services:
        style = "green" if view.state == "running" else "bold red"
        again = f" (restarted {view.restarts}x)" if view.restarts else ""
        text.append(f"{view.name}{again}  ", style=style)
    return text


def _denied(watch: UpWatch) -> str:
    """Return how many signals the gate rejected, and by which rule most of them."""
    if not watch.denied:
        return "none denied"
    [(rule, _)] = watch.denied.most_common(1)
    return f"denied {watch.denied.total()} (most by {rule}: sluice explain gate)"


def _rate(watch: UpWatch) -> str:
    rate = watch.rates.market_per_s
    return UNKNOWN if rate is None else f"{rate:,.0f}/s"


def _gain(position: PositionView) -> str:
    return amount(position.realized - position.fees)


def _equity(watch: UpWatch) -> str:
    if watch.equity is None:
        return UNKNOWN
    start = watch.first_equity or watch.equity
    return f"{amount(watch.equity)} ({watch.equity - start:+,.2f})"
