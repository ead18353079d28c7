"""What the daily client statement says, before it is laid out."""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from schemas.base import SessionId
from schemas.control import BreakerTripped
from schemas.masking import masked
from services.reports.day import Balance, DayFold, Trade
from services.reports.forms import iso_time
from services.reports.interventions import Intervention

ZERO = Decimal(0)
CHART_WIDTH, CHART_HEIGHT = 680, 120


class HoldingLine(msgspec.Struct, frozen=True, kw_only=True):
    """One holding at the end of the day."""

    instrument: str
    quantity: Decimal
    average_price: Decimal
    price: Decimal | None
    value: Decimal | None
    unrealized: Decimal | None


class PartLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one session did on the day."""

    session: str
    strategy: str
    trades_count: int
    bought: Decimal
    sold: Decimal
    fees: Decimal
    realized: Decimal | None


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of the page. None: not known. Amounts in the account's currency."""

    day: str
    account: str
    currency: str
    calendar: str
    opening: Balance
    closing: Balance
    profit: Decimal | None
    realized: Decimal | None
    unrealized: Decimal | None
    """Change of the value of what is held, against the market's."""

    fees: Decimal
    settled: Decimal | None
    """Received for what is held, less what was paid; what a settlement closed is realized."""

    adjusted: Decimal | None
    """What corrections of the book brought that is no profit."""

    change: Decimal | None
    """Profit as a fraction of the opening equity."""

    worst: Decimal | None
    """Lowest recorded equity of the day against the opening one, as a fraction; 0 or less."""

    high: Decimal | None
    low: Decimal | None
    holdings: tuple[HoldingLine, ...]
    parts: tuple[PartLine, ...]
    trades: tuple[Trade, ...]
    orders_count: int
    decided_count: int
    rejections: dict[str, int]
    blocked: dict[str, int]
    """By limit: signals that sessions' own limits kept from the gate."""

    interventions: tuple[Intervention, ...]
    """Without the secrets that people typed: only the record keeps them."""

    trips: tuple[BreakerTripped, ...]
    uptime: Decimal | None
    measured: Decimal
    """Part of the day in which the uptime was measured."""

    chart: str
    """Points of the equity's line; empty without two of them."""

    chart_high: Decimal | None
    chart_low: Decimal | None
    begins: str
    """Entry and time that the record begins with, where its beginning is gone; else empty."""

    until_n: int


def statement_of(day: DayFold, name: str) -> Statement:
    """Return the statement of a closed day."""
    opening, closing, terms = day.opening, day.closing, day.terms
    profit = _less(_less(closing.equity, opening.equity), day.adjusted)
    parts, settled = _parts(day), _sum(each.paid for each in day.settlements)
    realized = _sum(each.realized for each in parts)
    fees = sum((trade.fill.fee for trade in day.trades), day.adjusted_fees)
    return Statement(
        day=name,
        account=day.account,
        currency="" if terms is None else terms.currency,
        calendar="" if terms is None else terms.calendar,
        opening=opening,
        closing=closing,
        profit=profit,
        realized=realized,
        unrealized=_less(_less(_less(profit, realized), settled), -fees),
        fees=fees,
        settled=settled,
        adjusted=day.adjusted,
        change=_part(profit, opening.equity),
        worst=_worst(day),
        high=day.high,
        low=day.low,
        holdings=_holdings(day),
        parts=parts,
        trades=tuple(day.trades),
        orders_count=sum(each.status is not None for each in day.orders.values()),
        decided_count=day.decided_count,
        rejections=dict(sorted(day.rejections.items())),
        blocked=dict(sorted(day.blocked.items())),
        interventions=tuple(map(_shown, day.interventions.found)),
        trips=tuple(day.trips),
        uptime=_part(Decimal(day.up_ns), Decimal(day.measured_ns)),
        measured=Decimal(day.measured_ns) / (day.until_ns - day.from_ns),
        chart=_chart(day),
        chart_high=max(day.equity_by_minute.values(), default=None),
        chart_low=min(day.equity_by_minute.values(), default=None),
        begins=_begins(day),
        until_n=day.last_n,
    )


def _begins(day: DayFold) -> str:
    if not day.is_headless or day.begins is None:
        return ""
    n, at_ns = day.begins
    return f"entry {n} of {iso_time(at_ns)}"


def _shown(each: Intervention) -> Intervention:
    return msgspec.structs.replace(each, reason=masked(each.reason))


def _holdings(day: DayFold) -> tuple[HoldingLine, ...]:
    found = []
    for view in day.closing.positions:
        known = day.instruments.get(view.instrument)
        value = unrealized = None
        if known is not None and view.mark is not None:
            value = view.quantity * view.mark * known.multiplier
            unrealized = view.quantity * (view.mark - view.average_price) * known.multiplier
        found.append(
            HoldingLine(
                instrument=view.instrument,
                quantity=view.quantity,
                average_price=view.average_price,
                price=view.mark,
                value=value,
                unrealized=unrealized,
            )
        )
    return tuple(found)


def _parts(day: DayFold) -> tuple[PartLine, ...]:
    by_session: dict[str, list[Trade]] = {}
    closed: dict[str, list[Decimal | None]] = {}
    for trade in day.trades:
        by_session.setdefault(trade.fill.session, []).append(trade)
    for settled in day.settlements:
        for session, earned in settled.realized.items():
            closed.setdefault(session, []).append(earned)
    return tuple(
        _part_line(day, session, by_session.get(session, []), closed.get(session, []))
        for session in sorted(by_session.keys() | closed.keys())
    )


def _part_line(
    day: DayFold, session: str, trades: list[Trade], closed: list[Decimal | None]
) -> PartLine:
    bought = sold = ZERO
    for each in trades:
        if each.net is not None:
            notional = abs(each.net + each.fill.fee)
            bought, sold = (
                (bought + notional, sold) if each.fill.side == "buy" else (bought, sold + notional)
            )
    return PartLine(
        session=session,
        strategy=trades[0].strategy if trades else day.strategy(SessionId(session)),
        trades_count=len(trades),
        bought=bought,
        sold=sold,
        fees=sum((each.fill.fee for each in trades), ZERO),
        realized=_sum((*(each.realized for each in trades), *closed)),
    )


def _worst(day: DayFold) -> Decimal | None:
    fall = _part(_less(day.low, day.opening.equity), day.opening.equity)
    return None if fall is None else min(ZERO, fall)


def _chart(day: DayFold) -> str:
    """Return the points of a line through the equity of each minute, from left to right."""
    minutes = sorted(day.equity_by_minute)
    if len(minutes) < 2 or day.high is None or day.low is None:
        return ""
    first, span = minutes[0], minutes[-1] - minutes[0]
    values = [day.equity_by_minute[each] for each in minutes]
    low, height = min(values), max(values) - min(values)
    points = []
    for minute, value in zip(minutes, values, strict=True):
        x = Decimal(minute - first) / span * CHART_WIDTH
        y = CHART_HEIGHT - ((value - low) / height * CHART_HEIGHT if height else CHART_HEIGHT / 2)
        points.append(f"{x:.1f},{y:.1f}")
    return " ".join(points)


def _less(value: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if value is None or other is None else value - other


def _part(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    return None if part is None or not whole else part / whole


def _sum(values: Iterable[Decimal | None]) -> Decimal | None:
    total = ZERO
    for value in values:
        if value is None:
            return None
        total += value
    return total
