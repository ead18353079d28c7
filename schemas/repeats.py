"""What an executor said already, told again for those who keep the record."""

from schemas.base import AccountId, Event
from schemas.executions import (
    CancelRejected,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderTriggered,
)
from schemas.reconciliation import BookAdjusted
from schemas.settlement import PositionSettled

Fact = (
    CancelRejected
    | OrderAccepted
    | OrderCanceled
    | OrderExpired
    | OrderFilled
    | OrderMarkedUnknown
    | OrderRefused
    | OrderRejected
    | OrderReplaced
    | OrderSubmitted
    | OrderTriggered
    | BookAdjusted
    | PositionSettled
)


class FactRepeated(Event, frozen=True, kw_only=True):
    """The executor said `fact` when the bus was away, or so shortly before that it may be lost.

    It is for the record alone: whoever trades by such facts asks for the whole book after a loss.
    Most are repeats of what the record has; which, its readers tell by what is in the fact.
    """

    account: AccountId
    fact: Fact


class FactsTold(Event, frozen=True, kw_only=True):
    """All that the executor said up to then reached the bus; in its own journal only."""

    until_ns: int
    """In ns since the epoch, by the clock of who said it."""


def fact_in(event: Event) -> Event:
    """Return the fact that is told again, or the event itself."""
    return event.fact if isinstance(event, FactRepeated) else event
