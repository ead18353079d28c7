"""Builders and drivers for tests of the executor and of the paper exchange."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from schemas.base import BootId, Event, ExecutionId, InstrumentId, OrderId
from schemas.control import EpochStarted, LeaseAnswered, Member
from schemas.executions import Liquidity
from schemas.instruments import Instrument
from schemas.market import BookChanged, TradeReceived
from schemas.orders import Order, OrderApproved, Side
from schemas.venue import BookQueried, CancelPlaced, OrderPlaced, VenueBook, VenueFilled
from services.control import LEASE_UNLIMITED_NS, ControlGuard
from services.core import Core, tell
from services.executor.config import ExecutorConfig, VenueConfig
from services.executor.core import ExecutorCore
from services.executor.venues.matching import VenueCore
from tests.builders import ACCOUNT, ALPHA, BETA, dec, instrument

BOOT = BootId("boot")
CASH = dec(100_000)
EPOCH = 7
TOKEN = 3


def instruments(maker_bps: str = "1", taker_bps: str = "5") -> dict[InstrumentId, Instrument]:
    return {id_: instrument(id_, maker_bps=maker_bps, taker_bps=taker_bps) for id_ in (ALPHA, BETA)}


def venue(config: VenueConfig | None = None) -> VenueCore:
    return VenueCore(config or VenueConfig(), instruments(), CASH)


def say(core: Core, event: Event, now_ns: int | None = None) -> list[Event]:
    """Return what the core says to an event, at the event's own time unless told otherwise."""
    return list(tell(core, event, event.at_ns if now_ns is None else now_ns))


def placed(order: Order, at_ns: int = 1) -> OrderPlaced:
    return OrderPlaced(at_ns=at_ns, order=order)


def cancel(order_id: str = "o1", at_ns: int = 1) -> CancelPlaced:
    return CancelPlaced(at_ns=at_ns, order_id=OrderId(order_id))


def trade(
    price: str,
    quantity: str,
    aggressor: Side | None = None,
    *,
    at_ns: int = 1,
    instrument: InstrumentId = ALPHA,
) -> TradeReceived:
    return TradeReceived(
        at_ns=at_ns,
        instrument=instrument,
        price=dec(price),
        quantity=dec(quantity),
        aggressor=aggressor,
    )


def book(
    bids: Sequence[tuple[str, str]] = (),
    asks: Sequence[tuple[str, str]] = (),
    *,
    last_id: int = 0,
    first_id: int = 0,
    previous_id: int = -1,
    is_snapshot: bool = False,
) -> BookChanged:
    return BookChanged(
        at_ns=1,
        instrument=ALPHA,
        bids=tuple((dec(price), dec(size)) for price, size in bids),
        asks=tuple((dec(price), dec(size)) for price, size in asks),
        first_id=first_id,
        last_id=last_id,
        previous_id=previous_id,
        is_snapshot=is_snapshot,
    )


def filled(
    order_id: str = "o1",
    number: int = 1,
    *,
    side: Side = Side.BUY,
    price: str = "100.01",
    quantity: str = "10",
    leaves: str = "0",
    fee: str = "0.500050",
    liquidity: Liquidity = Liquidity.TAKER,
    at_ns: int = 1,
    position: str | None = None,
) -> VenueFilled:
    return VenueFilled(
        at_ns=at_ns,
        order_id=OrderId(order_id),
        execution_id=ExecutionId(f"{order_id}-{number}"),
        instrument=ALPHA,
        side=side,
        price=dec(price),
        quantity=dec(quantity),
        leaves=dec(leaves),
        fee=dec(fee),
        liquidity=liquidity,
        venue_ns=at_ns,
        position=None if position is None else dec(position),
    )


def fills_in(said: Sequence[Event]) -> list[tuple[str, str, Decimal, Decimal, Liquidity]]:
    """Return the executions among what was said: id, side, price, quantity, liquidity."""
    return [
        (event.execution_id, event.side, event.price, event.quantity, event.liquidity)
        for event in said
        if isinstance(event, VenueFilled)
    ]


def venue_book(core: VenueCore, since_ns: int = 0, now_ns: int = 1) -> VenueBook:
    [answer] = say(core, BookQueried(at_ns=now_ns, request_id="test", since_ns=since_ns))
    assert isinstance(answer, VenueBook)
    return answer


def guard(*, is_running: bool = True) -> ControlGuard:
    """A guard of the executor, in epoch 7 with a lease for ever, unless it is not running."""
    made = ControlGuard("executor", BOOT, "hash", lease_ns=LEASE_UNLIMITED_NS)
    if is_running:
        start(made, EPOCH)
    return made


def start(made: ControlGuard, epoch: int) -> None:
    """Let a guard serve a new epoch."""
    members = {"executor": Member(boot_id=BOOT, halts=made.halts)}
    epoch_started = EpochStarted(
        at_ns=0, epoch=epoch, start_id="s", operator="kim", members=members, gate_token=TOKEN
    )
    made.handle(epoch_started, 0)
    yes = LeaseAnswered(
        at_ns=0, component="executor", boot_id=BOOT, epoch=epoch, asked_ns=0, is_granted=True
    )
    made.handle(yes, 0)


def executor(
    config: ExecutorConfig | None = None,
    made: ControlGuard | None = None,
    *,
    is_linked: bool = True,
    kind: type[ExecutorCore] = ExecutorCore,
    retells: bool = False,
) -> ExecutorCore:
    """Return one that tells nothing again: that is a deadline beside all others."""
    chosen = config or ExecutorConfig(report_every_ms=0, reconcile_every_s=0)
    if not retells:
        chosen = msgspec.structs.replace(chosen, retell_after_s=0)
    return kind(chosen, ACCOUNT, instruments(), CASH, made or guard(), is_linked)


def approved(
    order: Order, *, epoch: int = EPOCH, gate_token: int = TOKEN, at_ns: int = 1
) -> OrderApproved:
    return OrderApproved(at_ns=at_ns, order=order, epoch=epoch, gate_token=gate_token)
