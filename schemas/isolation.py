"""What the session manager and its own shell tell each other of sessions in processes of their own.

All internal: none of it is ever on the bus.
"""

from typing import Any

from schemas.base import Event, SessionId
from schemas.control import StartRequest
from schemas.errors import FieldError
from schemas.health import AlertRaised
from schemas.orders import CancelRequested, SignalRaised
from schemas.records import SessionChangeRecord, SessionRecord
from schemas.sessions import StateRemembered


class ProbeAsked(Event, frozen=True, kw_only=True):
    """A strategy of a person's own is to be loaded, and a start of it checked, in a process."""

    start_id: str
    request: StartRequest


class Probed(Event, frozen=True, kw_only=True):
    """What such a process found, or why it found nothing."""

    start_id: str
    strategy: str
    wanted: tuple[str, ...] = ()
    """Names of the market events that the strategy has a hook for."""

    parameters: dict[str, Any] | None = None
    """Checked, with what the configuration and the start say; None: they are not valid."""

    version: str = ""
    errors: tuple[FieldError, ...] = ()


class SessionHosted(Event, frozen=True, kw_only=True):
    """A session is to run in a process of its own, from now on."""

    session: SessionId
    strategy: str
    history: tuple[str, ...]
    """What was kept of the session so far, as JSON, oldest first: its state is the fold of it."""

    is_again: bool = False
    """Whether it ran before: the service restarted."""


class SessionTold(Event, frozen=True, kw_only=True):
    """A session's process is to be told something."""

    session: SessionId
    hook: str
    is_trading: bool
    event_json: str = ""
    """Empty: only that time has passed."""

    conflated: str = ""
    """While the process is behind, only the newest of these waits for it; empty: each one does."""


class SessionSpoke(Event, frozen=True, kw_only=True):
    """A session's process answered what it was told."""

    session: SessionId
    said: tuple[SignalRaised | CancelRequested, ...] = ()
    wake_at_ns: int | None = None
    remembered: tuple[StateRemembered, ...] = ()
    """What its strategy wants to be kept."""

    lacks: str = ""
    """What its strategy cannot go on without, after a restart; empty: nothing."""


class SessionLost(Event, frozen=True, kw_only=True):
    """A session's process raised, ended, was too slow or too large; it is gone."""

    session: SessionId
    reason: str
    where: str = ""
    code: str = "LT-004"


class SessionReleased(Event, frozen=True, kw_only=True):
    """A session is over: its process may say its last word, and is ended then."""

    session: SessionId


class MemoryMeasured(Event, frozen=True, kw_only=True):
    """How much memory a process holds now."""

    session: SessionId | None
    """Whose own process; None: the strategy service's."""

    rss_bytes: int


class SessionsNoted(Event, frozen=True, kw_only=True):
    """What the repository is to hold of sessions; the journal has it already."""

    sessions: tuple[SessionRecord, ...] = ()
    changes: tuple[SessionChangeRecord, ...] = ()


class PartFailed(Event, frozen=True, kw_only=True):
    """A part of the service's shell failed; the core says so for it."""

    alert: AlertRaised
