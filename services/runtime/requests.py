"""Requests that people write by hand, and the way back of their answers."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from schemas.base import Event
from schemas.control import ControlAnswered
from schemas.errors import FieldError
from schemas.wire import decode_request

REPLIES_MAX = 1_024
"""Answers waited for at once; beyond it the oldest is forgotten and goes to `control.result`."""

REPLY_PREFIX = "_INBOX."
"""Where an answer may be sent. Any subject would let an asker publish with our rights."""


class RequestKind(NamedTuple):
    """What is decoded on one request subject, and the event it becomes."""

    kind: type[msgspec.Struct]
    """The strict Struct; one field too many refuses the request."""

    make: Callable[[str, Any, int], Event]
    """Returns the event for (request id, decoded request, now_ns)."""

    name: str
    """What the answer calls it: `start`, `reset`, `stop`, `pause`, `resume`."""

    is_answered: bool = True
    """False where another service answers, and this one only has to know."""


class Requests:
    """The requests one service takes, and who waits for an answer.

    Args:
        kinds: by subject.
        prefix: makes request ids unique on the bus.
    """

    def __init__(self, kinds: Mapping[str, RequestKind], prefix: str) -> None:
        self.kinds = kinds
        self._prefix = prefix
        self._count = 0
        self._replies: dict[str, str] = {}

    def read(self, data: bytes, *, subject: str, reply: str, now_ns: int) -> Event | None:
        """Return the event a request becomes; where it cannot be read, the answer saying so.

        None where it cannot be read and another service says so.
        """
        kind = self.kinds[subject]
        self._count += 1
        request_id = f"{self._prefix}-{self._count}"
        if kind.is_answered and reply.startswith(REPLY_PREFIX):
            self._replies[request_id] = reply
            if len(self._replies) > REPLIES_MAX:
                del self._replies[next(iter(self._replies))]
        request = decode_request(data, kind.kind)
        if not isinstance(request, FieldError):
            return kind.make(request_id, request, now_ns)
        if not kind.is_answered:
            return None
        return ControlAnswered(
            at_ns=now_ns,
            request_id=request_id,
            request=kind.name,
            is_ok=False,
            message=f"the {kind.name} request cannot be read; nothing was done",
            errors=(request,),
        )

    def reply_for(self, answer: ControlAnswered) -> str:
        """Return where else `answer` goes, once; empty when nobody waits for it."""
        return self._replies.pop(answer.request_id, "")
