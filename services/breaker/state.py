"""What the arbiter knows, as the fold of what it heard and said: only `apply` changes it."""

import msgspec

from schemas.base import NS_PER_S, Event
from schemas.control import (
    BreakerState,
    BreakerStateChanged,
    BreakerTripped,
    ControlRecordRead,
    ControlSequenceRead,
    EpochEnded,
    EpochProposed,
    EpochStarted,
    HaltRequested,
    Response,
)
from schemas.reconciliation import FenceRaised
from schemas.restrictions import (
    ALL,
    Level,
    Lock,
    LockRequested,
    LocksChanged,
    Restriction,
    RestrictionRequested,
    RestrictionsChanged,
    known_scope,
)
from services.breaker.levels import REDUCING
from services.breaker.states import TRANSITIONS, Trigger

OWN = "breaker."
"""How the operator of what this service itself asked for begins, for people to read."""

SERVICE = "breaker"
"""What this service signs what it asks for with (`Event.src`), before the runtime does.

Anyone may call themselves what they like on `control.halt`, and the signature in such a message is
not read: what is heard has none, or that of another.
"""

SAME_HALT_NS = 2 * NS_PER_S
"""A halt heard and a record stored with the same words within this time are one halt."""

REDUCE_ALL = (ALL, Level.REDUCE)
"""What a breaker asks for whose level is to reduce or to flatten."""

_Fact = HaltRequested | RestrictionRequested | LockRequested
_Key = tuple[str, ...]


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
    """Halts, restrictions, locks, epochs and the control stream's end, across restarts.

    Each reaches the arbiter twice, by the bus and by the CONTROL stream, in either order; it has
    one number all the same. What was heard only once counts too: nothing is lost.

    Attributes:
        word: the breaker's state word.
        halts: newest number given; halts, restrictions and locks are counted together, since the
            beginning of the journal.
        open_halt: the newest halt that is not cleared.
        is_manual: whether one of the open halts was asked for by anyone but our breakers.
        restrictions: what is restricted and not reset, by scope and level; of each the newest.
        ending: restrictions that were reset, and stay in force until the epoch's end.
        told: scope and level of all that was restricted since the newest epoch began, reset or not.
        locks: what no person has taken away, oldest first.
        own: numbers of what this service itself asked for.
        tripped: of each breaker and response the newest trip that no reset has undone.
        epoch: the epoch in force, or None.
        epoch_last: number of the epoch announced last.
        epoch_max: highest epoch ever seen anywhere (I12).
        seq_read: the record of the CONTROL stream that was read last.
        read_ns: when the server stored that record; 0 where nobody knows.
        seq_max: the highest that was ever there; a stream that ends below it lost its tail.
        seq_leased: the record up to which, from the epoch's own on, there are restrictions only.
    """

    def __init__(self) -> None:
        self.word = BreakerState.NORMAL
        self.halts = 0
        self.open_halt: OpenHalt | None = None
        self.is_manual = False
        self.restrictions: dict[tuple[str, Level], Restriction] = {}
        self.ending: tuple[Restriction, ...] = ()
        self.told: frozenset[tuple[str, Level]] = frozenset()
        self.locks: tuple[Lock, ...] = ()
        self.own: frozenset[int] = frozenset()
        self._before = BreakerState.NORMAL, False  # word and `is_manual`, before the newest of all
        self.tripped: dict[tuple[str, Response], BreakerTripped] = {}
        self.epoch: EpochStarted | None = None
        self.epoch_last = 0
        self.epoch_max = 0
        self.seq_read = 0
        self.read_ns = 0
        self.seq_max = 0
        self.seq_leased = 0
        self._heard: list[tuple[_Key, int]] = []  # with no record yet, and when they were heard
        self._stored: list[tuple[_Key, int]] = []  # known by their record alone, and from when

    def apply(self, event: Event) -> None:
        """Fold one fact in; events of no concern change nothing."""
        match event:
            case HaltRequested() | RestrictionRequested() | LockRequested():
                self._hear(event)
            case ControlRecordRead():
                self._read(event)
            case BreakerTripped(breaker=name, response=response):
                self._sign(event)
                self.tripped[name, response] = event
            case BreakerStateChanged(state=BreakerState.NORMAL):
                self._clear()
            case BreakerStateChanged(state=word):
                self.word = word
            case RestrictionsChanged(restrictions=restrictions):
                self._restrict(restrictions)
            case LocksChanged():
                self._lock(event)
            case EpochProposed(start=start):
                self.epoch_max = max(self.epoch_max, start.epoch)
            case FenceRaised(epoch=epoch):  # a restore: what was lost may have seen higher ones
                self.epoch_max = max(self.epoch_max, epoch)
            case EpochStarted():
                self._begin(event)
            case EpochEnded():
                self.epoch, self.ending = None, ()

    def why_rewritten(self, record: ControlRecordRead) -> str:
        """Return that it has the place of the record that was read last, and is another one."""
        if record.stream_seq != self.seq_read or self.read_ns in (0, record.stored_ns):
            return ""
        place = f"record {record.stream_seq} of the control stream"
        return f"{place} is another than was read there: its tail is lost, and was written anew"

    def why_shorter(self, read: ControlSequenceRead) -> str:
        """Return that the stream ends before a record that was there."""
        if read.last_seq >= self.seq_max:
            return ""
        ends = f"the control stream ends at record {read.last_seq}"
        return f"{ends}, and record {self.seq_max} was seen: its tail is lost"

    @property
    def is_resetting(self) -> bool:
        """Whether a reset is under way."""
        return self.word is BreakerState.RESETTING

    @property
    def named(self) -> int:
        """Number of the open halt, which a reset must name; else the newest number given."""
        return self.halts if self.open_halt is None else self.open_halt.number

    @property
    def in_force(self) -> tuple[Restriction, ...]:
        """What an epoch and a lease carry: all that is restricted and not reset."""
        return tuple(self.restrictions.values())

    @property
    def open_numbers(self) -> tuple[int, ...]:
        """The numbers that a reset could name: of the newest halt, and of each restriction."""
        halts = () if self.open_halt is None else (self.open_halt.number,)
        return (*halts, *(each.number for each in self.in_force))

    def undone_by(self, number: int) -> tuple[Response, ...]:
        """Return with which responses a trip is undone by the reset of this number."""
        if self.open_halt is not None and self.open_halt.number == number:
            return (Response.HALT,)
        named = self.restriction(number)
        is_of_all = named is not None and (named.scope, named.level) == REDUCE_ALL
        return REDUCING if is_of_all else ()

    def clears_word(self, number: int) -> bool:
        """Return whether the reset of this number leaves nothing that the state word stands for.

        A trip that reduces holds as long as the REDUCE of all does, whoever asked for it last.
        """
        if self.open_halt is not None:
            return self.open_halt.number == number
        left = {key: each for key, each in self.restrictions.items() if each.number != number}
        is_held = any(each.number in self.own for each in left.values())
        if REDUCE_ALL in left and any(response in REDUCING for _, response in self.tripped):
            is_held = True
        return self.word is BreakerState.TRIPPED and not is_held

    def restriction(self, number: int) -> Restriction | None:
        """Return the restriction with this number; None if there is none, or it was reset."""
        return next((each for each in self.restrictions.values() if each.number == number), None)

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
            halt=self.named,
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

    def _begin(self, epoch: EpochStarted) -> None:
        self.epoch, self.epoch_last, self.ending = epoch, epoch.epoch, ()
        self.told = frozenset(self.restrictions)
        self.epoch_max = max(self.epoch_max, epoch.epoch)
        self.seq_max = max(self.seq_max, epoch.stream_seq)
        self.seq_leased = epoch.stream_seq

    def _hear(self, said: _Fact) -> None:
        fact = _full(said)
        if _took(fact, self._stored) or self._is_echo(fact):
            return
        self._heard.append((_key(fact), fact.at_ns))
        self._open(fact)

    def _is_echo(self, fact: _Fact) -> bool:
        """Whether this is what we asked for ourselves, come back at once: it has a number already.

        A breaker may trip again in the same words, while its own restriction stands: at another
        time, so that is no echo, and has a record of its own to come.
        """
        return _is_own(fact) and (_key(fact), fact.at_ns) in self._heard

    def _read(self, record: ControlRecordRead) -> None:
        is_next = record.stream_seq == self.seq_leased + 1
        self.seq_read, self.read_ns = record.stream_seq, record.stored_ns
        self.seq_max = max(self.seq_max, record.stream_seq)
        self.epoch_max = max(self.epoch_max, record.epoch)
        stored = (record.halt, record.restriction, *record.locks)
        for fact in (_full(each) for each in stored if each is not None):
            if not _took(fact, self._heard):
                self._stored.append((_key(fact), fact.at_ns))
                self._open(fact)
            if is_next and isinstance(fact, RestrictionRequested):
                self.seq_leased = record.stream_seq

    def _sign(self, trip: BreakerTripped) -> None:
        """Take what was asked for right before a trip, in its words, for our own.

        An earlier version kept what it asked for without a signature.
        """
        words = (self.halts, OWN + trip.breaker, trip.reason, trip.at_ns)
        asked = (self.open_halt, *self.restrictions.values())
        found = ((each.number, each.operator, each.reason, each.at_ns) for each in asked if each)
        if self.halts not in self.own and words in found:
            self.own |= {self.halts}
            self.word, self.is_manual = self._before
            self._move(is_trip=True)

    def _open(self, fact: _Fact) -> None:
        """Give it the next number, and put it in force."""
        self.halts += 1
        self._before = self.word, self.is_manual
        is_own = _is_own(fact)
        self.own |= {self.halts} if is_own else set()
        match fact:
            case HaltRequested(reason=reason, operator=operator, at_ns=at_ns):
                self._move(is_trip=is_own)
                self.is_manual = self.is_manual or not is_own
                self.open_halt = OpenHalt(
                    number=self.halts, reason=reason, operator=operator, at_ns=at_ns
                )
            case RestrictionRequested(scope=scope, level=level, operator=operator):
                if is_own:
                    self._move(is_trip=True)
                made = Restriction(
                    scope=scope,
                    level=level,
                    number=self.halts,
                    reason=fact.reason,
                    operator=operator,
                    at_ns=fact.at_ns,
                )
                self.restrictions = {**self.restrictions, (scope, level): made}
                self.told |= {(scope, level)}
            case LockRequested(component=component, code=code, reason=reason, at_ns=at_ns):
                lock = Lock(
                    number=self.halts, component=component, code=code, reason=reason, at_ns=at_ns
                )
                self.locks = (*self.locks, lock)

    def _move(self, *, is_trip: bool) -> None:
        """Move the state word for a halt, or for a trip: that one ends a reset under way first."""
        if is_trip and self.word is BreakerState.RESETTING:
            stands = Trigger.HALT_STANDS if self.is_manual else Trigger.TRIP_STANDS
            self.word = TRANSITIONS[self.word, stands]
        self.word = TRANSITIONS[self.word, Trigger.TRIP if is_trip else Trigger.HALT]

    def _restrict(self, restrictions: tuple[Restriction, ...]) -> None:
        """Take over what is in force; what a reset took out stays so until the epoch's end."""
        known = {(each.scope, each.level): each for each in restrictions}
        gone = tuple(each for key, each in self.restrictions.items() if key not in known)
        again = (each for each in self.ending if (each.scope, each.level) not in known)
        self.ending = (*again, *gone) if self.epoch is not None else ()
        self.restrictions = known
        if REDUCE_ALL not in known:
            self._undo(*REDUCING)
        self.told |= known.keys()

    def _lock(self, changed: LocksChanged) -> None:
        self.locks = changed.locks
        if changed.control_seq >= 0:  # a person has looked: a lost tail is accepted
            self.seq_read = self.seq_max = changed.control_seq
            self.read_ns = 0

    def _clear(self) -> None:
        self.word = BreakerState.NORMAL
        self.open_halt, self.is_manual = None, False
        self._undo(Response.HALT)
        self._heard.clear()
        self._stored.clear()

    def _undo(self, *responses: Response) -> None:
        self.tripped = {key: t for key, t in self.tripped.items() if t.response not in responses}


def _is_own(fact: _Fact) -> bool:
    """Whether this service itself asked for it: before it was said, or since."""
    return fact.src.partition("-")[0] == SERVICE


def _full(fact: _Fact) -> _Fact:
    """Return a restriction in a scope that is known; of all that there is, it is a halt."""
    if not isinstance(fact, RestrictionRequested):
        return fact
    scope = known_scope(fact.scope)
    if scope == ALL and fact.level is Level.HALT:
        return HaltRequested(
            at_ns=fact.at_ns,
            src=fact.src,
            reason=fact.reason,
            operator=fact.operator,
            scope=fact.scope,
        )
    return msgspec.structs.replace(fact, scope=scope)


def _key(fact: _Fact) -> _Key:
    match fact:
        case HaltRequested(operator=operator, reason=reason, scope=scope):
            return operator, reason, scope
        case RestrictionRequested(operator=operator, reason=reason, scope=scope, level=level):
            return operator, reason, scope, level
        case LockRequested(component=component, code=code, reason=reason):
            return "lock", component, code, reason, ""


def _took(fact: _Fact, others: list[tuple[_Key, int]]) -> bool:
    """Take the same one out of `others`, where it came the other way; return whether it was."""
    for other in others:
        if other[0] == _key(fact) and abs(other[1] - fact.at_ns) < SAME_HALT_NS:
            others.remove(other)
            return True
    return False
