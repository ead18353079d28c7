"""Builders of events: a test names only what it is about."""

from decimal import Decimal

from schemas.base import AccountId, InstrumentId, OrderId, SessionId, SignalId
from schemas.instruments import AssetClass, DataKind, Instrument
from schemas.market import QuoteReceived
from schemas.orders import Order, OrderType, Side, SignalRaised, TimeInForce

ALPHA = InstrumentId("sim:ALPHA")
BETA = InstrumentId("sim:BETA")
ACCOUNT = AccountId("paper")
SESSION = SessionId("s1")
S_NS = 1_000_000_000
MS_NS = 1_000_000


def dec(text: str | int) -> Decimal:
    return Decimal(text)


def instrument(
    id_: InstrumentId = ALPHA,
    *,
    multiplier: str = "1",
    tick: str = "0.01",
    lot: str = "1",
    maker_bps: str = "0",
    taker_bps: str = "0",
    asset_class: AssetClass = AssetClass.EQUITY,
    calendar: str = "24x7",
) -> Instrument:
    return Instrument(
        id=id_,
        asset_class=asset_class,
        currency="USD",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        multiplier=Decimal(multiplier),
        maker_fee_bps=Decimal(maker_bps),
        taker_fee_bps=Decimal(taker_bps),
        calendar=calendar,
        offers=tuple(DataKind),
    )


def quote(
    bid: str = "99.99",
    ask: str = "100.01",
    *,
    at_ns: int = 0,
    instrument: InstrumentId = ALPHA,
    bid_size: str = "1000",
    ask_size: str = "1000",
) -> QuoteReceived:
    return QuoteReceived(
        at_ns=at_ns,
        instrument=instrument,
        bid=Decimal(bid),
        bid_size=Decimal(bid_size),
        ask=Decimal(ask),
        ask_size=Decimal(ask_size),
    )


def signal(
    signal_id: str = "sig1",
    *,
    side: Side = Side.BUY,
    quantity: str = "10",
    at_ns: int = 0,
    instrument: InstrumentId = ALPHA,
    session: SessionId = SESSION,
    account: AccountId = ACCOUNT,
    order_type: OrderType = OrderType.MARKET,
    limit: str | None = None,
    stop: str | None = None,
    expires_in_ns: int = 2 * S_NS,
    is_reduce_only: bool = False,
    time_in_force: TimeInForce = TimeInForce.GTC,
) -> SignalRaised:
    return SignalRaised(
        at_ns=at_ns,
        signal_id=SignalId(signal_id),
        account=account,
        session=session,
        instrument=instrument,
        side=side,
        quantity=Decimal(quantity),
        order_type=order_type,
        time_in_force=time_in_force,
        limit_price=None if limit is None else Decimal(limit),
        stop_price=None if stop is None else Decimal(stop),
        is_reduce_only=is_reduce_only,
        expires_at_ns=at_ns + expires_in_ns,
    )


def order(
    order_id: str = "o1",
    *,
    side: Side = Side.BUY,
    quantity: str = "10",
    instrument: InstrumentId = ALPHA,
    order_type: OrderType = OrderType.MARKET,
    limit: str | None = None,
    stop: str | None = None,
    expires_at_ns: int = 10 * S_NS,
    time_in_force: TimeInForce = TimeInForce.GTC,
    is_post_only: bool = False,
    is_reduce_only: bool = False,
    replaces: str | None = None,
) -> Order:
    return Order(
        order_id=OrderId(order_id),
        account=ACCOUNT,
        session=SESSION,
        signal_id=SignalId(f"sig-{order_id}"),
        instrument=instrument,
        side=side,
        quantity=Decimal(quantity),
        order_type=order_type,
        time_in_force=time_in_force,
        limit_price=None if limit is None else Decimal(limit),
        stop_price=None if stop is None else Decimal(stop),
        is_post_only=is_post_only,
        is_reduce_only=is_reduce_only,
        expires_at_ns=expires_at_ns,
        replaces=None if replaces is None else OrderId(replaces),
    )
