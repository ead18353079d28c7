"""What the recorder writes into the chain of its own accord: retention, and restores."""

from services.recorder.chain import Message

STREAM = "RECORD"
"""In place of a stream's name; numbered by the recorder itself."""

REMOVED = "record.removed"
RESTORED = "record.restored"
"""Subjects of such records."""

RESTORATIONS = "restorations.jsonl"
"""In the record's folder: what the records of restores say, for who opens the journal."""

TOMBSTONES = "tombstones.jsonl"
"""In the record's folder: signed, so that the chain verifies without what was removed."""


def own_message(seq: int, subject: str, data: bytes, now_ns: int) -> Message:
    """Return a record of our own, as the journal takes it."""
    return Message(STREAM, seq, subject, now_ns, data, now_ns)
