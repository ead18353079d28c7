"""The fused runtime for recordings with nights in them.

The gate looks at its prices once a second, also while nothing happens: in a live system that costs
nothing, in a backtest of years nearly all of the time. While the market is silent those looks find
what the last one found. So in a silence the gate is let alone once every look was taken, until just
before the next event, where what became due meanwhile is done at once. All others are woken at
their own time.
"""

from collections.abc import Sequence

from schemas.base import NS_PER_S
from services.core import Core, tell
from services.gate.core import GateCore
from services.runtime.fused import NEVER_NS, Fused, Journal

LOOKS_NS = 5 * NS_PER_S
"""In so long a silence every look of the gate's has been taken at least twice."""


class PatientFused(Fused):
    """`Fused`, without the looks at a market that stands still.

    Args:
        cores: as in `Fused`.
        journal: as in `Fused`.
        settle_ns: how long into a silence the gate is still woken.
    """

    def __init__(
        self, cores: Sequence[Core], journal: Journal | None = None, settle_ns: int = LOOKS_NS
    ) -> None:
        super().__init__(cores, journal)
        self._settle_ns = settle_ns
        self._punctual = [core for core in self._cores if not isinstance(core, GateCore)]

    def _wake_until(self, now_ns: int) -> None:
        if now_ns - self.now_ns > self._settle_ns:
            super()._wake_until(self.now_ns + self._settle_ns)
            self._doze(now_ns)
        super()._wake_until(now_ns)

    def _doze(self, until_ns: int) -> None:
        """Wake all others at their deadlines before `until_ns`, and move the clock there."""
        while True:
            due_ns = min(
                (c.wake_at_ns for c in self._punctual if c.wake_at_ns is not None),
                default=NEVER_NS,
            )
            if due_ns >= until_ns:
                break
            self.now_ns = max(self.now_ns, due_ns)
            for core in self._cores:
                self._settle(tell(core, None, self.now_ns), self.now_ns)
        self.now_ns = max(self.now_ns, until_ns)
