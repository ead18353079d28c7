"""Run all cores in one process on the feed's own clock: the backtest."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from schemas.base import Event
from services.core import Core, tell

Journal = Callable[[Event], None]
NEVER_NS = 1 << 63


class Fused:
    """Cores that hear each other at once, in the order given; the same feed gives the same run.

    Args:
        cores: each event reaches those that hear it, in this order.
        journal: called with every event, fed or said, in the order it happened.
    """

    def __init__(self, cores: Sequence[Core], journal: Journal | None = None) -> None:
        self._cores = tuple(cores)
        self._journal = journal
        self._routes: dict[type[Event], tuple[Core, ...]] = {}
        self._due_ns = 0  # never later than the earliest deadline
        self.now_ns = 0

    def run(self, feed: Iterable[Event]) -> None:
        """Feed events oldest first; `at_ns` of each one moves the clock, never backwards."""
        routes, journal = self._routes, self._journal
        for event in feed:
            now_ns = event.at_ns
            if now_ns < self.now_ns:
                now_ns = self.now_ns
            if self._due_ns <= now_ns:
                self._wake_until(now_ns)
            self.now_ns = now_ns
            if journal is not None:
                journal(event)
            cores = routes.get(type(event))
            if cores is None:
                cores = self._route(type(event))
            answers: list[Event] | None = None
            for core in cores:
                said = core.handle(event, now_ns)  # nothing is due: what `tell` comes to
                if said:
                    answers = [*said] if answers is None else [*answers, *said]
                wake_ns = core.wake_at_ns
                if wake_ns is not None and wake_ns < self._due_ns:
                    self._due_ns = wake_ns
            if answers is not None:
                self._settle(answers, now_ns)

    def finish(self, until_ns: int) -> None:
        """Let every deadline up to `until_ns` pass; for after the last event."""
        self._wake_until(until_ns)
        self.now_ns = max(self.now_ns, until_ns)

    def _route(self, kind: type[Event]) -> tuple[Core, ...]:
        found = self._routes[kind] = tuple(core for core in self._cores if kind in core.hears)
        return found

    def _wake_until(self, now_ns: int) -> None:
        """Wake each core at its own deadline, earliest first, up to `now_ns`."""
        while True:
            due_ns = min(
                (c.wake_at_ns for c in self._cores if c.wake_at_ns is not None), default=NEVER_NS
            )
            if due_ns > now_ns:
                self._due_ns = due_ns
                return
            self.now_ns = max(self.now_ns, due_ns)
            for core in self._cores:
                self._settle(tell(core, None, self.now_ns), self.now_ns)

    def _settle(self, said: Sequence[Event], now_ns: int) -> None:
        """Deliver `said` and all that follows from it, until nothing is left to say."""
        queue = deque(said)
        while queue:
            event = queue.popleft()
            if self._journal is not None:
                self._journal(event)
            cores = self._routes.get(type(event))
            for core in self._route(type(event)) if cores is None else cores:
                queue.extend(tell(core, event, now_ns))
        for core in self._cores:
            if core.wake_at_ns is not None and core.wake_at_ns < self._due_ns:
                self._due_ns = core.wake_at_ns
