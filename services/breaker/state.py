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

SAME_HALT_NS = 2 * NS_PER_S
"""A halt heard and a record stored with the same words within this time are one halt."""

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
        self._heard: list[tuple[_Key, int]] = []  # with no record yet, and when they were heard
        self._stored: list[tuple[_Key, int]] = []  # known by their record alone, and from when

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
                self.seq_max = max(self.seq_max, event.stream_seq)
            case EpochEnded():
                self.epoch = None

    @property
    def is_resetting(self) -> bool:
        """Whether a reset is under way."""
        return self.word is BreakerState.RESETTING

    def change(
        self, trigger: Trigger, now_ns: int, *, reason: str, operator: str = ""
    ) -> BreakerStateChanged:
        """Move the state word, and return the fact to be said."""
        changed = BreakerStateChanged(
            at_ns=now_ns,
            previous=self.word,
            state=TRANSITIONS[self.word, trigger],
            reason=reason,
            operator=operator,
            halt=self.halts,
        )
        self.apply(changed)
        return changed

    def end_epoch(self, reason: str, now_ns: int) -> list[Event]:
        """End the epoch in force, if there is one, and return the fact to be said."""
        if self.epoch is None:
            return []
        ended = EpochEnded(at_ns=now_ns, epoch=self.epoch.epoch, reason=reason)
        self.apply(ended)
        return [ended]

    def _hear(self, halt: HaltRequested) -> None:
        if _took(halt, self._stored) or self._is_echo(halt):
            return
        self._heard.append((_key(halt), halt.at_ns))
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
        if halt is None or _took(halt, self._heard):
            return
        self._stored.append((_key(halt), halt.at_ns))
        self._open(halt)

    def _open(self, halt: HaltRequested) -> None:
        is_trip = halt.operator.startswith(OWN)
        if is_trip and self.word is BreakerState.RESETTING:
            stands = Trigger.HALT_STANDS if self.is_manual else Trigger.TRIP_STANDS
            self.word = TRANSITIONS[self.word, stands]
        self.halts += 1
        self.is_manual = self.is_manual or not is_trip
        self.word = TRANSITIONS[self.word, Trigger.TRIP if is_trip else Trigger.HALT]
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


def _key(halt: HaltRequested) -> _Key:
    return halt.operator, halt.reason, halt.scope


def _took(halt: HaltRequested, others: list[tuple[_Key, int]]) -> bool:
    """Take the same halt out of `others`, where it came the other way; return whether it was."""
    for other in others:
        if other[0] == _key(halt) and abs(other[1] - halt.at_ns) < SAME_HALT_NS:
            others.remove(other)
            return True
    return False
