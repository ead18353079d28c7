"""How many people a start takes: one, or two different ones (`start_approvals`)."""

import msgspec

from schemas.base import NS_PER_S
from schemas.control import StartRequest
from schemas.errors import FieldError


class Approvals:
    """Where two are needed, two different people must ask for the very same start."""

    def __init__(self, needed: int, window_s: int) -> None:
        self._needed = needed
        self._window_s = window_s
        self._first: tuple[StartRequest, int] | None = None

    def complaint(self, request: StartRequest, now_ns: int) -> FieldError | None:
        """Return that a second person is needed, and remember the first; None when all asked."""
        if self._needed == 1:
            return None
        if self._first is not None:
            first, first_ns = self._first
            is_in_time = now_ns - first_ns < self._window_s * NS_PER_S
            is_second = request.operator != first.operator
            if is_in_time and is_second and _what(first) == _what(request):
                self._first = None
                return None
        self._first = (request, now_ns)
        return FieldError(
            path="$.operator",
            found=f"asked by {request.operator} alone",
            wanted=f"a second person who asks for the same within {self._window_s} s",
        )


def _what(request: StartRequest) -> StartRequest:
    """Return what is asked for, without who asks and why."""
    return msgspec.structs.replace(request, operator="", reason="")
