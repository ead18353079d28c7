"""One row of the gate's table of checks."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from services.gate.account import Account
from services.gate.case import Case, Verdict
from services.gate.exposure import Lane
from services.gate.kinds import ANY
from services.gate.state import GateState

CLOSED = "G-09, fail-closed gate"
ACCESS = "G-07, market access controls (SEC 15c3-5, MiFID II RTS 6)"


class Check(msgspec.Struct, frozen=True):
    """One row: what is asked of a signal, and why."""

    read: Callable[[Case], Verdict]
    """The check; its name is the rule's name."""

    reads: str
    """What it looks at."""

    formula: str
    """What must hold, in the words of the configuration."""

    unit: str
    """Unit of value and limit; empty for yes and no."""

    limits: tuple[str, ...]
    """The limits it reads, as the configuration names them."""

    source: str
    """Where the rule comes from."""

    room: Callable[[Case], Decimal] | None = None
    """The largest quantity that this check lets pass, at most 0 where none does; None where a
    smaller order would not help. One made smaller is judged by the whole table again."""

    applies: Callable[[Account, Lane], bool] | None = None
    """Whether the check can ever have anything to say about an instrument of an account, by what
    never changes while the gate runs; asked once for each. None: it always can."""

    about: int = ANY
    """The kinds of order it is about, in bits of `services.gate.kinds`; any other passes with
    nothing to measure."""

    settled: Callable[[GateState, Lane], bool] | None = None
    """Whether it passes every order in an instrument of an account with nothing to measure, by what
    changes with a limit of theirs at most; asked again after that. None: it must be read."""

    @property
    def name(self) -> str:
        """Name of the rule, as decisions show it."""
        return self.read.__name__
