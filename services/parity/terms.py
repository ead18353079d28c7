"""Whether a session is decided again with what it ran with: its code, its configuration. Pure."""

import msgspec

from schemas.errors import FieldError
from services.parity.tape import Tape

UNKNOWN = "not in the record"
UNREADABLE = "cannot be read"


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What it is decided again with."""

    strategy_version: str
    """Of the code as it is now; empty where it cannot be read."""

    config_hash: str
    """Of the strategy service's configuration."""

    limits_hash: str
    """Of the gate's."""


def changed(tape: Tape, now: Terms) -> list[FieldError]:
    """Return each thing that is not what the session was made with, or not known to be."""
    created = tape.created
    pairs = (
        ("strategy_version", now.strategy_version or UNREADABLE, created.strategy_version),
        ("config_hash", now.config_hash, created.config_hash),
        ("limits_hash", now.limits_hash, tape.limits_hash),
    )
    return [
        FieldError(path=name, found=found, wanted=wanted or UNKNOWN)
        for name, found, wanted in pairs
        if found != wanted
    ]
