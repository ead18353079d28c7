"""What became of an order, as told by the executor."""

import enum
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, AccountId, Event, ExecutionId, InstrumentId, OrderId, SessionId
from schemas.orders import Order, Side
from schemas.reconciliation import Difference


class OrderStatus(enum.StrEnum):
    """Where an order is in its life."""

    PENDING = "pending"
    """Approved; not yet written to the venue."""

    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    REFUSED = "refused"
    """The executor's own last check said no: the venue never saw it."""

    UNKNOWN = "unknown"
    """Written, and the venue's answer is missing: counts at worst case until it is known."""

    REPLACED = "replaced"


CLOSED = frozenset(
    {
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
        OrderStatus.EXPIRED,
        OrderStatus.REFUSED,
        OrderStatus.REPLACED,
    }
)
"""From these an order never comes back."""

TRADED_MAX = 100
"""Orders that traded and closed lately which a book shows beside the last ones."""

LATELY_NS = 300 * NS_PER_S
"""So long a book shows them. A gate that heard nothing meanwhile learns from them whose executions
it has missed: no more could be sent in that time than were open or on their way at its beginning.
"""


class Liquidity(enum.StrEnum):
    """Whether an execution rested or took."""

    MAKER = "maker"
    TAKER = "taker"


class ExecutionEvent(Event, frozen=True, kw_only=True):
    """Root of all facts about an order that the gate approved."""

    account: AccountId
    session: SessionId
    instrument: InstrumentId
    order_id: OrderId


class OrderSubmitted(ExecutionEvent, frozen=True, kw_only=True):
    """The order was written to the venue. At most once per id, ever (I2)."""

    order: Order
    epoch: int


class OrderAccepted(ExecutionEvent, frozen=True, kw_only=True):
    """The venue has it. It may rest."""

    venue_order_id: str


class OrderFilled(ExecutionEvent, frozen=True, kw_only=True):
    """One execution. `status` says whether the order is filled or partially filled."""

    execution_id: ExecutionId
    side: Side
    price: Decimal
    quantity: Decimal
    """Of this execution alone, always positive."""

    leaves: Decimal
    """What of the order is still to be filled."""

    fee: Decimal
    """In the instrument's currency; negative is a rebate."""

    liquidity: Liquidity
    status: OrderStatus
    venue_ns: int = 0

    @property
    def signed_quantity(self) -> Decimal:
        """Return what it adds to the position; negative: sold."""
        return self.side.signed(self.quantity)


class OrderCanceled(ExecutionEvent, frozen=True, kw_only=True):
    """The venue cancelled it; `leaves` will never fill."""

    leaves: Decimal
    reason: str = ""


class OrderRejected(ExecutionEvent, frozen=True, kw_only=True):
    """The venue said no."""

    reason: str


class OrderExpired(ExecutionEvent, frozen=True, kw_only=True):
    """The venue let it lapse; `leaves` will never fill."""

    leaves: Decimal


class OrderRefused(ExecutionEvent, frozen=True, kw_only=True):
    """The executor's last check said no; nothing was written to the venue."""

    rule: str
    detail: str = ""


class OrderTriggered(ExecutionEvent, frozen=True, kw_only=True):
    """A stop order's price was reached."""


class OrderReplaced(ExecutionEvent, frozen=True, kw_only=True):
    """The venue put `by` in the place of this order."""

    by: OrderId


class OrderMarkedUnknown(ExecutionEvent, frozen=True, kw_only=True):
    """Written, unanswered: counts as worst-case exposure and is queried, never sent again."""

    reason: str


class CancelRejected(ExecutionEvent, frozen=True, kw_only=True):
    """The venue could not cancel it: already closed, or unknown there."""

    reason: str


class OrderView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order as it stands now."""

    order: Order
    status: OrderStatus
    filled: Decimal = Decimal(0)
    at_ns: int = 0
    detail: str = ""


class PositionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One position as the fold of its executions."""

    instrument: InstrumentId
    quantity: Decimal
    """Signed: negative is short."""

    average_price: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)
    """Profit of what was closed, before fees, in the instrument's currency."""

    fees: Decimal = Decimal(0)
    mark: Decimal | None = None
    funding: Decimal = Decimal(0)
    """Received for holding it, less what was paid; in the instrument's currency."""


class BookReported(Event, frozen=True, kw_only=True):
    """The executor's whole book of one account: what the gate rebuilds its exposure from."""

    account: AccountId
    request_id: str = ""
    """Of the request this answers; empty when unasked."""

    is_reconciled: bool = False
    """Whether it was compared with the venue, with no difference, since the last (re)connect."""

    detail: str = ""
    cash: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    positions: tuple[PositionView, ...] = ()
    open_orders: tuple[OrderView, ...] = ()
    """Open, on their way and of unknown fate."""

    order_count: int = 0
    fill_count: int = 0
    recent_orders: tuple[OrderView, ...] = ()
    """The last ones that closed, newest last; before them those that traded in the last minutes."""

    differences: tuple[Difference, ...] = ()
    """What the venue's book differed in when the two were last compared."""


class IntentRecorded(Event, frozen=True, kw_only=True):
    """Journalled and fsynced before a write to the venue: from here on the id is used up."""

    order: Order
    epoch: int
    gate_token: int = 0
    """Of the approval: no order with a lower one is sent any more, after a restart either (I5)."""


class OutcomeRecorded(Event, frozen=True, kw_only=True):
    """Journalled after the write: what became of the attempt."""

    order_id: OrderId
    is_sent: bool
    detail: str = ""


class BookAdopted(Event, frozen=True, kw_only=True):
    """The gate put the executor's book in the place of its own exposure; in its journal only."""

    book: BookReported
