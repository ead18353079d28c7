"""A small signed record on the disk, and the ways in which somebody may change it."""

import random
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.recorder.audit import Verdict, verify_record
from services.recorder.chain import Head, Message, Record, hash_of, line_of, read_line
from services.recorder.checkpoints import Restoration, key_of, new_private_pem, public_pem
from services.recorder.config import RecorderConfig
from services.recorder.journal import NOTE, Journal
from services.recorder.key_file import PUBLIC, ensure_record_key, read_public_keys
from services.recorder.own import RESTORATIONS
from services.recorder.reader import first_n, lines, segments
from services.recorder.witness import CHECKPOINTS, Witness

RECORDS, EVERY, ANCHOR_AT = 60, 6, (18, 36, 54)
SEGMENT_BYTES = 3_000


class Written:
    """A record of 60 messages in several files: signed every 6, anchored up to record 54."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "record"
        self.anchors = folder / "anchors"
        key = ensure_record_key(folder / "keys")
        config = RecorderConfig(
            checkpoint_every=EVERY, checkpoint_every_ms=10**9, anchor_dirs=(str(self.anchors),)
        )
        journal = Journal(self.folder, file_bytes_max=SEGMENT_BYTES)
        witness = Witness(self.folder, key, config)
        for seq in range(1, RECORDS + 1):
            data = b'{"type":"OrderApproved","quantity":"%d"}' % seq
            journal.append([Message("ORDERS", seq, "order.sim.paper", seq * 10, data, 7)])
            witness.look(journal.head, seq)
            if seq in ANCHOR_AT:
                assert witness.anchor() == ""
        journal.note(journal.head.n)
        journal.close()
        self.keys = read_public_keys(self.anchors / key.fingerprint / PUBLIC)
        self.key, self.config = key, config

        self._files = {path.name: path.read_bytes() for path in self.folder.iterdir()}

    def copy(self, folder: Path) -> Path:
        """Make the folder a copy of the record alone: what somebody with the data folder holds."""
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.name not in self._files:
                path.unlink()
        for name, data in self._files.items():
            path = folder / name
            if not path.exists() or path.read_bytes() != data:
                path.write_bytes(data)
        return folder

    def verdict(self, folder: Path) -> Verdict:
        return verify_record(folder, self.keys, [self.anchors])


def all_lines(folder: Path) -> list[bytes]:
    return [line for path in segments(folder) for line in lines(path)]


def write_lines(folder: Path, changed: list[bytes]) -> None:
    """Write these lines in the place of those that are there, file by file as they were cut."""
    files = segments(folder)
    starts = [first_n(path) - 1 for path in files] + [RECORDS + 1]
    for path, start, end in zip(files, starts, starts[1:], strict=False):
        part = changed[start:end] if path != files[-1] else changed[start:]
        path.write_bytes(b"".join(line + b"\n" for line in part))


def flip(folder: Path, chance: random.Random) -> int:
    """Flip one bit anywhere."""
    path = chance.choice(segments(folder))
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)
    n = first_n(path) + bytes(data[:at]).count(b"\n")
    path.write_bytes(bytes(data))
    return n


def drop(folder: Path, chance: random.Random) -> int:
    """Take one record out."""
    found = all_lines(folder)
    at = chance.randrange(len(found))
    del found[at]
    write_lines(folder, found)
    return at + 1


def swap(folder: Path, chance: random.Random) -> int:
    """Let two records change places."""
    found = all_lines(folder)
    one, other = sorted(chance.sample(range(len(found)), 2))
    found[one], found[other] = found[other], found[one]
    write_lines(folder, found)
    return one + 1


def double(folder: Path, chance: random.Random) -> int:
    """Let one record stand twice."""
    found = all_lines(folder)
    at = chance.randrange(len(found))
    found.insert(at, found[at])
    write_lines(folder, found)
    return at + 2


def truncate(folder: Path, chance: random.Random) -> int:
    """Cut the end off, with the note of it and every checkpoint that speaks of it."""
    found = all_lines(folder)
    kept = chance.randrange(len(found))
    write_lines(folder, found[:kept])
    for path in segments(folder):
        if first_n(path) > kept + 1:
            path.unlink()
    (folder / NOTE).unlink()
    _forget_checkpoints(folder, kept)
    return kept + 1


def truncate_bytes(folder: Path, chance: random.Random) -> int:
    """Cut the last file off at any byte, and the note of it."""
    path = segments(folder)[-1]
    data = path.read_bytes()
    kept = chance.randrange(len(data))
    path.write_bytes(data[:kept])
    (folder / NOTE).unlink()
    return first_n(path) + data[:kept].count(b"\n")


def rewrite(folder: Path, chance: random.Random) -> int:
    """Change one record and compute every later hash anew; forget what was signed since."""
    found = all_lines(folder)
    at = chance.randrange(len(found))
    written = _rechained(found, at)
    write_lines(folder, written)
    (folder / NOTE).unlink()
    _forget_checkpoints(folder, at)
    return at + 1


def rewrite_and_sign(folder: Path, chance: random.Random) -> int:
    """The same by somebody who signs it with a key of their own, and publishes that key."""
    n = rewrite(folder, chance)
    key = key_of(new_private_pem())
    end = Head(RECORDS, hash_of(all_lines(folder)[-1]))
    with (folder / CHECKPOINTS).open("ab") as file:
        file.write(msgspec.json.encode(key.checkpoint(end.n, end.hash, 99)) + b"\n")
    (folder / PUBLIC).write_bytes(public_pem(key.public))
    return n


def claim_restore(folder: Path, chance: random.Random) -> int:
    """Cut the end off and say that a backup was restored there, signed with a key of their own."""
    n = truncate(folder, chance)
    key = key_of(new_private_pem())
    forge_restore(folder, key.restoration(restoration(n - 1)))
    (folder / PUBLIC).write_bytes((folder / PUBLIC).read_bytes() + public_pem(key.public))
    return n


def claim_restore_unsigned(folder: Path, chance: random.Random) -> int:
    """The same, signed by nobody."""
    n = truncate(folder, chance)
    forge_restore(folder, restoration(n - 1))
    return n


def restoration(after_n: int) -> Restoration:
    return Restoration(after_n=after_n, anchored_n=99, at_ns=10**18, epoch_floor=0, backup="x")


def forge_restore(folder: Path, said: Restoration) -> None:
    """Write into record and notes what a restore would."""
    journal = Journal(folder, file_bytes_max=1 << 20)
    journal.restore(said)
    journal.close()
    (folder / RESTORATIONS).write_bytes(msgspec.json.encode(said) + b"\n")


WAYS: tuple[Callable[[Path, random.Random], int], ...] = (
    flip,
    drop,
    swap,
    double,
    truncate,
    truncate_bytes,
    rewrite,
    rewrite_and_sign,
    claim_restore,
    claim_restore_unsigned,
)
"""Each changes a record and returns the number of the first record that is not as it was."""


def _rechained(found: list[bytes], at: int) -> list[bytes]:
    written = found[:at]
    head = Head(at, hash_of(found[at - 1])) if at else Head()
    for index, line in enumerate(found[at:], start=at):
        record = read_line(line)
        data = record.data.replace(b'"quantity":"', b'"quantity":"9') if index == at else None
        written.append(line_of(head, _message(record, data or record.data)))
        head = Head(index + 1, hash_of(written[-1]))
    return written


def _message(record: Record, data: bytes) -> Message:
    return Message(
        record.stream, record.stream_seq, record.subject, record.stored_ns, data, record.recv_ns
    )


def _forget_checkpoints(folder: Path, kept: int) -> None:
    path = folder / CHECKPOINTS
    signed = [line for line in lines(path) if msgspec.json.decode(line)["n"] <= kept]
    path.write_bytes(b"".join(line + b"\n" for line in signed))
