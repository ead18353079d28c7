"""Strategies that execute over and over: stopped until somebody starts them again.

MiFID II RTS 6, article 15(3). A stop is made by executions and ended by an epoch, both of which
are kept: it survives a restart.
"""

from collections import deque

from schemas.base import NS_PER_MS
from schemas.control import EpochStarted


class Throttle:
    """What the strategies of one account have executed since their last authorised start.

    Attributes:
        stopped: why, by strategy.
    """

    def __init__(self) -> None:
        self.stopped: dict[str, str] = {}
        self._executed_ns: dict[str, deque[int]] = {}
        self._epoch = 0

    def count(self, strategy: str, now_ns: int, window_ms: int) -> int:
        """Return the executions of a strategy in the window that ends now."""
        executed_ns = self._executed_ns.get(strategy)
        if executed_ns is None:
            return 0
        begin_ns = now_ns - window_ms * NS_PER_MS
        while executed_ns and executed_ns[0] <= begin_ns:
            executed_ns.popleft()
        return len(executed_ns)

    def execute(self, strategy: str, at_ns: int, executions_max: int, window_ms: int) -> bool:
        """Count an execution; return whether this is the one that stops the strategy."""
        if strategy in self.stopped:
            return False
        self._executed_ns.setdefault(strategy, deque()).append(at_ns)
        count = self.count(strategy, at_ns, window_ms)
        if count < executions_max:
            return False
        self.stopped[strategy] = f"{count} executions in {window_ms} ms, at {at_ns} ns"
        del self._executed_ns[strategy]
        return True

    def start(self, event: EpochStarted) -> None:
        """Let those go on who were started: the strategy that the start names, or all.

        An epoch that was heard before starts nobody.
        """
        if event.epoch <= self._epoch:
            return
        self._epoch = event.epoch
        named = None if event.request is None else event.request.strategy
        for memory in (self.stopped, self._executed_ns):
            if named is None:
                memory.clear()
            else:
                memory.pop(named, None)

    def entries(self) -> dict[str, tuple[int, ...]]:
        """Return when each strategy executed, for those that did."""
        return {key: tuple(times) for key, times in self._executed_ns.items() if times}
