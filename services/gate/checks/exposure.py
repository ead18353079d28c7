"""What would be held if this order filled, and every order that is open or of unknown fate."""

from decimal import Decimal

from schemas.orders import Side
from schemas.restrictions import Level
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.checks.order import quotient_down
from services.gate.exposure import ZERO, Lane, Totals
from services.gate.kinds import REDUCING, RESTRICTED
from services.gate.limits import Bound
from services.gate.measured import Found, at_most

_BUY, _REDUCE = Side.BUY, Level.REDUCE
_SESSION = "session."


def reducing(case: Case) -> Verdict:
    """Return whether an order under REDUCE is within what is held and not already being closed.

    By quantity, open orders counted: long 1 with a sell of 1 resting lets no second sell pass.
    """
    restriction = case.restriction
    if restriction is None or restriction.level is not _REDUCE:
        return PASS
    room, quantity = room_to_reduce(case), case.signal.quantity
    return (quantity <= room, str(quantity), f"{room} while {restriction.scope} only reduces")


def room_to_reduce(case: Case) -> Decimal:
    """Return how much of the order's side only reduces what every restriction is on."""
    restriction, side = case.restriction, case.signal.side
    if restriction is None or restriction.level is not _REDUCE:
        return case.signal.quantity
    own = ZERO if case.own is None else case.own.room(side)
    if restriction.scope.startswith(_SESSION):
        return own
    whole = case.lane.room(side)
    return whole if case.own_restriction is None else min(whole, own)


def reduce_only(case: Case) -> Verdict:
    """Return whether a reduce-only order is within what is held and not already being closed."""
    signal = case.signal
    if not signal.is_reduce_only:
        return PASS
    room = _room_to_close(case)
    return (signal.quantity <= room, str(signal.quantity), str(room))


def _room_to_close(case: Case) -> Decimal:
    """Return how much of the order's side only reduces what the account holds, and the session.

    What no session accounts for may be the session's. A flatten, of a session that nobody created,
    closes what anybody holds.
    """
    side, session = case.signal.side, case.signal.session
    again = case.signal.quantity - case.added
    room = case.lane.room(side)
    if session in case.account.holders.strategy_of:
        nobodys = case.lane.position - case.lane.owned
        own = max(-nobodys if side is _BUY else nobodys, ZERO)
        room = min(room, own + (ZERO if case.own is None else case.own.room(side)))
    return room + again


@at_most(lambda case: case.limits.position_quantity_max)
def position_quantity(case: Case) -> Found:
    """Return the position on the order's side by quantity, all open orders of it filled."""
    return case.reach


@at_most(lambda case: case.limits.position_notional_max)
def position_notional(case: Case) -> Found:
    """Return the position on the order's side by value, all open orders of it filled."""
    return case.value


def lowers(case: Case) -> bool:
    """Return whether the order does not raise the worst case of its instrument.

    It passes although a sum is over its limit: it must be possible to get out.
    """
    return not case.raised


def only_reduces(case: Case) -> bool:
    """Return whether the order only reduces what is held in its instrument, whatever fills.

    It passes although that moves the net of all instruments: it must be possible to get out.
    """
    return case.reach <= ZERO


def no_price(totals: Totals) -> str:
    """Return, for people, of what there is exposure and no price."""
    return "no price for " + ", ".join(totals.unpriced)


@at_most(
    lambda case: case.limits.gross_notional_max,
    lets_out=lowers,
    blind=lambda case: no_price(case.account.totals),
)
def gross_notional(case: Case) -> Found:
    """Return the account's worst case, over all instruments."""
    return gross(case, case.account.totals)


@at_most(
    lambda case: case.limits.net_notional_max,
    lets_out=only_reduces,
    blind=lambda case: no_price(case.account.totals),
)
def net_notional(case: Case) -> Found:
    """Return the account's long less short on the order's side, over all instruments."""
    return net(case, case.account.totals)


def gross(case: Case, totals: Totals) -> Found:
    """Return the worst case of a group that the account's lane is in; None without a price."""
    if totals.unpriced and case.raised:
        return None
    return totals.gross + case.raised


def gross_of(case: Case, totals: Totals, part: Lane | None, reach: Decimal) -> Found:
    """Return the worst case of all lanes of `totals`; None without a price.

    Args:
        case: the order.
        totals: the sums.
        part: the lane of `totals` that the order would be in; None while there is none.
        reach: how far the order would take that lane on its side.
    """
    found = totals.gross
    if part is not None and reach <= part.worst:
        return found
    if totals.unpriced:
        return None
    found += reach * case.worth
    return found if part is None else found - part.notional


def net(case: Case, totals: Totals) -> Found:
    """Return the net of a group on the order's side; None without a price."""
    if totals.unpriced and case.reach > ZERO:
        return None
    return case.notional + (totals.long if case.signal.side is _BUY else totals.short)


def gross_room(
    case: Case, totals: Totals, limit: Bound[Decimal], part: Lane | None, reach: Decimal
) -> Decimal:
    """Return the largest quantity that `gross_of` lets pass."""
    before = reach - case.signal.quantity
    worst, notional = (part.worst, part.notional) if part is not None else (ZERO, ZERO)
    if totals.unpriced:
        return worst - before
    fits = quotient_down(limit.value - totals.gross + notional, case.worth)
    return max(fits, worst) - before


def net_room(
    case: Case, totals: Totals, limit: Bound[Decimal], reach: Decimal | None = None
) -> Decimal:
    """Return the largest quantity that `net` lets pass; `reach` of what it must only reduce."""
    only_reduces = case.signal.quantity - (case.reach if reach is None else reach)
    if totals.unpriced:
        return only_reduces
    side = totals.long if case.signal.side is _BUY else totals.short
    return max(quotient_down(limit.value - side, case.worth), only_reduces)


def _reduce_only_room(case: Case) -> Decimal:
    signal = case.signal
    return _room_to_close(case) if signal.is_reduce_only else signal.quantity


def _position_room(case: Case) -> Decimal:
    return case.limits.position_quantity_max.value - case.reach + case.signal.quantity


def _position_notional_room(case: Case) -> Decimal:
    fits = quotient_down(case.limits.position_notional_max.value, case.worth)
    return fits - case.reach + case.signal.quantity


def _gross_room(case: Case) -> Decimal:
    limit = case.limits.gross_notional_max
    return gross_room(case, case.account.totals, limit, case.lane, case.reach)


def _net_room(case: Case) -> Decimal:
    return net_room(case, case.account.totals, case.limits.net_notional_max)


_BY_QUANTITY = "REDUCE by quantity, not by side alone"

ROWS: tuple[Check, ...] = (
    Check(
        reducing,
        "restrictions that the control guard heard, position, open orders",
        "quantity <= held - open orders that already reduce it; of the session where it is the"
        " session that is restricted, of both where both are",
        "units",
        (),
        "control protocol: levels; " + _BY_QUANTITY,
        room=room_to_reduce,
        about=RESTRICTED,
    ),
    Check(
        reduce_only,
        "signal.is_reduce_only, position, open orders",
        "quantity <= held - open orders that already reduce it, but for the one that it replaces;"
        " of the account, and of the session with what is nobody's",
        "units",
        (),
        _BY_QUANTITY,
        room=_reduce_only_room,
        about=REDUCING,
    ),
    Check(
        position_quantity,
        "position, open orders of the side",
        "position + open + quantity <= position_quantity_max, per side",
        "units",
        ("position_quantity_max",),
        "G-01, I8",
        room=_position_room,
    ),
    Check(
        position_notional,
        "position, open orders of the side; dearest of ask, limit and stop price",
        "(position + open + quantity) x multiplier x price x currency value"
        " <= position_notional_max, per side",
        "account currency",
        ("position_notional_max", "currency_values"),
        "G-01, I8",
        room=_position_notional_room,
    ),
    Check(
        gross_notional,
        "positions and open orders of the account, newest prices",
        "sum of worst cases <= gross_notional_max, or the order does not raise it",
        "account currency",
        ("gross_notional_max", "currency_values"),
        "G-02, I8",
        room=_gross_room,
    ),
    Check(
        net_notional,
        "positions and open orders of the account, newest prices",
        "long - short, all open orders of the side filled, + the order <= net_notional_max for a"
        " buy, short - long for a sell; or the order only reduces what is held",
        "account currency",
        ("net_notional_max", "currency_values"),
        "G-02, I8",
        room=_net_room,
    ),
)
