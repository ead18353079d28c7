"""What the session manager listens to beside the market."""

from schemas.base import Event
from schemas.confirmations import ConfirmAsked
from schemas.control import EpochEnded, EpochStarted, HaltRequested, PrepareAsked, SessionAsked
from schemas.executions import BookReported, ExecutionEvent
from schemas.health import GapSeen, LinkChanged
from schemas.limits import AccountHealthReported
from schemas.orders import SignalDecided
from schemas.prerequisites import PrerequisitesRead
from schemas.restrictions import RestrictionRequested
from schemas.settlement import PositionSettled

MISSED = ("exec.", "book.")
"""Where a hole in a publisher's sequence means that executions were missed, or may have been: what
the executor said between two books is lost with the first of them."""

CONTROL: frozenset[type[Event]] = frozenset(
    {
        PrepareAsked,
        PrerequisitesRead,
        EpochStarted,
        EpochEnded,
        HaltRequested,
        RestrictionRequested,
        SessionAsked,
        ConfirmAsked,
        BookReported,
        GapSeen,
        LinkChanged,
        SignalDecided,
        PositionSettled,
        AccountHealthReported,
        *ExecutionEvent.__subclasses__(),
    }
)
