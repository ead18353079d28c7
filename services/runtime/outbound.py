"""From what a core said to bytes on the bus: stamped, framed, and away in the same step."""

from collections.abc import Sequence

from msgspec.structs import force_setattr

from schemas.base import Event
from schemas.errors import BusError, SluiceError
from schemas.health import AlertRaised, Severity
from schemas.masking import masked
from schemas.subjects import subject_of
from schemas.wire import encode, encode_frame
from services.runtime.fastpath import BusConnection
from services.runtime.meter import Meter

FRAME_EVENTS_MAX = 128
"""Events of one subject that leave as one frame; the gain ends here, `max_payload` does not."""


class Outbox:
    """Publishes events in the order they were said, and counts them per subject.

    What cannot be published is not kept for later: an order that arrives late is worse than one
    that never does. Its count stays used, so every receiver sees the hole.

    Attributes:
        published_count: events handed to the server's socket.
        lost_count: events that could not be.
        lost_why: why the newest of them could not be; None once it was reported.
        meter: counts what is published, by kind.
    """

    def __init__(self, connection: BusConnection, src: str) -> None:
        self.published_count = 0
        self.lost_count = 0
        self.lost_why: BusError | None = None
        self._connection = connection
        self._src = src
        self._seqs: dict[str, int] = {}
        self.meter = Meter()

    def publish(self, events: Sequence[Event]) -> None:
        """Publish now; events of one subject leave as one frame."""
        if len(events) == 1:
            self._publish_frame(subject_of(events[0]), events)
            return
        by_subject: dict[str, list[Event]] = {}
        for event in events:
            by_subject.setdefault(subject_of(event), []).append(event)
        left_count = len(events)
        for subject, group in by_subject.items():
            for start in range(0, len(group), FRAME_EVENTS_MAX):
                frame = group[start : start + FRAME_EVENTS_MAX]
                left_count -= len(frame)
                self._publish_frame(subject, frame, is_more_coming=left_count > 0)

    def reply(self, to: str, event: Event) -> None:
        """Send one event to whoever asked, signed like the rest; it is counted on no subject."""
        force_setattr(event, "src", self._src)
        self._send(to, encode(event), 1, False)

    def alert(
        self,
        code: str,
        message: str,
        *,
        component: str,
        now_ns: int,
        severity: Severity = Severity.CRITICAL,
    ) -> None:
        """Tell people what only the runtime knows; a secret in it is masked, for it is kept."""
        said = masked(message)
        alert = AlertRaised(
            at_ns=now_ns, severity=severity, component=component, code=code, message=said
        )
        self.publish([alert])

    def report_failure(self, error: Exception, *, component: str, now_ns: int) -> None:
        """Say that a service ends, and what it broke on."""
        code = error.code if isinstance(error, SluiceError) else "SLU-161"
        self.alert(code, repr(error), component=component, now_ns=now_ns)

    def report_losses(self, *, component: str, now_ns: int) -> None:
        """Say, once there is a bus to say it on, that events could not be published."""
        lost = self.lost_why
        if lost is None or not self._connection.is_connected:
            return
        self.lost_why = None
        message = f"{self.lost_count} events not published since the start; the last: {lost}"
        severity = Severity.WARNING
        self.alert(lost.code, message, component=component, now_ns=now_ns, severity=severity)

    def _publish_frame(
        self, subject: str, events: Sequence[Event], *, is_more_coming: bool = False
    ) -> None:
        seq = self._seqs.get(subject, 0)
        for event in events:
            seq += 1
            force_setattr(event, "src", self._src)
            force_setattr(event, "seq", seq)
        self._seqs[subject] = seq
        is_sent = self._send(subject, encode_frame(events), len(events), is_more_coming)
        self.meter.published(events) if is_sent else self.meter.lost(events)

    def _send(self, subject: str, data: bytes, count: int, is_more_coming: bool) -> bool:
        """Hand it to the socket, and return whether that could be done; count it either way."""
        try:
            self._connection.send(subject, data, is_more_coming=is_more_coming)
        except BusError as error:
            self.lost_count += count
            self.lost_why = error
            return False
        self.published_count += count
        return True
