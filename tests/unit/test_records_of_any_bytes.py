"""Whatever bytes somebody publishes: found in the record, exported, and in nobody's way."""

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import msgspec
import pytest

from schemas.errors import StateError
from schemas.reports import QueryRequest
from services.cli import export_parquet
from services.cli.app import make_app
from services.cli.export_parquet import as_parquet
from services.recorder.chain import GENESIS, Message, Record
from services.recorder.journal import Journal
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.exporting import Wanted, csv_lines, exported
from services.recorder.queries.keeper import Keeper
from services.recorder.queries.making import RECORD_FOLDER, chain_records
from services.recorder.search import Found, Query, events_of, order_trail, search
from tests.builders import ACCOUNT
from tests.report_rig import BEGIN_NS, Recorded

PAYLOAD_BYTES_MAX = 2 << 20
"""Of the bus: `max_payload` of the server's configuration."""

ORDER = b'{"type":"OrderApproved","order_id":"o1","signal_id":"s1","session":"a","epoch":1}'
DEEP = b"[" * 50_000
DEEP_JSON = b'{"order_id":"o1","x":' + b"[" * 600 + b"]" * 600 + b"}"
"""What a decoder could follow from where nobody else had called before."""


def recorded(folder: Path, *told: tuple[str, bytes]) -> Path:
    """Record these in a data folder, one a nanosecond; return it."""
    at = [(subject, BEGIN_NS + n, data) for n, (subject, data) in enumerate(told)]
    Recorded(folder).add_bytes(at)
    return folder


def found(data_dir: Path, query: Query) -> list[int]:
    return [each.n for each in search(data_dir / RECORD_FOLDER, query, lambda _count: None)]


def run(data_dir: Path, *arguments: str) -> int:
    app = make_app()
    code = app([*arguments, "--data-dir", str(data_dir)], result_action="return_value")
    return int(code)


@pytest.fixture
def escaped(tmp_path: Path) -> Path:
    """A record of two requests with escapes, and one without."""
    return recorded(
        tmp_path,
        ("control.stop", b'{"operator":"Jos\\u00e9","reason":"say \\"no\\"","session":"a"}'),
        ("control.stop", '{"operator":"José","reason":"C:\\\\temp\\n"}'.encode()),
        ("control.stop", b'{"operator":"max","reason":"x"}'),
    )


@pytest.mark.req("R-01")
@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        (Query(fields=(("operator", "José"),)), [1, 2]),
        (Query(texts=("José",)), [1, 2]),
        (Query(texts=('say "no"',)), [1]),
        (Query(texts=('"operator":"José"', "say")), [1]),
        (Query(texts=("C:\\temp\n",)), [2]),
        (Query(texts=("operator", "x")), [3]),
        (Query(texts=("\udcff",)), []),
        (Query(texts=("jose",)), []),
    ],
)
def test_a_search_finds_what_was_said_however_it_was_escaped(
    escaped: Path, query: Query, numbers: list[int]
) -> None:
    assert found(escaped, query) == numbers


@pytest.mark.req("R-01")
def test_the_command_finds_a_name_that_its_publisher_escaped(
    escaped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(escaped, "audit", "search", "--operator", "José", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["record"], each["event"]["operator"]) for each in lines] == [
        (1, "José"),
        (2, "José"),
    ]


@pytest.mark.req("R-01", "A-06")
def test_brackets_in_brackets_hide_no_order_and_no_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [("order.sim.paper", ORDER), ("control.halt", DEEP), ("control.halt", DEEP_JSON)]
    data_dir = recorded(tmp_path, *told, ("control.stop", b'{"operator":"kim"}'))
    assert found(data_dir, Query(fields=(("operator", "kim"),))) == [4]
    assert found(data_dir, Query(texts=("[[[",))) == [2, 3]
    trail = order_trail(data_dir / RECORD_FOLDER, "o1", lambda _count: None)
    assert [each.n for each in trail.order] == [1]
    assert run(data_dir, "audit", "search", "--subject", "control.halt") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 events"
    assert run(data_dir, "audit", "show", "o1") == 0


@pytest.mark.req("R-01")
def test_what_an_older_release_wrote_as_json_is_shown_as_its_bytes() -> None:
    raw = msgspec.Raw(DEEP_JSON)
    record = Record(1, GENESIS, 7, "control.halt", "CONTROL", 1, 7, payload=raw)
    assert list(events_of(record)) == [
        Found(1, 7, "control.halt", {"bytes": DEEP_JSON.decode()}),
    ]


@pytest.mark.req("R-01", "A-06")
@pytest.mark.parametrize(
    "odd",
    [
        b'{"order_id":"o1","epoch":[1],"session":{"a":1},"signal_id":[],"readings":"none"}',
        b'{"order_id":"o1","type":{"a":1},"readings":[1,{"check":[]}],"order":[]}',
        b'{"order_id":"o1","type":"SignalRaised","signal_id":["s1"],"session":["a"]}',
        b'{"type":"SessionCreated","session":[["a"]],"s1":"s1"}',
        b'{"type":"SignalConfirmed","signal_id":{"s1":"s1"}}',
        b'{"type":"EpochStarted","epoch":{"s1":"s1"}}',
    ],
)
def test_nobody_makes_an_order_unreadable_by_naming_it(tmp_path: Path, odd: bytes) -> None:
    data_dir = recorded(tmp_path, ("order.sim.paper", ORDER), ("control.halt.x", odd))
    trail = order_trail(data_dir / RECORD_FOLDER, "o1", lambda _count: None)
    assert trail.order[0].n == 1
    assert run(data_dir, "audit", "show", "o1") == 0


# named queries


@pytest.mark.req("R-04")
def test_halts_of_any_bytes_are_among_the_halts(tmp_path: Path) -> None:
    halts = [
        b"panic!",
        b"",
        b'{"operator":"kim","reason":"x"}',
        bytes(range(256)),
        b'{"operator":"\\ud800"}',
        DEEP,
        DEEP_JSON,
        b'{"operator":["a"],"reason":1e99999}',
        b'{"operator":"a\\u0000b"}',
    ]
    journal = Journal(tmp_path / RECORD_FOLDER, file_bytes_max=1 << 20)
    said = [
        Message("CONTROL", n, "control.halt", BEGIN_NS + n, data, BEGIN_NS + n)
        for n, data in enumerate(halts, 1)
    ]
    journal.append(said)
    journal.note(journal.head.n)
    journal.close()
    keeper = Keeper(tmp_path, ReportsConfig(), ACCOUNT)
    keeper.is_wanted = True
    assert keeper.feed(0).detail == ""
    found = keeper.ask(QueryRequest(named="halts"))
    assert found.error is None
    assert [row[3:] for row in reversed(found.rows)] == [
        (None, None),
        (None, None),
        ("kim", "x"),
        (None, None),
        (None, None),
        (None, None),
        (None, None),
        ('["a"]', "1e99999"),
        ("a\0b", None),
    ]
    keeper.close()


# parquet


def parquet_of(data_dir: Path, kind: str = "events") -> Iterator[bytes]:
    rows = exported(chain_records(data_dir / RECORD_FOLDER), Wanted(kind))
    return as_parquet(kind, csv_lines(kind, rows), beside=data_dir)


@pytest.mark.req("R-02")
@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * PAYLOAD_BYTES_MAX,
        b'"' * PAYLOAD_BYTES_MAX,
        b'{"account":"%s"}' % (b'\\"' * (PAYLOAD_BYTES_MAX // 2 - 10)),
        b'{"account":"%s"}' % (b"a" * (PAYLOAD_BYTES_MAX - 20)),
        b'a,"b\r\n\x00c',
    ],
    ids=["no text", "quotes", "quotes in a field", "a long field", "separators"],
)
def test_the_largest_message_of_the_bus_fits_into_an_export(tmp_path: Path, data: bytes) -> None:
    recorded(tmp_path, *[("control.halt", data)] * 3, ("control.stop", b'{"type":"X"}'))
    file = tmp_path / "events.parquet"
    file.write_bytes(b"".join(parquet_of(tmp_path)))
    found = duckdb.execute(f"SELECT body FROM read_parquet('{file}') ORDER BY record").fetchall()
    text = data.decode("utf-8", "replace")
    assert [body == text for (body,) in found] == [True, True, True, False]
    assert found[-1] == ('{"type":"X"}',)


@pytest.mark.req("R-02")
def test_rows_of_a_parquet_file_are_in_the_order_of_the_record(tmp_path: Path) -> None:
    rows = [("at", n, 0, "2026-11-25", n, n, *[""] * 8, "x" * (n % 700)) for n in range(1, 30_000)]
    file = tmp_path / "events.parquet"
    file.write_bytes(b"".join(as_parquet("events", csv_lines("events", rows), beside=tmp_path)))
    with duckdb.connect() as reader:
        reader.execute("SET threads = 1")
        numbers = reader.execute(f"SELECT record FROM read_parquet('{file}')").fetchall()
        sql = f"SELECT count(DISTINCT row_group_id) FROM parquet_metadata('{file}')"
        groups = reader.execute(sql).fetchone()
    assert [n for (n,) in numbers] == list(range(1, 30_000))
    assert groups == (4,)


@pytest.mark.req("R-02", "R-06")
def test_many_long_rows_make_many_groups_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    limits = {**export_parquet.LIMITS, "memory_limit": "64MiB"}
    monkeypatch.setattr(export_parquet, "LIMITS", limits)
    monkeypatch.setattr(export_parquet, "GROUP_BYTES", 4 << 20)
    rows = [
        ("at", n, 0, "", n, n, *[""] * 8, f"{n:07d}" * (70_000 if n % 100 == 0 else 1))
        for n in range(1, 9_000)
    ]
    made = b"".join(as_parquet("events", csv_lines("events", rows), beside=tmp_path))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(export_parquet, "GROUP_BYTES", 1 << 30)
    with pytest.raises(StateError) as failed:
        list(as_parquet("events", csv_lines("events", rows), beside=tmp_path))
    assert failed.value.fields["wanted"] == export_parquet.WANTED_LESS
    assert list(tmp_path.iterdir()) == []
    assert made[-4:] == b"PAR1"
    with duckdb.connect(config=export_parquet.LIMITS) as opened:  # gone by now, if it was there
        assert opened.execute("SELECT current_setting('temp_directory')").fetchone() == ("",)
