"""One row of the gate's table of checks."""

from collections.abc import Callable

import msgspec

from services.gate.case import Case, Verdict


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

    @property
    def name(self) -> str:
        """Name of the rule, as decisions show it."""
        return self.read.__name__
