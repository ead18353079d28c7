"""What a record of the CONTROL stream is to the arbiter. Whatever cannot be read is a halt."""

from schemas.control import ControlRecordRead, EpochStarted, HaltRequested
from schemas.errors import WireError
from schemas.subjects import EPOCH_RECORD, HALT
from schemas.wire import decode, halt_from


def record_from(
    stream_seq: int, subject: str, data: bytes, *, stored_ns: int, now_ns: int
) -> ControlRecordRead:
    """Return the record as the arbiter is told it; never raises.

    Args:
        stream_seq: its place in the stream.
        subject: what it was published on.
        data: its bytes as they came.
        stored_ns: when the server stored it, in ns since the epoch.
        now_ns: when it was read, in ns since the epoch.
    """
    if subject == HALT or subject.startswith(f"{HALT}."):
        halt = halt_from(data, subject=subject, at_ns=stored_ns)
        return ControlRecordRead(at_ns=now_ns, stream_seq=stream_seq, halt=halt)
    if subject == EPOCH_RECORD:
        try:
            [event] = decode(data, subject=subject)
        except (WireError, ValueError):
            return unreadable(stream_seq, f"it is no epoch: {len(data)} bytes", now_ns=now_ns)
        if isinstance(event, EpochStarted):
            return ControlRecordRead(at_ns=now_ns, stream_seq=stream_seq, epoch=event.epoch)
    return unreadable(stream_seq, f"it does not belong there: {subject}", now_ns=now_ns)


def unreadable(stream_seq: int, why: str, *, now_ns: int) -> ControlRecordRead:
    """Return a record that cannot be read: nobody knows that it is not a halt."""
    reason = f"record {stream_seq} of the control stream cannot be read: {why}"
    halt = HaltRequested(at_ns=now_ns, reason=reason, operator="control stream")
    return ControlRecordRead(at_ns=now_ns, stream_seq=stream_seq, halt=halt)
