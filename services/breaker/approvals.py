"""How many people a start takes: one, or two different ones (`start_approvals`)."""

import msgspec

from schemas.base import NS_PER_S
from schemas.control import StartRequest
from schemas.errors import FieldError
from services.people import are_two, mixed, unlike


class Approvals:
    """Where two are needed, two different people must ask for the very same start.

    Who they are is what they say: see `services.people` for what that is worth.

    A halt between the two voids the first: it was given without having seen that halt (I7).

    Attributes:
        people: who asked for the start that was let through last, in the order of asking.
    """

    def __init__(self, needed: int, window_s: int) -> None:
        self.people: tuple[str, ...] = ()
        self._needed = needed
        self._window_s = window_s
        self._first: tuple[StartRequest, int, int] | None = None

    def complaint(self, request: StartRequest, halts: int, now_ns: int) -> FieldError | None:
        """Return that a second person is needed, and remember the first; None when all asked.

        Args:
            request: what is asked for.
            halts: number of the newest halt.
            now_ns: the time.
        """
        if self._needed == 1:
            self.people = (request.operator,)
            return None
        if (unclear := mixed("$.operator", request.operator)) is not None:
            return unclear
        first = self._waiting(request, halts, now_ns)
        if first is not None and are_two(first.operator, request.operator):
            self._first, self.people = None, (first.operator, request.operator)
            return None
        self._first = (request, now_ns, halts)
        unclear = None if first is None else unlike("$.operator", first.operator, request.operator)
        return unclear or FieldError(
            path="$.operator",
            found=f"asked by {request.operator} alone",
            wanted=f"a second person who asks for the same within {self._window_s} s",
        )

    def _waiting(self, request: StartRequest, halts: int, now_ns: int) -> StartRequest | None:
        """Return who asked for the same before, in time and with nothing halted since."""
        if self._first is None:
            return None
        first, first_ns, first_halts = self._first
        is_in_time = now_ns - first_ns < self._window_s * NS_PER_S and first_halts == halts
        return first if is_in_time and _what(first) == _what(request) else None


def _what(request: StartRequest) -> StartRequest:
    """Return what is asked for, without who asks and why."""
    return msgspec.structs.replace(request, operator="", reason="")
