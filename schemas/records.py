"""What is kept of sessions beyond their life (S-03, S-13): records, not events."""

import msgspec

from schemas.sessions import SessionCreated, SessionStateChanged, SessionView


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One session, as it was made and as it stood when it last changed."""

    created: SessionCreated
    view: SessionView
    """What it held and had done when its state last changed."""

    changed_ns: int
    """When its state last changed, ns since the epoch."""

    ended_ns: int = 0
    """When it stopped, completed or failed, ns since the epoch; 0 while it has not."""


class SessionChangeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step in a session's life."""

    number: int
    """Counts the steps of the session, from 1."""

    change: SessionStateChanged
