"""What one session did, told to a performance in few words."""

from decimal import Decimal
from typing import Any

from schemas.base import ExecutionId, InstrumentId, OrderId, SessionId
from schemas.executions import Liquidity, OrderFilled, OrderStatus
from schemas.ids import order_id_of
from schemas.instruments import Instrument
from schemas.orders import Side
from schemas.sessions import SessionCreated
from services.performance.core import Performance
from services.performance.curve import DAY_NS
from services.performance.fold import Terms
from tests.builders import ACCOUNT, ALPHA, BETA, SESSION, dec, instrument, quote, signal

KNOWN = {
    ALPHA: instrument(ALPHA),
    BETA: instrument(BETA, multiplier="50"),
}


class Rig:
    """A performance of one session that began with 1,000 on day 0."""

    def __init__(
        self, capital: str = "1000", known: dict[InstrumentId, Instrument] = KNOWN
    ) -> None:
        self.told = Performance(Terms(instruments=known, currency_values={"USD": Decimal(1)}))
        self.capital = dec(capital)
        self.fill_count = 0
        self.create(SESSION)

    def create(self, session: SessionId, at_ns: int = 0, **more: Any) -> None:
        """Begin a session."""
        self.told.update(
            SessionCreated(
                at_ns=at_ns,
                session=session,
                start_id="start",
                strategy=more.pop("strategy", "idea"),
                account=ACCOUNT,
                instruments=tuple(KNOWN),
                initial_capital=self.capital,
                **more,
            )
        )

    def quote(self, price: str, at_ns: int = 0, key: InstrumentId = ALPHA) -> None:
        """Quote a market whose middle is `price`."""
        middle = dec(price)
        self.told.update(quote(str(middle - 1), str(middle + 1), at_ns=at_ns, instrument=key))

    def fill(
        self,
        quantity: str,
        price: str,
        at_ns: int = 0,
        *,
        key: InstrumentId = ALPHA,
        fee: str = "0",
        session: SessionId = SESSION,
        execution: str = "",
    ) -> OrderFilled:
        """Execute a signed quantity, after its signal at the same moment."""
        signed = dec(quantity)
        side = Side.BUY if signed > 0 else Side.SELL
        self.fill_count += 1
        name = f"{session}-{self.fill_count}"
        self.told.update(
            signal(
                name,
                at_ns=at_ns,
                instrument=key,
                side=side,
                quantity=str(abs(signed)),
                session=session,
            )
        )
        fill = OrderFilled(
            at_ns=at_ns,
            account=ACCOUNT,
            session=session,
            instrument=key,
            order_id=OrderId(order_id_of(ACCOUNT, session, signal(name).signal_id, 0)),
            execution_id=ExecutionId(execution or name),
            side=side,
            price=dec(price),
            quantity=abs(signed),
            leaves=Decimal(0),
            fee=dec(fee),
            liquidity=Liquidity.TAKER,
            status=OrderStatus.FILLED,
        )
        self.told.update(fill)
        return fill

    def days(self, *prices: str) -> None:
        """Quote one price a day, from day 1 on, in the middle of the day."""
        for day, price in enumerate(prices, start=1):
            self.quote(price, day * DAY_NS + DAY_NS // 2)
