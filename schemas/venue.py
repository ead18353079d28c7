"""What the executor and a venue say to each other. Never on the bus.

A live venue's adapter translates its own protocol into these; the paper venue speaks them as
JSON lines over a local socket. In `fused` and `sim` they pass between cores.
"""

from decimal import Decimal

import msgspec

from schemas.base import Event, ExecutionId, InstrumentId, OrderId
from schemas.executions import Liquidity, OrderStatus
from schemas.orders import Order, Side
from schemas.settlement import SettlementKind


class VenueMessage(Event, frozen=True, kw_only=True):
    """Root of all that passes between executor and venue."""


class OrderPlaced(VenueMessage, frozen=True, kw_only=True):
    """To the venue: a new order; `order.replaces` asks for cancel-and-replace in one step."""

    order: Order


class CancelPlaced(VenueMessage, frozen=True, kw_only=True):
    """To the venue: cancel one order by our id."""

    order_id: OrderId


class CancelAllPlaced(VenueMessage, frozen=True, kw_only=True):
    """To the venue: cancel everything that rests for this account."""


class OrderQueried(VenueMessage, frozen=True, kw_only=True):
    """To the venue: what became of this id."""

    order_id: OrderId


class BookQueried(VenueMessage, frozen=True, kw_only=True):
    """To the venue: all open orders, positions, cash and executions since `since_ns`."""

    request_id: str
    since_ns: int = 0


class VenueAccepted(VenueMessage, frozen=True, kw_only=True):
    """From the venue: it rests, or is about to trade."""

    order_id: OrderId
    venue_order_id: str


class VenueRejected(VenueMessage, frozen=True, kw_only=True):
    """From the venue: no."""

    order_id: OrderId
    reason: str


class VenueFilled(VenueMessage, frozen=True, kw_only=True):
    """From the venue: one execution."""

    order_id: OrderId
    execution_id: ExecutionId
    instrument: InstrumentId
    side: Side
    price: Decimal
    quantity: Decimal
    leaves: Decimal
    fee: Decimal
    liquidity: Liquidity
    venue_ns: int = 0
    position: Decimal | None = None
    """Signed, what is held after it, where the venue says so: ours is compared with it at once."""

    @property
    def signed_quantity(self) -> Decimal:
        """Return what it adds to the position; negative: sold."""
        return self.side.signed(self.quantity)


class VenueSettled(VenueMessage, frozen=True, kw_only=True):
    """From the venue: a holding was settled, without a trade; see `PositionSettled`."""

    settlement_id: str
    instrument: InstrumentId
    kind: SettlementKind
    closes_at: Decimal | None = None
    payment: Decimal = Decimal(0)
    """What one unit held long received, its multiplier counted in; negative: paid."""

    reason: str = ""


class VenueHealth(VenueMessage, frozen=True, kw_only=True):
    """From the venue: how safe the account is there."""

    venue: str
    health_factor: Decimal | None = None
    """Collateral x liquidation threshold / debt; `Infinity` without debt. None: not a lender."""

    margin_ratio: Decimal | None = None
    """Equity / gross exposure of margined positions; None where it tells none."""


class VenueCanceled(VenueMessage, frozen=True, kw_only=True):
    """From the venue: it no longer rests."""

    order_id: OrderId
    leaves: Decimal
    reason: str = ""


class VenueExpired(VenueMessage, frozen=True, kw_only=True):
    """From the venue: its deadline passed."""

    order_id: OrderId
    leaves: Decimal


class VenueTriggered(VenueMessage, frozen=True, kw_only=True):
    """From the venue: a stop became an order."""

    order_id: OrderId


class VenueReplaced(VenueMessage, frozen=True, kw_only=True):
    """From the venue: `order_id` stands no more, `by` stands in its place."""

    order_id: OrderId
    by: OrderId
    leaves: Decimal | None = None
    """What of `order_id` had not traded by then; None where the venue does not say."""


class VenueCancelRejected(VenueMessage, frozen=True, kw_only=True):
    """From the venue: that order cannot be cancelled."""

    order_id: OrderId
    reason: str


class VenueOrderStatus(VenueMessage, frozen=True, kw_only=True):
    """From the venue, to a query. `status` is None when it has never seen the id."""

    order_id: OrderId
    status: OrderStatus | None
    filled: Decimal = Decimal(0)
    detail: str = ""


class VenueOpenOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order that rests at the venue."""

    order_id: OrderId
    venue_order_id: str
    instrument: InstrumentId
    side: Side
    leaves: Decimal


class VenueBook(VenueMessage, frozen=True, kw_only=True):
    """From the venue, to a query: everything it holds for this account, at one instant."""

    request_id: str
    cash: Decimal
    fees: Decimal
    positions: dict[InstrumentId, Decimal]
    """Signed quantity by instrument; zero positions left out."""

    open_orders: tuple[VenueOpenOrder, ...] = ()
    executions: tuple[VenueFilled, ...] = ()
    settlements: tuple[VenueSettled, ...] = ()
    """Since `since_ns`, as the executions."""


class VenueLinkChanged(VenueMessage, frozen=True, kw_only=True):
    """From the adapter: the connection to the venue came up or was lost."""

    is_up: bool
    detail: str = ""
