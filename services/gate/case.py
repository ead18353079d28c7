"""One signal before the gate: everything that its checks may read."""

from decimal import Decimal

from schemas.base import OrderId
from schemas.market import QuoteReceived
from schemas.orders import Side, SignalRaised
from services.gate.account import Account
from services.gate.exposure import Lane
from services.gate.memory import IdMemory

Verdict = tuple[bool, str, str]
"""Whether a check passes, the value it read, and the limit; numbers as decimal strings."""

PASS: Verdict = (True, "", "")
"""Of a check that has nothing to measure."""


class Case:
    """A signal, the time, and what the gate knows that bears on it.

    Attributes:
        signal: as it was raised.
        order_id: the only id that its order can have.
        now_ns: the time of the decision.
        refusal: why the control guard lets nothing pass; empty when it does.
        ids: order ids that are used up.
        account: None when it has no row of limits.
        lane: never set when account or instrument is unknown: to read it then is an error, and
            an error denies.
    """

    __slots__ = (
        "_reach",
        "_worth",
        "account",
        "ids",
        "lane",
        "now_ns",
        "order_id",
        "refusal",
        "signal",
    )
    lane: Lane

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
        self.account = account
        self._worth: Decimal | None = None
        self._reach: Decimal | None = None
        if account is not None:
            lane = account.lanes.get(signal.instrument)
            if lane is not None:
                self.lane = lane

    @property
    def is_instrument_known(self) -> bool:
        """Whether the instrument is configured."""
        return hasattr(self, "lane")

    @property
    def known_account(self) -> Account:
        """The account, for checks that come after the one that asks whether it is known."""
        assert self.account is not None, "the check account_known stands before"
        return self.account

    @property
    def quote(self) -> QuoteReceived:
        """The newest quote, for checks that come after the one that asks whether it is fresh."""
        quote = self.lane.market.quote
        assert quote is not None, "the check market_fresh stands before"
        return quote

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
            if self.signal.side is Side.BUY:
                reach = lane.position + lane.buys + quantity
            else:
                reach = lane.sells - lane.position + quantity
            self._reach = reach
        return reach
