"""What was said and may not have reached the record. Pure.

A fact is kept in the journal before it is said, and what the bus does not take is lost there: the
venue goes on executing while the bus is away. After a loss, and after a start, what may be missing
is told again, in an event of its own that nobody trades by (ADR 23).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import cast, get_args

from schemas.base import NS_PER_S, AccountId, Event
from schemas.repeats import Fact, FactRepeated, FactsTold
from services.core import NOTHING
from services.executor import facts
from services.executor.alarms import Alarm, Alarms

FACTS: frozenset[type[Event]] = frozenset(get_args(Fact))
KEPT_MAX = 10_000
"""Facts that are remembered, a count: those of a minute at some fifty orders a second."""

RESTORED_DUE_NS = 1
"""When what a start finds in doubt is told again: at once."""


class Untold:
    """Remembers what was said until the bus has been there long enough after it.

    Args:
        account: whose facts they are.
        after_s: for how long the bus must have been there; 0: nothing is told again.
        alarms: where its deadline is set.
    """

    def __init__(self, account: AccountId, after_s: int, alarms: Alarms) -> None:
        self._account = account
        self._after_ns = after_s * NS_PER_S
        self._alarms = alarms
        self._said: deque[tuple[int, Fact]] = deque()
        """When each was told last, and the fact; oldest first."""

        self._is_up = True
        self._is_restored = False  # what is remembered is of a journal, and was not told again yet
        self._is_once_more = False
        self._doubt_from_ns = 0
        self._dropped_ns = -1  # when the newest was told that there was no room for

    def note(self, said: Iterable[Event], now_ns: int) -> None:
        """Remember the facts among what is said now."""
        for event in said:
            if type(event) in FACTS and self._after_ns:
                self._remember(now_ns, cast(Fact, event))
                if Alarm.RETELL not in self._alarms:
                    self._alarms.arm(Alarm.RETELL, now_ns + self._after_ns)

    def restore(self, event: Event) -> None:
        """Fold one kept event in: what was said, and up to when all of it is known to be told."""
        if not self._after_ns:
            return
        if isinstance(event, FactsTold):
            self._forget(event.until_ns)
        elif type(event) in FACTS:
            self._remember(event.at_ns, cast(Fact, event))
        self._dropped_ns = -1  # of a journal's whole past the newest are enough
        self._is_restored = bool(self._said)
        self._wait(RESTORED_DUE_NS)

    def turn(self, now_ns: int, *, is_up: bool) -> Sequence[Event]:
        """Note that the bus went away, or is back; return what is told again."""
        if self._is_up and not is_up:
            self._doubt_from_ns = now_ns - self._after_ns
            if not self._is_restored:
                self._forget(self._doubt_from_ns)
        self._is_up = is_up
        if not is_up:
            return NOTHING
        self._is_once_more = True
        return self._again(now_ns)

    def ring(self, now_ns: int) -> Sequence[Event]:
        """Tell again what a start found, or once more; later let go of what has long been told.

        Once more, for a bus that is back may not store yet: the streams of a cluster first find
        their leaders, and nobody hears what they miss.
        """
        if not self._is_up:
            return NOTHING  # its return brings all of it
        if self._is_restored or self._is_once_more:
            self._is_once_more = self._is_restored
            return self._again(now_ns)
        until_ns = now_ns - self._after_ns
        is_news = self._forget(until_ns)
        if self._said:
            self._wait(self._said[0][0] + self._after_ns)
        return (FactsTold(at_ns=now_ns, until_ns=until_ns),) if is_news else NOTHING

    def _again(self, now_ns: int) -> list[Event]:
        """Return all that is in doubt once more; it is in doubt again until the bus has stayed."""
        said: list[Event] = [
            FactRepeated(at_ns=now_ns, account=self._account, fact=fact) for _, fact in self._said
        ]
        if self._dropped_ns >= self._doubt_from_ns:
            found = f"more than {KEPT_MAX} facts while the bus was away; the first are not told"
            wanted = "the record compared with the executor's journal: sluice audit show ORDER"
            said.append(facts.alert("SLU-123", f"{found}; {wanted}", now_ns))
        self._said = deque((now_ns, fact) for _, fact in self._said)
        self._dropped_ns, self._is_restored = -1, False
        if self._said:
            self._wait(now_ns + self._after_ns)
        return said

    def _wait(self, until_ns: int) -> None:
        if self._said:
            self._alarms.arm(Alarm.RETELL, until_ns)

    def _remember(self, told_ns: int, fact: Fact) -> None:
        self._said.append((told_ns, fact))
        if len(self._said) > KEPT_MAX:
            self._dropped_ns = self._said.popleft()[0]

    def _forget(self, until_ns: int) -> bool:
        """Let go of what was told up to then; return whether there was any."""
        count = len(self._said)
        while self._said and self._said[0][0] <= until_ns:
            self._said.popleft()
        return len(self._said) < count
