"""What the recorder writes into the chain of its own accord: retention, restores, and holes."""

from pathlib import Path

import msgspec

from schemas.errors import StateError
from services.recorder.chain import Message
from services.recorder.checkpoints import Tombstone
from services.recorder.reader import lines
from services.runtime.paths import is_there

STREAM = "RECORD"
"""In place of a stream's name; numbered by the recorder itself."""

REMOVED = "record.removed"
RESTORED = "record.restored"
HOLE = "record.hole"
"""Subjects of such records."""

RESTORATIONS = "restorations.jsonl"
"""In the record's folder: what the records of restores say, for who opens the journal."""

TOMBSTONES = "tombstones.jsonl"
"""In the record's folder: signed, so that the chain verifies without what was removed."""


def own_message(seq: int, subject: str, data: bytes, now_ns: int) -> Message:
    """Return a record of our own, as the journal takes it."""
    return Message(STREAM, seq, subject, now_ns, data, now_ns)


def read_tombstones(folder: Path) -> list[Tombstone]:
    """Return the tombstones of a record, oldest first; their signatures are not checked here.

    Raises:
        OSError: they cannot be read.
        StateError: SLU-140, a line is none.
    """
    path = folder / TOMBSTONES
    decoder = msgspec.json.Decoder(Tombstone)
    try:
        return [decoder.decode(line) for line in lines(path)] if is_there(path) else []
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        wanted = "tombstones as they were signed: keep the file, and see `sluice audit verify`"
        raise StateError("SLU-140", path=path, found=error, wanted=wanted) from error
