"""From the bytes of one message to the events a core is told."""

import base64
from collections.abc import Sequence

from schemas.base import Event
from schemas.errors import WireError
from schemas.health import DeadLettered
from schemas.subjects import subject_of
from schemas.wire import decode, halt_from, is_halting

DEAD_LETTER_BYTES_MAX = 4_096


def read_events(data: bytes, *, subject: str, now_ns: int) -> Sequence[Event]:
    """Return the events of one message. Any bytes on a halting subject are a halt.

    An event is believed only on its own subject: the bus checks who may publish where, and an
    `OrderApproved` that came on a market data subject has passed no such check.

    Raises:
        WireError: the bytes are no events, or one of them does not belong on `subject`.
    """
    if is_halting(subject):
        return (halt_from(data, subject=subject, at_ns=now_ns),)
    events = decode(data, subject=subject)
    for event in events:
        if (home := subject_of(event)) != subject:
            found = f"{type(event).__name__} of {home}"
            raise WireError("SLU-120", subject=subject, found=found, wanted=f"events of {subject}")
    return events


def dead_letter(data: bytes, error: WireError, *, component: str, now_ns: int) -> DeadLettered:
    """Return what is published in place of a message that nobody could read."""
    return DeadLettered(
        at_ns=now_ns,
        subject=error.fields["subject"],
        reason=error.fields["found"],
        component=component,
        payload_base64=base64.b64encode(data[:DEAD_LETTER_BYTES_MAX]).decode(),
        payload_bytes=len(data),
    )
