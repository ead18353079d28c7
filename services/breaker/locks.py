"""Locks: what only a person can judge. Nothing is reset or started until one has unlocked it."""

from schemas.base import NS_PER_MS, Event
from schemas.control import ControlAnswered, ControlSequenceRead, HaltRequested
from schemas.errors import FieldError
from schemas.health import AlertRaised, Severity
from schemas.restrictions import LockRequested, LocksChanged, UnlockAsked, UnlockRequest
from services.breaker.answers import (
    newest_lock,
    no_answer,
    refused,
    reset_command,
    unlock_command,
    unread_records,
)
from services.breaker.reads import Reads
from services.breaker.state import OWN, SERVICE, ControlState
from services.people import blanks


class Unlocks:
    """The one unlock that is under way, if any.

    Before it takes anything away the control stream is read anew: a lock that was stored and
    that this person cannot have seen keeps everything locked, as with a reset (I7).
    """

    def __init__(self, state: ControlState, reads: Reads, patience_ms: int) -> None:
        self._state = state
        self._reads = reads
        self._patience_ms = patience_ms
        self._asked: UnlockAsked | None = None
        self._read_id = 0
        self._deadline_ns = 0

    @property
    def deadline_ns(self) -> int | None:
        """When the unlock under way is given up; None while there is none."""
        return None if self._asked is None else self._deadline_ns

    def on_asked(self, asked: UnlockAsked, now_ns: int) -> list[Event]:
        """Check the request, and read the control stream before believing it."""
        if found := self._under_way() or self._complaints(asked.request):
            return [refused("unlock", asked.request_id, found, now_ns)]
        read = self._reads.ask(now_ns)
        self._asked, self._read_id = asked, read.read_id
        self._deadline_ns = now_ns + self._patience_ms * NS_PER_MS
        return [read]

    def on_read(self, read: ControlSequenceRead, now_ns: int) -> list[Event]:
        """Take the locks away, unless one came that was not seen. A lost tail is accepted."""
        asked = self._asked
        if asked is None or read.read_id < self._read_id:
            return []
        self._asked = None
        found = self._complaints(asked.request)
        if read.last_seq > self._state.seq_read:
            found += unread_records(read, self._state)
        if found:
            return [refused("unlock", asked.request_id, found, now_ns)]
        request, numbers = asked.request, [str(each.number) for each in self._state.locks]
        changed = LocksChanged(
            at_ns=now_ns,
            locks=(),
            reason=request.reason,
            operator=request.operator,
            control_seq=read.last_seq,
        )
        self._state.apply(changed)
        gone = f"lock {', '.join(numbers)} taken away by {request.operator}: {request.reason}"
        return [changed, self._answer(asked, gone, now_ns), _audit(request, gone, now_ns)]

    def wake(self, now_ns: int) -> list[Event]:
        """Give up when the control stream has been silent too long."""
        asked = self._asked
        if asked is None or now_ns < self._deadline_ns:
            return []
        self._asked = None
        found = [no_answer("control stream", self._patience_ms)]
        return [refused("unlock", asked.request_id, found, now_ns)]

    def _answer(self, asked: UnlockAsked, gone: str, now_ns: int) -> ControlAnswered:
        halt = self._state.open_halt
        then = "`sluice start`" if halt is None else reset_command(halt.number)
        return ControlAnswered(
            at_ns=now_ns,
            request_id=asked.request_id,
            request="unlock",
            is_ok=True,
            message=f"{gone}. Nothing was reset or started: {then}",
        )

    def _under_way(self) -> list[FieldError]:
        if self._asked is None:
            return []
        found = f"an unlock by {self._asked.request.operator} is under way"
        wanted = "no unlock under way: ask again in a moment"
        return [FieldError(path="breaker", found=found, wanted=wanted)]

    def _complaints(self, request: UnlockRequest) -> list[FieldError]:
        if not self._state.locks:
            wanted = "a lock; to permit a start, `sluice reset`"
            return [FieldError(path="breaker", found="nothing is locked", wanted=wanted)]
        found_all = blanks(request.operator, request.reason, "unlocks", "what was looked into")
        if request.lock != self._state.locks[-1].number:
            wanted = f"the newest lock's number: {newest_lock(self._state)}"
            found_all.append(FieldError(path="$.lock", found=str(request.lock), wanted=wanted))
        return found_all


def halt_for_lock(reason: str, now_ns: int) -> HaltRequested:
    """Return the halt that this service asks for where there is a lock."""
    return HaltRequested(at_ns=now_ns, src=SERVICE, reason=reason, operator=f"{OWN}lock")


def locking(state: ControlState, asked: LockRequested, now_ns: int) -> list[Event]:
    """Return what is said of a lock that was just folded in, as the newest."""
    assert state.locks, "it was folded in"
    changed = LocksChanged(at_ns=now_ns, locks=state.locks, reason=asked.reason)
    newest = state.locks[-1]
    alert = AlertRaised(
        at_ns=now_ns,
        severity=Severity.CRITICAL,
        component=SERVICE,
        code="SLU-158",
        message=f"LOCKED by {asked.component}: {asked.reason}; look into it, then "
        + unlock_command(newest.number),
        fields={**asked.fields, "lock": str(newest.number), "code": asked.code},
    )
    return [changed, alert]


def _audit(request: UnlockRequest, gone: str, now_ns: int) -> AlertRaised:
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component=SERVICE,
        code="SLU-157",
        message=gone,
        fields={"lock": str(request.lock), "operator": request.operator, "reason": request.reason},
    )
