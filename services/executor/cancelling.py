"""When what a halt or a restriction forbids is cancelled, and how often: until none is shown. Pure.

A process begins HALTED and remembers no halt. Its predecessor may have died before the venue had
cancelled everything, or somebody may have halted while nobody was here: what is found resting then
is cleared away as by a halt, once, whatever the reason. Nobody asked, so nobody is told of its end.
"""

from collections.abc import Sequence

from schemas.base import NS_PER_MS, Event
from schemas.control import HaltRequested
from schemas.restrictions import ALL, Level, RestrictionRequested, known_scope
from schemas.venue import CancelPlaced, VenueBook
from services.control import ControlGuard
from services.core import NOTHING
from services.executor.alarms import Alarm, Alarms
from services.executor.clearing import Clearings
from services.executor.config import ExecutorConfig
from services.executor.flatten import Flattener
from services.executor.rounds import Rounds


class Cancelling:
    """Cancels, looks, and does both again while the venue still shows something forbidden.

    Args:
        config: how often.
        clearings: what is forbidden.
        rounds: asks the venue.
        flattener: ends with a halt, and goes on with a restriction.
        guard: knows whether this process may act, and whether another does.
        alarms: where its deadline is set.
        is_linked: whether a venue is there from the start: then nothing is found resting.
    """

    def __init__(
        self,
        config: ExecutorConfig,
        clearings: Clearings,
        rounds: Rounds,
        flattener: Flattener,
        guard: ControlGuard,
        alarms: Alarms,
        is_linked: bool,
    ) -> None:
        self._every_ns = config.cancel_every_ms * NS_PER_MS
        self._clearings = clearings
        self._rounds = rounds
        self._flattener = flattener
        self._guard = guard
        self._alarms = alarms
        self._is_first_book = not is_linked

    def halt(self, event: HaltRequested | RestrictionRequested, now_ns: int) -> Sequence[Event]:
        """Clear away everything that could make a position larger."""
        self._clearings.begin_halt()
        return [*self._flattener.halted(now_ns), *self.again(now_ns)]

    def restrict(self, event: RestrictionRequested, now_ns: int) -> Sequence[Event]:
        """Clear away what it forbids. That it is in force already is the guard's doing."""
        scope = known_scope(event.scope)
        if (scope, event.level) == (ALL, Level.HALT):
            return self.halt(event, now_ns)
        self._clearings.begin(scope, event.level)
        self._flattener.hurry(now_ns)
        return self.again(now_ns)

    def again(self, now_ns: int) -> Sequence[Event]:
        """Cancel what halts and restrictions forbid, and look, until the venue shows none.

        What nobody asked for waits while another executor has the lease: what rests is its affair.
        """
        if not self._clearings.under_way or not self._rounds.is_linked:
            return NOTHING
        self._alarms.arm(Alarm.CANCEL, now_ns + self._every_ns)
        is_anothers = self._guard.is_anothers(now_ns)
        due = [each for each in self._clearings.under_way if each.is_asked or not is_anothers]
        chosen = self._clearings.to_cancel(due)
        cancels = [CancelPlaced(at_ns=now_ns, order_id=order_id) for order_id in chosen]
        names = [each.request_id for each in due]
        looks = [self._rounds.question(name, now_ns, is_thorough=False) for name in names]
        return [*cancels, *looks]

    def compared(self, book: VenueBook, now_ns: int) -> Sequence[Event]:
        """Clear away what the first book that is compared shows to a process that is halted.

        Not before: what was executed while nobody was here decides what still only reduces.
        """
        is_first, self._is_first_book = self._is_first_book, False
        if not is_first or not self._guard.is_halted or not self._clearings.begin_unasked(book):
            return NOTHING
        return self.again(now_ns)

    def heard(self, book: VenueBook, now_ns: int) -> list[Event]:
        """Return the confirmation, if this answer shows nothing any more that is forbidden."""
        said = self._clearings.hear(book, now_ns)
        if not self._clearings.under_way:
            self._alarms.disarm(Alarm.CANCEL)
        return said
