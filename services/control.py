"""The control protocol as one component keeps it: may it act now, and if not, why not.

Gate and executor each own a guard. In `live` the guard is told by the control link, on its own
thread and connection, and the component's core only reads it; in `fused` and `sim` it is a core
like any other. The rules are those of the control protocol in the architecture (I1, I3, I4, I6).
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from schemas.base import (
    NS_PER_MS,
    NS_PER_S,
    AccountId,
    BootId,
    Event,
    InstrumentId,
    SessionId,
)
from schemas.control import (
    EpochEnded,
    EpochStarted,
    HaltAcknowledged,
    HaltRequested,
    LeaseAnswered,
    LeaseAsked,
    Member,
    TradingState,
)
from schemas.health import HealthReported, LinkChanged
from schemas.restrictions import (
    ALL,
    Level,
    LocksChanged,
    Restriction,
    RestrictionAcknowledged,
    RestrictionRequested,
    known_scope,
    scopes_over,
)
from services.core import NOTHING
from services.tellers import Executors

LEASE_NS = NS_PER_S
"""A yes is good for this long, from the time it was asked for."""

ASK_EVERY_NS = 250 * NS_PER_MS
LAPSES_MAX = 3
LAPSE_WINDOW_NS = 60 * NS_PER_S
LEASE_UNLIMITED_NS = 1 << 62
"""For `fused`, where no message can be late: the first yes is good for ever."""


class ControlGuard:
    """Whether one component may act. Boots HALTED; only an epoch that names it arms it.

    Attributes:
        halts: halts heard since this process started.
        fence: highest epoch that will never be served again.
        epoch: highest epoch accepted; served only while it is above `fence`.
        epoch_max: highest epoch ever seen, accepted or not.
        gate_token: fencing token of the epoch's gate.
        restrictions: what is forbidden beside a halt, by scope and level; it is replaced and
            never changed, for a core reads it on another thread.
        restriction_count: restrictions heard since this process started.
        executors: whose word on orders and positions counts.
        is_locked: whether the arbiter said last that a person must unlock; for people to see.
        anothers_until_ns: until when another process of this component has a lease, as was heard.
    """

    hears: frozenset[type[Event]] = frozenset(
        {
            HaltRequested,
            RestrictionRequested,
            EpochStarted,
            EpochEnded,
            LeaseAnswered,
            LinkChanged,
            LocksChanged,
        }
    )
    keeps: frozenset[type[Event]] = frozenset()

    def __init__(
        self, component: str, boot_id: BootId, limits_hash: str = "", *, lease_ns: int = LEASE_NS
    ) -> None:
        self.component = component
        self.boot_id = boot_id
        self.limits_hash = limits_hash
        self.wake_at_ns: int | None = None
        self.halts = 0
        self.fence = 0
        self.epoch = 0
        self.epoch_max = 0
        self.gate_token = 0
        self.is_link_up = True
        self.lease_until_ns = 0
        self.anothers_until_ns = 0
        self.restrictions: Mapping[tuple[str, Level], Restriction] = {}
        self.restriction_count = 0
        self.is_locked = False
        self.executors = Executors()
        self._heard: dict[tuple[str, Level], int] = {}  # as the how-manieth
        self._lease_ns = lease_ns
        self._has_been_leased = False
        self._asks_at_ns = 0
        self._linked_at_ns = 0
        self._lapsed_at_ns: deque[int] = deque(maxlen=LAPSES_MAX)

    @property
    def is_halted(self) -> bool:
        """Whether there is no epoch to serve."""
        return self.epoch <= self.fence

    def permits(self, now_ns: int) -> str:
        """Return why nothing may be sent at `now_ns`; empty when it may be."""
        if self.epoch <= self.fence:
            return "halted"
        if not self.is_link_up:
            return "control link down"
        if now_ns >= self.lease_until_ns:
            return "no lease"
        return ""

    def is_anothers(self, now_ns: int) -> bool:
        """Return whether another process has this component's lease, as far as was heard."""
        return now_ns < self.anothers_until_ns

    def is_stranger(self, teller: str, now_ns: int) -> bool:
        """Return whether it is another executor than the one whose word counts.

        Without a lease nothing can be sent, and the epoch may be over: then any may be the next.
        """
        return self.executors.is_stranger(teller, is_in_force=not self.permits(now_ns))

    def trading_state(self, now_ns: int) -> TradingState:
        """Return the state word for people; a lapsed lease shows as ARMED."""
        if self.is_halted:
            return TradingState.LOCKED if self.is_locked else TradingState.HALTED
        if self.permits(now_ns):
            return TradingState.ARMED
        is_reducing = (ALL, Level.REDUCE) in self.restrictions
        return TradingState.REDUCING if is_reducing else TradingState.RUNNING

    def restriction_on(
        self, account: AccountId, session: SessionId, instrument: InstrumentId
    ) -> Restriction | None:
        """Return the strongest restriction that an order of these is under, the widest of them."""
        known = self.restrictions
        scopes = scopes_over(account, session, instrument) if known else ()
        for level in (Level.HALT, Level.REDUCE):
            for scope in scopes:
                if (found := known.get((scope, level))) is not None:
                    return found
        return None

    def restrictions_on(
        self, account: AccountId, session: SessionId, instrument: InstrumentId
    ) -> list[Restriction]:
        """Return every restriction that an order of these is under: halts first, widest first."""
        known = self.restrictions  # once: another thread changes it
        scopes = scopes_over(account, session, instrument)
        keys = [(scope, level) for level in (Level.HALT, Level.REDUCE) for scope in scopes]
        return [known[key] for key in keys if key in known]

    def session_reduced(self, session: SessionId) -> Restriction | None:
        """Return the REDUCE of the session alone, which a wider one does not take the place of."""
        return self.restrictions.get((f"session.{session}", Level.REDUCE))

    def unconfirmed(self) -> tuple[Restriction, ...]:
        """Return what was heard since the newest epoch, and came in no word of the arbiter's."""
        heard = (self.restrictions[key] for key in self._heard)
        return tuple(each for each in heard if not each.number)

    def restrict(self, scope: str, level: Level) -> None:
        """Forbid, now: before a byte is decoded, like a halt. An unknown scope is everything."""
        key = (known_scope(scope), level)
        self.restriction_count += 1
        if key == (ALL, Level.HALT):
            self.halt()
            return
        self._heard[key] = self.restriction_count
        more = [Restriction(scope=scope, level=level)]
        self.restrictions = self._with(self.restrictions, more)

    def restriction_acknowledgement(
        self, scope: str, level: Level, now_ns: int
    ) -> RestrictionAcknowledged:
        """Return what to publish once nothing that it forbids can be sent any more."""
        return RestrictionAcknowledged(
            at_ns=now_ns,
            component=self.component,
            boot_id=self.boot_id,
            scope=scope,
            level=level,
        )

    def halt(self) -> None:
        """Halt, now: before a byte is decoded, without storage, whoever asked (I10)."""
        self.fence = max(self.fence, self.epoch)
        self.halts += 1
        self.lease_until_ns = 0
        self.wake_at_ns = None

    def acknowledgement(self, now_ns: int) -> HaltAcknowledged:
        """Return what to publish once nothing of an earlier epoch can be sent any more."""
        return HaltAcknowledged(
            at_ns=now_ns,
            component=self.component,
            boot_id=self.boot_id,
            halts=self.halts,
            fence=self.fence,
        )

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one control event in; a halt is acknowledged, a new epoch asks for its lease."""
        match event:
            case HaltRequested():
                self.halt()
                return [self.acknowledgement(now_ns)]
            case RestrictionRequested(scope=scope, level=level):
                self.restrict(scope, level)
                return [self.restriction_acknowledgement(scope, level, now_ns)]
            case EpochStarted():
                return self._on_epoch(event, now_ns)
            case EpochEnded(epoch=epoch) if epoch == self.epoch:
                self._end_epoch(epoch)
            case LeaseAnswered():
                self._note_holder(event, now_ns)
                self._on_lease(event)
            case LinkChanged(is_up=is_up):
                self._on_link(is_up, now_ns)
            case LocksChanged(locks=locks):
                self.is_locked = bool(locks)
        return NOTHING

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Ask for the lease when it is time; count a lapse; the third in a minute halts."""
        if self._has_been_leased and now_ns >= self.lease_until_ns:
            self._has_been_leased = False
            self._lapsed_at_ns.append(now_ns)
            oldest_ns = self._lapsed_at_ns[0]
            if len(self._lapsed_at_ns) == LAPSES_MAX and now_ns - oldest_ns < LAPSE_WINDOW_NS:
                self.halt()
                reason = f"{self.component}: the lease lapsed {LAPSES_MAX} times in a minute"
                halt = HaltRequested(at_ns=now_ns, reason=reason, operator=self.component)
                return [halt, self.acknowledgement(now_ns)]
        said: Sequence[Event] = NOTHING
        if now_ns >= self._asks_at_ns:
            said = [self._question(now_ns)]
            self._asks_at_ns = now_ns + ASK_EVERY_NS
        self._set_alarm()
        return said

    def restore(self, event: Event) -> None:
        """Nothing is kept: every process boots HALTED."""
        raise AssertionError("the guard keeps no events")

    def describe(self, now_ns: int) -> HealthReported:
        """Return the control part of this component's health."""
        until_ns = self.lease_until_ns  # once: another thread changes it
        return HealthReported(
            at_ns=now_ns,
            service=self.component,
            boot_id=self.boot_id,
            pid=0,
            uptime_s=0.0,
            is_ready=True,
            trading_state=self.trading_state(now_ns),
            epoch=self.epoch,
            halts=self.halts,
            lease_age_ms=(
                (now_ns - until_ns + self._lease_ns) / NS_PER_MS if now_ns < until_ns else None
            ),
        )

    def _on_epoch(self, event: EpochStarted, now_ns: int) -> Sequence[Event]:
        """Arm for an epoch that is new, names this very process, and no halt has overtaken (I4)."""
        highest = max(self.epoch, self.fence)
        self.epoch_max = max(self.epoch_max, event.epoch)
        member = event.members.get(self.component)
        if event.epoch <= highest:
            return NOTHING
        self.executors.name(event)
        if member is None or member.boot_id != self.boot_id or member.halts != self.halts:
            self._end_epoch(self.epoch)  # a newer one that is not ours ends the one we serve
            self._heard.clear()  # it was decided with what there was to be told
            return NOTHING
        # The epoch comes last: a core reads on another thread, and an old lease is none for it.
        self.lease_until_ns, self._has_been_leased = 0, False
        self.gate_token = event.gate_token
        self._restrict_anew(event, member)
        if member.halts != self.halts:
            return NOTHING
        self.is_locked = False
        self.epoch = event.epoch
        self._asks_at_ns = now_ns + ASK_EVERY_NS
        self._set_alarm()
        return [self._question(now_ns)]

    def _end_epoch(self, epoch: int) -> None:
        """Serve this epoch no more: that its lease lapses then is no sign of trouble."""
        self.fence = max(self.fence, epoch)
        self.lease_until_ns, self.wake_at_ns = 0, None

    def _restrict_anew(self, event: EpochStarted, member: Member) -> None:
        """Take over the epoch's restrictions, and keep what was heard after preparing for it.

        The epoch was decided on what the arbiter knew then; what came since may not be in it.
        """
        since = member.restriction_count
        self._heard = {key: count for key, count in self._heard.items() if count > since}
        kept = {key: self.restrictions[key] for key in self._heard}
        self.restrictions = self._with(kept, event.restrictions)

    def _with(
        self, known: Mapping[tuple[str, Level], Restriction], more: Iterable[Restriction]
    ) -> Mapping[tuple[str, Level], Restriction]:
        """Return what is in force with `more` of them; one of everything is a halt."""
        found = dict(known)
        for each in more:
            key = (known_scope(each.scope), each.level)
            if key == (ALL, Level.HALT):
                self.halt()
            elif key not in found or found[key].number < each.number:
                found[key] = each
        return found

    def _on_link(self, is_up: bool, now_ns: int) -> None:
        """Deny while nothing can be heard; what passed unheard may have been a halt.

        Only a lease asked for after the link came back counts: its answer knows of every halt.
        """
        self.is_link_up = is_up
        if is_up:
            self._linked_at_ns = now_ns
        else:
            self.lease_until_ns = 0

    def _note_holder(self, answer: LeaseAnswered, now_ns: int) -> None:
        """Note that another process has this component's lease: one has it at a time."""
        is_here = answer.component == self.component
        if is_here and answer.is_granted and answer.boot_id != self.boot_id:
            self.anothers_until_ns = now_ns + self._lease_ns

    def _on_lease(self, answer: LeaseAnswered) -> None:
        is_mine = answer.boot_id == self.boot_id and answer.component == self.component
        if not is_mine or answer.epoch != self.epoch or self.is_halted:
            return
        if answer.restrictions:
            self.restrictions = self._with(self.restrictions, answer.restrictions)
        if not answer.is_granted:
            self.lease_until_ns = 0
            return
        if answer.asked_ns < self._linked_at_ns:
            return
        until_ns = answer.asked_ns + self._lease_ns
        if until_ns > self.lease_until_ns:
            self.lease_until_ns = until_ns
            self._has_been_leased = True
            self._set_alarm()

    def _question(self, now_ns: int) -> LeaseAsked:
        return LeaseAsked(
            at_ns=now_ns,
            component=self.component,
            boot_id=self.boot_id,
            epoch=self.epoch,
            halts=self.halts,
        )

    def _set_alarm(self) -> None:
        if self._lease_ns == LEASE_UNLIMITED_NS:
            self.wake_at_ns = None
        elif self._has_been_leased:
            self.wake_at_ns = min(self._asks_at_ns, self.lease_until_ns)
        else:
            self.wake_at_ns = self._asks_at_ns
