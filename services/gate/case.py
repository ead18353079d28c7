"""One signal before the gate: everything that its checks may read."""

from decimal import Decimal

import msgspec

from schemas.base import OrderId
from schemas.market import QuoteReceived
from schemas.orders import Side, SignalRaised
from schemas.restrictions import Restriction
from services.gate.account import Account
from services.gate.exposure import ZERO, Lane
from services.gate.holders import Holder
from services.gate.limits import Limits
from services.gate.state import GateState

Verdict = tuple[bool, str, str]
"""Whether a check passes, the value it read, and the limit; numbers as decimal strings."""

_BUY = Side.BUY  # looking a member up costs as much as comparing two numbers

PASS: Verdict = (True, "", "")
"""Of a check that has nothing to measure."""


class Case:
    """A signal, the time, and what the gate knows that bears on it.

    What is not known is not set: a check that reads it all the same raises, and that denies.

    Attributes:
        signal: as it was raised.
        order_id: the only id that its order can have.
        now_ns: the time of the decision.
        refusal: why the control guard lets nothing pass; empty when it does.
        state: all the gate remembers, the families' part included.
        is_account_known: whether the account has a row of limits.
        account: the account, where it is known.
        is_instrument_known: whether account and instrument both are.
        holder: the order's session, where it is known; None before its first order.
        own: what that session holds and has open in the instrument; None while that is nothing.
        restriction: the strongest one that the order is under, if any.
        lane, limits: of the instrument in the account, where both are known.
        quote: the newest one of the instrument, where there is one.
    """

    __slots__ = (
        "_notional",
        "_own_reach",
        "_own_value",
        "_raised",
        "_reach",
        "_value",
        "_worth",
        "account",
        "holder",
        "is_account_known",
        "is_instrument_known",
        "lane",
        "limits",
        "now_ns",
        "order_id",
        "own",
        "quote",
        "refusal",
        "restriction",
        "signal",
        "state",
    )
    account: Account
    lane: Lane
    limits: Limits
    quote: QuoteReceived

    def __init__(
        self,
        signal: SignalRaised,
        order_id: OrderId,
        now_ns: int,
        refusal: str,
        state: GateState,
        account: Account | None,
        restriction: Restriction | None = None,
    ) -> None:
        self.signal = signal
        self.order_id = order_id
        self.now_ns = now_ns
        self.refusal = refusal
        self.state = state
        self.restriction = restriction
        self._worth: Decimal | None = None
        self._reach: Decimal | None = None
        self._own_reach: Decimal | None = None
        self._own_value: Decimal | None = None
        self._notional: Decimal | None = None
        self._value: Decimal | None = None
        self._raised: Decimal | None = None
        self.holder: Holder | None = None
        self.own: Lane | None = None
        self.is_account_known = self.is_instrument_known = False
        if account is not None:
            self.account = account
            self.is_account_known = True
            lane = account.lanes.get(signal.instrument)
            if lane is not None:
                self.is_instrument_known = True
                self.lane, self.limits = lane, lane.limits
                holder = self.holder = account.holders.sessions.get(signal.session)
                if holder is not None:
                    self.own = holder.lanes.get(signal.instrument)
                quote = lane.market.quote
                if quote is not None:
                    self.quote = quote

    def of(self, quantity: Decimal) -> "Case":
        """Return the case of the same order with another quantity."""
        signal = msgspec.structs.replace(self.signal, quantity=quantity)
        account = self.account if self.is_account_known else None
        return Case(
            signal,
            self.order_id,
            self.now_ns,
            self.refusal,
            self.state,
            account,
            self.restriction,
        )

    def worth(self) -> Decimal:
        """Return what one unit counts for, at the dearest of ask, limit and stop price.

        Raises:
            LimitMissingError: nobody has said what the instrument's currency is worth.
        """
        worth = self._worth
        if worth is None:
            signal, price = self.signal, self.quote.ask
            if signal.limit_price is not None and signal.limit_price > price:
                price = signal.limit_price
            if signal.stop_price is not None and signal.stop_price > price:
                price = signal.stop_price
            value = self.lane.unit_value
            worth = self._worth = price * (self.lane.value_of_one() if value is None else value)
        return worth

    def notional(self) -> Decimal:
        """Return what the order counts for, at the dearest of ask, limit and stop price.

        Raises:
            LimitMissingError: nobody has said what the instrument's currency is worth.
        """
        notional = self._notional
        if notional is None:
            notional = self._notional = self.signal.quantity * self.worth()
        return notional

    def reach(self) -> Decimal:
        """Return the position on the order's side once it and all open ones of its side filled.

        Long counts up for a buy, short counts up for a sell; below 0 the order only reduces.
        """
        reach = self._reach
        if reach is None:
            lane, quantity = self.lane, self.signal.quantity
            if self.signal.side is _BUY:
                reach = lane.position + lane.buys + quantity
            else:
                reach = lane.sells - lane.position + quantity
            self._reach = reach
        return reach

    def value(self) -> Decimal:
        """Return what `reach` counts for.

        Raises:
            LimitMissingError: nobody has said what the instrument's currency is worth.
        """
        value = self._value
        if value is None:
            value = self._value = self.reach() * self.worth()
        return value

    def raised(self) -> Decimal:
        """Return how much the order raises the worst case of its instrument; 0 where it does not.

        Raises:
            LimitMissingError: nobody has said what the instrument's currency is worth.
        """
        raised = self._raised
        if raised is None:
            lane = self.lane
            raised = self.value() - lane.notional if self.reach() > lane.worst else ZERO
            self._raised = raised
        return raised

    def own_reach(self) -> Decimal:
        """Return the same of the session's own position."""
        reach = self._own_reach
        if reach is None:
            reach = self._own_reach = self.reach_of(self.own)
        return reach

    def own_value(self) -> Decimal:
        """Return what `own_reach` counts for.

        Raises:
            LimitMissingError: nobody has said what the instrument's currency is worth.
        """
        value = self._own_value
        if value is None:
            value = self._own_value = self.own_reach() * self.worth()
        return value

    def reach_of(self, part: Lane | None) -> Decimal:
        """Return the same of a part of the account's position: a session's, or a strategy's.

        What no session accounts for may be anybody's, and counts where it makes the part larger.
        """
        whole, reach = self.lane, self.signal.quantity
        nobodys = whole.position - whole.owned
        if self.signal.side is _BUY:
            if part is not None:
                reach += part.position + part.buys
            return reach + nobodys if nobodys > ZERO else reach
        if part is not None:
            reach += part.sells - part.position
        return reach - nobodys if nobodys < ZERO else reach
