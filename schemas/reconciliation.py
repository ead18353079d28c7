"""Our book against the venue's: what differs, and what a person decides about it."""

import enum
from decimal import Decimal

import msgspec

from schemas.base import AccountId, Event, InstrumentId, OrderId
from schemas.orders import Order


class DifferenceKind(enum.StrEnum):
    """What two books can differ in."""

    POSITION = "position"
    CASH = "cash"
    FEES = "fees"
    ORDER = "order"
    EXECUTION = "execution"
    DUPLICATE = "duplicate"
    """The venue has one of our ids twice, or gave two orders one id."""


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that the books do not agree on, both sides side by side."""

    id: str
    """Follows from what differs and from both sides: another difference has another id."""

    kind: DifferenceKind
    what: str
    """The instrument, order id or execution id; `cash`, `fees`."""

    ours: str
    theirs: str
    """The venue's."""

    is_over_tolerance: bool = True
    ignored_by: str = ""
    """Who decided to live with it; empty while nobody did."""

    ignored_because: str = ""

    @property
    def name(self) -> str:
        """What differs, in words: `position sim:ALPHA`, `cash`."""
        return self.what if self.what == self.kind else f"{self.kind} {self.what}"

    @property
    def both(self) -> str:
        """Both sides, in words."""
        return f"ours {self.ours}, venue's {self.theirs}"

    @property
    def is_in_the_way(self) -> bool:
        """Whether nothing may be sent because of it."""
        return self.is_over_tolerance and not self.ignored_by


class ReconcileAction(enum.StrEnum):
    """What a person can do about a difference."""

    ADOPT = "adopt"
    """The venue is right: its side becomes ours, as an adjustment that is kept and recorded."""

    FLATTEN = "flatten"
    """Adopt, and then close the position; an order is cancelled at the venue."""

    IGNORE = "ignore"
    """Live with it, until it changes."""


class ReconcileRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`control.reconcile`: decide about one difference between our book and the venue's."""

    operator: str
    reason: str
    difference: str
    """Its id, as `sluice reconcile` shows it: proof that this very difference was seen."""

    action: ReconcileAction


class ReconcileAsked(Event, frozen=True, kw_only=True):
    """A decoded `control.reconcile`, on its way to the executor's core."""

    request_id: str
    request: ReconcileRequest


class ReconciliationReported(Event, frozen=True, kw_only=True):
    """What the books differ in, told whenever that changes. In the executor's journal too."""

    account: AccountId
    is_agreed: bool
    """Whether nothing stands in the way of sending: no difference that is over tolerance and that
    nobody decided to ignore."""

    differences: tuple[Difference, ...] = ()


class BookAdjusted(Event, frozen=True, kw_only=True):
    """A person let the venue's side of a difference become ours.

    Positions and cash stay a fold of kept events (I11): of executions, and of these.
    """

    account: AccountId
    difference: Difference
    operator: str
    reason: str
    instrument: InstrumentId | None = None
    quantity: Decimal = Decimal(0)
    """Signed; what the position changes by."""

    cash: Decimal = Decimal(0)
    """What cash changes by."""

    fees: Decimal = Decimal(0)
    """What fees paid change by."""

    order: Order | None = None
    """An order of the venue's that nobody here knew; from here on it is in the book."""

    order_id: OrderId | None = None
    """A known order of which the venue shows another quantity left: `filled` is what is done."""

    filled: Decimal = Decimal(0)


class FenceRaised(Event, frozen=True, kw_only=True):
    """The executor has seen a gate with this token: a lower one is refused from now on (I5).

    A restore from a backup puts one above all that may have been seen since into the journals of
    executor and breaker service: epochs only grow, across restores too (I12).
    """

    gate_token: int
    epoch: int
