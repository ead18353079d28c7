"""What is old enough goes, by the policy of its kind; what went is written into the record (R-06).

Of the chain only whole files go, from its beginning, and each when all the records in it may (see
`policy`); the one with the newest terms of the account stays until newer ones are recorded. A
signed tombstone says where it goes on, so that the rest verifies; the record says what was removed
and by which rule before anything is.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from schemas.errors import StateError
from schemas.reports import TermsDeclared
from schemas.subjects import SUBJECTS
from services.recorder.appending import append_line
from services.recorder.chain import hash_of, read_line
from services.recorder.checkpoints import RecordKey, Tombstone
from services.recorder.config import Retention
from services.recorder.journal import Journal
from services.recorder.own import REMOVED, TOMBSTONES, read_tombstones
from services.recorder.policy import DAY_NS, chain_days, in_words, kind_of
from services.recorder.reader import first_n, last_line, lines, segments

TERMS = b'"subject":"%s",' % SUBJECTS[TermsDeclared].encode()
"""In the line of a record that declares the terms of an account, and in few others."""


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass of retention removed of one kind: payload of `record.removed`."""

    kind: str
    policy: str
    """The rule, in words."""

    files: tuple[str, ...]
    size_bytes: int
    first_n: int = 0
    last_n: int = 0
    """Of the record: numbers of the first and the last record that went; 0 for other kinds."""


def enforce(
    journal: Journal,
    key: RecordKey,
    *,
    data_dir: Path,
    events_dir: Path,
    policy: Retention,
    now_ns: int,
) -> list[Removed]:
    """Remove what is older than the policy of its kind, once it is recorded; return what it was.

    Args:
        journal: where it is recorded.
        key: signs the tombstones.
        data_dir: of logs, reports, results.
        events_dir: of the JSON Lines.
        policy: what is kept how long.
        now_ns: in ns since the epoch.

    Raises:
        StateError: SLU-141, a file cannot be read, written or removed.
    """
    try:
        found = [
            *_of_record(journal, key, policy, now_ns),
            *_of_files(journal, _kinds(data_dir, events_dir, policy), now_ns),
        ]
    except OSError as error:
        path, said = error.filename or data_dir, error.strerror or str(error)
        wanted = "files that can be removed: retention goes on tomorrow"
        raise StateError("SLU-141", path=path, found=said, wanted=wanted) from error
    return found


def _of_record(
    journal: Journal, key: RecordKey, policy: Retention, now_ns: int
) -> Iterator[Removed]:
    folder = journal.folder
    gone_n = max((each.last_n for each in read_tombstones(folder)), default=0)
    files = segments(folder)
    for path, following in itertools.pairwise(files):
        if first_n(following) <= gone_n + 1:
            path.unlink()  # its tombstone stands: a crash came between
            continue
        kinds = _kinds_if_old(path, policy, now_ns)
        if kinds is None or _has_newest_terms(path, files):
            return
        last = last_line(path, path.stat().st_size - 1)
        yield _bury(journal, key, path, last, in_words(policy, kinds), now_ns)


def _kinds_if_old(path: Path, policy: Retention, now_ns: int) -> frozenset[str] | None:
    """Return the kinds in a file of which all is older than its kind is kept; None: some is not.

    It is read up to the first record that stays, which is most often the first.
    """
    before_ns = {kind: now_ns - days * DAY_NS for kind, days in chain_days(policy).items()}
    kinds = set()
    for line in lines(path):
        record = read_line(line)
        kind = kind_of(record.stream)
        if record.recv_ns >= before_ns[kind]:
            return None
        kinds.add(kind)
    return frozenset(kinds) or None


def _has_newest_terms(path: Path, files: Sequence[Path]) -> bool:
    """Return whether the terms in a file are the newest there are: without any, no figures."""
    if not _has_terms(path):
        return False
    return not any(_has_terms(later) for later in files if later > path)


def _has_terms(path: Path) -> bool:
    return any(TERMS in line for line in lines(path))


def _bury(
    journal: Journal, key: RecordKey, path: Path, last: bytes, policy: str, now_ns: int
) -> Removed:
    """Remove the first file of a chain: recorded, then signed, then done."""
    first = read_line(next(lines(path)))
    end = read_line(last)
    removed = Removed(
        kind="record",
        policy=policy,
        files=(path.name,),
        size_bytes=path.stat().st_size,
        first_n=first.n,
        last_n=end.n,
    )
    journal.append_own(REMOVED, msgspec.json.encode(removed), now_ns)
    tombstone = key.tombstone(
        Tombstone(
            first_n=first.n,
            last_n=end.n,
            first_prev_hash=first.prev_hash,
            last_hash=hash_of(last),
            at_ns=now_ns,
            policy=policy,
            key=key.fingerprint,
        )
    )
    append_line(journal.folder / TOMBSTONES, msgspec.json.encode(tombstone) + b"\n")
    path.unlink()
    return removed


def _of_files(
    journal: Journal, kinds: dict[str, tuple[list[Path], int]], now_ns: int
) -> Iterator[Removed]:
    """Remove old files of the other kinds: of each what was not changed for so long."""
    for kind, (files, days) in kinds.items():
        before_ns = now_ns - days * DAY_NS
        old = [path for path in files if path.stat().st_mtime_ns < before_ns]
        if not old:
            continue
        removed = Removed(
            kind=kind,
            policy=f"{kind} are kept {days} days",
            files=tuple(map(str, old)),
            size_bytes=sum(path.stat().st_size for path in old),
        )
        journal.append_own(REMOVED, msgspec.json.encode(removed), now_ns)
        for path in old:
            path.unlink(missing_ok=True)
        yield removed


def _kinds(
    data_dir: Path, events_dir: Path, policy: Retention
) -> dict[str, tuple[list[Path], int]]:
    """Return the files that may go, by kind, and for how many days each is kept.

    Those whose names begin with a point stay: they say what was written, or mailed, already.
    """
    logs = [*data_dir.glob("log/*.log.*"), *events_dir.glob("*_events.*.jsonl")]
    found = {
        "logs": (logs, policy.logs_days),
        "reports": (list(data_dir.glob("reports/**/*")), policy.reports_days),
        "results": (list(data_dir.glob("results/**/*")), policy.results_days),
    }
    return {
        kind: (sorted(p for p in files if p.is_file() and not p.name.startswith(".")), days)
        for kind, (files, days) in found.items()
    }
