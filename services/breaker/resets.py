"""Reset: a person has seen a halt, or a restriction, and takes it away. It starts nothing."""

from schemas.base import NS_PER_MS, Event
from schemas.control import (
    ControlAnswered,
    ControlSequenceRead,
    ResetAsked,
    ResetRequest,
)
from schemas.errors import FieldError
from schemas.restrictions import Restriction, RestrictionsChanged
from services.breaker.answers import (
    locked,
    no_answer,
    refused,
    reset_command,
    unread_records,
)
from services.breaker.reads import Reads
from services.breaker.state import ControlState
from services.breaker.states import Trigger
from services.people import blanks


class Resets:
    """The one reset that is under way, if any.

    Before it clears anything the control stream is read anew: a halt that was stored and that
    this person cannot have seen keeps everything halted (I7). A reset names one number: that of
    the newest halt, which clears all halts, or that of one restriction, which clears that one.
    """

    def __init__(self, state: ControlState, reads: Reads, patience_ms: int) -> None:
        self._state = state
        self._reads = reads
        self._patience_ms = patience_ms
        self._asked: ResetAsked | None = None
        self._read_id = 0
        self._deadline_ns = 0

    @property
    def deadline_ns(self) -> int | None:
        """When the reset under way is given up; None while there is none."""
        return None if self._asked is None else self._deadline_ns

    def on_asked(self, asked: ResetAsked, now_ns: int) -> list[Event]:
        """Check the request, and read the control stream before believing it."""
        if found := self._under_way() or self._complaints(asked.request):
            return [refused("reset", asked.request_id, found, now_ns)]
        read = self._reads.ask(now_ns)
        self._asked, self._read_id = asked, read.read_id
        self._deadline_ns = now_ns + self._patience_ms * NS_PER_MS
        request = asked.request
        if not self._state.clears_word(request.halt):
            return [read]
        changed = self._state.change(
            Trigger.RESET_ASKED, now_ns, reason=request.reason, operator=request.operator
        )
        return [changed, read]

    def on_read(self, read: ControlSequenceRead, now_ns: int) -> list[Event]:
        """Clear what was named, unless the control stream holds more than was told."""
        asked = self._asked
        if asked is None or read.read_id < self._read_id:
            return []
        request, state = asked.request, self._state
        if found := unread_records(read, state) or self._complaints(request):
            return self.fail(found, now_ns)
        named, undone = state.restriction(request.halt), state.undone_by(request.halt)
        tripped = dict.fromkeys(name for name, response in state.tripped if response in undone)
        self._asked = None
        said: list[Event] = []
        if state.is_resetting:
            said.append(
                state.change(
                    Trigger.RESET_DONE, now_ns, reason=request.reason, operator=request.operator
                )
            )
        anew = f"; measured anew from now on: {', '.join(tripped)}" if tripped else ""
        what = f"halt {request.halt} is cleared{anew}. Nothing was started: `sluice start`"
        if named is not None:
            said.append(self._without(named, request, now_ns))
            what = self._lifted(named, anew)
        return [*said, _done(asked, what, now_ns)]

    def fail(self, found: list[FieldError], now_ns: int) -> list[Event]:
        """End the reset under way, if there is one: what was halted stays halted."""
        asked, self._asked = self._asked, None
        if asked is None:
            return []
        said: list[Event] = []
        if self._state.is_resetting:
            stands = Trigger.HALT_STANDS if self._state.is_manual else Trigger.TRIP_STANDS
            reason = f"reset refused: {found[0].path}: {found[0].found}"
            said.append(self._state.change(stands, now_ns, reason=reason))
        return [*said, refused("reset", asked.request_id, found, now_ns)]

    def wake(self, now_ns: int) -> list[Event]:
        """Give up when the control stream has been silent too long."""
        if self._asked is None or now_ns < self._deadline_ns:
            return []
        return self.fail([no_answer("control stream", self._patience_ms)], now_ns)

    def _without(
        self, named: Restriction, request: ResetRequest, now_ns: int
    ) -> RestrictionsChanged:
        left = tuple(each for each in self._state.in_force if each.number != named.number)
        changed = RestrictionsChanged(
            at_ns=now_ns, restrictions=left, reason=request.reason, operator=request.operator
        )
        self._state.apply(changed)
        return changed

    def _lifted(self, named: Restriction, anew: str) -> str:
        what = f"restriction {named.number} ({named.level} of {named.scope}) is cleared"
        if self._state.epoch is None:
            return f"{what}{anew}. Nothing was started: `sluice start`"
        until = "from the next start on; until then it stands"
        return f"{what} {until}{anew}. Start again: `sluice start`"

    def _under_way(self) -> list[FieldError]:
        if self._asked is None:
            return []
        found = f"a reset by {self._asked.request.operator} is under way"
        wanted = "no reset under way: ask again in a moment"
        return [FieldError(path="breaker", found=found, wanted=wanted)]

    def _complaints(self, request: ResetRequest) -> list[FieldError]:
        state = self._state
        if state.locks:
            return [locked(state)]
        if state.open_halt is None and not state.restrictions:
            wanted = "an open halt or a restriction; to trade, `sluice start`"
            return [FieldError(path="breaker", found="no halt is open", wanted=wanted)]
        found_all = blanks(
            request.operator, request.reason, "resets", "why it is safe to trade again"
        )
        is_named = state.restriction(request.halt) is not None
        if state.open_halt is not None:
            is_named = is_named or request.halt == state.open_halt.number
        if not is_named:
            wanted = f"a number that is open: {self._choices()}"
            found_all.append(FieldError(path="$.halt", found=str(request.halt), wanted=wanted))
        return found_all

    def _choices(self) -> str:
        """Return what could have been named, with the command for it."""
        said: list[str] = []
        if (halt := self._state.open_halt) is not None:
            said.append(f"{halt}: look at it, then {reset_command(halt.number)}")
        said += [
            f"restriction {each.number} is open ({each.level} of {each.scope} by "
            f"{each.operator or 'unknown'}: {each.reason or 'no reason given'}): "
            f"{reset_command(each.number)}"
            for each in self._state.in_force
        ]
        return "; ".join(said)


def _done(asked: ResetAsked, message: str, now_ns: int) -> ControlAnswered:
    return ControlAnswered(
        at_ns=now_ns,
        request_id=asked.request_id,
        request="reset",
        is_ok=True,
        message=message,
    )
