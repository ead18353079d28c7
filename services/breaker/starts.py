"""Start: read the control stream, ask all to prepare, store the epoch, only then announce it."""

import enum

import msgspec

from schemas.base import NS_PER_MS, Event
from schemas.control import (
    ControlAnswered,
    ControlSequenceRead,
    EpochRefused,
    EpochStarted,
    EpochStored,
    PrepareAsked,
    Prepared,
    StartAsked,
)
from schemas.errors import FieldError
from services.breaker.answers import locked, no_answer, open_halt, refused, unread_records
from services.breaker.approvals import Approvals
from services.breaker.config import BreakerConfig
from services.breaker.preparations import Preparations
from services.breaker.reads import Reads
from services.breaker.state import ControlState
from services.breaker.watch import Watch
from services.people import unnamed


class _Phase(enum.Enum):
    READING = "the control stream's newest record"
    PREPARING = "the answers of gate, executor and strategy"
    STORING = "the control stream to take the epoch"


class _Pending(msgspec.Struct, kw_only=True):
    """The start that is under way."""

    asked: StartAsked
    read_id: int
    deadline_ns: int
    answers: Preparations
    phase: _Phase = _Phase.READING
    expected_seq: int = 0
    epoch: EpochStarted | None = None


class Starts:
    """The one start that is under way, if any. Strict: a single complaint, and nothing starts."""

    def __init__(
        self,
        config: BreakerConfig,
        state: ControlState,
        reads: Reads,
        watch: Watch,
        limits_hash: str,
    ) -> None:
        self._config = config
        self._state = state
        self._reads = reads
        self._watch = watch
        self._limits_hash = limits_hash
        self._approvals = Approvals(config.start_approvals, config.approval_window_s)
        self._pending: _Pending | None = None
        self._discord = ""

    @property
    def deadline_ns(self) -> int | None:
        """When the start under way is given up; None while there is none."""
        return None if self._pending is None else self._pending.deadline_ns

    def on_asked(self, asked: StartAsked, now_ns: int) -> list[Event]:
        """Refuse at once what cannot be; else read how far the control stream has come."""
        if self._pending is not None and self._pending.asked.start_id == asked.start_id:
            return []  # the same request, delivered twice
        if found := self._complaints(asked, now_ns):
            return [refused("start", asked.start_id, found, now_ns)]
        read = self._reads.ask(now_ns)
        self._pending = _Pending(
            asked=asked,
            read_id=read.read_id,
            deadline_ns=now_ns + self._config.store_ms_max * NS_PER_MS,
            answers=Preparations(self._watch.roster.members, self._limits_hash),
        )
        return [read]

    def on_read(self, read: ControlSequenceRead, now_ns: int) -> list[Event]:
        """Ask everyone to prepare. From here on a halt that is stored refuses the start (I7)."""
        start = self._pending
        if start is None or start.phase is not _Phase.READING or read.read_id < start.read_id:
            return []
        unread = unread_records(read, self._state)
        if found := [*unread, *self._watch.outages(now_ns)]:
            return self.fail(found, now_ns)
        start.phase, start.expected_seq = _Phase.PREPARING, read.last_seq
        start.deadline_ns = now_ns + self._config.prepare_ms_max * NS_PER_MS
        asked = start.asked
        return [PrepareAsked(at_ns=now_ns, start_id=asked.start_id, request=asked.request)]

    def is_preparing(self, answer: Prepared) -> bool:
        """Whether this answers the start under way."""
        start = self._pending
        if start is None or start.phase is not _Phase.PREPARING:
            return False
        return answer.start_id == start.asked.start_id

    def on_prepared(self, answer: Prepared, now_ns: int) -> list[Event]:
        """Take one member's answer; with the last of them, propose the epoch or refuse."""
        start = self._pending
        if start is None or not self.is_preparing(answer) or not start.answers.take(answer):
            return []
        if found := start.answers.complaints():
            return self.fail(found, now_ns)
        proposed = start.answers.propose(start.asked, self._state, start.expected_seq, now_ns)
        self._state.apply(proposed)
        start.phase, start.epoch = _Phase.STORING, proposed.start
        start.deadline_ns = now_ns + self._config.store_ms_max * NS_PER_MS
        return [proposed]

    def on_stored(self, stored: EpochStored, now_ns: int) -> list[Event]:
        """Announce the epoch, now that nothing can come before it in the control stream."""
        start = self._pending
        if start is None or start.epoch is None or start.epoch.epoch != stored.epoch:
            is_known = self._state.epoch_last == stored.epoch
            why = "a start that was given up is stored after it"
            return [] if is_known else self._state.end_epoch(why, now_ns)
        self._pending = None
        epoch = msgspec.structs.replace(
            start.epoch,
            at_ns=now_ns,
            stream_seq=stored.stream_seq,
            restrictions=self._state.in_force,  # what came while it was being stored is in it too
        )
        self._state.apply(epoch)
        self._watch.begin()
        what = "trading" if epoch.session is None else f"session {epoch.session}"
        answer = ControlAnswered(
            at_ns=now_ns,
            request_id=start.asked.start_id,
            request="start",
            is_ok=True,
            message=f"epoch {epoch.epoch} is in force: {what} started{self._approved()}",
            epoch=epoch.epoch,
            session=epoch.session,
        )
        return [epoch, answer]

    def is_storing(self, epoch: int) -> bool:
        """Whether `epoch` is the one that is being stored just now."""
        start = self._pending
        return start is not None and start.epoch is not None and start.epoch.epoch == epoch

    def on_refused(self, refusal: EpochRefused, now_ns: int) -> list[Event]:
        """Refuse the start whose epoch the server did not store."""
        start = self._pending
        if start is None or start.epoch is None or start.epoch.epoch != refusal.epoch:
            return []
        wanted = "a control stream that did not move meanwhile: `sluice status`, then start again"
        found = FieldError(path="control stream", found=refusal.detail, wanted=wanted)
        return self.fail([found], now_ns)

    def fail(self, found: list[FieldError], now_ns: int) -> list[Event]:
        """Refuse the start under way, if there is one."""
        start, self._pending = self._pending, None
        if start is None:
            return []
        self._discord = start.answers.different_limits()
        return [refused("start", start.asked.start_id, found, now_ns)]

    def take_discord(self) -> str:
        """Return, once, whose limits were found to differ; empty when nobody's were."""
        discord, self._discord = self._discord, ""
        return discord

    def wake(self, now_ns: int) -> list[Event]:
        """Give up on who has been silent too long."""
        start = self._pending
        if start is None or now_ns < start.deadline_ns:
            return []
        if start.phase is not _Phase.PREPARING:
            return self.fail([no_answer("control stream", self._config.store_ms_max)], now_ns)
        silent = start.answers.silent(self._config.prepare_ms_max)
        return self.fail([*silent, *start.answers.complaints()], now_ns)

    def _complaints(self, asked: StartAsked, now_ns: int) -> list[FieldError]:
        found = unnamed("$.operator", asked.request.operator, "who asks")
        if self._pending is not None:
            by, what = self._pending.asked.request.operator, self._pending.phase.value
            waits = f"a start by {by} waits for {what}"
            wanted = "no start under way: ask again in a moment"
            found.append(FieldError(path="breaker", found=waits, wanted=wanted))
        if self._state.locks:
            found.append(locked(self._state))
        if self._state.open_halt is not None:
            found.append(open_halt(self._state))
        if not found:
            more = self._approvals.complaint(asked.request, self._state.halts, now_ns)
            found += [] if more is None else [more]
        return found

    def _approved(self) -> str:
        people = self._approvals.people
        return f", asked for by {' and '.join(people)}" if len(people) > 1 else ""
