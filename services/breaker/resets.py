"""Reset: a person has seen the newest halt and permits a start again. It starts nothing."""

from schemas.base import NS_PER_MS, Event
from schemas.control import ControlAnswered, ControlSequenceRead, ResetAsked, ResetRequest
from schemas.errors import FieldError
from services.breaker.answers import no_answer, open_halt, refused, unread_records
from services.breaker.reads import Reads
from services.breaker.state import ControlState
from services.breaker.states import Trigger


class Resets:
    """The one reset that is under way, if any.

    Before it clears anything the control stream is read anew: a halt that was stored and that
    this person cannot have seen keeps everything halted (I7).
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
        if found := self._complaints(asked.request):
            return [refused("reset", asked.request_id, found, now_ns)]
        read = self._reads.ask(now_ns)
        self._asked, self._read_id = asked, read.read_id
        self._deadline_ns = now_ns + self._patience_ms * NS_PER_MS
        request = asked.request
        changed = self._state.change(
            Trigger.RESET_ASKED, now_ns, reason=request.reason, operator=request.operator
        )
        return [changed, read]

    def on_read(self, read: ControlSequenceRead, now_ns: int) -> list[Event]:
        """Clear the halt, unless the control stream holds more than was told."""
        asked = self._asked
        if asked is None or read.read_id < self._read_id:
            return []
        if unread := unread_records(read, self._state):
            return self.fail(unread, now_ns)
        self._asked = None
        request, tripped = asked.request, tuple(self._state.tripped)
        changed = self._state.change(
            Trigger.RESET_DONE, now_ns, reason=request.reason, operator=request.operator
        )
        anew = f"; measured anew from now on: {', '.join(tripped)}" if tripped else ""
        answer = ControlAnswered(
            at_ns=now_ns,
            request_id=asked.request_id,
            request="reset",
            is_ok=True,
            message=f"halt {request.halt} is cleared{anew}. Nothing was started: `sluice start`",
        )
        return [changed, answer]

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

    def _complaints(self, request: ResetRequest) -> list[FieldError]:
        if self._asked is not None:
            found = f"a reset by {self._asked.request.operator} is under way"
            return [FieldError(path="breaker", found=found, wanted="ask again in a moment")]
        newest = self._state.open_halt
        if newest is None:
            wanted = "an open halt; to trade, `sluice start`"
            return [FieldError(path="breaker", found="no halt is open", wanted=wanted)]
        found_all = [
            FieldError(path=f"$.{name}", found="nothing", wanted=wanted)
            for name, text, wanted in (
                ("operator", request.operator, "who resets"),
                ("reason", request.reason, "why it is safe to trade again"),
            )
            if not text.strip()
        ]
        if request.halt != newest.number:
            seen = open_halt(self._state)
            found_all.append(
                FieldError(
                    path="$.halt", found=str(request.halt), wanted=f"{seen.found}: {seen.wanted}"
                )
            )
        return found_all
