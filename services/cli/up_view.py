"""Draw what `sluice up` knows: a live table at a terminal, a line a second elsewhere."""

from decimal import Decimal
from typing import Any

import msgspec

from schemas.executions import PositionView
from schemas.health import ServiceView
from services.cli.output import UNKNOWN, amount, banner_of, table_of
from services.cli.up_watch import UpWatch, unwell

NEXT_COMMANDS = ("sluice status", "sluice halt", "sluice start")


def line_of(watch: UpWatch, services: tuple[ServiceView, ...]) -> str:
    """Return the state of this second in one line."""
    held = ", ".join(f"{p.instrument} {p.quantity:+f}" for p in watch.positions) or "none"
    last = watch.last_fills[-1] if watch.last_fills else None
    parts = [
        f"{watch.elapsed_s:5.1f} s",
        watch.trading_state,
        f"equity {_equity(watch)}",
        f"positions {held}",
        f"fills {watch.fills}",
        f"feed {watch.rates.market_per_s:.0f}/s",
        f"decisions {watch.rates.decisions_per_s:.1f}/s",
    ]
    if watch.denied:
        parts.append(_denied(watch))
    if last is not None:
        parts.append(f"last {last.side} {last.quantity} {last.instrument} at {last.price}")
    if ill := unwell(services):
        parts.append("; ".join(ill))
    return "  ".join(parts)


def page_of(watch: UpWatch, services: tuple[ServiceView, ...], title: str) -> Any:
    """Return the whole live page."""
    from rich.console import Group
    from rich.text import Text

    banner = banner_of(watch.arbiter) if watch.arbiter else ""
    parts: list[Any] = []
    if banner:
        parts.append(Text(banner, style="bold red"))
    parts.append(Text(title, style="bold"))
    parts.append(_headline(watch))
    parts.append(_positions(watch))
    parts.append(_orders(watch))
    parts.append(_services(services))
    parts += [Text(f"- {note}") for note in watch.notes]
    parts.append(Text("In another terminal: " + "   ".join(NEXT_COMMANDS)))
    parts.append(Text("Ctrl-C stops everything.", style="dim"))
    return Group(*parts)


def document_of(watch: UpWatch, services: tuple[ServiceView, ...]) -> dict[str, Any]:
    """Return the state of this second for programs."""
    return {
        "elapsed_s": round(watch.elapsed_s, 1),
        "trading_state": watch.trading_state,
        "equity": watch.equity,
        "positions": {each.instrument: each.quantity for each in watch.positions},
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
    first = f"{watch.first_fill_s:.1f} s" if watch.first_fill_s is not None else "there was none"
    lines = [
        f"ran {watch.elapsed_s:.0f} s; first fill after {first}",
        f"market data {feed.counts.get('total', 0):,} events" if feed else "market data unknown",
        f"decisions {watch.decisions}, {_denied(watch)}, fills {watch.fills}",
        f"equity {_equity(watch)}",
    ]
    if book is not None:
        realized = sum((each.realized for each in book.positions), Decimal(0))
        lines.append(
            f"account {book.account}: orders {book.order_count}, fees {amount(book.fees)}, "
            f"realized {amount(realized)}, open orders {len(book.open_orders)}"
        )
    for position in watch.positions:
        average = amount(position.average_price)
        lines.append(f"  holds {position.instrument} {position.quantity:+f} at {average}")
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
        f"market {watch.rates.market_per_s:,.0f}/s   "
        f"decisions {watch.rates.decisions_per_s:.1f}/s   fills {watch.rates.fills_per_s:.1f}/s"
    )
    return line


def _positions(watch: UpWatch) -> Any:
    marks = watch.marks()
    rows = [
        (
            p.instrument,
            f"{p.quantity:+f}",
            amount(p.average_price),
            marks.get(p.instrument),
            _gain(p),
        )
        for p in (watch.book.positions if watch.book else ())
    ]
    columns = ("instrument", "held", "average price", "market", "realized - fees")
    return table_of("", columns, rows)


def _orders(watch: UpWatch) -> Any:
    rows = [
        (
            view.order.order_id[:8],
            view.order.side,
            view.order.quantity,
            view.order.instrument,
            view.status,
            view.filled,
        )
        for view in watch.last_orders[-6:]
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


def _gain(position: PositionView) -> str:
    return amount(position.realized - position.fees)


def _equity(watch: UpWatch) -> str:
    if watch.equity is None:
        return UNKNOWN
    start = watch.first_equity or watch.equity
    return f"{amount(watch.equity)} ({watch.equity - start:+,.2f})"
