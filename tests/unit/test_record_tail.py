"""Whoever follows the record as it grows misses none of it, however files follow each other."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.recorder.chain import Message
from services.recorder.journal import Journal
from services.recorder.queries import tail as tail_module
from services.recorder.queries.tail import Tail
from services.recorder.reader import lines

pytestmark = pytest.mark.req("R-01", "R-04")
DAY_NS = 86_400_000_000_000


def message(seq: int, recv_ns: int = 7) -> Message:
    return Message("ORDERS", seq, "order.sim.paper", seq, b'{"seq":%d}' % seq, recv_ns)


def then(write: Callable[[], None]) -> Callable[[Path, int], Iterator[bytes]]:
    """Return a reading at whose first end something is written, before anybody looks further."""
    waiting = [write]

    def read(path: Path, offset_bytes: int = 0) -> Iterator[bytes]:
        yield from lines(path, offset_bytes)
        while waiting:
            waiting.pop()()

    return read


def test_what_is_written_last_to_a_file_before_the_next_is_begun_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, file_bytes_max=1 << 20)
    journal.append([message(1)])

    def at_midnight() -> None:
        journal.append([message(2)])
        journal.append([message(3, recv_ns=DAY_NS)])

    monkeypatch.setattr(tail_module, "lines", then(at_midnight))
    tail = Tail(tmp_path, 0)
    found = [[record.stream_seq for record in tail.read()] for _ in range(2)]
    journal.close()
    assert sorted(path.name for path in tmp_path.glob("chain-*")) == [
        "chain-000000000001.jsonl",
        "chain-000000000003.jsonl",
    ]
    assert (found, tail.n, tail.lag_bytes) == ([[1], [2, 3]], 3, 0)
