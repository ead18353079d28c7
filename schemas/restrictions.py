"""Restrictions: what may not be done for now, and where. Halts of less than all, and REDUCE.

A restriction only ever adds to what is forbidden. Inside one epoch they only grow; one that a
person has reset is gone with the next start.
"""

import enum
import re

import msgspec

from schemas.base import AccountId, BootId, Event, InstrumentId, OrderId, SessionId
from schemas.executions import PositionView
from schemas.instruments import TOKEN, symbol_of, venue_of

ALL = "all"
"""The scope that everything is in."""

_NAME = TOKEN.pattern
_KNOWN = re.compile(rf"(?:account|session|venue)\.{_NAME}|symbol\.{_NAME}\.{_NAME}")


def known_scope(scope: str) -> str:
    """Return the scope if it is one that we know; else `all`, for nobody knows what it leaves."""
    return scope if _KNOWN.fullmatch(scope) else ALL


def scopes_over(
    account: AccountId, session: SessionId, instrument: InstrumentId
) -> tuple[str, ...]:
    """Return every scope that an order of these is in, the widest first."""
    venue, symbol = venue_of(instrument), symbol_of(instrument)
    return (
        ALL,
        f"account.{account}",
        f"venue.{venue}",
        f"session.{session}",
        f"symbol.{venue}.{symbol}",
    )


class Level(enum.StrEnum):
    """How much a restriction forbids. Cancels pass at every level (I9)."""

    REDUCE = "reduce"
    """Only orders that cannot increase absolute exposure, by quantity, open orders counted."""

    HALT = "halt"
    """No new order."""


class Restriction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One restriction in force."""

    scope: str
    """`all`, or `account.<id>`, `session.<id>`, `venue.<name>`, `symbol.<venue>.<symbol>`."""

    level: Level
    number: int = 0
    """Counted together with the halts; what a reset must name. 0 until the arbiter numbered it."""

    reason: str = ""
    operator: str = ""
    at_ns: int = 0
    is_ending: bool = False
    """A person has reset it: the next start ends it, and no reset is asked for any more."""


class RestrictionRequested(Event, frozen=True, kw_only=True):
    """Somebody halted a part, or wants exposure only reduced.

    Whatever stands on `control.halt.<scope>`, `control.reduce` or `control.reduce.<scope>` becomes
    one of these; the subject alone says scope and level, the bytes are for the record.
    """

    level: Level
    scope: str = ALL
    reason: str = ""
    operator: str = ""
    payload_bytes: int = 0


class RestrictionAcknowledged(Event, frozen=True, kw_only=True):
    """A component has the restriction in force: nothing it forbids is sent from now on."""

    component: str
    boot_id: BootId
    scope: str
    level: Level


class RestrictionCleared(Event, frozen=True, kw_only=True):
    """Nothing rests at the venue any more that the restriction forbids."""

    component: str
    scope: str
    level: Level
    cancelled_count: int
    resting_count: int
    """Orders in its scope that still rest: with REDUCE those that only reduce."""

    detail: str = ""


class RestrictionsChanged(Event, frozen=True, kw_only=True):
    """What the arbiter knows to be restricted, after a new one or a reset; `breaker.restrictions`.

    A reset one is in no epoch from now on; those who are in an epoch keep it until its end.
    """

    restrictions: tuple[Restriction, ...]
    reason: str
    operator: str = ""


class FlattenRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`control.flatten`: close every position in the scope, then verify at the venue."""

    operator: str
    reason: str
    scope: str = ALL


class FlattenAsked(Event, frozen=True, kw_only=True):
    """A decoded `control.flatten`, on its way to the core that closes."""

    request_id: str
    request: FlattenRequest


class FlattenReported(Event, frozen=True, kw_only=True):
    """How far a flatten is. `is_flat` only after a fresh query of the venue showed nothing."""

    request_id: str
    scope: str
    is_flat: bool
    is_ended: bool
    """Whether nothing more is tried: flat, or given up with the list of what is left."""

    positions: tuple[PositionView, ...] = ()
    """What is still held in the scope."""

    resting: tuple[OrderId, ...] = ()
    """What still rests at the venue in the scope."""

    detail: str = ""


class LockRequested(Event, frozen=True, kw_only=True):
    """A component found what only a person can judge. It says a halt first, and then this."""

    component: str
    code: str
    """From the error registry."""

    reason: str
    fields: dict[str, str] = {}


class UnlockRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`control.unlock`: a person has looked into a lock and takes it away. It starts nothing."""

    operator: str
    reason: str
    lock: int
    """Number of the newest lock, as `sluice status` shows it."""


class UnlockAsked(Event, frozen=True, kw_only=True):
    """A decoded `control.unlock`, on its way to the arbiter's core."""

    request_id: str
    request: UnlockRequest


class Lock(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One lock that nobody has taken away yet."""

    number: int
    component: str
    code: str
    reason: str
    at_ns: int = 0


class LocksChanged(Event, frozen=True, kw_only=True):
    """The arbiter's locks after a new one, or after an unlock; on `breaker.locks`."""

    locks: tuple[Lock, ...]
    reason: str
    operator: str = ""
    control_seq: int = -1
    """Of an unlock: the record that the control stream ended at, which is accepted with it."""
