"""Is it an hour at which this may be traded at all."""

from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.exposure import Lane
from services.gate.state import GateState


def market_hours(case: Case) -> Verdict:
    """Return whether its market is open, or in extended hours that are allowed, and it exists."""
    hours = case.state.hours.of[case.signal.instrument]
    if hours.is_always:
        return PASS
    objection = hours.objection(case.now_ns)
    return PASS if not objection else (False, objection, "open")


def market_wide_halt(case: Case) -> Verdict:
    """Return whether trading in the whole market is not halted.

    Where that is only not known, what reduces passes: a market that is halted takes no order.
    """
    market_wide, instrument = case.state.market_wide, case.signal.instrument
    objection = market_wide.objection(instrument, case.now_ns)
    if not objection:
        return PASS
    if case.signal.is_reduce_only and not market_wide.is_halted(instrument, case.now_ns):
        return (True, objection, "")
    return (False, objection, "")


def _is_always_open(state: GateState, lane: Lane) -> bool:
    return state.hours.of[lane.instrument.id].is_always


def _is_never_halted(state: GateState, lane: Lane) -> bool:
    return state.market_wide.is_never_halted(lane.instrument.id)


ROWS: tuple[Check, ...] = (
    Check(
        market_hours,
        "now, the instrument's calendar, the end of its contract",
        "open <= now < close of a session; before and after it as extended_hours says; no contract"
        " that has expired",
        "",
        ("extended_hours",),
        "G-05, S-07; hours and holidays of the exchange",
        settled=_is_always_open,
    ),
    Check(
        market_wide_halt,
        "MarketWideHaltDeclared; trades, quotes and closing price of the market's reference",
        "no halt: fall from the previous close < 7, 13, 20 %, or its time is over; after a restart"
        " or without the bus within the day, something of the market has traded since, or was"
        " quoted anew after 15 minutes; or the order is reduce-only, and no halt is known",
        "",
        ("market_wide",),
        "G-05; NYSE rule 7.12, Nasdaq rule 4121",
        settled=_is_never_halted,
    ),
)
