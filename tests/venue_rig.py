"""A paper exchange with a market, and what it should say."""

from schemas.base import Event, InstrumentId, OrderId
from schemas.executions import Liquidity
from schemas.orders import OrderType
from schemas.venue import (
    VenueAccepted,
    VenueCanceled,
    VenueRejected,
)
from services.executor.config import VenueConfig
from services.executor.venues.matching import VenueCore
from tests.builders import dec, quote
from tests.executor_builders import (
    say,
    venue,
)

GAMMA = InstrumentId("sim:GAMMA")


MAKER, TAKER = Liquidity.MAKER, Liquidity.TAKER


LIMIT, STOP, STOP_LIMIT = OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT


def quoted(config: VenueConfig | None = None) -> VenueCore:
    """An exchange whose market is 1000 at 99.99 against 1000 at 100.01."""
    core = venue(config)
    say(core, quote())
    return core


def accepted(order_id: str = "o1", number: int = 1) -> VenueAccepted:
    return VenueAccepted(at_ns=1, order_id=OrderId(order_id), venue_order_id=f"V{number}")


def canceled(leaves: str, reason: str, order_id: str = "o1") -> VenueCanceled:
    return VenueCanceled(at_ns=1, order_id=OrderId(order_id), leaves=dec(leaves), reason=reason)


def reason_of(said: list[Event]) -> str:
    [rejected] = said
    assert isinstance(rejected, VenueRejected)
    return rejected.reason
