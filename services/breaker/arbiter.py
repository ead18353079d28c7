"""The arbiter: owns start, reset, epoch and lease. No other part of the system may start trading.

It follows the control protocol of the architecture: a start is stored on the CONTROL stream with
the sequence that its operator had seen, so that a halt stored meanwhile makes the server refuse
it; a lease is given only while that record is the newest there is. A restart never resumes.
"""

from collections.abc import Callable, Sequence
from typing import Any

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
)
from schemas.health import AlertRaised, HealthReported, LinkChanged, Severity
from services.breaker.answers import open_halt, reset_command
from services.breaker.config import BreakerConfig
from services.breaker.leases import Leases
from services.breaker.reads import Reads
from services.breaker.resets import Resets
from services.breaker.starts import Starts
from services.breaker.state import OWN, ControlState
from services.breaker.watch import Roster, Watch
from services.core import NOTHING

SERVICE = "breaker"
STREAM_BREAKER = "control"
"""The breaker that trips when the control stream has lost records it had."""


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
        self._leases = Leases(self.state, self._reads, self.watch)
        self._is_inherited = False
        self._answers: dict[type[Event], Callable[[Any, int], list[Event]]] = {
            HaltRequested: self._on_halt,
            StartAsked: self._starts.on_asked,
            Prepared: self._starts.on_prepared,
            EpochStored: self._starts.on_stored,
            EpochRefused: self._starts.on_refused,
            ResetAsked: self._resets.on_asked,
            LeaseAsked: self._leases.on_asked,
            ControlRecordRead: self._on_record,
            ControlSequenceRead: self._on_sequence,
            HealthReported: self._on_health,
            LinkChanged: self._on_link,
        }

    @property
    def hears(self) -> frozenset[type[Event]]:
        """The events it answers."""
        return frozenset(self._answers)

    @property
    def deadline_ns(self) -> int | None:
        """When it must be woken next; None while it waits for nobody."""
        due = [d for d in (self._starts.deadline_ns, self._resets.deadline_ns) if d is not None]
        return 0 if self._is_inherited else min(due, default=None)

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Return what follows from one control event."""
        answer = self._answers.get(type(event))
        if answer is None:
            return NOTHING
        said = answer(event, now_ns)
        return [*said, *self._alerts(said, now_ns)] if said else NOTHING

    def wake(self, now_ns: int) -> list[Event]:
        """Give up what has waited too long; end the epoch of the process before this one."""
        said: list[Event] = []
        if self._is_inherited:
            self._is_inherited = False
            said += self.state.end_epoch("the breaker service restarted", now_ns)
            said += self._alerts(said, now_ns)
        return [*said, *self._starts.wake(now_ns), *self._resets.wake(now_ns)]

    def restore(self, event: Event) -> None:
        """Fold one kept event in. A reset that was under way is not one: the halt stands."""
        match event:
            case BreakerStateChanged(state=BreakerState.RESETTING):
                pass
            case _:
                self.state.apply(event)
        self._is_inherited = self.state.epoch is not None

    def trip(self, trip: BreakerTripped, now_ns: int) -> list[Event]:
        """Return the halt that goes out with a trip, before anything else is said."""
        halt = HaltRequested(at_ns=now_ns, reason=trip.reason, operator=OWN + trip.breaker)
        alert = AlertRaised(
            at_ns=now_ns,
            severity=Severity.CRITICAL,
            component=SERVICE,
            code="SLU-150",
            message=f"breaker {trip.breaker} tripped: {trip.reason}",
            fields={"breaker": trip.breaker, "value": trip.value, "limit": trip.limit},
        )
        self.state.apply(trip)
        return [halt, trip, *self._halt(halt, now_ns), alert]

    def why_not_leasing(self, now_ns: int) -> str:
        """Return why nobody may trade now; empty while leases are given."""
        if self.state.open_halt is not None:
            return f"{self.state.open_halt}: look at it, then {reset_command(self.state)}"
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
        said = self._halt(halt, now_ns)
        acknowledged = HaltAcknowledged(
            at_ns=now_ns,
            component=SERVICE,
            boot_id=self._boot_id,
            halts=self.state.halts,
            fence=self.state.epoch_max,
        )
        return [acknowledged, *said]

    def _halt(self, fact: HaltRequested | ControlRecordRead, now_ns: int) -> list[Event]:
        """Fold a halt in, and say what it ended; one that is known already ends nothing."""
        before, previous = self.state.halts, self.state.word
        self.state.apply(fact)
        newest = self.state.open_halt
        if self.state.halts == before or newest is None:
            return []
        said: list[Event] = []
        if self.state.word is not previous:
            changed = BreakerStateChanged(
                at_ns=now_ns,
                previous=previous,
                state=self.state.word,
                reason=newest.reason,
                operator=newest.operator,
                halt=newest.number,
            )
            said.append(changed)
        said += self.state.end_epoch(str(newest), now_ns)
        said += self._starts.fail([open_halt(self.state)], now_ns)
        said += self._resets.fail([open_halt(self.state)], now_ns)
        return said

    def _on_record(self, record: ControlRecordRead, now_ns: int) -> list[Event]:
        """Take in one record of the control stream: a halt nobody told us of, or an epoch."""
        said = self._halt(record, now_ns)
        epoch = self.state.epoch
        is_foreign = epoch is not None and record.epoch > epoch.epoch
        if is_foreign and not self._starts.is_storing(record.epoch):
            reason = f"record {record.stream_seq} of the control stream starts another epoch"
            said += self.state.end_epoch(f"{reason}, {record.epoch}", now_ns)
        return said

    def _on_sequence(self, read: ControlSequenceRead, now_ns: int) -> list[Event]:
        """Answer what waited for this read; a stream that became shorter trips."""
        self.watch.disk_free_bytes = read.disk_free_bytes
        said: list[Event] = []
        if read.last_seq < self.state.seq_max and STREAM_BREAKER not in self.state.tripped:
            said += self.trip(self._lost_tail(read, now_ns), now_ns)
        said += self._leases.on_read(read, now_ns)
        said += self._starts.on_read(read, now_ns)
        said += self._resets.on_read(read, now_ns)
        return said

    def _lost_tail(self, read: ControlSequenceRead, now_ns: int) -> BreakerTripped:
        seen = self.state.seq_max
        return BreakerTripped(
            at_ns=now_ns,
            breaker=STREAM_BREAKER,
            reason=f"the control stream ends at record {read.last_seq}, and record {seen} was seen:"
            " its tail is lost",
            value=str(read.last_seq),
            limit=str(seen),
        )

    def _on_health(self, health: HealthReported, now_ns: int) -> list[Event]:
        """Watch the recorder; a member that is another process than it was ends the epoch."""
        if health.service == "recorder":
            self.watch.on_recorder(health, now_ns)
        epoch = self.state.epoch
        member = None if epoch is None else epoch.members.get(health.service)
        if member is None or member.boot_id == health.boot_id:
            return []
        return self.state.end_epoch(f"{health.service} restarted", now_ns)

    def _on_link(self, link: LinkChanged, now_ns: int) -> list[Event]:
        """After an outage, look for the halts that were stored meanwhile."""
        return [self._reads.ask(now_ns)] if link.is_up else []
