"""Whether a component may go on for another second: yes only while nothing speaks against it."""

from schemas.base import BootId, Event
from schemas.control import ControlSequenceRead, EpochStarted, LeaseAnswered, LeaseAsked
from services.breaker.answers import locked
from services.breaker.reads import Reads
from services.breaker.state import SERVICE, ControlState
from services.breaker.watch import Watch
from services.control import LEASE_NS

LIFE_NS = LEASE_NS + LEASE_NS // 100
"""Once this has passed since a yes, its lease has lapsed by the asker's clock too: it counts from
the question, and no two clocks differ in pace by one in a hundred."""


class Leases:
    """Questions that wait for a read of the control stream; at most one for each component.

    No component has two holders: one that was replaced may live on where nobody hears it, and sends
    in its old epoch until its lease lapses, after orders of a newer one (I5). Its successor waits.
    """

    def __init__(self, state: ControlState, reads: Reads, watch: Watch) -> None:
        self._state = state
        self._reads = reads
        self._watch = watch
        self._waiting: dict[str, tuple[LeaseAsked, int]] = {}
        self._asked: dict[str, tuple[BootId, int]] = {}  # by component: who last, and when
        self._given: dict[str, dict[BootId, int]] = {}  # by component: to whom, and when last
        self._given_before_ns: int | None = None  # by another process, to nobody knows whom

    def inherit(self, now_ns: int) -> None:
        """Remember that the process before this one may have given leases until now."""
        self._given_before_ns = now_ns

    def is_alive(self, component: str, boot_id: BootId, now_ns: int) -> bool:
        """Whether this very process has asked for a lease within the life of one."""
        asked, asked_ns = self._asked.get(component, (BootId(""), 0))
        return asked == boot_id and now_ns - asked_ns < LEASE_NS

    def on_asked(self, question: LeaseAsked, now_ns: int) -> list[Event]:
        """Note the question, and read the control stream before answering it."""
        said: list[Event] = []
        self._asked[question.component] = (question.boot_id, now_ns)
        epoch = self._state.epoch
        is_asked_for = epoch is not None and question.epoch == epoch.epoch
        if epoch is not None and is_asked_for and question.component in epoch.members:
            over = why_epoch_is_over(question, epoch)
            said += self._state.end_epoch(over, now_ns) if over else []
        read = self._reads.ask(now_ns)
        self._waiting[question.component] = (question, read.read_id)
        return [*said, read]

    def on_read(self, read: ControlSequenceRead, now_ns: int) -> list[Event]:
        """Answer every question that came before this read began."""
        ready = [name for name, (_, asked_id) in self._waiting.items() if asked_id <= read.read_id]
        return [self._answer(self._waiting.pop(name)[0], read, now_ns) for name in ready]

    def _answer(
        self, question: LeaseAsked, read: ControlSequenceRead, now_ns: int
    ) -> LeaseAnswered:
        why_not = (
            why_no_lease(question, read, self._state)
            or "; ".join(f"{each.path}: {each.found}" for each in self._watch.complaints(now_ns))
            or self._why_wait(question, now_ns)
        )
        if not why_not:
            self._given.setdefault(question.component, {})[question.boot_id] = now_ns
        return LeaseAnswered(
            at_ns=now_ns,
            component=question.component,
            boot_id=question.boot_id,
            epoch=question.epoch,
            asked_ns=question.at_ns,
            is_granted=not why_not,
            reason=why_not,
            restrictions=self._state.in_force,
        )

    def _why_wait(self, question: LeaseAsked, now_ns: int) -> str:
        """Return who else may still hold a lease of the asker's component; empty if nobody can."""
        before_ns, since_ns = self._given_before_ns, now_ns - LIFE_NS
        if before_ns is not None and before_ns > since_ns:
            return f"a lease given before the {SERVICE} service restarted may not have lapsed yet"
        given = self._given.get(question.component, {})
        for boot_id, given_ns in list(given.items()):
            if given_ns <= since_ns:
                del given[boot_id]
            elif boot_id != question.boot_id:
                return f"{question.component} {boot_id} may still hold the lease it was given"
        return ""


def why_epoch_is_over(question: LeaseAsked, epoch: EpochStarted) -> str:
    """Return why the asker no longer is the member that `epoch` was started for; empty if it is."""
    member = epoch.members.get(question.component)
    if member is None:
        return f"{question.component} has no part in epoch {epoch.epoch}"
    if member.boot_id != question.boot_id:
        return f"{question.component} restarted"
    if member.halts != question.halts:
        return (
            f"{question.component} has heard {question.halts} halts; "
            f"at the start it was {member.halts}"
        )
    return ""


def why_no_lease(question: LeaseAsked, read: ControlSequenceRead, state: ControlState) -> str:
    """Return what speaks against a lease; empty when nothing does.

    A restriction does not end an epoch: its records may follow the epoch's own, once they are
    folded in, for the answer carries them. `read` must have begun after the question came: a halt
    stored before it is then in it (I6).
    """
    if state.locks:
        return locked(state).found
    if state.open_halt is not None:
        return str(state.open_halt)
    epoch = state.epoch
    if epoch is None:
        return "no epoch is in force: start with `sluice start`"
    if question.epoch != epoch.epoch:
        return f"epoch {question.epoch} is not in force, epoch {epoch.epoch} is"
    if over := why_epoch_is_over(question, epoch):
        return f"{over}: start again with `sluice start`"
    is_start = (read.last_seq, read.epoch) == (epoch.stream_seq, epoch.epoch)
    if is_start or (read.last_seq > epoch.stream_seq and read.last_seq == state.seq_leased):
        return ""
    return (
        f"the newest control record is {read.last_seq}: neither the start of epoch {epoch.epoch} "
        f"(record {epoch.stream_seq}) nor a restriction after it"
    )
