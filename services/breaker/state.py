"""What the arbiter knows, as the fold of what it heard and said: only `apply` changes it."""

import msgspec

from schemas.base import NS_PER_S, Event
from schemas.control import (
    BreakerState,
    BreakerStateChanged,
    BreakerTripped,
    ControlRecordRead,
    EpochEnded,
    EpochProposed,
    EpochStarted,
    HaltRequested,
)
from services.breaker.states import TRANSITIONS, Trigger

OWN = "breaker."
"""How the operator of a halt that a breaker of ours asked for begins."""

SAME_HALT_NS = NS_PER_S
"""A halt heard so soon after its own record was read is that halt, and not another one."""

_Key = tuple[str, str, str]


class OpenHalt(msgspec.Struct, frozen=True, kw_only=True):
    """The newest halt that no reset has cleared."""

    number: int
    reason: str
    operator: str
    at_ns: int

    def __str__(self) -> str:
        by = self.operator or "unknown"
        return f"halt {self.number} is open (by {by}: {self.reason or 'no reason given'})"


class ControlState:
    """Halts, epochs and the control stream's end, across restarts.

    A halt reaches the arbiter twice, by the bus and by the CONTROL stream, in either order; it
    has one number all the same. What was heard only once counts too: no halt is lost.

    Attributes:
        word: the breaker's state word.
        halts: number of the newest halt, counted since the beginning of the journal.
        open_halt: the newest halt that is not cleared.
        is_manual: whether one of the open halts was asked for by anyone but our breakers.
        tripped: breakers that have tripped since the last reset.
        epoch: the epoch in force, or None.
        epoch_last: number of the epoch announced last.
        epoch_max: highest epoch ever seen anywhere (I12).
        seq_read: the record of the CONTROL stream that was read last.
        seq_max: the highest that was ever there; a stream that ends below it lost its tail.
    """

    def __init__(self) -> None:
        self.word = BreakerState.NORMAL
        self.halts = 0
        self.open_halt: OpenHalt | None = None
        self.is_manual = False
        self.tripped: dict[str, BreakerTripped] = {}
        self.epoch: EpochStarted | None = None
        self.epoch_last = 0
        self.epoch_max = 0
        self.seq_read = 0
        self.seq_max = 0
        self._heard: list[_Key] = []  # halts whose record is still to be read
        self._stored: dict[_Key, int] = {}  # halts known by their record alone, and since when

    def apply(self, event: Event) -> None:
        """Fold one fact in; events of no concern change nothing."""
        match event:
            case HaltRequested():
                self._hear(event)
            case ControlRecordRead():
                self._read(event)
            case BreakerTripped(breaker=name):
                self.tripped[name] = event
            case BreakerStateChanged(state=BreakerState.NORMAL):
                self._clear()
            case BreakerStateChanged(state=word):
                self.word = word
            case EpochProposed(start=start):
                self.epoch_max = max(self.epoch_max, start.epoch)
            case EpochStarted():
                self.epoch, self.epoch_last = event, event.epoch
                self.epoch_max = max(self.epoch_max, event.epoch)
            case EpochEnded():
                self.epoch = None

    def next_word(self, trigger: Trigger) -> BreakerState:
        """Return the word that `trigger` leads to; a pair not in the table is a broken invariant."""
        return TRANSITIONS[self.word, trigger]

    def _hear(self, halt: HaltRequested) -> None:
        key = (halt.operator, halt.reason, halt.scope)
        stored_ns = self._stored.pop(key, None)
        if stored_ns is not None and halt.at_ns - stored_ns < SAME_HALT_NS:
            return
        if self._is_echo(halt):
            return
        self._heard.append(key)
        self._open(halt)

    def _is_echo(self, halt: HaltRequested) -> bool:
        """Whether this is our own halt, come back: it has its number already."""
        newest = self.open_halt
        if newest is None or not halt.operator.startswith(OWN):
            return False
        return (newest.operator, newest.reason) == (halt.operator, halt.reason)

    def _read(self, record: ControlRecordRead) -> None:
        self.seq_read = record.stream_seq
        self.seq_max = max(self.seq_max, record.stream_seq)
        self.epoch_max = max(self.epoch_max, record.epoch)
        halt = record.halt
        if halt is None:
            return
        key = (halt.operator, halt.reason, halt.scope)
        if key in self._heard:
            self._heard.remove(key)
            return
        self._stored[key] = record.at_ns
        self._open(halt)

    def _open(self, halt: HaltRequested) -> None:
        is_trip = halt.operator.startswith(OWN)
        if is_trip and self.word is BreakerState.RESETTING:
            stands = Trigger.HALT_STANDS if self.is_manual else Trigger.TRIP_STANDS
            self.word = self.next_word(stands)
        self.halts += 1
        self.is_manual = self.is_manual or not is_trip
        self.word = self.next_word(Trigger.TRIP if is_trip else Trigger.HALT)
        self.open_halt = OpenHalt(
            number=self.halts, reason=halt.reason, operator=halt.operator, at_ns=halt.at_ns
        )

    def _clear(self) -> None:
        self.word = BreakerState.NORMAL
        self.open_halt, self.is_manual = None, False
        self.tripped.clear()
        self._heard.clear()
        self._stored.clear()
        self.seq_max = self.seq_read  # a person has looked: a lost tail is accepted with the reset
