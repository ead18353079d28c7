"""The file of a backup: what goes in, how it is written in one pass, how it is taken apart.

A tar whose last member is the manifest: without it, whole and right, nothing is used. Only files
that are appended to go in while the system runs, each up to where it was at one moment; the record
is cut last, so that it holds all that the journals tell of.
"""

import contextlib
import gzip
import hashlib
import io
import os
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

import msgspec

from schemas.errors import StateError
from services.cli.backup_leftovers import COPY
from services.cli.backup_place import disk_errors
from services.recorder.checkpoints import Checkpoint
from services.recorder.journal import NOTE, Note, read_note
from services.recorder.own import RESTORATIONS, TOMBSTONES
from services.recorder.reader import last_line, lines, segments
from services.recorder.witness import CHECKPOINTS
from services.runtime.paths import is_there

MANIFEST = "MANIFEST.json"
VERSION = 1
RECORD, STATE, KEYS = "record", "state", "keys"
SETTLE_S = 2.0
"""Longest wait for the record to hold what the journals held: it is milliseconds behind."""

_CHUNK_BYTES = 1 << 20
_RUN_CONFIG, _REPOSITORY = "run/config.json", "repository.db"
_TOPS = (RECORD, STATE, KEYS, "run", _REPOSITORY, MANIFEST)
_RECORD_FILES = ("record.pub", TOMBSTONES, RESTORATIONS)


class Member(msgspec.Struct, frozen=True):
    """One file of a backup."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds; its last member."""

    version: int
    created_ns: int
    head_n: int
    """The last record in it."""

    head_hash: str
    has_keys: bool
    members: dict[str, Member]


class Pack:
    """Writes the members of a backup, and remembers them for the manifest."""

    def __init__(self, sink: BinaryIO) -> None:
        self._zip = gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=1)
        self._way = _Way(self._zip)
        self._tar = tarfile.TarFile.open(fileobj=self._way, mode="w|")
        self.members: dict[str, Member] = {}

    def add(self, name: str, source: BinaryIO, size_bytes: int) -> None:
        """Add the first `size_bytes` of a file.

        Raises:
            OSError: it is shorter than that.
        """
        watched = _Hashing(source)
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size_bytes, 0o600, int(time.time())
        self._tar.addfile(info, watched)
        self.members[name] = Member(size_bytes, watched.sha256.hexdigest())

    def add_file(self, name: str, path: Path, size_bytes: int | None = None) -> None:
        """Add a file, or its first `size_bytes`."""
        with path.open("rb") as source:
            self.add(name, source, path.stat().st_size if size_bytes is None else size_bytes)

    def add_bytes(self, name: str, data: bytes) -> None:
        """Add bytes."""
        self.add(name, io.BytesIO(data), len(data))

    def close(self, manifest: Manifest) -> None:
        """Write the manifest, and the end."""
        self.add_bytes(MANIFEST, msgspec.json.encode(manifest))
        self._tar.close()
        self._zip.close()

    def give_up(self) -> None:
        """Write nothing more: what is not closed by now has failed, and somebody is told why."""
        self._way.is_shut = True


class _Way(io.BufferedIOBase):
    """Where a tar goes. One that is not closed writes what it still holds when it is forgotten."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file, self.is_shut = file, False

    def write(self, data: Any) -> int:
        return len(data) if self.is_shut else self._file.write(data)


def write_backup(
    data_dir: Path, sink: BinaryIO, *, keys_dir: Path | None, is_running: bool
) -> Manifest:
    """Write a backup of a data folder; return its manifest.

    Args:
        data_dir: may be in use.
        sink: takes the bytes.
        keys_dir: of the keys, if they are to be in it.
        is_running: whether somebody may be writing.

    Raises:
        StateError: SLU-148, a file cannot be read, or there is no record.
    """
    try:
        pack = Pack(sink)
        try:
            return _written(data_dir, pack, keys_dir, is_running)
        finally:
            pack.give_up()
    except OSError as error:
        path, found = error.filename or data_dir, error.strerror or str(error)
        raise StateError("SLU-148", path=path, found=found, wanted="a file to back up") from error


def unpack(source: BinaryIO, folder: Path, name: str, *, with_keys: bool = True) -> Manifest:
    """Take a backup apart into a folder; return its manifest, once every byte is as it says.

    Args:
        source: the backup, decrypted.
        folder: where to.
        name: of the backup, for errors.
        with_keys: whether its keys are written as well; else they are read, and nothing more.

    Raises:
        StateError: SLU-148, it is not whole; SLU-141, the disk does not take it.
    """
    try:
        return _unpacked(source, folder, name, with_keys)
    except StateError:
        with contextlib.suppress(OSError):  # to its end: who decrypts would speak of a broken pipe
            while source.read(_CHUNK_BYTES):
                pass
        raise


def _unpacked(source: BinaryIO, folder: Path, name: str, with_keys: bool) -> Manifest:
    found: dict[str, Member] = {}
    manifest: Manifest | None = None
    try:
        with tarfile.open(fileobj=source, mode="r|gz") as tar:
            for info in tar:
                if manifest is not None or not _is_plain(info):
                    raise _unusable(name, f"{info.name} has no place in it")
                member = tar.extractfile(info)
                assert member is not None, "a plain file has bytes"
                if info.name == MANIFEST:
                    manifest = msgspec.json.decode(member.read(), type=Manifest)
                else:
                    is_written = with_keys or Path(info.name).parts[0] != KEYS
                    to = folder / info.name if is_written else None
                    found[info.name] = _extract(member, to)
    except (tarfile.TarError, EOFError, OSError, msgspec.MsgspecError) as error:
        raise _unusable(name, f"incomplete, or changed: {error}") from error
    if manifest is None or manifest.version != VERSION:
        raise _unusable(name, "incomplete: it has no manifest of this version at its end")
    for path in sorted({*found, *manifest.members}):
        if found.get(path) != manifest.members.get(path):
            raise _unusable(name, f"{path} is not as the manifest says")
    return manifest


def _written(data_dir: Path, pack: Pack, keys_dir: Path | None, is_running: bool) -> Manifest:
    began_ns = time.time_ns()
    sizes = _journal_sizes(data_dir)
    for path, size_bytes in sizes.items():
        pack.add_file(str(path.relative_to(data_dir)), path, size_bytes)
    if is_there(data_dir / _RUN_CONFIG):
        pack.add_file(_RUN_CONFIG, data_dir / _RUN_CONFIG)
    if is_there(data_dir / _REPOSITORY):
        _add_repository(pack, data_dir / _REPOSITORY)
    for path in sorted(keys_dir.iterdir()) if keys_dir else ():
        pack.add_file(f"{KEYS}/{path.name}", path)
    if is_running:
        _settle(data_dir / RECORD, began_ns)
    note = _add_record(pack, data_dir / RECORD)
    manifest = Manifest(
        version=VERSION,
        created_ns=began_ns,
        head_n=note.n,
        head_hash=note.hash,
        has_keys=keys_dir is not None,
        members=dict(pack.members),
    )
    pack.close(manifest)
    return manifest


def _journal_sizes(data_dir: Path) -> dict[Path, int]:
    """Return how much of each journal is whole lines now, all at one moment."""
    files = sorted((data_dir / STATE).rglob("*.json*"))
    sizes = {path: path.stat().st_size for path in files}
    return {
        path: size - (len(last_line(path, size)) if path.suffix == ".jsonl" else 0)
        for path, size in sizes.items()
    }


def _add_record(pack: Pack, folder: Path) -> Note:
    """Add the record up to its head of now."""
    note = read_note(folder)
    if note is None:
        raise StateError("SLU-148", path=folder / NOTE, found="nothing", wanted="a record")
    for path in segments(folder):
        if path.name <= note.file:
            size = note.offset_bytes if path.name == note.file else None
            pack.add_file(f"{RECORD}/{path.name}", path, size)
    pack.add_bytes(f"{RECORD}/{NOTE}", msgspec.json.encode(note))
    signed = folder / CHECKPOINTS
    kept = [line + b"\n" for line in lines(signed)] if is_there(signed) else []
    decoder = msgspec.json.Decoder(Checkpoint)
    text = b"".join(line for line in kept if decoder.decode(line).n <= note.n)
    pack.add_bytes(f"{RECORD}/{CHECKPOINTS}", text)
    for name in _RECORD_FILES:
        if is_there(folder / name):
            pack.add_file(f"{RECORD}/{name}", folder / name)
    return note


def _add_repository(pack: Pack, path: Path) -> None:
    """Add the repository as it is at one moment, through SQLite's own backup."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{COPY}{os.getpid()}-") as folder:
        copy = Path(folder) / path.name
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        pack.add_file(_REPOSITORY, copy)


def _settle(folder: Path, began_ns: int) -> None:
    """Wait until the record goes beyond the moment the journals were cut at, or long enough."""
    deadline_s = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline_s:
        newest = segments(folder)[-1:]
        if newest and _newest_ns(newest[0]) > began_ns:
            return
        time.sleep(0.05)


def _newest_ns(path: Path) -> int:
    line = last_line(path, max(0, path.stat().st_size - 1))
    with contextlib.suppress(msgspec.DecodeError):
        return int(msgspec.json.decode(line)["stored_ns"])
    return 0


def _is_plain(info: tarfile.TarInfo) -> bool:
    """Whether it is a file where a backup has some."""
    parts = Path(info.name).parts
    return info.isfile() and ".." not in parts and parts[0] in _TOPS


def _extract(member: IO[bytes], path: Path | None) -> Member:
    """Read a member, and write it to `path` unless that is None."""
    watched, size_bytes = _Hashing(member), 0
    with contextlib.ExitStack() as stack:
        target = None if path is None else stack.enter_context(_created(path))
        for chunk in _chunks(watched):
            size_bytes += len(chunk)
            if target is not None:
                _write(target, chunk)
    return Member(size_bytes, watched.sha256.hexdigest())


@contextlib.contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    with disk_errors(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = path.open("wb", buffering=0)
    with file:
        path.chmod(0o600)
        yield file


def _write(target: IO[bytes], chunk: bytes) -> None:
    left = memoryview(chunk)
    with disk_errors(Path(target.name)):
        while left:
            left = left[target.write(left) :]


def _chunks(source: "_Hashing") -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk


class _Hashing(io.RawIOBase):
    """A file that is read, and whose hash is known then."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        data = self._source.read(size)
        self.sha256.update(data)
        return data


def _unusable(name: str, found: str) -> StateError:
    return StateError("SLU-148", path=name, found=found, wanted="a backup as it was written")
