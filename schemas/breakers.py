"""What the circuit breakers remember beside the high-water mark, and what a person may change.

The facts are internal: said by the breaker core to its own journal, so that windows, the day's
base and what was acknowledged are the same after any restart.
"""

from decimal import Decimal

import msgspec

from schemas.base import AccountId, Event
from schemas.bounds import WANTED_NUMBER, out_of_bounds
from schemas.control import Response


class BreakerCounted(Event, frozen=True, kw_only=True):
    """One entry of a breaker's sliding window; it leaves it by time, and by nothing else."""

    breaker: str
    key: str
    """What makes it distinct: the same key counts once in a window."""

    source: str = ""
    """Who reported it, where each reporter is counted apart."""

    about: str = ""
    """What it was, for people."""


class EquityNoted(Event, frozen=True, kw_only=True):
    """What the account was worth, now and then: the base of a day whose open nobody saw."""

    account: AccountId
    equity: Decimal
    """In the account's currency."""


class DayOpened(Event, frozen=True, kw_only=True):
    """The equity that a trading day's loss is measured from. It stands until the next day."""

    account: AccountId
    open_ns: int
    """When the day opened by the calendar."""

    equity: Decimal
    """In the account's currency."""

    reason: str = ""
    """Where the equity is from, for people."""


class LossAcknowledged(Event, frozen=True, kw_only=True):
    """A person has reset a daily loss breaker: the base stays, the loss so far counts no more."""

    account: AccountId
    breaker: str
    loss: Decimal
    """Below the day's base, in the account's currency; what comes after it is measured anew."""


class LevelSetting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One level of a breaker: what happens when its value reaches `at`. Equal has reached it."""

    at: Decimal
    """In the breaker's own unit: `sluice explain breaker`."""

    response: Response


class BreakerRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`control.breaker`: put other levels in the place of a breaker's own, while it runs."""

    operator: str
    reason: str
    breaker: str
    levels: tuple[LevelSetting, ...]
    """All of them: what is left out is gone."""

    def __post_init__(self) -> None:
        """Raise ValueError where a level is so large that a report of it would not fit the bus."""
        for path, number in out_of_bounds("$.levels", self.levels):
            raise ValueError(f"{path}: found {number}, wanted {WANTED_NUMBER}")


class BreakerAsked(Event, frozen=True, kw_only=True):
    """A decoded `control.breaker`, on its way to the breaker core."""

    request_id: str
    request: BreakerRequest


class BreakerLevelsChanged(Event, frozen=True, kw_only=True):
    """A person changed a breaker's levels; they last until changed again, across restarts."""

    breaker: str
    levels: tuple[LevelSetting, ...]
    previous: tuple[LevelSetting, ...]
    operator: str
    reason: str
