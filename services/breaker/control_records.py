"""What a record of the CONTROL stream is to the arbiter. Whatever cannot be read is a halt."""

from schemas.control import ControlRecordRead, EpochStarted, HaltRequested
from schemas.errors import WireError
from schemas.restrictions import LockRequested, RestrictionRequested
from schemas.subjects import EPOCH_RECORD, LOCK
from schemas.wire import decode, halt_from, is_halting


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
    if is_halting(subject):
        said = halt_from(data, subject=subject, at_ns=stored_ns)
        if isinstance(said, RestrictionRequested):
            return ControlRecordRead(at_ns=now_ns, stream_seq=stream_seq, restriction=said)
        return ControlRecordRead(at_ns=now_ns, stream_seq=stream_seq, halt=said)
    if subject == LOCK:
        return _locks(stream_seq, data, now_ns=now_ns)
    if subject == EPOCH_RECORD:
        try:
            [event] = decode(data, subject=subject)
        except (WireError, ValueError):
            return unreadable(stream_seq, f"it is no epoch: {len(data)} bytes", now_ns=now_ns)
        if isinstance(event, EpochStarted):
            return ControlRecordRead(at_ns=now_ns, stream_seq=stream_seq, epoch=event.epoch)
    return unreadable(stream_seq, f"it does not belong there: {subject}", now_ns=now_ns)


def _locks(stream_seq: int, data: bytes, *, now_ns: int) -> ControlRecordRead:
    try:
        events = decode(data, subject=LOCK)
    except WireError:
        events = ()
    locks = tuple(each for each in events if isinstance(each, LockRequested))
    if not locks or len(locks) != len(events):
        return unreadable(stream_seq, f"it is no lock: {len(data)} bytes", now_ns=now_ns)
    return ControlRecordRead(at_ns=now_ns, stream_seq=stream_seq, locks=locks)


def unreadable(stream_seq: int, why: str, *, now_ns: int) -> ControlRecordRead:
    """Return a record that cannot be read: nobody knows that it is not a halt."""
    reason = f"record {stream_seq} of the control stream cannot be read: {why}"
    halt = HaltRequested(at_ns=now_ns, reason=reason, operator="control stream")
    return ControlRecordRead(at_ns=now_ns, stream_seq=stream_seq, halt=halt)
