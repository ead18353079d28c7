"""The chained journal on the disk: appended, synced, never changed; found again after a crash."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas.base import NS_PER_S
from schemas.errors import StateError
from services.recorder.chain import (
    Damage,
    Head,
    Message,
    Record,
    hash_of,
    line_of,
    read_line,
    verify,
)
from services.recorder.checkpoints import Restoration
from services.recorder.own import RESTORED, STREAM, own_message, read_tombstones
from services.recorder.reader import first_n, last_line, lines, records, segment_name, segments
from services.runtime.journal import sync_folder, write_all

DAY_NS = 86_400 * NS_PER_S
NOTE = "head.json"
LOCK = "lock"
_WRITE = os.O_RDWR | os.O_CREAT | os.O_APPEND


class Place(msgspec.Struct, frozen=True):
    """How far one stream is recorded."""

    seq: int
    stored_ns: int


class Note(msgspec.Struct, frozen=True):
    """Where the journal stood after the last commit; beside it, so that a cut end is noticed."""

    n: int
    hash: str
    file: str
    offset_bytes: int
    """End of record `n` in `file`."""

    logged_n: int
    """The last record whose events are in the JSON Lines as well."""

    places: dict[str, Place]


class Miss(NamedTuple):
    """A stream did not go on where the journal ends."""

    stream: str
    expected_seq: int
    got_seq: int


class Journal:
    """A folder of chained files. One process at a time appends to it.

    Each day of UTC begins a file, and so does what is beyond a file's size: retention takes whole
    files, and the newest one never.

    Attributes:
        folder: where it is.
        head: the newest record's number and hash.
        logged_n: the last record that the JSON Lines hold too.
        places: how far each stream is recorded.
        cut_bytes: length of the torn last line that a crash left behind, and that was cut off.
    """

    def __init__(self, folder: Path, *, file_bytes_max: int) -> None:
        """Find the end of what is there.

        Raises:
            StateError: SLU-140, a record is not what was written; SLU-141, no reading or writing.
        """
        self.folder = folder
        self._file_bytes_max = file_bytes_max
        self.head = Head()
        self.logged_n = 0
        self.places: dict[str, Place] = {}
        self.cut_bytes = 0
        self._file = -1
        self._path = folder
        self._offset_bytes = 0
        self._day: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
        except OSError as error:
            raise _cannot(folder, error) from error
        try:
            self._find_end()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise _cannot(folder, error) from error
            raise

    def append(self, messages: Sequence[Message]) -> tuple[list[tuple[int, Message]], list[Miss]]:
        """Write what is new and sync it; return the records made, and what a stream has lost.

        A message that was recorded before is passed over. Where this fails nothing is changed.

        Raises:
            StateError: SLU-141, the disk did not take it.
        """
        head, places = self.head, dict(self.places)
        written: list[bytes] = []
        made: list[tuple[int, Message]] = []
        misses: list[Miss] = []
        for message in messages:
            place = places.get(message.stream)
            if place is not None and _is_repeat(message, place):
                continue
            expected = 1 if place is None else place.seq + 1
            if message.stream_seq != expected:
                misses.append(Miss(message.stream, expected, message.stream_seq))
            places[message.stream] = Place(message.stream_seq, message.stored_ns)
            line = line_of(head, message)
            head = Head(head.n + 1, hash_of(line))
            written.append(line)
            made.append((head.n, message))
        if written:
            self._write(b"\n".join(written) + b"\n", made[0][1].recv_ns // DAY_NS)
            self.head, self.places = head, places
        return made, misses

    def note(self, logged_n: int) -> None:
        """Note where the journal stands; not synced, for it can be found again from the records.

        Raises:
            StateError: SLU-141, the disk did not take it.
        """
        self.logged_n = logged_n
        name, offset_bytes = self._path.name, self._offset_bytes
        head = self.head
        note = Note(head.n, head.hash, name, offset_bytes, logged_n, self.places)
        path = self.folder / NOTE
        draft = path.with_suffix(".draft")
        try:
            draft.write_bytes(msgspec.json.encode(note))
            draft.replace(path)
        except OSError as error:
            raise _cannot(path, error) from error

    def rebase(self, stream: str, seq: int) -> None:
        """Go on with a stream that ends at `seq`, below what was recorded of it.

        Raises:
            StateError: SLU-141, the disk did not take the note of it.
        """
        self.places[stream] = Place(seq, self.places[stream].stored_ns)
        self.note(self.logged_n)

    def restore(self, restored: Restoration) -> None:
        """Record that what came after the newest record is lost; streams begin anew.

        Raises:
            StateError: SLU-141, the disk did not take it.
        """
        self.append_own(RESTORED, msgspec.json.encode(restored), restored.at_ns)
        self.places = {STREAM: self.places[STREAM]}
        self.note(self.head.n)

    def append_own(self, subject: str, data: bytes, now_ns: int) -> None:
        """Record something of the recorder's own, when all that was recorded is logged too.

        Raises:
            StateError: SLU-141, the disk did not take it.
        """
        place = self.places.get(STREAM)
        seq = 1 if place is None else place.seq + 1
        self.append([own_message(seq, subject, data, now_ns)])
        self.note(self.head.n)  # it is in no JSON Lines: nobody published it

    def since(self, n: int) -> Iterator[tuple[int, Record]]:
        """Yield the records after `n`, oldest first; the first read is the file that holds it."""
        for record in records(self.folder, after_n=n):
            yield record.n, record

    def close(self) -> None:
        """Let go of the folder."""
        self._close_file()
        os.close(self._lock)

    def _find_end(self) -> None:
        files = segments(self.folder)
        self._path = files[-1] if files else self._named(1)
        if files:
            self.cut_bytes = _cut_torn_line(files[-1])
        note = read_note(self.folder)
        if note is None:
            gone = {each.last_n + 1: each for each in read_tombstones(self.folder)}
            if files and (before := gone.get(first_n(files[0]))):
                self.head = Head(before.last_n, before.last_hash)
            for path in files:
                self._follow(path, 0)
            self.logged_n = self.head.n
        else:
            self.head, self.logged_n = Head(note.n, note.hash), note.logged_n
            self.places = dict(note.places)
            self._follow_note(note, files)
        self._open(self._path)

    def _follow_note(self, note: Note, files: list[Path]) -> None:
        path = self.folder / note.file
        if note.n and (path not in files or path.stat().st_size < note.offset_bytes):
            raise _damaged(path, Damage(note.n, "it is missing: the file is shorter than it was"))
        if note.n:
            at, end = _end_noted(note, path, files)
            if hash_of(last_line(at, end - 1) if end else b"") != note.hash:
                raise _damaged(at, Damage(note.n, f"its hash is not {note.hash} any more"))
        for each in files:
            if each >= path:
                self._follow(each, note.offset_bytes if each == path else 0)

    def _follow(self, path: Path, offset_bytes: int) -> None:
        """Take in the records of a file that no note knows of yet."""
        for line in lines(path, offset_bytes):
            found = verify([line], after=self.head)
            if isinstance(found, Damage):
                raise _damaged(path, found)
            record = read_line(line)
            self.head = found
            if (record.stream, record.subject) == (STREAM, RESTORED):
                self.places.clear()
            self.places[record.stream] = Place(record.stream_seq, record.stored_ns)

    def _write(self, data: bytes, day: int) -> None:
        """Write what was received on a day, counted from the epoch, to the file of that day."""
        is_full = self._offset_bytes >= self._file_bytes_max
        if self._file < 0 or is_full or self._day not in (None, day):
            self._begin_file()
        before = self._offset_bytes
        try:
            write_all(self._file, data)
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):  # else the next opening cuts it off
                os.ftruncate(self._file, before)
            raise _cannot(self._path, error) from error
        self._offset_bytes = before + len(data)
        self._day = day

    def _begin_file(self) -> None:
        """Go on in a new file; one that cannot be made is tried again by the next writing."""
        path = self._named(self.head.n + 1)
        self._close_file()
        try:
            self._open(path)
        except OSError as error:
            raise _cannot(path, error) from error

    def _open(self, path: Path) -> None:
        file = os.open(path, _WRITE, 0o640)
        try:
            offset_bytes, day = os.fstat(file).st_size, _day_of(path)
            sync_folder(self.folder)
        except BaseException:
            os.close(file)
            raise
        self._path, self._file = path, file
        self._offset_bytes, self._day = offset_bytes, day

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _named(self, first_n: int) -> Path:
        return self.folder / segment_name(first_n)


def verify_folder(folder: Path) -> Head | Damage:
    """Return the head that all records of a journal lead to, or the first damage.

    Raises:
        OSError: a file cannot be read.
    """
    note = read_note(folder)
    until = None if note is None else Head(note.n, note.hash)
    found = (line for path in segments(folder) for line in lines(path))
    return verify(found, after=Head(), until=until)


def _locked(folder: Path) -> int:
    """Return the lock of a folder, held.

    Raises:
        StateError: SLU-141, another process holds it.
        OSError: it cannot be written.
    """
    lock = os.open(folder / LOCK, os.O_WRONLY | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        wanted = "one recorder for one folder: stop the other"
        raise StateError(
            "SLU-141", path=folder, found="another process records here", wanted=wanted
        ) from error
    return lock


def _day_of(path: Path) -> int | None:
    """Return the day of a file's newest record, counted from the epoch; None: it has none."""
    size = path.stat().st_size
    line = last_line(path, size - 1) if size else b""
    return read_line(line).recv_ns // DAY_NS if line else None


def _end_noted(note: Note, path: Path, files: Sequence[Path]) -> tuple[Path, int]:
    """Return the file that the noted record ends in, and where.

    It is the one before where a crash, or a full disk, came after a file was begun and before
    anything was written to it.
    """
    before = files[: files.index(path)]
    if note.offset_bytes or not before:
        return path, note.offset_bytes
    return before[-1], before[-1].stat().st_size


def _is_repeat(message: Message, place: Place) -> bool:
    """Whether it was recorded before; a used number with a newer time is not a repeat."""
    return message.stream_seq <= place.seq and message.stored_ns <= place.stored_ns


def _cut_torn_line(path: Path) -> int:
    """Cut off what a crash left of an unfinished line; it was never acknowledged."""
    size = path.stat().st_size
    torn = last_line(path, size)
    if torn:
        os.truncate(path, size - len(torn))
    return len(torn)


def read_note(folder: Path) -> Note | None:
    """Return where the journal in a folder stood after its last commit; None if nothing says.

    A file with nothing in it says nothing: it had its name before a power cut, and its bytes not.

    Raises:
        StateError: SLU-140, the note of it cannot be understood.
    """
    try:
        data = (folder / NOTE).read_bytes()
        return msgspec.json.decode(data, type=Note) if data else None
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        path = folder / NOTE
        wanted = "move it away: the journal is then read from its beginning"
        raise StateError("SLU-140", path=path, found=str(error), wanted=wanted) from error


def _damaged(path: Path, damage: Damage) -> StateError:
    return StateError(
        "SLU-140",
        path=path,
        record=damage.n,
        found=damage.why,
        wanted="the file as it was written: keep it, and compare it with a backup",
    )


def _cannot(path: Path, error: OSError) -> StateError:
    found = error.strerror or str(error)
    return StateError("SLU-141", path=path, found=found, wanted="room on the disk, and the right")
