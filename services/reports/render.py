"""From a day to the bytes of a report: the same record, the same bytes."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from typing import Any

from schemas.instruments import venue_of
from schemas.reports import ReportKind
from services.reports.audit_fields import ORDER_FIELDS, TRADE_FIELDS, Field
from services.reports.day import DayFold
from services.reports.execution import Execution
from services.reports.forms import csv_bytes, iso_time
from services.reports.orders import OrderRecord
from services.reports.statement import statement_of

EXTENSIONS: dict[ReportKind, str] = {
    ReportKind.ORDERS: "csv",
    ReportKind.TRADES: "csv",
    ReportKind.BEST_EXECUTION: "csv",
    ReportKind.STATEMENT: "html",
}
FIELDS: dict[ReportKind, tuple[Field, ...]] = {
    ReportKind.ORDERS: ORDER_FIELDS,
    ReportKind.TRADES: TRADE_FIELDS,
}
"""Of the reports that the rules of order audits describe."""

MEASURES = tuple(Execution.__struct_fields__)
BEST_EXECUTION_COLUMNS = (
    *("order_id", "account", "session", "strategy", "instrument", "venue", "side"),
    *("order_type", "status", "quantity", "filled", "fees", "decided_utc", "arrival_bid"),
    "arrival_ask",
    *MEASURES,
)


def render(kind: ReportKind, day: DayFold, name: str) -> bytes:
    """Return the bytes of a report.

    Args:
        kind: which.
        day: the day's fold, closed.
        name: of the day, `YYYY-MM-DD`.
    """
    return _RENDERERS[kind](day, name)


def _audit(fields: tuple[Field, ...], rows: list[Any], day: DayFold) -> bytes:
    header = [each.name for each in fields]
    return csv_bytes(header, ([each.text(day, row) for each in fields] for row in rows))


def executed_orders(day: DayFold) -> list[OrderRecord]:
    """Return the orders of the day that the gate let pass, in order of their ids' first events."""
    return [each for each in day.orders.values() if each.status is not None]


def _best_execution(day: DayFold, name: str) -> bytes:
    rows = []
    for order in executed_orders(day):
        measured = day.execution(order)
        row = (
            order.order_id,
            order.account,
            order.session,
            day.strategy(order.session),
            order.instrument,
            venue_of(order.instrument),
            order.side,
            order.order_type,
            order.status,
            order.quantity,
            order.filled,
            order.fees,
            iso_time(order.decided_ns),
            order.bid,
            order.ask,
        )
        rows.append((*row, *(getattr(measured, each) for each in MEASURES)))
    return csv_bytes(BEST_EXECUTION_COLUMNS, rows)


def _statement(day: DayFold, name: str) -> bytes:
    text: str = _template().render(s=statement_of(day, name))
    return text.encode()


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.lstrip_blocks = True
    environment.filters |= {"money": money, "number": number, "percent": percent, "utc": iso_time}
    file = resources.files("services.reports") / "templates" / "statement.html.j2"
    return environment.from_string(file.read_text("utf-8"))


def money(value: Decimal | None) -> str:
    """Return an amount with two digits and thousands marked; what is not known says so."""
    if value is None:
        return "not known"
    text = f"{value:,.2f}"
    return "0.00" if text == "-0.00" else text


def number(value: Decimal | None, digits_min: int = 0) -> str:
    """Return a number without digits that say nothing; so many behind the point at least."""
    if value is None:
        return "not known"
    whole, _, part = f"{value:,f}".partition(".")
    part = part.rstrip("0").ljust(digits_min, "0")
    return f"{whole}.{part}" if part else whole


def percent(value: Decimal | None) -> str:
    """Return a fraction in percent."""
    return "not known" if value is None else f"{value * 100:.3f} %"


_RENDERERS: dict[ReportKind, Callable[[DayFold, str], bytes]] = {
    ReportKind.ORDERS: lambda day, name: _audit(ORDER_FIELDS, list(day.steps), day),
    ReportKind.TRADES: lambda day, name: _audit(TRADE_FIELDS, list(day.trades), day),
    ReportKind.BEST_EXECUTION: _best_execution,
    ReportKind.STATEMENT: _statement,
}
