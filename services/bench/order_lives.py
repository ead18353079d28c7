"""Messages of the lives of orders as the recorder gets them, decisions with all their readings."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from schemas.base import AccountId, Event, ExecutionId, OrderId, SessionId, SignalId
from schemas.control import AccountMarked
from schemas.executions import (
    Liquidity,
    OrderAccepted,
    OrderFilled,
    OrderStatus,
    OrderSubmitted,
)
from schemas.ids import order_id_of
from schemas.instruments import AssetClass, Instrument, instrument_id
from schemas.orders import (
    Order,
    OrderApproved,
    Outcome,
    Reading,
    Side,
    SignalDecided,
    SignalRaised,
)
from schemas.reports import TermsDeclared
from schemas.sessions import SessionCreated
from schemas.streams import STREAMS
from schemas.subjects import subject_of
from schemas.wire import encode
from services.recorder.chain import Message

ACCOUNT = AccountId("paper")
SESSIONS, SYMBOLS = 5, 20
BEGIN_NS = 1_795_564_800_000_000_000
STEP_NS = 1_000_000
QUANTITY = Decimal(100)
READINGS = tuple(Reading(f"check_{n}", True, str(n), "1000000") for n in range(20))


def messages(lives_count: int) -> Iterator[Message]:
    """Yield the messages of so many orders; every one is filled, and valued now and then."""
    for seq, event in enumerate(_events(lives_count), start=1):
        at_ns, subject = BEGIN_NS + seq * STEP_NS, subject_of(event)
        yield Message(_stream(subject), seq, subject, at_ns, encode(event), at_ns)


def _stream(subject: str) -> str:
    family = subject.split(".")[0]
    names = (s.name for s in STREAMS if any(x.split(".")[0] == family for x in s.subjects))
    return next(names, "AUDIT")


def _events(lives_count: int) -> Iterator[Event]:
    instruments = tuple(
        Instrument(
            id=instrument_id("sim", f"S{n}"),
            asset_class=AssetClass.EQUITY,
            currency="USD",
            tick_size=Decimal("0.01"),
            lot_size=Decimal(1),
        )
        for n in range(SYMBOLS)
    )
    yield TermsDeclared(
        at_ns=BEGIN_NS,
        account=ACCOUNT,
        currency="USD",
        initial_cash=Decimal(1_000_000),
        calendar="24x7",
        instruments=instruments,
    )
    for n in range(SESSIONS):
        yield SessionCreated(
            at_ns=BEGIN_NS,
            session=SessionId(f"s{n}"),
            start_id="bench",
            strategy=f"strategy_{n % 3}",
            account=ACCOUNT,
            instruments=tuple(each.id for each in instruments),
            initial_capital=Decimal(200_000),
        )
    for n in range(lives_count):
        yield from _life(n, instruments[n % SYMBOLS])


def _life(n: int, instrument: Instrument) -> Iterator[Event]:
    at_ns, session = BEGIN_NS + n * 10 * STEP_NS, SessionId(f"s{n % SESSIONS}")
    signal_id, side = SignalId(f"signal-{n}"), Side.BUY if n // SYMBOLS % 2 else Side.SELL
    order_id = order_id_of(ACCOUNT, session, signal_id, 0)
    price = Decimal(100) + Decimal(n % 50) / 100
    whose: dict[str, Any] = {"account": ACCOUNT, "session": session, "instrument": instrument.id}
    yield SignalRaised(
        at_ns=at_ns,
        signal_id=signal_id,
        **whose,
        side=side,
        quantity=QUANTITY,
        expires_at_ns=at_ns + 10**9,
        why="a benchmark",
    )
    yield _decision(n, at_ns, order_id, signal_id, side, price, whose)
    if n % 10:
        order = Order(
            order_id=order_id,
            signal_id=signal_id,
            **whose,
            side=side,
            quantity=QUANTITY,
            expires_at_ns=at_ns + 10**9,
        )
        yield from _executed(order, at_ns, price)
    if n % 5 == 0:
        yield AccountMarked(
            at_ns=at_ns + 9,
            account=ACCOUNT,
            equity=Decimal(1_000_000 + n % 997),
            cash=Decimal(1_000_000),
            high_water_mark=Decimal(1_001_000),
            drawdown=Decimal(n % 997) / 1_000_000,
            marks={instrument.id: price},
        )


def _decision(
    n: int,
    at_ns: int,
    order_id: OrderId,
    signal_id: SignalId,
    side: Side,
    price: Decimal,
    whose: dict[str, Any],
) -> SignalDecided:
    is_denied = n % 10 == 0
    return SignalDecided(
        at_ns=at_ns + 1,
        signal_id=signal_id,
        **whose,
        outcome=Outcome.REJECTED if is_denied else Outcome.APPROVED,
        order_id=order_id,
        rule=f"check_{n % 20}" if is_denied else "all",
        epoch=1,
        side=side,
        quantity=QUANTITY,
        approved_quantity=Decimal(0) if is_denied else QUANTITY,
        readings=READINGS,
        took_ns=15_000 + n % 1_000,
        bid=price - 1,
        ask=price + 1,
    )


def _executed(order: Order, at_ns: int, price: Decimal) -> Iterator[Event]:
    whose: dict[str, Any] = {
        "account": order.account,
        "session": order.session,
        "instrument": order.instrument,
    }
    yield OrderApproved(at_ns=at_ns + 1, order=order, epoch=1, gate_token=1)
    order_id = order.order_id
    yield OrderSubmitted(at_ns=at_ns + 2, **whose, order_id=order_id, order=order, epoch=1)
    yield OrderAccepted(at_ns=at_ns + 3, **whose, order_id=order_id, venue_order_id=order_id)
    yield OrderFilled(
        at_ns=at_ns + 4,
        **whose,
        order_id=order_id,
        execution_id=ExecutionId(f"{order_id}-1"),
        side=order.side,
        price=price,
        quantity=order.quantity,
        leaves=Decimal(0),
        fee=Decimal("0.5"),
        liquidity=Liquidity.TAKER,
        status=OrderStatus.FILLED,
    )
