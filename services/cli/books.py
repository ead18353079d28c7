"""`sluice positions`, `sluice orders`, `sluice sessions`."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated

import msgspec
from cyclopts import Parameter

from schemas.executions import OrderView, PositionView
from services.cli.asking import silent
from services.cli.desk import at_desk, gather
from services.cli.exits import Exit
from services.cli.locate import Place, currency_of
from services.cli.output import (
    UNKNOWN,
    Output,
    amount,
    detail_of,
    in_currency,
    state_of,
    time_of,
)


def positions(*, place: Place | None = None) -> Exit:
    """Show what is held, at which price, and what it made."""
    return asyncio.run(_positions(place or Place()))


def orders(
    *,
    last: Annotated[int, Parameter(help="How many closed orders.")] = 20,
    place: Place | None = None,
) -> Exit:
    """Show the open orders, those on their way or of unknown fate, and the last closed ones."""
    return asyncio.run(_orders(place or Place(), last))


def sessions(*, place: Place | None = None) -> Exit:
    """Show the sessions: strategy, state, instruments, signals."""
    return asyncio.run(_sessions(place or Place()))


async def _positions(place: Place) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter, book, feed = await gather(desk.arbiter(), desk.book(), desk.feed())
    output.banner(arbiter)
    if book is None:
        return silent(output, "executor", {"positions": None})
    quotes = (
        {key: each for key, each in feed.quotes.items() if key not in feed.stale} if feed else {}
    )
    held = [_marked(each, quotes) for each in book.positions]
    output.data(
        {
            "account": book.account,
            "cash": book.cash,
            "fees": book.fees,
            "is_reconciled": book.is_reconciled,
            "positions": held,
        }
    )
    rows = [(p.instrument, p.quantity, p.average_price, p.mark, p.realized, p.fees) for p in held]
    columns = ("instrument", "quantity", "average price", "mark", "realized", "fees")
    account = in_currency(book.account, currency_of(place))
    output.table(f"{account}   cash {amount(book.cash)}", columns, rows)
    if not book.is_reconciled:
        output.line(f"not compared with the venue: {book.detail or 'no reason given'}")
    output.next_step("sluice orders", "sluice status")
    return Exit.OK


async def _orders(place: Place, last: int) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter, book = await gather(desk.arbiter(), desk.book())
    output.banner(arbiter)
    if book is None:
        return silent(output, "executor", {"open": None, "closed": None})
    closed = book.recent_orders[-last:] if last > 0 else ()
    output.data({"open": book.open_orders, "closed": closed, "orders": book.order_count})
    output.table(f"open: {len(book.open_orders)}", _COLUMNS, _rows(book.open_orders))
    output.table(f"closed, the last {len(closed)}", _COLUMNS, _rows(closed))
    output.next_step("sluice positions", "sluice watch 'exec.>'")
    return Exit.OK


async def _sessions(place: Place) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter, found = await gather(desk.arbiter(), desk.sessions())
    output.banner(arbiter)
    if found is None:
        return silent(output, "strategy", {"sessions": None})
    output.data({"sessions": found.sessions})
    rows = [
        (s.session, s.strategy, state_of(s), " ".join(s.instruments), s.signal_count, detail_of(s))
        for s in found.sessions
    ]
    columns = ("session", "strategy", "state", "instruments", "signals", "")
    output.table("", columns, rows)
    output.next_step("sluice status", "sluice start --strategy NAME --symbols A,B --capital N")
    return Exit.OK


_COLUMNS = ("order", "instrument", "side", "quantity", "type", "status", "filled", "when, UTC", "")


def _marked(position: PositionView, quotes: Mapping[str, str]) -> PositionView:
    """Return the position at the middle of the feed's latest `bid/ask`, if it has both sides."""
    bid, _, ask = quotes.get(position.instrument, "").partition("/")
    try:
        sides = Decimal(bid), Decimal(ask)
    except InvalidOperation:
        return position
    if not all(each.is_finite() and each for each in sides):  # 0: that side is not quoted
        return position
    return msgspec.structs.replace(position, mark=sum(sides) / 2)


def _rows(views: Sequence[OrderView]) -> list[tuple[object, ...]]:
    return [
        (
            view.order.order_id[:8],
            view.order.instrument,
            view.order.side,
            view.order.quantity,
            view.order.order_type,
            view.status,
            view.filled,
            time_of(view.at_ns).removesuffix(" UTC") if view.at_ns else UNKNOWN,
            view.detail,
        )
        for view in views
    ]
