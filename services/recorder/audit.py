"""Verify a record from its files alone: the chain, what was signed, and what stands elsewhere.

Needed are the record's folder, the public key and the anchors; no running system, no secret. The
files are read once from front to back, whatever their size.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.recorder.chain import Damage, Head, read_line, verify
from services.recorder.checkpoints import (
    Checkpoint,
    Restoration,
    Tombstone,
    why_not_signed,
)
from services.recorder.journal import read_note
from services.recorder.own import RESTORED, STREAM, TOMBSTONES
from services.recorder.reader import first_n, lines, segments, watched_lines
from services.recorder.witness import ANCHORS, CHECKPOINTS
from services.runtime.paths import is_there

_S = TypeVar("_S", Checkpoint, Tombstone)


class Noted(NamedTuple):
    """A signed checkpoint, and where it stands."""

    said: Checkpoint
    where: str
    is_anchor: bool


class Verdict(NamedTuple):
    """What verifying found."""

    head: Head
    """Where the chain ends; if it is damaged, the last record before the damage."""

    damage: Damage | None
    """The first record that is not what was written, and why; None if there is none."""

    signed_n: int
    """The last record that a checkpoint vouches for; what comes after is chained, not signed."""

    anchored_n: int
    """The last record that an anchor outside vouches for."""

    checked_count: int
    """Checkpoints and anchors that were compared with the chain."""

    removed_n: int
    """The last record that retention took away, as its tombstone says; 0 if none."""

    superseded_count: int
    """Checkpoints of records that a restore from a backup lost, as the record says itself."""


def verify_record(
    folder: Path,
    keys: Mapping[str, Ed25519PublicKey],
    anchors: Sequence[Path],
    on_bytes: Callable[[int], None] = lambda _count: None,
    *,
    anchored_up_to_n: int | None = None,
) -> Verdict:
    """Return the verdict on the record in `folder`.

    Args:
        folder: the record: its segments, its checkpoints.
        keys: the public keys that may have signed it, by fingerprint.
        anchors: folders of anchors; each key has a folder of its own in them.
        on_bytes: told, now and then, how many bytes were read since the last time.
        anchored_up_to_n: for a copy that ends there: anchors of later records are none of its.

    Raises:
        OSError: a file cannot be read.
    """
    spoilt: list[Damage] = []
    noted = [
        each
        for each in _all_noted(folder, keys, anchors, spoilt)
        if not each.is_anchor or anchored_up_to_n is None or each.said.n <= anchored_up_to_n
    ]
    tombstones = _read_signed(folder / TOMBSTONES, Tombstone, keys, spoilt)
    start = _start(segments(folder), [each for _, each in tombstones])
    if isinstance(start, Damage):
        return _spoilt(start)
    note = read_note(folder)
    until = Head() if note is None else Head(note.n, note.hash)
    verdict = _Walk(noted, start, until, keys).along(watched_lines(folder, on_bytes))
    wrong = [*spoilt, verdict.damage] if verdict.damage else spoilt
    return verdict._replace(damage=min(wrong, key=lambda each: each.n)) if wrong else verdict


class _Walk:
    """One walk along the chain, with everything signed at hand in the order of the records."""

    def __init__(
        self,
        noted: Iterable[Noted],
        start: Head,
        until: Head,
        keys: Mapping[str, Ed25519PublicKey],
    ) -> None:
        self._keys = keys
        self._due: dict[int, list[Noted]] = {}
        for each in noted:
            if each.said.n > start.n:
                self._due.setdefault(each.said.n, []).append(each)
        self._until = until
        self._removed_n = start.n
        self._head = start
        self._restored: list[tuple[int, Restoration]] = []
        self._signed = Head(0, "")
        self._signed_ns = 0
        self._anchored_n = self._checked = self._superseded = 0

    def along(self, found: Iterator[bytes]) -> Verdict:
        for line in found:
            after = verify([line], after=self._head)
            if isinstance(after, Damage):
                return self._verdict(after)
            self._head = after
            if after.n == self._until.n and after.hash != self._until.hash:
                why = f"its hash is {after.hash}; {self._until.hash} was noted for it (head.json)"
                return self._verdict(Damage(after.n, why))
            if RESTORED.encode() in line and (damage := self._take_restored(line)):
                return self._verdict(damage)
            if after.n in self._due and (damage := self._compare(self._due.pop(after.n))):
                return self._verdict(damage)
        return self._verdict(self._end())

    def _compare(self, noted: list[Noted]) -> Damage | None:
        """Compare the head with what was signed for its number."""
        for each in noted:
            if self._is_superseded(each.said):
                self._superseded += 1
            elif each.said.hash != self._head.hash:
                return self._rewritten(each)
            else:
                self._checked += 1
                self._signed, self._signed_ns = self._head, max(self._signed_ns, each.said.at_ns)
                if each.is_anchor:
                    self._anchored_n = self._head.n
        return None

    def _rewritten(self, each: Noted) -> Damage:
        since = max(self._signed.n, self._removed_n) + 1
        return Damage(
            since,
            f"it or one up to {self._head.n} was written anew: the hash of {self._head.n} is "
            f"{self._head.hash}; {each.said.hash} was signed for it ({each.where})",
        )

    def _end(self) -> Damage | None:
        """Return what is missing behind the last record, or said and not signed."""
        missing = [e for n in sorted(self._due) for e in self._due[n]]
        left = [each for each in missing if not self._is_superseded(each.said)]
        self._superseded += len(missing) - len(left)
        if left:
            why = f"it is missing: record {left[-1].said.n} was signed ({left[-1].where})"
            return Damage(self._head.n + 1, why)
        if self._until.n > self._head.n:
            why = f"it is missing: record {self._until.n} had been written (head.json)"
            return Damage(self._head.n + 1, why)
        for n, restored in self._restored:
            if self._signed.n < n or self._signed_ns < restored.at_ns:
                return Damage(n, "it tells of a restore from a backup, and nobody signed it")
        return None

    def _take_restored(self, line: bytes) -> Damage | None:
        """Believe what the chain tells of a restore only where a key signed just that."""
        record = read_line(line)
        if record.stream != STREAM or record.subject != RESTORED:
            return None
        try:
            said = msgspec.json.decode(record.data, type=Restoration)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return Damage(record.n, f"it tells of a restore from a backup, and is none: {error}")
        if why := why_not_signed(said, self._keys):
            return Damage(record.n, f"it tells of a restore from a backup, {why}")
        if said.after_n != record.n - 1:
            return Damage(record.n, f"it tells of a restore after record {said.after_n}, not here")
        self._restored.append((record.n, said))
        return None

    def _is_superseded(self, said: Checkpoint) -> bool:
        """Whether it is of records that a restore has lost; told by the key that had signed them.

        A restore under a new key may be all that is left to do, and it may be somebody who has
        taken the old key away: only a person can tell, who keeps those anchors elsewhere then.
        """
        return any(
            said.n > each.after_n and said.at_ns < each.at_ns and said.key == each.key
            for _, each in self._restored
        )

    def _verdict(self, damage: Damage | None) -> Verdict:
        return Verdict(
            head=self._head,
            damage=damage,
            signed_n=self._signed.n,
            anchored_n=self._anchored_n,
            checked_count=self._checked,
            removed_n=self._removed_n,
            superseded_count=self._superseded,
        )


def _all_noted(
    folder: Path,
    keys: Mapping[str, Ed25519PublicKey],
    anchors: Sequence[Path],
    spoilt: list[Damage],
) -> list[Noted]:
    """Return every checkpoint beside the record and every anchor elsewhere."""
    here = folder / CHECKPOINTS
    return [
        Noted(said, f"{path} line {at}", path != here)
        for path in [here, *(place / key / ANCHORS for place in anchors for key in keys)]
        for at, said in _read_signed(path, Checkpoint, keys, spoilt)
    ]


def _read_signed(
    path: Path, kind: type[_S], keys: Mapping[str, Ed25519PublicKey], spoilt: list[Damage]
) -> list[tuple[int, _S]]:
    """Return the signed lines of a file, with their numbers; the others are added to `spoilt`.

    What such a line should have vouched for begins behind the one before it.
    """
    found: list[tuple[int, _S]] = []
    n = 0
    for at, line in enumerate(lines(path) if is_there(path) else (), start=1):
        try:
            said = msgspec.json.decode(line, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            spoilt.append(Damage(n + 1, f"{path} line {at} is nothing that was signed: {error}"))
            continue
        if why := why_not_signed(said, keys):
            spoilt.append(Damage(n + 1, f"{path} line {at}: {why}"))
        else:
            n = max(n, _n_of(said))
            found.append((at, said))
    return found


def _n_of(said: Checkpoint | Tombstone) -> int:
    return said.n if isinstance(said, Checkpoint) else said.last_n


def _start(files: Sequence[Path], tombstones: Sequence[Tombstone]) -> Head | Damage:
    """Return where the chain stood before the first file, as the tombstones say."""
    head = Head()
    for each in tombstones:
        if each.first_n != head.n + 1 or each.first_prev_hash != head.hash:
            return Damage(head.n + 1, f"a tombstone begins at {each.first_n}, not there")
        head = Head(each.last_n, each.last_hash)
    if not files:
        return head
    begins = first_n(files[0])
    if begins > head.n + 1:
        return Damage(head.n + 1, f"it is missing: the record begins at {begins}, untold why")
    return head if begins == head.n + 1 else _not_removed(begins, tombstones)


def _not_removed(begins: int, tombstones: Sequence[Tombstone]) -> Head | Damage:
    """Return the start when a file stayed that a tombstone speaks of: a crash came between."""
    for each in tombstones:
        if each.first_n == begins:
            return Head(each.first_n - 1, each.first_prev_hash)
    if begins == 1:
        return Head()
    return Damage(begins, "no tombstone speaks of what was before it")


def _spoilt(damage: Damage) -> Verdict:
    return Verdict(Head(), damage, 0, 0, 0, 0, 0)
