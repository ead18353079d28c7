"""Facts about sessions and strategies."""

import enum

import msgspec

from schemas.base import AccountId, Event, InstrumentId, SessionId


class SessionState(enum.StrEnum):
    """Where a session is in its life (S-03)."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"


class SessionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session as it stands now."""

    session: SessionId
    strategy: str
    account: AccountId
    instruments: tuple[InstrumentId, ...]
    state: SessionState
    signal_count: int = 0
    started_ns: int = 0
    detail: str = ""


class SessionStateChanged(Event, frozen=True, kw_only=True):
    """A session was created, started, paused, resumed, stopped, completed or failed."""

    session: SessionId
    strategy: str
    account: AccountId
    state: SessionState
    reason: str = ""
    operator: str = ""


class StrategyFailed(Event, frozen=True, kw_only=True):
    """A strategy raised; its session ended, and nothing else did."""

    session: SessionId
    strategy: str
    error: str
    where: str
    """File and line in the strategy where it happened."""
