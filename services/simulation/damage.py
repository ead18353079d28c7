"""A byte of what was recorded is changed, and must be found (I13): with the files live uses."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from schemas import wire
from schemas.base import Event
from schemas.errors import StateError
from services.recorder.chain import Damage, Head, Message, hash_of, line_of, verify
from services.runtime.journal import Journal
from services.simulation.violations import require

KEPT_MAX = 40
"""How many of the newest entries are written out: where the byte is does not hang on more."""


def spoil_journal(kept: Sequence[Event], seed: int) -> None:
    """Write a journal, change one byte of it, and require that reading it finds that.

    Raises:
        ViolationError: the journal is read as if nothing had happened.
    """
    if not kept:
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        _write(path, kept[-KEPT_MAX:])
        where = _change(path, Random(seed))
        require(_is_found(path), "I13", f"a journal was read with byte {where} changed")


def spoil_chain(stored: Sequence[Event], seed: int) -> None:
    """Record events in a hash chain, change one byte of it, and require that this is found.

    Raises:
        ViolationError: the chain is verified all the same.
    """
    lines, head = _chain(stored[-KEPT_MAX:])
    if not lines:
        return
    chance = Random(seed)
    number = chance.randrange(len(lines))
    at, bit = chance.randrange(len(lines[number])), 1 << chance.randrange(8)
    line = bytearray(lines[number])
    line[at] ^= bit
    lines[number] = bytes(line)
    found = verify(lines, after=Head(), until=head)
    said = f"record {number + 1} of the chain was verified with byte {at} changed"
    require(isinstance(found, Damage), "I13", said)


def _write(path: Path, kept: Sequence[Event]) -> None:
    journal = Journal(path)
    assert list(journal.read()) == [], "a new file"
    journal.append(kept)
    journal.close()


def _change(path: Path, chance: Random) -> int:
    data = bytearray(path.read_bytes())
    where = chance.randrange(len(data))
    data[where] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(data))
    return where


def _is_found(path: Path) -> bool:
    journal = Journal(path)
    try:
        for _ in journal.read():
            pass
    except StateError:
        return True
    finally:
        journal.close()
    return bool(journal.cut_off)


def _chain(stored: Sequence[Event]) -> tuple[list[bytes], Head]:
    head, lines = Head(), []
    for number, event in enumerate(stored, start=1):
        message = Message(
            stream="CONTROL",
            stream_seq=number,
            subject="control",
            stored_ns=event.at_ns,
            data=wire.encode(event),
            recv_ns=event.at_ns,
        )
        line = line_of(head, message)
        lines.append(line)
        head = Head(number, hash_of(line))
    return lines, head
