"""The arbiter: owns start, reset, epoch and lease. No other part of the system may start trading.

It follows the control protocol of the architecture: a start is stored on the CONTROL stream with
the sequence that its operator had seen, so that a halt stored meanwhile makes the server refuse
it; a lease is given only while that record is the newest there is. A restart never resumes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schemas.base import BootId, Event
from schemas.control import (
    BreakerState,
    BreakerStateChanged,
    BreakerTripped,
    ControlRecordRead,
    ControlSequenceRead,
    EpochEnded,
    EpochRefused,
    EpochStored,
    HaltAcknowledged,
    HaltRequested,
    LeaseAsked,
    Prepared,
    ResetAsked,
    StartAsked,
    TradingState,
)
from schemas.errors import FieldError
from schemas.health import AlertRaised, GapSeen, HealthReported, LinkChanged, Severity
from schemas.restrictions import (
    ALL,
    Level,
    LockRequested,
    Restriction,
    RestrictionAcknowledged,
    RestrictionRequested,
    RestrictionsChanged,
    UnlockAsked,
    known_scope,
)
from services.breaker.answers import locked, newest_lock, open_halt, reset_command
from services.breaker.config import BreakerConfig
from services.breaker.leases import Leases
from services.breaker.levels import REDUCING
from services.breaker.locks import Unlocks, halt_for_lock, locking
from services.breaker.reads import Reads
from services.breaker.resets import Resets
from services.breaker.starts import Starts
from services.breaker.state import OWN, REDUCE_ALL, SERVICE, ControlState, OpenHalt
from services.breaker.watch import Roster, Watch
from services.core import NOTHING, earliest

LOST_TAIL, LIMITS_DIFFER, COUNTS_BACK = "SLU-154", "SLU-155", "SLU-156"
"""Codes of the locks that the arbiter itself asks for."""

_Forbidding = HaltRequested | RestrictionRequested | ControlRecordRead

HAS_STANDBYS = "gate"
"""The only member there may be two of: everyone else holds what only one process can hold."""


class Arbiter:
    """Say who may trade. What survives a restart is `state`; the rest are questions on their way.

    Attributes:
        state: the fold of what was heard and said.
        watch: what must be alive.
    """

    def __init__(
        self, config: BreakerConfig, *, boot_id: BootId, limits_hash: str, roster: Roster
    ) -> None:
        self._boot_id = boot_id
        self.state = ControlState()
        self.watch = Watch(config, roster)
        self._reads = Reads()
        self._starts = Starts(config, self.state, self._reads, self.watch, limits_hash)
        self._resets = Resets(self.state, self._reads, config.store_ms_max)
        self._unlocks = Unlocks(self.state, self._reads, config.store_ms_max)
        self._leases = Leases(self.state, self._reads, self.watch)
        self._is_inherited = False
        self._answers: dict[type[Event], Callable[[Any, int], list[Event]]] = {
            HaltRequested: self._on_halt,
            RestrictionRequested: self._on_restriction,
            LockRequested: self._on_lock,
            UnlockAsked: self._unlocks.on_asked,
            StartAsked: self._starts.on_asked,
            Prepared: self._on_prepared,
            EpochStored: self._starts.on_stored,
            EpochRefused: self._starts.on_refused,
            ResetAsked: self._resets.on_asked,
            LeaseAsked: self._leases.on_asked,
            ControlRecordRead: self._on_record,
            ControlSequenceRead: self._on_sequence,
            HealthReported: self._on_health,
            LinkChanged: self._on_link,
            GapSeen: self._on_gap,
        }

    @property
    def hears(self) -> frozenset[type[Event]]:
        """The events it answers."""
        return frozenset(self._answers)

    @property
    def deadline_ns(self) -> int | None:
        """When it must be woken next; None while it waits for nobody."""
        if self._is_inherited:
            return 0
        return earliest(
            self._starts.deadline_ns, self._resets.deadline_ns, self._unlocks.deadline_ns
        )

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Return what follows from one control event."""
        answer = self._answers.get(type(event))
        if answer is None:
            return NOTHING
        said = answer(event, now_ns)
        if discord := self._starts.take_discord():
            said = [*self._lock(LIMITS_DIFFER, f"limits differ: {discord}", now_ns), *said]
        return [*said, *self._alerts(said, now_ns)] if said else NOTHING

    def wake(self, now_ns: int) -> list[Event]:
        """Give up what has waited too long; end the epoch of the process before this one."""
        said: list[Event] = []
        if self._is_inherited:
            self._is_inherited = False
            self._leases.inherit(now_ns)
            said += self.state.end_epoch("the breaker service restarted", now_ns)
            said += self._alerts(said, now_ns)
        said += [*self._starts.wake(now_ns), *self._resets.wake(now_ns)]
        if discord := self._starts.take_discord():
            said = [*self._lock(LIMITS_DIFFER, f"limits differ: {discord}", now_ns), *said]
        return [*said, *self._unlocks.wake(now_ns)]

    def restore(self, event: Event) -> None:
        """Fold one kept event in. A reset that was under way is not one: the halt stands."""
        match event:
            case BreakerStateChanged(state=BreakerState.RESETTING):
                pass
            case _:
                self.state.apply(event)
        self._is_inherited = True

    def trip(self, trip: BreakerTripped, now_ns: int) -> list[Event]:
        """Return the halt, or the REDUCE of all, that goes out with a trip before anything else."""
        operator = OWN + trip.breaker
        alert = AlertRaised(
            at_ns=now_ns,
            severity=Severity.CRITICAL,
            component=SERVICE,
            code="SLU-150",
            message=f"breaker {trip.breaker} tripped: {trip.reason}",
            fields={"breaker": trip.breaker, "value": trip.value, "limit": trip.limit},
        )
        self.state.apply(trip)
        if trip.response in REDUCING:
            reduce = RestrictionRequested(
                at_ns=now_ns,
                src=SERVICE,
                level=Level.REDUCE,
                scope=ALL,
                reason=trip.reason,
                operator=operator,
            )
            return [reduce, trip, *self._fold(reduce, now_ns), alert]
        halt = HaltRequested(at_ns=now_ns, src=SERVICE, reason=trip.reason, operator=operator)
        return [halt, trip, *self._fold(halt, now_ns), alert]

    def restrictions(self) -> tuple[Restriction, ...]:
        """Return what is restricted, and what a reset takes away only with the next start."""
        ending = (msgspec.structs.replace(each, is_ending=True) for each in self.state.ending)
        return (*self.state.in_force, *ending)

    def trading_state(self, now_ns: int) -> TradingState:
        """Return what all components together may do."""
        if self.state.locks:
            return TradingState.LOCKED
        if self.why_not_leasing(now_ns):
            return TradingState.HALTED
        is_reducing = REDUCE_ALL in self.state.restrictions
        return TradingState.REDUCING if is_reducing else TradingState.RUNNING

    def why_not_leasing(self, now_ns: int) -> str:
        """Return why nobody may trade now; empty while leases are given."""
        halt = self.state.open_halt
        if self.state.locks:
            return newest_lock(self.state)
        if halt is not None:
            return f"{halt}: look at it, then {reset_command(halt.number)}"
        if self.state.epoch is None:
            return "no epoch is in force: start with `sluice start`"
        return "; ".join(f"{c.path}: {c.found}" for c in self.watch.complaints(now_ns))

    def why_not_ready(self, now_ns: int) -> str:
        """Return what would refuse any start, halts aside; empty when nothing would."""
        return "; ".join(f"{c.path}: {c.found}" for c in self.watch.outages(now_ns))

    def _alerts(self, said: Sequence[Event], now_ns: int) -> list[Event]:
        """Return an alert for an epoch that ended although nobody halted."""
        if self.state.open_halt is not None:
            return []
        return [
            AlertRaised(
                at_ns=now_ns,
                severity=Severity.WARNING,
                component=SERVICE,
                code="SLU-153",
                message=f"epoch {ended.epoch} ended: {ended.reason}; start again: `sluice start`",
                fields={"epoch": str(ended.epoch), "reason": ended.reason},
            )
            for ended in said
            if isinstance(ended, EpochEnded)
        ]

    def _on_halt(self, halt: HaltRequested, now_ns: int) -> list[Event]:
        said = self._fold(halt, now_ns)
        acknowledged = HaltAcknowledged(
            at_ns=now_ns,
            component=SERVICE,
            boot_id=self._boot_id,
            halts=self.state.halts,
            fence=self.state.epoch_max,
        )
        return [acknowledged, *said]

    def _on_restriction(self, asked: RestrictionRequested, now_ns: int) -> list[Event]:
        """Take it in, and acknowledge: from now on every epoch and every lease carries it."""
        said = self._fold(asked, now_ns)
        acknowledged = RestrictionAcknowledged(
            at_ns=now_ns,
            component=SERVICE,
            boot_id=self._boot_id,
            scope=known_scope(asked.scope),
            level=asked.level,
        )
        return [acknowledged, *said]

    def _on_prepared(self, answer: Prepared, now_ns: int) -> list[Event]:
        """Take one member's answer; a restriction that only the member has heard refuses the start.

        It came while nobody was here to hear it and nothing could store it. Somebody was told that
        it is in force, so it stays so: said again by us, and only a person's reset takes it away.
        """
        state, said = self.state, list[Event]()
        is_due = self._starts.is_preparing(answer)
        unheard = [r for r in answer.unconfirmed if is_due and (r.scope, r.level) not in state.told]
        for each in unheard:
            reason = f"{answer.component} has it in force, and it was not heard here"
            asked = RestrictionRequested(
                at_ns=now_ns,
                src=SERVICE,
                level=each.level,
                scope=each.scope,
                reason=reason,
                operator=OWN + answer.component,
            )
            said += [asked, *self._fold(asked, now_ns)]
        if unheard:
            names = ", ".join(f"{each.level} of {each.scope}" for each in unheard)
            found = f"{names}, which {answer.component} alone had heard"
            wanted = "a look at it (it is in force): `sluice status`, then start again"
            error = FieldError(path="restrictions", found=found, wanted=wanted)
            said += self._starts.fail([error], now_ns)
        return [*said, *self._starts.on_prepared(answer, now_ns)]

    def _on_lock(self, asked: LockRequested, now_ns: int) -> list[Event]:
        """Lock, and halt if nobody has: who asks for a lock has said a halt first, or should."""
        before = self.state.locks
        self.state.apply(asked)
        return [] if self.state.locks == before else self._locked(asked, now_ns)

    def _locked(self, asked: LockRequested, now_ns: int) -> list[Event]:
        said = locking(self.state, asked, now_ns)
        said += self._starts.fail([locked(self.state)], now_ns)
        said += self._resets.fail([locked(self.state)], now_ns)
        if self.state.open_halt is not None:
            return said
        halt = halt_for_lock(f"locked by {asked.component}: {asked.reason}", now_ns)
        return [halt, *self._fold(halt, now_ns), *said]

    def _lock(self, code: str, reason: str, now_ns: int) -> list[Event]:
        """Lock because of what the arbiter itself has found: the halt first."""
        halt = halt_for_lock(reason, now_ns)
        asked = LockRequested(at_ns=now_ns, component=SERVICE, code=code, reason=reason)
        return [halt, asked, *self._fold(halt, now_ns), *self._on_lock(asked, now_ns)]

    def _fold(self, fact: _Forbidding, now_ns: int) -> list[Event]:
        """Fold in what forbids, and say what it changed; what is known already changes nothing."""
        state = self.state
        known, before, previous = state.restrictions, state.open_halt, state.word
        state.apply(fact)
        said: list[Event] = []
        if state.word is not previous:
            said.append(self._word_changed(previous, now_ns))
        if state.restrictions is not known:
            said.append(self._restricted(now_ns))
        if state.open_halt is not before:
            said += state.end_epoch(str(state.open_halt), now_ns)
            said += self._starts.fail([open_halt(state)], now_ns)
            said += self._resets.fail([open_halt(state)], now_ns)
        elif previous is BreakerState.RESETTING and said:
            said += self._resets.fail([self._tripped_again()], now_ns)
        return said

    def _word_changed(self, previous: BreakerState, now_ns: int) -> BreakerStateChanged:
        newest: OpenHalt | Restriction | None = self.state.open_halt
        if newest is None or newest.number != self.state.halts:
            newest = self.state.restriction(self.state.halts) or newest
        assert newest is not None, "only a halt or a restriction moves the word here"
        return BreakerStateChanged(
            at_ns=now_ns,
            previous=previous,
            state=self.state.word,
            reason=newest.reason,
            operator=newest.operator,
            halt=self.state.halts,
        )

    def _restricted(self, now_ns: int) -> RestrictionsChanged:
        newest = self.state.restriction(self.state.halts)
        assert newest is not None, "it was just put in force"
        return RestrictionsChanged(
            at_ns=now_ns,
            restrictions=self.state.in_force,
            reason=newest.reason,
            operator=newest.operator,
        )

    def _tripped_again(self) -> FieldError:
        newest = self.state.restriction(self.state.halts)
        assert newest is not None, "a trip ended the reset"
        wanted = f"no trip meanwhile: look at it, then {reset_command(newest.number)}"
        return FieldError(path="breaker", found=newest.reason, wanted=wanted)

    def _on_record(self, record: ControlRecordRead, now_ns: int) -> list[Event]:
        """Take in one record of the control stream: what nobody told us of, or an epoch."""
        before, why_lost = self.state.locks, self.state.why_rewritten(record)
        said = self._fold(record, now_ns)
        if self.state.locks != before:
            said += self._locked(record.locks[-1], now_ns)
        epoch = self.state.epoch
        is_foreign = epoch is not None and record.epoch > epoch.epoch
        if is_foreign and not self._starts.is_storing(record.epoch):
            reason = f"record {record.stream_seq} of the control stream starts another epoch"
            said += self.state.end_epoch(f"{reason}, {record.epoch}", now_ns)
        return [*said, *self._lost_tail(why_lost, now_ns)]

    def _lost_tail(self, why: str, now_ns: int) -> list[Event]:
        """Lock for that reason, if there is one, once: what is gone may have been a halt."""
        is_known = any(each.code == LOST_TAIL for each in self.state.locks)
        return [] if is_known or not why else self._lock(LOST_TAIL, why, now_ns)

    def _on_sequence(self, read: ControlSequenceRead, now_ns: int) -> list[Event]:
        """Answer what waited for this read; a stream that became shorter locks."""
        self.watch.disk_free_bytes = read.disk_free_bytes
        said = self._lost_tail(self.state.why_shorter(read), now_ns)
        said += self._leases.on_read(read, now_ns)
        said += self._starts.on_read(read, now_ns)
        said += self._resets.on_read(read, now_ns)
        said += self._unlocks.on_read(read, now_ns)
        return said

    def _on_health(self, health: HealthReported, now_ns: int) -> list[Event]:
        """Watch the recorder; a member that is another process than it was ends the epoch.

        Another gate beside one that goes on asking for its lease is a standby.
        """
        if health.service == "recorder":
            self.watch.on_recorder(health, now_ns)
        epoch = self.state.epoch
        member = None if epoch is None else epoch.members.get(health.service)
        if member is None or member.boot_id == health.boot_id:
            return []
        is_alive = self._leases.is_alive(health.service, member.boot_id, now_ns)
        if health.service == HAS_STANDBYS and is_alive:
            return []
        return self.state.end_epoch(f"{health.service} restarted", now_ns)

    def _on_gap(self, gap: GapSeen, now_ns: int) -> list[Event]:
        """A publisher that goes on below where it was is not the one it was: lock."""
        if gap.got_seq >= gap.expected_seq:
            return []
        why = (
            f"{gap.publisher} went on at {gap.got_seq} on {gap.subject}, where "
            f"{gap.expected_seq} was due"
        )
        return self._lock(COUNTS_BACK, why, now_ns)

    def _on_link(self, link: LinkChanged, now_ns: int) -> list[Event]:
        """After an outage, look for the halts that were stored meanwhile."""
        return [self._reads.ask(now_ns)] if link.is_up else []
