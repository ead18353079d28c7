"""The fields of order-audit records: which rule names each, and what ours is, or why there is none.

European: Delegated Regulation 2017/580 (RTS 24, record of an order, Annex, table 2) and 2017/590
(RTS 22, transaction report, Annex I, table 2); times by 2017/574 (RTS 25). United States: the
reportable events of the consolidated audit trail (SEC rule 613, CAT). A field that we have no data
for stands in the report all the same and says so; nothing is made up. What was checked against
which text is in `ops/docs/reports.md`.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from schemas.executions import (
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
    OrderSubmitted,
    OrderTriggered,
)
from schemas.instruments import Instrument, symbol_of, venue_of
from schemas.orders import OrderType, Outcome, Side, SignalDecided, SignalRaised, TimeInForce
from services.reports.day import DayFold, Step, Trade
from services.reports.forms import NOT_AVAILABLE, iso_time, plain


class Field(NamedTuple):
    """One column of a report."""

    name: str
    europe: str
    """Number in the table of the European rule; empty where only the other one has it."""

    america: str
    """Name in CAT; empty where only the other one has it."""

    why_not: str = ""
    """Why we have no data for it; empty where we have."""

    value: Callable[[DayFold, Any], object] | None = None
    """Returns what stands in the report for (day, step or trade)."""

    def text(self, day: DayFold, row: Any) -> str:
        """Return what stands in the report."""
        if self.value is None:
            return NOT_AVAILABLE
        return plain(self.value(day, row))


EVENT_CODES: dict[type[Any], tuple[str, str]] = {
    SignalRaised: ("", "MENO"),
    OrderSubmitted: ("NEWO", "MEOR"),
    OrderAccepted: ("", ""),
    OrderTriggered: ("TRIG", ""),
    OrderCanceled: ("CAME", "MEOC"),
    OrderExpired: ("EXPI", "MEOC"),
    OrderRejected: ("REMO", ""),
    OrderRefused: ("", ""),
    OrderReplaced: ("REME", "MEOM"),
    OrderMarkedUnknown: ("", ""),
}
"""Event -> code of RTS 24 field 21, and of CAT; an execution and a cancel depend on more.

REMO is the venue's refusal: what our gate or executor denied never was an order there. Venues do
not tell in a form who wanted a cancel: it counts as the member's, CAME.
"""

NEVER_RESTS = (TimeInForce.IOC, TimeInForce.FOK)
_NO_PARTIES = "who the client and the deciding person are is known to the operator, not to us"
_NO_FIRM = "the firm's own codes (LEI, CRD, IMID) are not configured here"
_NO_BOOK = "the venue does not tell us"
_NO_TERMS = "contract terms beyond the multiplier are not kept"
_NONE_SUCH = "we place no orders of this kind"


def _code(day: DayFold, step: Step) -> str:
    event = step.event
    if isinstance(event, OrderFilled):
        return "FILL" if event.status is OrderStatus.FILLED else "PARF"
    if isinstance(event, OrderCanceled) and step.order.time_in_force in NEVER_RESTS:
        return "EXPI"  # what did not fill at once was at the end of its validity
    return EVENT_CODES.get(type(event), ("", ""))[0]


def _cat(day: DayFold, step: Step) -> str:
    if isinstance(step.event, OrderFilled):
        return "MEOT"
    return EVENT_CODES.get(type(step.event), ("", ""))[1]


def _instrument(day: DayFold, row: Step | Trade) -> Instrument | None:
    return day.instruments.get(row.order.instrument)


def _currency(day: DayFold, row: Step | Trade) -> str:
    known = _instrument(day, row)
    return NOT_AVAILABLE if known is None else known.currency


def _multiplier(day: DayFold, row: Step | Trade) -> object:
    known = _instrument(day, row)
    return NOT_AVAILABLE if known is None else known.multiplier


def _asset_class(day: DayFold, row: Step | Trade) -> str:
    known = _instrument(day, row)
    return NOT_AVAILABLE if known is None else known.asset_class.value


def _fill(step: Step) -> OrderFilled | None:
    return step.event if isinstance(step.event, OrderFilled) else None


def _transaction_price(day: DayFold, step: Step) -> Decimal | None:
    fill = _fill(step)
    return None if fill is None else fill.price


def _traded(day: DayFold, step: Step) -> Decimal | None:
    fill = _fill(step)
    return None if fill is None else fill.quantity


def _execution_id(day: DayFold, step: Step) -> str:
    fill = _fill(step)
    return "" if fill is None else fill.execution_id


def _aggressor(day: DayFold, step: Step) -> str:
    fill = _fill(step)
    if fill is None:
        return ""
    return "PASV" if fill.liquidity is Liquidity.MAKER else "AGRE"


def _validity(day: DayFold, step: Step) -> str:
    return {"gtc": "GTCV", "ioc": "IOCV", "fok": "FOKV"}.get(step.order.time_in_force or "", "")


def _class(day: DayFold, step: Step) -> str:
    if step.order.order_type is None:
        return ""
    is_stop = step.order.order_type in (OrderType.STOP, OrderType.STOP_LIMIT)
    return "STOP" if is_stop else "LMTO"


def _side(day: DayFold, row: Step | Trade) -> str:
    side = row.order.side
    return "" if side is None else "BUYI" if side is Side.BUY else "SELL"


def _reason(day: DayFold, step: Step) -> str:
    event = step.event
    if isinstance(event, SignalDecided) and event.outcome is not Outcome.APPROVED:
        return f"{event.rule}: {event.detail}"
    return str(getattr(event, "reason", "")) or str(getattr(event, "detail", ""))


ORDER_FIELDS: tuple[Field, ...] = (
    Field("record", "", "", "", lambda d, s: s.n),
    Field("event", "", "", "", lambda d, s: type(s.event).__name__),
    Field("event_code", "24:21", "", "", _code),
    Field("event_code_us", "", "type", "", _cat),
    Field("time_utc", "24:9, 25", "eventTimestamp", "", lambda d, s: iso_time(s.event.at_ns)),
    Field("clock_divergence", "25", "", "the clock's distance from UTC is not measured here"),
    Field("submitting_entity", "24:1", "CATReporterIMID", _NO_FIRM),
    Field("direct_electronic_access", "24:2", "", _NO_PARTIES),
    Field("account", "24:3", "firmDesignatedID", "", lambda d, s: s.order.account),
    Field("client_identification", "24:3", "accountHolderType", _NO_PARTIES),
    Field("decided_by_algorithm", "24:4", "", "", lambda d, s: d.strategy(s.order.session)),
    Field("execution_within_firm", "24:5", "", "", lambda d, s: "gate and executor"),
    Field("non_executing_broker", "24:6", "", _NO_PARTIES),
    Field("trading_capacity", "24:7", "", _NO_PARTIES),
    Field("liquidity_provision", "24:8", "", _NO_PARTIES),
    Field("validity", "24:10", "timeInForce", "", _validity),
    Field("order_restriction", "24:11", "tradingSession", _NONE_SUCH),
    Field("valid_until_utc", "24:12", "", "", lambda d, s: iso_time(s.order.expires_at_ns)),
    Field("priority_time", "24:13", "", _NO_BOOK),
    Field("priority_size", "24:14", "", _NO_BOOK),
    Field("sequence_number", "24:15", "", "", lambda d, s: s.event.seq),
    Field("venue", "24:16", "destination", "", lambda d, s: venue_of(s.order.instrument)),
    Field("segment_mic", "24:16", "", "venues are named as configured, not by their MIC"),
    Field("order_book_code", "24:17", "", _NO_BOOK),
    Field("instrument", "24:18", "symbol", "", lambda d, s: symbol_of(s.order.instrument)),
    Field("isin", "24:18", "", "instruments are named by the venue's symbol"),
    Field("asset_class", "", "", "", _asset_class),
    Field("received_utc", "24:19", "", "", lambda d, s: iso_time(s.order.signal_ns)),
    Field("order_id", "24:20", "orderID", "", lambda d, s: s.order.order_id),
    Field("venue_order_id", "24:20", "routedOrderID", "", lambda d, s: s.order.venue_order_id),
    Field("session", "", "", "", lambda d, s: s.order.session),
    Field("exchange_session", "", "session", "venues do not name our session"),
    Field("signal_id", "", "", "", lambda d, s: s.order.signal_id),
    Field("strategy_linked_order", "24:46", "", _NONE_SUCH),
    Field("parent_order", "", "parentOrderID", "", lambda d, s: s.order.parent_id),
    Field("replaces", "", "priorOrderID", "", lambda d, s: s.order.replaces),
    Field("order_type", "24:22", "orderType", "", lambda d, s: s.order.order_type),
    Field("order_class", "24:23", "", "", _class),
    Field("limit_price", "24:24", "price", "", lambda d, s: s.order.limit_price),
    Field("additional_limit_price", "24:25", "", _NONE_SUCH),
    Field("stop_price", "24:26", "triggerPrice", "", lambda d, s: s.order.stop_price),
    Field("pegged_limit_price", "24:27", "", _NONE_SUCH),
    Field("transaction_price", "24:28", "", "", _transaction_price),
    Field("price_currency", "24:29", "", "", _currency),
    Field("currency_of_leg_2", "24:30", "", _NONE_SUCH),
    Field("price_notation", "24:31", "", "", lambda d, s: "MONE"),
    Field("side", "24:32", "side", "", _side),
    Field("order_status", "", "", "", lambda d, s: s.order.status or s.order.outcome),
    Field("order_status_at_venue", "24:33", "", "ACTI, INAC, SUSP: the venue does not tell us"),
    Field("quantity_notation", "24:34", "", "", lambda d, s: "UNIT"),
    Field("quantity_currency", "24:35", "", "", lambda d, s: ""),
    Field("quantity_asked", "24:36", "quantity", "", lambda d, s: s.order.asked),
    Field("quantity_approved", "24:36", "", "", lambda d, s: s.order.quantity),
    Field("quantity_remaining", "24:37", "leavesQty", "", lambda d, s: s.order.leaves),
    Field("quantity_displayed", "24:38", "", _NO_BOOK),
    Field("quantity_traded", "24:39", "", "", _traded),
    Field("minimum_acceptable_quantity", "24:40", "minQty", _NONE_SUCH),
    Field("minimum_executable_size", "24:41", "", _NONE_SUCH),
    Field("minimum_size_first_only", "24:42", "", _NONE_SUCH),
    Field("passive_only", "24:43", "", "", lambda d, s: str(s.order.is_post_only).lower()),
    Field("passive_or_aggressive", "24:44", "", "", _aggressor),
    Field("self_execution_prevention", "24:45", "", "", lambda d, s: "checked by the gate"),
    Field("routing_strategy", "24:47", "", _NO_BOOK),
    Field("transaction_id", "24:48", "", "", _execution_id),
    Field("trading_phase", "24:49", "", _NO_BOOK),
    Field("indicative_auction_price", "24:50", "", _NO_BOOK),
    Field("indicative_auction_volume", "24:51", "", _NO_BOOK),
    Field("reason", "", "", "", _reason),
    Field("strategy_reason", "", "", "", lambda d, s: s.order.why),
    Field("epoch", "", "", "", lambda d, s: s.order.epoch),
)
"""Columns of the `orders` report: one row an event of an order's life."""


def _net(day: DayFold, trade: Trade) -> object:
    return NOT_AVAILABLE if trade.net is None else trade.net


def _short(day: DayFold, trade: Trade) -> str:
    """Return whether it sold what was not held: SESH a short sale, SELL one that is none."""
    if trade.fill.side is Side.BUY:
        return ""
    if trade.held_before is None:
        return NOT_AVAILABLE
    return "SESH" if trade.held_before < trade.fill.quantity else "SELL"


TRADE_FIELDS: tuple[Field, ...] = (
    Field("record", "", "", "", lambda d, t: t.n),
    Field("report_status", "22:1", "", "", lambda d, t: "NEWT"),
    Field("transaction_reference", "22:2", "", "", lambda d, t: t.fill.execution_id),
    Field("venue_transaction_id", "22:3", "tradeID", "", lambda d, t: t.fill.execution_id),
    Field("executing_entity", "22:4", "CATReporterIMID", _NO_FIRM),
    Field("investment_firm_covered", "22:5", "", _NO_FIRM),
    Field("submitting_entity", "22:6", "", _NO_FIRM),
    Field("buyer", "22:7-15", "", _NO_PARTIES),
    Field("seller", "22:16-24", "", _NO_PARTIES),
    Field("account", "", "firmDesignatedID", "", lambda d, t: t.fill.account),
    Field("transmission_of_order", "22:25-27", "", _NO_PARTIES),
    Field("time_utc", "22:28, 25", "eventTimestamp", "", lambda d, t: iso_time(t.fill.at_ns)),
    Field("venue_time_utc", "", "", "", lambda d, t: iso_time(t.fill.venue_ns)),
    Field("trading_capacity", "22:29", "capacity", _NO_PARTIES),
    Field("side", "", "side", "", _side),
    Field("quantity", "22:30", "quantity", "", lambda d, t: t.fill.quantity),
    Field("quantity_currency", "22:31", "", "", lambda d, t: ""),
    Field("derivative_notional_change", "22:32", "", _NONE_SUCH),
    Field("price", "22:33", "price", "", lambda d, t: t.fill.price),
    Field("price_currency", "22:34", "", "", _currency),
    Field("net_amount", "", "", "", _net),
    Field("net_amount_of_debt", "22:35", "", "no debt instruments are traded"),
    Field("fee", "", "", "", lambda d, t: t.fill.fee),
    Field("venue", "22:36", "marketCenterID", "", lambda d, t: venue_of(t.fill.instrument)),
    Field("venue_mic", "22:36", "", "venues are named as configured, not by their MIC"),
    Field("country_of_branch", "22:37", "", _NO_FIRM),
    Field("up_front_payment", "22:38-39", "", _NONE_SUCH),
    Field("complex_trade_id", "22:40", "", _NONE_SUCH),
    Field("instrument", "22:41", "symbol", "", lambda d, t: symbol_of(t.fill.instrument)),
    Field("isin", "22:41", "", "instruments are named by the venue's symbol"),
    Field("instrument_full_name", "22:42", "", "instruments are named by the venue's symbol"),
    Field("cfi_code", "22:43", "", "instruments are classified by our own words, not by CFI"),
    Field("asset_class", "", "", "", _asset_class),
    Field("notional_currencies", "22:44-45", "", _NO_TERMS),
    Field("price_multiplier", "22:46", "", "", _multiplier),
    Field("derivative_terms", "22:47-56", "", _NO_TERMS),
    Field("decided_by_algorithm", "22:57", "", "", lambda d, t: t.strategy),
    Field("country_of_decider", "22:58", "", _NO_PARTIES),
    Field("execution_within_firm", "22:59", "", "", lambda d, t: "gate and executor"),
    Field("country_of_executor", "22:60", "", _NO_PARTIES),
    Field("waiver", "22:61", "", _NO_BOOK),
    Field("short_selling", "22:62", "", "", _short),
    Field("otc_post_trade", "22:63", "", _NO_BOOK),
    Field("commodity_derivative", "22:64", "", _NO_PARTIES),
    Field("securities_financing", "22:65", "", "", lambda d, t: "false"),
    Field("order_id", "", "orderID", "", lambda d, t: t.fill.order_id),
    Field("venue_order_id", "", "", "", lambda d, t: t.order.venue_order_id),
    Field("session", "", "", "", lambda d, t: t.fill.session),
    Field("liquidity", "", "", "", lambda d, t: t.fill.liquidity.value),
    Field("realized", "", "", "", lambda d, t: t.realized),
    Field("leaves", "", "", "", lambda d, t: t.fill.leaves),
)
"""Columns of the `trades` report: one row an execution."""
