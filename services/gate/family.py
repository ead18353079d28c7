"""What a family of checks remembers: the part of the gate's state that only its checks read."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from schemas.base import AccountId, Event, InstrumentId
from services.core import NOTHING
from services.gate.account import Account
from services.gate.config import GateConfig
from services.gate.exposure import Market


class Family(Protocol):
    """One family's memory. The gate tells it what it hears; its checks read it by `case.state`.

    What a check needs is computed here, when something it depends on changes, and not while a
    signal waits. Market data is not heard: `markets` holds the newest of each instrument, and a
    family that follows prices looks at it on a timer of its own.
    """

    hears: frozenset[type[Event]]
    """The events it wants to be told, what the gate itself says included."""

    keeps: frozenset[type[Event]]
    """The events whose fold it is; they are journalled and told again, in order, by a restart."""

    wake_at_ns: int | None
    """When to call `wake`, in ns since the epoch; None while nothing is due."""

    def apply(self, event: Event, now_ns: int) -> None:
        """Fold one event in; by a restart `now_ns` is the event's own time."""

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Act on a deadline that has come, and move it; return what is to be said."""


class Silent:
    """A family that remembers nothing."""

    hears: frozenset[type[Event]] = frozenset()
    keeps: frozenset[type[Event]] = frozenset()
    wake_at_ns: int | None = None

    def __init__(
        self,
        config: GateConfig,
        markets: Mapping[InstrumentId, Market],
        accounts: Mapping[AccountId, Account],
    ) -> None:
        """Take what every family is made from."""

    def apply(self, event: Event, now_ns: int) -> None:
        """Nothing is heard."""
        raise AssertionError("a silent family hears nothing")

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Nothing is due."""
        return NOTHING
