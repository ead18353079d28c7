"""Breakers under test: configurations with one breaker alone, and the events it hears."""

from decimal import Decimal

from schemas.base import ExecutionId, InstrumentId, OrderId
from schemas.breakers import LevelSetting
from schemas.control import Response
from schemas.executions import (
    Liquidity,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRejected,
    OrderStatus,
    OrderSubmitted,
)
from schemas.health import AlertRaised, DeadLettered, Severity
from schemas.orders import Side
from services.breaker.config import BreakerConfig
from services.breaker.table import ABOUT
from tests.builders import ALPHA, dec, order


def levels(*steps: tuple[str, str]) -> tuple[LevelSetting, ...]:
    """Return levels: `("0.10", "halt")` and so on."""
    return tuple(LevelSetting(at=Decimal(at), response=Response(what)) for at, what in steps)


def only(breaker: str, *steps: tuple[str, str], **fields: object) -> BreakerConfig:
    """Return a configuration in which this breaker alone has levels."""
    chosen = dict.fromkeys(ABOUT, ()) | {breaker: levels(*steps)}
    return BreakerConfig(levels=chosen, **fields)  # type: ignore[arg-type]


def fill(
    execution_id: str,
    *,
    side: Side = Side.BUY,
    quantity: str = "10",
    price: str = "100",
    fee: str = "0",
    instrument: InstrumentId = ALPHA,
) -> OrderFilled:
    made = order()
    return OrderFilled(
        at_ns=0,
        account=made.account,
        session=made.session,
        instrument=instrument,
        order_id=made.order_id,
        execution_id=ExecutionId(execution_id),
        side=side,
        price=dec(price),
        quantity=dec(quantity),
        leaves=dec(0),
        fee=dec(fee),
        liquidity=Liquidity.TAKER,
        status=OrderStatus.FILLED,
    )


def submitted(order_id: str, instrument: InstrumentId = ALPHA) -> OrderSubmitted:
    made = order(order_id=order_id, instrument=instrument)
    return OrderSubmitted(
        at_ns=0,
        account=made.account,
        session=made.session,
        instrument=instrument,
        order_id=made.order_id,
        order=made,
        epoch=1,
    )


def rejected(order_id: str, reason: str = "no margin") -> OrderRejected:
    made = order()
    return OrderRejected(
        at_ns=0,
        account=made.account,
        session=made.session,
        instrument=ALPHA,
        order_id=OrderId(order_id),
        reason=reason,
    )


def unanswered(order_id: str) -> OrderMarkedUnknown:
    made = order()
    return OrderMarkedUnknown(
        at_ns=0,
        account=made.account,
        session=made.session,
        instrument=ALPHA,
        order_id=OrderId(order_id),
        reason="no answer in 1000 ms",
    )


def alert(code: str, component: str = "feed", *, seq: int = 0, at_ns: int = 0) -> AlertRaised:
    return AlertRaised(
        at_ns=at_ns,
        src=f"{component}-1" if seq else "",
        seq=seq,
        severity=Severity.WARNING,
        component=component,
        code=code,
        message=f"{code} happened",
    )


def unreadable(
    component: str, *, at_ns: int, subject: str = "market.sim.ALPHA.quote"
) -> DeadLettered:
    return DeadLettered(
        at_ns=at_ns,
        subject=subject,
        reason="not JSON",
        component=component,
        payload_base64="/w==",
        payload_bytes=1,
    )
