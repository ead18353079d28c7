"""One signal before the gate: everything that its checks may read."""

from decimal import Decimal

from schemas.base import OrderId
from schemas.market import QuoteReceived
from schemas.orders import Side, SignalRaised
from services.gate.account import Account
from services.gate.exposure import Lane
from services.gate.limits import Limits
from services.gate.memory import IdMemory

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
        ids: order ids that are used up.
        is_account_known: whether the account has a row of limits.
        account: the account, where it is known.
        is_instrument_known: whether account and instrument both are.
        lane, limits: of the instrument in the account, where both are known.
        quote: the newest one of the instrument, where there is one.
    """

    __slots__ = (
        "_reach",
        "_worth",
        "account",
        "ids",
        "is_account_known",
        "is_instrument_known",
        "lane",
        "limits",
        "now_ns",
        "order_id",
        "quote",
        "refusal",
        "signal",
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
        ids: IdMemory,
        account: Account | None,
    ) -> None:
        self.signal = signal
        self.order_id = order_id
        self.now_ns = now_ns
        self.refusal = refusal
        self.ids = ids
        self._worth: Decimal | None = None
        self._reach: Decimal | None = None
        self.is_account_known = self.is_instrument_known = False
        if account is not None:
            self.account = account
            self.is_account_known = True
            lane = account.lanes.get(signal.instrument)
            if lane is not None:
                self.is_instrument_known = True
                self.lane, self.limits = lane, lane.limits
                quote = lane.market.quote
                if quote is not None:
                    self.quote = quote

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
