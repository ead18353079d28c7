"""Is there a market that a price can be judged by."""

from decimal import ROUND_UP, Context, Decimal

from schemas.base import NS_PER_MS
from schemas.market import Trading
from services.gate.case import PASS, Case, Verdict
from services.gate.check import ACCESS, CLOSED, Check
from services.gate.config_market import LockedMarket
from services.gate.exposure import Lane, is_plain
from services.gate.kinds import CLOSED as NOT_OPEN
from services.gate.limits import LimitMissingError
from services.gate.measured import Found, at_most
from services.gate.state import GateState

_OPEN = Trading.OPEN
BPS = Decimal(10_000)
_TWICE_BPS = Decimal(20_000)

quotient = Context(prec=9, rounding=ROUND_UP).divide
"""Return a quotient to nine digits, rounded up: over a limit never shows, or passes, as at it."""


def instrument_open(case: Case) -> Verdict:
    """Return whether the venue has not said that the instrument is anything but open."""
    trading = case.lane.market.trading
    return PASS if trading is None or trading is _OPEN else (False, trading, _OPEN)


@at_most(lambda case: case.limits.stale_after_ms, blind=lambda case: "no quote yet")
def market_fresh(case: Case) -> Found:
    """Return how long ago the newest quote came to this process, in ms; None without any."""
    market = case.lane.market
    if market.quote is None:
        return None
    return -((market.received_ns - case.now_ns) // NS_PER_MS)  # rounded up


def market_sane(case: Case) -> Verdict:
    """Return whether both sides are quoted, are numbers, and do not cross."""
    quote, market = case.quote, case.lane.market
    if quote is market.sane:
        return PASS
    if is_plain(quote.bid) and is_plain(quote.ask) and quote.bid <= quote.ask:
        market.sane = quote
        return PASS
    return (False, f"{quote.bid}/{quote.ask}", "")


def market_locked(case: Case) -> Verdict:
    """Return whether bid and ask differ, or may be the same."""
    quote = case.quote
    if quote.bid != quote.ask:
        return PASS
    locked = case.state.quality.of[case.signal.instrument].locked()
    return (locked is LockedMarket.ALLOW, str(quote.bid), locked)


def market_jump(case: Case) -> Verdict:
    """Return whether the newest price is an accepted one."""
    quality = case.state.quality.of[case.signal.instrument]
    watch = quality.jump_watch()
    if watch is None:
        return PASS
    objection = watch.objection()
    return PASS if not objection else (False, objection, quality.jump_limit.text)


def market_clock(case: Case) -> Verdict:
    """Return whether the local clock agrees with the venue's, delay included."""
    quality = case.state.quality.of[case.signal.instrument]
    watch = quality.clock_watch()
    if watch is None:
        return PASS
    offset_ns, limit = watch.offset_ns(case.now_ns), quality.clock_limit
    if offset_ns is None:
        return (False, "the venue gives no time", limit.text)
    is_near = abs(offset_ns) <= limit.value * NS_PER_MS
    return (is_near, str(Decimal(offset_ns) / NS_PER_MS), limit.text)


@at_most(lambda case: case.limits.spread_bps_max)
def market_spread(case: Case) -> Found:
    """Return how far bid and ask are apart: too far, and the touch means nothing."""
    quote, market = case.quote, case.lane.market
    known_of, spread_bps = market.spread
    if quote is not known_of:
        bid, ask = quote.bid, quote.ask
        spread_bps = quotient((ask - bid) * _TWICE_BPS, ask + bid)
        market.spread = (quote, spread_bps)
    return spread_bps


def _jumps_freely(state: GateState, lane: Lane) -> bool:
    try:
        return state.quality.of[lane.instrument.id].jump_watch() is None
    except LimitMissingError:
        return False


def _has_no_clock(state: GateState, lane: Lane) -> bool:
    try:
        return state.quality.of[lane.instrument.id].clock_watch() is None
    except LimitMissingError:
        return False


ROWS: tuple[Check, ...] = (
    Check(
        instrument_open,
        "newest InstrumentStatusChanged",
        "open, or nothing said",
        "",
        (),
        "G-05",
        about=NOT_OPEN,
    ),
    Check(
        market_fresh,
        "newest quote, and when this process received it",
        "now - received <= stale_after_ms",
        "ms",
        ("stale_after_ms",),
        CLOSED,
    ),
    Check(
        market_sane,
        "newest quote",
        "0 < bid <= ask, both finite",
        "bid/ask",
        (),
        CLOSED,
    ),
    Check(
        market_locked,
        "newest quote",
        "bid < ask, or locked_market allows bid = ask",
        "price",
        ("locked_market",),
        CLOSED,
    ),
    Check(
        market_jump,
        "every quote since the last accepted price",
        "|middle - last accepted| <= jump_bps_max, or jump_quotes_min quotes in a row confirm it",
        "bps",
        ("jump_bps_max", "jump_quotes_min"),
        CLOSED,
        settled=_jumps_freely,
    ),
    Check(
        market_clock,
        "venue time and time of receipt of the quotes of the last 1 to 2 minutes",
        "|least (received - venue time)| <= clock_offset_ms_max",
        "ms",
        ("clock_offset_ms_max",),
        "MiFID II RTS 25: business clocks; " + CLOSED,
        settled=_has_no_clock,
    ),
    Check(
        market_spread,
        "newest quote",
        "(ask - bid) / middle <= spread_bps_max",
        "bps",
        ("spread_bps_max",),
        ACCESS,
    ),
)
