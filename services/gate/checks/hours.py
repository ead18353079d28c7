"""Is it an hour at which this may be traded at all."""

from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check


def market_hours(case: Case) -> Verdict:
    """Return whether the instrument's market is open, or in extended hours that are allowed."""
    hours = case.state.hours.of[case.signal.instrument]
    if hours.is_always:
        return PASS
    objection = hours.objection(case.now_ns)
    return PASS if not objection else (False, objection, "open")


def market_wide_halt(case: Case) -> Verdict:
    """Return whether trading in the whole market is not halted."""
    objection = case.state.market_wide.objection(case.signal.instrument, case.now_ns)
    return PASS if not objection else (False, objection, "")


ROWS: tuple[Check, ...] = (
    Check(
        market_hours,
        "now, the instrument's calendar",
        "open <= now < close of a session; before and after it as extended_hours says",
        "",
        ("extended_hours",),
        "G-05, S-07; hours and holidays of the exchange",
    ),
    Check(
        market_wide_halt,
        "MarketWideHaltDeclared; trades and closing price of the market's reference",
        "no halt: fall from the previous close < 7, 13, 20 %, or its time is over",
        "",
        ("market_wide",),
        "G-05; NYSE rule 7.12, Nasdaq rule 4121",
    ),
)
