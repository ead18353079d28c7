"""What would be held if this order filled, and every order that is open or of unknown fate."""

from schemas.orders import Side
from services.gate.case import PASS, Case, Verdict

_BUY = Side.BUY


def reduce_only(case: Case) -> Verdict:
    """Return whether a reduce-only order is within what is held and not already being closed."""
    signal, lane = case.signal, case.lane
    if not signal.is_reduce_only:
        return PASS
    is_buy = signal.side is _BUY
    room = -lane.position - lane.buys if is_buy else lane.position - lane.sells
    return (signal.quantity <= room, str(signal.quantity), str(room))


def position_quantity(case: Case) -> Verdict:
    """Return whether the position on the order's side stays small enough by quantity."""
    reach, limit = case.reach(), case.limits.position_quantity_max
    return (reach <= limit.value, str(reach), limit.text)


def position_notional(case: Case) -> Verdict:
    """Return whether the position on the order's side stays small enough by value."""
    limit = case.limits.position_notional_max
    notional = case.reach() * case.worth()
    return (notional <= limit.value, str(notional), limit.text)


def gross_notional(case: Case) -> Verdict:
    """Return whether the account's worst case stays small enough, over all instruments.

    An order that does not raise the worst case passes although the account is over the limit:
    it must be possible to get out.
    """
    lane, limit = case.lane, case.limits.gross_notional_max
    totals, reach = case.account.totals, case.reach()
    raised = reach if reach > lane.worst else lane.worst
    gross = totals.gross - lane.notional + raised * case.worth()
    is_raised = raised > lane.worst
    if totals.unpriced and is_raised:
        return (False, "no price for " + ", ".join(totals.unpriced), limit.text)
    return (gross <= limit.value or not is_raised, str(gross), limit.text)
