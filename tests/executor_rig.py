"""Orders of an executor brought to where a test begins, and the facts it should say."""

from collections.abc import Sequence
from typing import Any

from schemas.base import Event, OrderId
from schemas.control import HaltRequested, PrepareAsked, Prepared, StartRequest
from schemas.errors import FieldError
from schemas.executions import (
    OrderMarkedUnknown,
    OrderRefused,
    OrderStatus,
    OutcomeRecorded,
)
from schemas.orders import CancelApproved, Order, OrderType, Side
from schemas.venue import (
    VenueAccepted,
)
from services.executor.config import ExecutorConfig
from services.executor.core import ExecutorCore
from tests.builders import ACCOUNT, ALPHA, SESSION, order, quote
from tests.executor_builders import (
    BOOT,
    EPOCH,
    approved,
    executor,
    say,
)
from tests.executor_pair import Pair, linked

O1 = OrderId("o1")


NAMES: dict[str, Any] = {
    "account": ACCOUNT,
    "session": SESSION,
    "instrument": ALPHA,
    "order_id": O1,
}


def outcome(
    order_id: OrderId = O1, *, is_sent: bool = True, detail: str = "", at_ns: int = 1
) -> OutcomeRecorded:
    return OutcomeRecorded(at_ns=at_ns, order_id=order_id, is_sent=is_sent, detail=detail)


def accepted(order_id: OrderId = O1, at_ns: int = 1) -> VenueAccepted:
    return VenueAccepted(at_ns=at_ns, order_id=order_id, venue_order_id="V1")


def submitted(core: ExecutorCore | None = None, one: Order | None = None) -> ExecutorCore:
    core, one = core or executor(), one or order()
    say(core, approved(one))
    say(core, outcome(one.order_id))
    return core


def resting(core: ExecutorCore | None = None, one: Order | None = None) -> ExecutorCore:
    one = one or order(order_type=OrderType.LIMIT, limit="99.00")
    core = submitted(core, one)
    say(core, accepted(one.order_id))
    return core


def cancel_wish(order_id: OrderId = O1) -> CancelApproved:
    return CancelApproved(at_ns=1, account=ACCOUNT, instrument=ALPHA, order_id=order_id)


def status(core: ExecutorCore, order_id: OrderId = O1) -> OrderStatus:
    return core.orders.records[order_id].status


def refused(rule: str, detail: str = "", order_id: OrderId = O1, at_ns: int = 1) -> OrderRefused:
    return OrderRefused(
        at_ns=at_ns,
        account=ACCOUNT,
        session=SESSION,
        instrument=ALPHA,
        order_id=order_id,
        rule=rule,
        detail=detail,
    )


def unknown(reason: str, at_ns: int) -> OrderMarkedUnknown:
    return OrderMarkedUnknown(
        at_ns=at_ns,
        account=ACCOUNT,
        session=SESSION,
        instrument=ALPHA,
        order_id=O1,
        reason=reason,
    )


LIMIT = OrderType.LIMIT


def only(said: Sequence[Event], kind: type[Event]) -> list[Event]:
    return [each for each in said if isinstance(each, kind)]


def bid(order_id: str = "bid", quantity: str = "10") -> Order:
    """A buy that rests far from the market."""
    return order(order_id, quantity=quantity, order_type=LIMIT, limit="90.00")


def offer(order_id: str = "offer", quantity: str = "10", *, is_reduce_only: bool = False) -> Order:
    """A sell that rests far from the market."""
    return order(
        order_id,
        side=Side.SELL,
        quantity=quantity,
        order_type=LIMIT,
        limit="110.00",
        is_reduce_only=is_reduce_only,
    )


def trading(*orders: Order, config: ExecutorConfig | None = None) -> Pair:
    pair = linked(config)
    pair.market(quote())
    pair.approve(*orders)
    return pair


def prepare(start_id: str = "s1") -> PrepareAsked:
    return PrepareAsked(at_ns=1, start_id=start_id, request=StartRequest(operator="kim"))


def halt() -> HaltRequested:
    return HaltRequested(at_ns=1, reason="enough", operator="kim")


def prepared(
    errors: tuple[FieldError, ...] = (), *, halts: int = 0, at_ns: int = 1, epoch: int = EPOCH
) -> Prepared:
    return Prepared(
        at_ns=at_ns,
        start_id="s1",
        component="executor",
        boot_id=BOOT,
        limits_hash="hash",
        halts=halts,
        restriction_count=0,
        epoch_max=epoch,
        is_reconciled=not errors,
        errors=errors,
    )
