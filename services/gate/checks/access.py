"""Market access over a time: how much, how often, how far, and whether a person should look.

Sources: SEC rule 15c3-5 (17 CFR 240.15c3-5, market access), and MiFID II RTS 6 (Commission
Delegated Regulation (EU) 2017/589), article 15. An order that can only reduce what is held passes
the limits on size, distance and credit: it must be possible to get out.
"""

from decimal import Decimal

from schemas.orders import Side
from services.gate.access import AccountAccess, Traffic, chosen
from services.gate.access_windows import SumWindow
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.checks.exposure import no_price, only_reduces
from services.gate.checks.groups import is_nobodys
from services.gate.checks.market import BPS, quotient
from services.gate.checks.order import quotient_down
from services.gate.exposure import Lane
from services.gate.kinds import RAISING, SLICE
from services.gate.measured import Found, at_most
from services.gate.state import GateState

ZERO = Decimal(0)
_BUY = Side.BUY


def _mine(case: Case) -> AccountAccess:
    return case.route.access


def slices_conserved(case: Case) -> Verdict:
    """Return whether a slice leaves its parent's slices within the parent's quantity."""
    signal = case.signal
    if signal.parent_id is None and signal.parent_quantity is None:
        return PASS
    found, wanted = _mine(case).parents.objection(signal, case.now_ns)
    if found:
        return (False, found, wanted)
    assert signal.parent_id is not None, "a slice of nothing was objected to"
    used = _mine(case).parents.used(signal.session, signal.parent_id) + signal.quantity
    return (True, str(used), str(signal.parent_quantity))


def duplicate_intent(case: Case) -> Verdict:
    """Return whether the session did not just send the same under another signal id.

    A reduce-only order is bounded by what is held, and is never taken for a repeat.
    """
    limit, signal = case.limits.duplicate_window_ms, case.signal
    if not limit.value or signal.is_reduce_only:
        return PASS
    before = _mine(case).intents.repeated(signal, case.now_ns, limit.value, case.asked)
    if before is None:
        return PASS
    age_ms = (case.now_ns - before.at_ns) // 1_000_000
    return (False, f"{age_ms} after signal {before.signal_id}", limit.text)


def _is_stopped(case: Case) -> str:
    stopped, strategy = _mine(case).throttle.stopped, case.route.strategy
    why = f"strategy {strategy} is stopped since {stopped[strategy]}"
    return f"{why}; start it again: sluice start"


@at_most(
    lambda case: case.limits.strategy_executions_max,
    lets_out=lambda case: True,  # that they are too many is found when they happen
    blind=_is_stopped,
)
def execution_throttle(case: Case) -> Found:
    """Return what the strategy executed in the window; None where it was stopped for that.

    Only an authorised start of the strategy ends that: no time, no restart, no reset.
    """
    window_ms, route = case.limits.execution_window_ms.value, case.route
    throttle, strategy = route.access.throttle, route.strategy
    if strategy in throttle.stopped:
        return None
    return throttle.count(strategy, case.now_ns, window_ms)


def period_collar(case: Case) -> Verdict:
    """Return whether the order does not follow the market further than it may in a period.

    The reference is the touch of `period_ms` ago on the side that the order takes.
    """
    limit, period_ms, signal = case.limits.period_collar_bps, case.limits.period_ms, case.signal
    path = case.state.access.path
    if path is None or case.reach <= ZERO:
        return PASS
    side, quote = signal.side, case.quote
    reference = path.reference(signal.instrument, side, case.now_ns, period_ms.value)
    if reference is None:
        return (True, "0", limit.text)
    touch = quote.ask if side is _BUY else quote.bid
    price = touch if signal.limit_price is None else signal.limit_price
    beyond = price - reference if side is _BUY else reference - price
    if beyond <= ZERO:
        return (True, "0", limit.text)
    beyond_bps = quotient(beyond * BPS, reference)
    return (beyond_bps <= limit.value, str(beyond_bps), limit.text)


def _quantity_of_session(case: Case) -> Decimal:
    return _total(case, case.route.quantity)


def _quantity_of_account(case: Case) -> Decimal:
    return _total(case, case.route.whole_quantity)


def _notional_of_session(case: Case) -> Decimal:
    sent = case.route.sent
    return _total(case, None if sent is None else sent.notional)


def _notional_of_account(case: Case) -> Decimal:
    return _total(case, case.route.access.sent.notional)


def _reduces_session(case: Case) -> bool:
    """Return whether it only reduces what the session holds: another's position is no cover.

    A flatten's order closes positions in nobody's name, and is bounded by what is held.
    """
    return case.own_reach <= ZERO or is_nobodys(case)


def _total(case: Case, window: SumWindow | None) -> Decimal:
    """Return what a window comes to in the period; nothing was sent where there is none."""
    period_ms = case.limits.period_ms.value
    return ZERO if window is None else window.total(case.now_ns, period_ms)


@at_most(lambda case: case.limits.session_period_quantity_max, lets_out=_reduces_session)
def session_period_quantity(case: Case) -> Found:
    """Return the quantity of the session's orders in the instrument in a period, with this one."""
    return _quantity_of_session(case) + case.signal.quantity


@at_most(lambda case: case.limits.account_period_quantity_max, lets_out=only_reduces)
def account_period_quantity(case: Case) -> Found:
    """Return the quantity of the account's orders in the instrument in a period, with this one."""
    return _quantity_of_account(case) + case.signal.quantity


@at_most(lambda case: case.limits.session_period_notional_max, lets_out=_reduces_session)
def session_period_notional(case: Case) -> Found:
    """Return what the session's orders of a period counted for, with this one."""
    return _notional_of_session(case) + case.notional


@at_most(lambda case: case.limits.account_period_notional_max, lets_out=only_reduces)
def account_period_notional(case: Case) -> Found:
    """Return what the account's orders of a period counted for, with this one."""
    return _notional_of_account(case) + case.notional


@at_most(
    lambda case: case.limits.credit_limit_max,
    blind=lambda case: no_price(case.account.totals),
    unless=lambda case: case.raised <= ZERO,
)
def credit_limit(case: Case) -> Found:
    """Return the worst case of exposure and what was lost; None without a price."""
    totals = case.account.totals
    if totals.unpriced:
        return None
    return totals.gross + case.raised + case.route.access.realised.loss


@at_most(lambda case: case.limits.strategy_messages_max)
def strategy_messages(case: Case) -> Found:
    """Return the strategy's messages in the window with one more; cancels keep their slice."""
    return _messages(case, case.route.strategy_traffic)


@at_most(lambda case: case.limits.venue_messages_max)
def venue_messages(case: Case) -> Found:
    """Return the messages to the venue in the window with one more; cancels keep their slice."""
    return _messages(case, case.route.venue_traffic)


def _messages(case: Case, traffic: Traffic | None) -> int:
    limits = case.limits
    count = limits.cancel_messages_reserved.value + 1
    if traffic is None:
        return count
    window_ms = limits.message_window_ms.value
    if traffic.has_cancels:
        count = max(count, traffic.cancels.count(case.now_ns, window_ms) + 1)
    return count + traffic.orders.count(case.now_ns, window_ms)


def _room_of_slice(case: Case) -> Decimal:
    signal = case.signal
    if signal.parent_id is None or signal.parent_quantity is None:
        return ZERO
    return signal.parent_quantity - _mine(case).parents.used(signal.session, signal.parent_id)


def _room_of_credit(case: Case) -> Decimal:
    lane, worth = case.lane, case.worth
    left = case.limits.credit_limit_max.value - _mine(case).realised.loss
    free = quotient_down(left - case.account.totals.gross, worth) if worth else ZERO
    return lane.worst + free - case.reach + case.signal.quantity


def _may_repeat(state: GateState, lane: Lane) -> bool:
    return chosen(lane.limits, "duplicate_window_ms") == 0


def _looks_not_back(state: GateState, lane: Lane) -> bool:
    limits = lane.limits
    is_chosen = limits.has("period_collar_bps") and limits.has("period_ms")
    return is_chosen and state.access.path is None


_SHORT_PERIOD = "G-07; 15c3-5(c)(1)(ii), orders over a short period of time"
_MESSAGES = "G-07; RTS 6 art. 15(1)(d)"

ROWS: tuple[Check, ...] = (
    Check(
        slices_conserved,
        "signal.parent_id, parent_quantity; slices approved, what of them can no longer fill",
        "slices filled, open or on their way + quantity <= parent_quantity, same side",
        "units; limit is the parent's quantity",
        (),
        "G-07, X-03; 15c3-5(c)(1)(ii), erroneous orders",
        room=_room_of_slice,
        about=SLICE,
    ),
    Check(
        duplicate_intent,
        "session, instrument, side, quantity, type and prices of approved orders",
        "no order of the same session and terms under another signal id in duplicate_window_ms",
        "ms",
        ("duplicate_window_ms",),
        "G-07; 15c3-5(c)(1)(ii), orders that indicate duplicative orders",
        settled=_may_repeat,
    ),
    Check(
        execution_throttle,
        "executions of the strategy's sessions since its last authorised start",
        "executions in execution_window_ms never reached strategy_executions_max",
        "executions",
        ("strategy_executions_max", "execution_window_ms"),
        "G-07; RTS 6 art. 15(3), repeated automated execution throttle",
    ),
    Check(
        period_collar,
        "the touch period_ms ago; limit price, or the touch now",
        "distance beyond the touch of then <= period_collar_bps, or the order only reduces",
        "bps",
        ("period_collar_bps", "period_ms"),
        "G-07; RTS 6 art. 15(1)(a), collars over a period of time",
        settled=_looks_not_back,
    ),
    Check(
        session_period_quantity,
        "orders of the session in the instrument, approved in period_ms",
        "sum + quantity <= session_period_quantity_max, or the order only reduces",
        "units",
        ("session_period_quantity_max", "period_ms"),
        f"{_SHORT_PERIOD}; RTS 6 art. 15(1)(c)",
        room=lambda case: (
            case.limits.session_period_quantity_max.value - _quantity_of_session(case)
        ),
    ),
    Check(
        account_period_quantity,
        "orders of the account in the instrument, approved in period_ms",
        "sum + quantity <= account_period_quantity_max, or the order only reduces",
        "units",
        ("account_period_quantity_max", "period_ms"),
        f"{_SHORT_PERIOD}; RTS 6 art. 15(1)(c)",
        room=lambda case: (
            case.limits.account_period_quantity_max.value - _quantity_of_account(case)
        ),
    ),
    Check(
        session_period_notional,
        "orders of the session, approved in period_ms, as valued then",
        "sum + quantity x price <= session_period_notional_max, or the order only reduces",
        "account currency",
        ("session_period_notional_max", "period_ms"),
        f"{_SHORT_PERIOD}; RTS 6 art. 15(1)(b)",
        room=lambda case: quotient_down(
            case.limits.session_period_notional_max.value - _notional_of_session(case), case.worth
        ),
    ),
    Check(
        account_period_notional,
        "orders of the account, approved in period_ms, as valued then",
        "sum + quantity x price <= account_period_notional_max, or the order only reduces",
        "account currency",
        ("account_period_notional_max", "period_ms"),
        f"{_SHORT_PERIOD}; RTS 6 art. 15(1)(b)",
        room=lambda case: quotient_down(
            case.limits.account_period_notional_max.value - _notional_of_account(case), case.worth
        ),
    ),
    Check(
        credit_limit,
        "worst case of positions and open orders at newest prices; realised profit after fees",
        "worst cases, the order's included, + realised loss <= credit_limit_max, or the order does"
        " not raise the worst case",
        "account currency",
        ("credit_limit_max",),
        "G-07; 15c3-5(c)(1)(i), credit or capital thresholds; RTS 6 art. 15(4)",
        room=_room_of_credit,
        about=RAISING,
    ),
    Check(
        strategy_messages,
        "orders and cancels of all sessions of the strategy in message_window_ms",
        "orders + max(cancels, cancel_messages_reserved) + 1 <= strategy_messages_max",
        "messages",
        ("strategy_messages_max", "cancel_messages_reserved", "message_window_ms"),
        _MESSAGES,
    ),
    Check(
        venue_messages,
        "orders and cancels of the account to the venue in message_window_ms",
        "orders + max(cancels, cancel_messages_reserved) + 1 <= venue_messages_max",
        "messages",
        ("venue_messages_max", "cancel_messages_reserved", "message_window_ms"),
        _MESSAGES,
    ),
)
