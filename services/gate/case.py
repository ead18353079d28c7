"""One signal before the gate: everything that its checks may read."""

from decimal import Decimal

import msgspec

from schemas.base import OrderId
from schemas.market import QuoteReceived, Trading
from schemas.orders import Side, SignalRaised
from schemas.restrictions import Restriction
from services.gate.account import Account
from services.gate.exposure import ZERO, Lane
from services.gate.holders import Holder
from services.gate.kinds import (
    CLOSED,
    DOUBTED,
    OWN_LIMIT,
    RAISING,
    REDUCING,
    REFUSED,
    REPLACING,
    RESTRICTED,
    SLICE,
    SOMEBODYS,
    UNASSIGNED,
    UNMET,
)
from services.gate.limits import LimitMissingError, Limits
from services.gate.route import Route
from services.gate.state import GateState

Verdict = tuple[bool, str, str]
"""Whether a check passes, the value it read, and the limit; numbers as decimal strings."""

_BUY = Side.BUY  # looking a member up costs as much as comparing two numbers
_OPEN = Trading.OPEN
_MEASURED = frozenset({"reach", "own_reach", "worth", "notional", "value", "own_value", "raised"})

PASS: Verdict = (True, "", "")
"""Of a check that has nothing to measure."""


class Case:
    """A signal, the time, and what the gate knows that bears on it.

    What is not known is not set: a check that reads it all the same raises, and that denies.

    Attributes:
        signal: as it was raised, but for the quantity where a smaller one is judged.
        asked: what the signal asked for, where a smaller quantity is judged; None otherwise.
        order_id: the only id that its order can have.
        now_ns: the time of the decision.
        refusal: why the control guard lets nothing pass; empty when it does.
        state: all the gate remembers, the families' part included.
        is_account_known: whether the account has a row of limits.
        account: the account, where it is known.
        is_instrument_known: whether account and instrument both are.
        holder: the order's session, where it is known; None before its first order.
        own: what that session holds and has open in the instrument; None while that is nothing.
        restriction: the strongest one that the order is under, if any, the widest of them.
        own_restriction: the REDUCE of its session, if there is one: it holds beside a wider one.
        lane, limits: of the instrument in the account, where both are known.
        route: where all is that the order is measured by, where both are known.
        quote: the newest one of the instrument, where there is one.
        trouble: why not all could be measured; None where it could. What could not is not set.
        kind: what kind of order it is, in bits of `services.gate.kinds`.
        reach: the position on the order's side once it and all open ones of its side filled. Long
            counts up for a buy, short counts up for a sell; below 0 the order only reduces.
        own_reach: the same of the session's own position.
        added: how much more may trade on the side than before: the quantity, less that of the
            reduce-only order that such a one takes the place of, in one step at the venue.
        worth: what one unit counts for, at the dearest of ask, limit and stop price.
        notional: what the order counts for, at the same price.
        value, own_value: what `reach` and `own_reach` count for.
        raised: how much the order raises the worst case of its instrument; 0 where it does not.
    """

    __slots__ = (
        "account",
        "added",
        "asked",
        "holder",
        "is_account_known",
        "is_instrument_known",
        "kind",
        "lane",
        "limits",
        "notional",
        "now_ns",
        "order_id",
        "own",
        "own_reach",
        "own_restriction",
        "own_value",
        "quote",
        "raised",
        "reach",
        "refusal",
        "restriction",
        "route",
        "signal",
        "state",
        "trouble",
        "value",
        "worth",
    )
    account: Account
    lane: Lane
    limits: Limits
    route: Route
    quote: QuoteReceived
    added: Decimal
    reach: Decimal
    own_reach: Decimal
    worth: Decimal
    notional: Decimal
    value: Decimal
    own_value: Decimal
    raised: Decimal

    def __init__(
        self,
        signal: SignalRaised,
        order_id: OrderId,
        now_ns: int,
        refusal: str,
        state: GateState,
        account: Account | None,
        restriction: Restriction | None = None,
        own_restriction: Restriction | None = None,
    ) -> None:
        self.signal = signal
        self.asked: Decimal | None = None
        self.order_id = order_id
        self.now_ns = now_ns
        self.refusal = refusal
        self.state = state
        self.restriction, self.own_restriction = restriction, own_restriction
        self.holder: Holder | None = None
        self.own: Lane | None = None
        self.is_account_known = self.is_instrument_known = False
        self.kind = 0
        self.trouble: Exception | None = None
        if account is None:
            return
        self.account = account
        self.is_account_known = True
        route = account.routes.get((signal.session, signal.instrument))
        if route is None:
            route = state.route(account, signal.session, signal.instrument)
            if route is None:
                return
        self.is_instrument_known = True
        lane = route.lane
        self.route, self.lane, self.limits = route, lane, lane.limits
        self.holder, self.own = route.holder, route.own
        quote = lane.market.quote
        if quote is not None:
            self.quote = quote
        self.kind = self._sorted(account, route) | self._measured()

    def _measured(self) -> int:
        """Measure what can be measured; return the bit of an order that raises the worst case."""
        try:
            self._count()
            self._value()
            return RAISING if self.raised > ZERO else 0
        except (ArithmeticError, AttributeError, LimitMissingError) as error:
            self.trouble = error
            return RAISING

    def _sorted(self, account: Account, route: Route) -> int:
        """Return the bits of all else that sets the order apart."""
        signal, holder, kind = self.signal, route.holder, SOMEBODYS
        if self.refusal:
            kind = REFUSED
        if self.restriction is not None:
            kind |= RESTRICTED
        if account.doubt:
            kind |= DOUBTED
        trading = route.lane.market.trading
        if trading is not None and trading is not _OPEN:
            kind |= CLOSED
        if route.messages is None:
            kind |= UNMET
        if holder is None or holder.group is None:
            kind |= UNASSIGNED
        if holder is not None and holder.order_notional_max is not None:
            kind |= OWN_LIMIT
        if signal.is_reduce_only:
            kind |= REDUCING
            if signal.session not in account.holders.strategy_of:
                kind ^= SOMEBODYS
        if signal.replaces is not None:
            kind |= REPLACING
        if signal.parent_id is not None or signal.parent_quantity is not None:
            kind |= SLICE
        return kind

    def _count(self) -> None:
        """Measure by quantity what several checks compare with their limits.

        Raises:
            ArithmeticError: the quantity is no number.
        """
        lane, signal = self.lane, self.signal
        added = self.added = signal.quantity - self._replaced()
        if signal.side is _BUY:
            self.reach = lane.position + lane.buys + added
        else:
            self.reach = lane.sells - lane.position + added
        self.own_reach = self.reach_of(self.own)

    def _replaced(self) -> Decimal:
        """Return what a reduce-only order of its side, and its session's, may trade no more."""
        signal = self.signal
        if signal.replaces is None or not signal.is_reduce_only:
            return ZERO
        old = self.account.orders.get(signal.replaces)
        if old is None or not old.order.is_reduce_only:
            return ZERO
        theirs = (old.order.session, old.order.instrument, old.order.side)
        mine = (signal.session, signal.instrument, signal.side)
        return old.leaves if theirs == mine else ZERO

    def _value(self) -> None:
        """Measure by value what several checks compare with their limits.

        Raises:
            LimitMissingError: nobody has said what the instrument's currency is worth.
            ArithmeticError: a price or the quantity is no number.
        """
        signal, lane, price = self.signal, self.lane, self.quote.ask
        if signal.limit_price is not None and signal.limit_price > price:
            price = signal.limit_price
        if signal.stop_price is not None and signal.stop_price > price:
            price = signal.stop_price
        unit, reach = lane.unit_value, self.reach
        worth = self.worth = price * (lane.value_of_one() if unit is None else unit)
        self.notional = signal.quantity * worth
        value = self.value = reach * worth
        self.own_value = self.own_reach * worth
        self.raised = value - lane.notional if reach > lane.worst else ZERO

    def cause_of(self, error: Exception) -> Exception:
        """Return what is behind an error of a check: why what it read could not be measured."""
        trouble = self.trouble
        if trouble is None or not isinstance(error, AttributeError) or error.obj is not self:
            return error
        return trouble if error.name in _MEASURED else error

    def of(self, quantity: Decimal) -> "Case":
        """Return the case of the same order with another quantity."""
        signal = msgspec.structs.replace(self.signal, quantity=quantity)
        account = self.account if self.is_account_known else None
        other = Case(
            signal,
            self.order_id,
            self.now_ns,
            self.refusal,
            self.state,
            account,
            self.restriction,
            self.own_restriction,
        )
        other.asked = self.signal.quantity if self.asked is None else self.asked
        return other

    def reach_of(self, part: Lane | None) -> Decimal:
        """Return `reach` of a part of the account's position: a session's, or a strategy's.

        What no session accounts for may be anybody's, and counts where it makes the part larger.
        """
        whole, reach = self.lane, self.added
        nobodys = whole.position - whole.owned
        if self.signal.side is _BUY:
            if part is not None:
                reach += part.position + part.buys
            return reach + nobodys if nobodys > ZERO else reach
        if part is not None:
            reach += part.sells - part.position
        return reach - nobodys if nobodys < ZERO else reach
