"""The query store beside a recorded chain: durable, rebuildable, and read-only to everybody."""

import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from schemas.base import ExecutionId, SessionId
from schemas.errors import StateError, UserError
from schemas.executions import OrderCanceled, OrderFilled
from schemas.reports import QueryAnswer, QueryRequest, ReportKind, ReportMade, ReportWanted
from schemas.wire import encode
from services.cli.export_parquet import LIMITS, as_parquet
from services.recorder.chain import Message
from services.recorder.config import Retention
from services.recorder.journal import Journal
from services.recorder.key_file import ensure_record_key
from services.recorder.queries.asking import ask
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.exporting import KINDS, Wanted, csv_lines, exported, header
from services.recorder.queries.keeper import REBUILD, STORE_FOLDER, Keeper
from services.recorder.queries.making import (
    RECORD_FOLDER,
    chain_records,
    folded_day,
    made_of,
    refuse_empty,
    write,
)
from services.recorder.queries.named import NAMED
from services.recorder.queries.results import results_file
from services.recorder.queries.store import Store
from services.recorder.queries.tables import insert_sql
from services.recorder.reader import segments
from services.recorder.retention import enforce
from services.reports.days import day_named
from tests.builders import ACCOUNT, S_NS, SESSION, dec
from tests.report_rig import (
    BEGIN_NS,
    DAY,
    DAY_NS,
    NEXT_DAY,
    Life,
    Recorded,
    a_day,
    created,
    ended,
    marked,
    terms,
)

pytestmark = pytest.mark.req("R-04")
CONFIG = ReportsConfig(delay_s=0)
MORNING_NS = BEGIN_NS + DAY_NS + 3_600 * S_NS
"""An hour into the day after."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A record of a day, with a frame of several, a halt of any bytes, and unreadable ones."""
    found = Recorded(tmp_path_factory.mktemp("recorded"))
    found.add(terms(), created())
    found.add(*a_day())
    found.add(marked(BEGIN_NS + 5, "1"), marked(BEGIN_NS + 6, "2"), frame=True)
    found.add_bytes(
        [
            ("control.halt", BEGIN_NS + 7, b"\xff\xfe not JSON"),
            ("control.start", BEGIN_NS + 8, b'{"operator":"kim"}'),
            ("signal.s1.ALPHA", BEGIN_NS + 9, b'{"type":"SignalRaised","at_ns":"x","\\ud800":1}'),
            ("signal.s1.ALPHA", BEGIN_NS + 10, b'{"type":"SignalRaised","at_ns":99e999}'),
        ]
    )
    return found


@pytest.fixture(scope="module")
def keeper(recorded: Recorded) -> Iterator[Keeper]:
    made = Keeper(recorded.data_dir, CONFIG, ACCOUNT)
    made.is_wanted = True
    assert made.feed(0).detail == ""
    try:
        yield made
    finally:
        made.close()


def asked(keeper: Keeper, sql: str, **more: Any) -> QueryAnswer:
    return keeper.ask(QueryRequest(sql=sql, **more))


def test_every_event_is_in_the_tables_also_what_nobody_can_read(keeper: Keeper) -> None:
    found = asked(keeper, "SELECT type, count(*) AS n FROM events GROUP BY type ORDER BY type")
    assert dict(found.rows) == {
        "AccountMarked": 5,
        "OrderAccepted": 2,
        "OrderApproved": 2,
        "OrderCanceled": 1,
        "OrderFilled": 3,
        "OrderSubmitted": 2,
        "SessionCreated": 1,
        "SignalDecided": 2,
        "SignalRaised": 2,
        "TermsDeclared": 1,
        None: 4,
    }


def test_profit_of_the_tables_is_the_one_of_a_hand_calculation(keeper: Keeper) -> None:
    [row] = keeper.ask(QueryRequest(named="pnl_by_session")).rows
    # 10 bought at 101, 4 sold at 110, fees 1.9; 6 held, 111 at the last valuation
    assert row == (SESSION, "ema_cross", 1, 3, "36", "1.9", "94.1")
    assert dec("94.1") == 4 * 110 - 1010 - dec("1.9") + 6 * 111


def test_latencies_of_the_tables_are_those_of_the_events(keeper: Keeper) -> None:
    send, fill = (keeper.ask(QueryRequest(named=f"{n}_latency")).rows for n in ("send", "fill"))
    assert send == (("sim", 2, 5, 5, 5),)
    assert fill == (("sim", 2, 10, 10, 10),)


@pytest.mark.parametrize("name", NAMED)
def test_every_named_query_is_answered(keeper: Keeper, name: str) -> None:
    found = keeper.ask(QueryRequest(named=name))
    assert found.error is None
    assert found.columns


FORBIDDEN = [
    "INSERT INTO events SELECT * FROM events",
    "UPDATE fills SET price = 0",
    "DELETE FROM events",
    "DROP TABLE events",
    "CREATE TABLE mine (a INTEGER)",
    "CREATE TEMP TABLE mine (a INTEGER)",
    "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone",
    "EXPLAIN ANALYZE DELETE FROM events",
    "SELECT 1; DELETE FROM events",
    "BEGIN; DELETE FROM events; COMMIT",
    "ATTACH 'other.duckdb'",
    "ATTACH ':memory:' AS m",
    "INSTALL httpfs",
    "LOAD httpfs",
    "COPY events TO '{folder}/stolen.csv'",
    "EXPORT DATABASE '{folder}/stolen'",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM checkpoint()",
    "CALL checkpoint()",
    "PRAGMA database_list",
    "SELECT * FROM pragma_database_list()",
    "SELECT * FROM duckdb_settings()",
    "SET enable_external_access = true",
    "SELECT getenv('HOME')",
    "SELECT * FROM QueryRequest",
]


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_nothing_but_reading_our_tables_is_possible(
    keeper: Keeper, tmp_path: Path, sql: str
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    before = asked(keeper, "SELECT count(*), max(record) FROM events").rows
    found = asked(keeper, sql.format(folder=tmp_path, secret=secret))
    assert found.error is not None
    assert found.rows == ()
    assert asked(keeper, "SELECT count(*), max(record) FROM events").rows == before
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_without_these_settings_a_file_could_be_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    with duckdb.connect() as open_door:
        assert open_door.execute(f"SELECT * FROM read_csv('{secret}')").fetchall() == [(1, 2)]


def test_a_query_is_limited_in_time_rows_and_bytes(keeper: Keeper) -> None:
    endless = "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE a.range = -b.range"
    late = asked(keeper, endless, timeout_ms=50)
    assert late.error is not None
    assert (late.error.path, late.error.found) == ("timeout_ms", "not done after 50 ms")
    cut = asked(keeper, "SELECT * FROM range(100)", rows_count_max=7)
    assert (len(cut.rows), cut.is_cut) == (7, True)
    large = asked(keeper, "SELECT repeat('x', 1000) FROM range(5000)", rows_count_max=5_000)
    assert large.error is not None
    assert large.error.found == "an answer of more than 1500000 bytes"
    assert asked(keeper, "SELECT 1").rows == ((1,),)


@pytest.mark.parametrize(
    ("sql", "path"),
    [
        ("SELEC 1", "sql, line 1, column 1"),
        ("SELECT *\nFROM events\nWHERE nope = 1", "sql, line 3, column 7"),
        ("", "sql"),
    ],
)
def test_bad_sql_is_told_with_its_place(keeper: Keeper, sql: str, path: str) -> None:
    found = asked(keeper, sql)
    assert found.error is not None
    assert found.error.path == path


def test_a_name_that_is_none_lists_those_that_are(keeper: Keeper) -> None:
    found = keeper.ask(QueryRequest(named="pnl"))
    assert found.error is not None
    assert found.error.wanted.startswith("one of pnl_by_session")


def dump(store: Store) -> dict[str, list[Any]]:
    tables = (
        "events",
        "orders",
        "fills",
        "positions",
        "decisions",
        "marks",
        "folds",
        "prices",
        "counts",
    )
    return {name: sorted(map(repr, store.values(f"SELECT * FROM {name}"))) for name in tables}


def fed(folder: Path, recorded: Recorded, sizes: list[int]) -> Store:
    """Return a store that took the record in, in commits of these sizes, reopened after each."""
    records = list(chain_records(recorded.data_dir / RECORD_FOLDER))
    for size in sizes:
        store = Store(folder)
        for record in [each for each in records if each.n > store.n][:size]:
            store.rows.add(record)
        store.commit()
        store.close()
    store = Store(folder)
    for record in [each for each in records if each.n > store.n]:
        store.rows.add(record)
    store.commit()
    return store


def test_a_store_that_was_reopened_again_and_again_is_the_same(
    tmp_path: Path, recorded: Recorded
) -> None:
    whole, parts = fed(tmp_path / "a", recorded, []), fed(tmp_path / "b", recorded, [4, 1, 6, 1, 1])
    assert dump(whole) == dump(parts)
    whole.close()
    parts.close()


def test_a_commit_that_fails_leaves_nothing_of_itself(
    tmp_path: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fed(tmp_path / "a", recorded, [])
    records = list(chain_records(recorded.data_dir / RECORD_FOLDER))
    store = Store(tmp_path / "b")
    for record in records[:5]:
        store.rows.add(record)
    store.commit()
    good = Store._insert

    def broken(connection: Any, table: str, rows: Any) -> None:
        if table == "fills":
            raise duckdb.IOException("no space left on device")
        good(connection, table, rows)

    monkeypatch.setattr(Store, "_insert", staticmethod(broken))
    for record in records[5:]:
        store.rows.add(record)
    with pytest.raises(StateError, match="no space left"):
        store.commit()
    assert store.n == 5
    monkeypatch.undo()
    for record in records[5:]:
        store.rows.add(record)
    store.commit()
    assert dump(store) == dump(whole)
    store.close()
    whole.close()


HUGE, TINY = "9" * 19, "0." + "0" * 30 + "1"


def test_an_amount_that_fits_no_column_stops_nothing(tmp_path: Path) -> None:
    """Whoever may publish could else stop every query and report for good."""
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created(), *a_day(), marked(BEGIN_NS + 5, HUGE), marked(1 << 70, TINY))
    recorded.add(marked(MORNING_NS, "7"))
    keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
    keeper.is_wanted = True
    assert keeper.feed(0).detail == ""
    marks = [[None, HUGE], ["0", "1E-31"], ["7", "7"]]
    exact = "json_extract_string(e.body, '$.equity')"
    sql = f"SELECT m.equity, {exact} FROM marks m JOIN events e USING (record) ORDER BY record"
    assert [[row[0], row[1]] for row in asked(keeper, sql).rows][-3:] == marks
    (tmp_path / STORE_FOLDER / REBUILD).touch()
    assert keeper.feed(0).detail == ""
    assert [[row[0], row[1]] for row in asked(keeper, sql).rows][-3:] == marks
    keeper.close()


def test_without_trying_a_cast_one_event_stops_the_store_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(terms(), marked(BEGIN_NS + 5, HUGE))
    careless = "services.recorder.queries.store.insert_sql"
    good = insert_sql
    monkeypatch.setattr(careless, lambda *told: good(*told).replace("TRY_CAST", "CAST"))
    keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
    keeper.is_wanted = True
    assert f'Could not convert string "{HUGE}"' in keeper.feed(0).detail
    keeper.close()


@pytest.mark.req("R-02")
def test_a_parquet_file_holds_what_the_csv_one_does(tmp_path: Path, recorded: Recorded) -> None:
    for kind in KINDS:
        target = tmp_path / f"{kind}.parquet"
        rows = list(exported(chain_records(recorded.data_dir / RECORD_FOLDER), Wanted(kind)))
        target.write_bytes(b"".join(as_parquet(kind, csv_lines(kind, rows), beside=tmp_path)))
        found = duckdb.execute(f"SELECT count(*) FROM read_parquet('{target}')").fetchone()
        assert found == (len(rows),)


@pytest.mark.req("R-06")
def test_what_is_to_be_encrypted_is_in_no_file_before(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(**_told: object) -> None:
        raise AssertionError("a file on the disk")

    monkeypatch.setattr("tempfile.TemporaryFile", forbidden)
    rows = list(exported(chain_records(recorded.data_dir / RECORD_FOLDER), Wanted("fills")))
    made = b"".join(as_parquet("fills", csv_lines("fills", rows), beside=None))
    assert (made[:4], made[-4:]) == (b"PAR1", b"PAR1")
    monkeypatch.setattr("services.cli.export_parquet.MEMORY_BYTES_MAX", 100)
    with pytest.raises(StateError, match="SLU-149"):
        list(as_parquet("fills", csv_lines("fills", rows), beside=None))


@pytest.mark.req("R-02")
@pytest.mark.timeout(60)
def test_a_parquet_file_that_cannot_be_made_ends_with_the_cause(
    tmp_path: Path, recorded: Recorded
) -> None:
    def lines() -> Iterator[bytes]:
        rows = list(exported(chain_records(recorded.data_dir / RECORD_FOLDER), Wanted("fills")))
        price = header("fills").index("price")
        bad = [(*row[:price], "x", *row[price + 1 :]) for row in rows]
        yield from csv_lines("fills", [*bad, *rows * 5_000])

    with pytest.raises(StateError, match=r"(?s)SLU-149.*CSV Error"):
        list(as_parquet("fills", lines(), beside=tmp_path))


@pytest.mark.req("R-02")
@pytest.mark.timeout(60)
def test_who_cannot_go_on_writing_a_parquet_file_waits_for_nobody(
    tmp_path: Path, recorded: Recorded
) -> None:
    """The disk is full, say; and where the record cannot be read, that is what is told."""
    rows = list(exported(chain_records(recorded.data_dir / RECORD_FOLDER), Wanted("events")))
    pieces = as_parquet("events", csv_lines("events", rows * 2_000), beside=tmp_path)
    assert next(pieces)
    pieces.close()  # type: ignore[attr-defined]

    def damaged() -> Iterator[bytes]:
        yield from csv_lines("events", rows)
        raise StateError("SLU-140", path="chain", found="a gap", wanted="none", record=1)

    with pytest.raises(StateError, match="SLU-140"):
        list(as_parquet("events", damaged(), beside=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_is_told_of_an_order_of_long_ago_does_not_take_its_row_away(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created(), *a_day())
    config = ReportsConfig(delay_s=0, closed_orders_max=1)
    keeper = Keeper(tmp_path, config, ACCOUNT)
    keeper.is_wanted = True
    assert keeper.feed(0).detail == ""
    sql = "SELECT * FROM orders ORDER BY order_id"
    before = asked(keeper, sql).rows
    assert len(before) == 2
    closed = [each for each in a_day() if isinstance(each, OrderFilled | OrderCanceled)]
    late = msgspec.structs.replace(
        next(each for each in closed if isinstance(each, OrderFilled)),
        execution_id=ExecutionId("late"),
        at_ns=MORNING_NS,
    )
    recorded.add(late)
    assert keeper.feed(0).detail == ""
    keeper.close()
    again = Keeper(tmp_path, config, ACCOUNT)  # a store that is opened knows of no closed order
    again.is_wanted = True
    recorded.add(msgspec.structs.replace(late, execution_id=ExecutionId("later")))
    assert again.feed(0).detail == ""
    assert asked(again, sql).rows == before
    counted = asked(again, "SELECT count(*) FROM fills").rows[0][0]
    assert counted == len([each for each in closed if isinstance(each, OrderFilled)]) + 2
    again.close()


@pytest.mark.req("R-06")
def test_what_retention_took_from_the_record_is_in_no_table_any_more(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    over = SessionId("over")
    gone = created(session=over), ended(BEGIN_NS + 2, over)
    recorded.add(terms(), created(), *gone, *a_day())
    keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
    keeper.is_wanted = True
    assert keeper.feed(0).detail == ""
    counted = "SELECT (SELECT count(*) FROM {}), (SELECT min(record) FROM events)"
    before = {name: asked(keeper, counted.format(name)).rows[0] for name in ("fills", "orders")}
    journal = Journal(tmp_path / RECORD_FOLDER, file_bytes_max=1)
    for day in (1, 2):  # a file each, with the terms declared anew
        late = marked(MORNING_NS + day * DAY_NS, "1")
        for seq, (subject, event) in enumerate(
            (("risk.account.x", late), ("report.terms", terms(late.at_ns))), start=2 * day - 1
        ):
            told = Message("FILLS", seq, subject, late.at_ns, encode(event), late.at_ns)
            journal.append([told])
    key, last_n = ensure_record_key(tmp_path / "keys"), journal.head.n - 4
    removed = enforce(
        journal,
        key,
        data_dir=tmp_path,
        events_dir=tmp_path / "events",
        policy=Retention(record_days=1),
        now_ns=MORNING_NS + 2 * DAY_NS,
    )
    journal.note(journal.head.n)
    journal.close()
    assert [each.last_n for each in removed] == [last_n]
    assert keeper.feed(0).detail == ""
    after = {name: asked(keeper, counted.format(name)).rows[0] for name in ("fills", "orders")}
    assert {name: row[1] for name, row in before.items()} == {"fills": 1, "orders": 1}
    assert after["fills"] == (0, last_n + 1)
    counts = "SELECT * FROM counts WHERE name IS NOT NULL ORDER BY key"
    left = asked(keeper, counts).rows
    sessions = "SELECT session, state FROM sessions ORDER BY session"
    assert asked(keeper, sessions).rows == ((SESSION, "created"),)  # it holds something
    held = asked(keeper, "SELECT quantity FROM positions").rows
    keeper.close()
    unwanted = Keeper(tmp_path, CONFIG, ACCOUNT)
    unwanted.feed(0)  # nobody asks: it is opened to be emptied all the same
    assert unwanted.feed(0).recorded_count > 0
    unwanted.close()
    (tmp_path / STORE_FOLDER / REBUILD).touch()
    again = Keeper(tmp_path, CONFIG, ACCOUNT)
    again.is_wanted = True
    assert again.feed(0).detail == ""
    assert {n: asked(again, counted.format(n)).rows[0] for n in ("fills", "orders")} == after
    assert asked(again, counts).rows == left != ()
    assert len(held) == 1
    again.close()


@pytest.mark.req("R-02")
def test_a_parquet_file_of_more_than_memory_is_made_in_order(
    tmp_path: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIMITS, "memory_limit", "64MiB")
    [row, *_] = exported(chain_records(recorded.data_dir / RECORD_FOLDER), Wanted("events"))
    number, body = header("events").index("record"), header("events").index("body")
    text = 'a line with "quotes", and\na newline; ' + "x" * 2_000
    rows = ((*row[:number], n, *row[number + 1 : body], text) for n in range(50_000))
    target = tmp_path / "events.parquet"
    with target.open("wb") as file:  # 100 MB of text
        for piece in as_parquet("events", csv_lines("events", rows), beside=tmp_path):
            file.write(piece)
    found = duckdb.execute(
        "SELECT count(*), count(DISTINCT body), max(record),"
        f" bool_and(record = file_row_number) FROM read_parquet('{target}', file_row_number = true)"
    ).fetchone()
    assert found == (50_000, 1, 49_999, True)


def test_a_rebuilt_store_says_what_the_old_one_said(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created(), *a_day())
    keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
    keeper.is_wanted = True
    keeper.feed(0)
    before = [asked(keeper, f"SELECT * FROM {name}").rows for name in ("orders", "positions")]
    assert keeper._store is not None
    keeper._store.values("UPDATE positions SET realized = 1000000")  # whatever went wrong
    (tmp_path / STORE_FOLDER / REBUILD).touch()
    recorded.add(marked(MORNING_NS, "1"))
    keeper.feed(0)
    assert [asked(keeper, f"SELECT * FROM {n}").rows for n in ("orders", "positions")] == before
    keeper.close()


def test_a_question_waits_for_no_feeding_and_sees_whole_batches(
    tmp_path: Path, recorded: Recorded
) -> None:
    store = Store(tmp_path)
    counts: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = ask(store, QueryRequest(sql="SELECT count(*) FROM events"))
            counts.append(int(found.rows[0][0]))

    reader = threading.Thread(target=read)
    reader.start()
    records = list(chain_records(recorded.data_dir / RECORD_FOLDER))
    for record in records:
        store.rows.add(record)
        if record.n % 10 == 0:
            store.commit()
    store.commit()
    done.set()
    reader.join()
    parts = [1] * len(records)
    parts[15] = 2  # the frame
    whole = {sum(parts[:n]) for n in range(0, len(records) + 1, 10)} | {sum(parts)}
    assert set(counts) <= whole
    store.close()


# reports on schedule


def reported(keeper: Keeper, recorded: Recorded, now_ns: int) -> list[tuple[str, str]]:
    """Make what is due, and record it as the service does; return what was made."""
    keeper.is_wanted = True
    keeper.feed(now_ns)
    due = keeper.due(now_ns)
    for request in due:
        day = day_named(request.day, "24x7")
        fold = folded_day(recorded.data_dir, ACCOUNT, day)
        [report] = made_of([request.kind], fold, day)
        write(recorded.data_dir, report)
        recorded.add(report.made(is_scheduled=True, operator=""))
        keeper.on_made(ReportWanted(at_ns=0, request_id="", request=request))
    return [(request.kind, request.day) for request in due]


@pytest.mark.req("R-05")
def test_each_report_is_made_once_at_the_days_end_also_after_restarts(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created(), *a_day())
    keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
    assert reported(keeper, recorded, BEGIN_NS + DAY_NS - 1) == []  # the day is not over
    first = reported(keeper, recorded, MORNING_NS)
    assert first == [(kind, DAY) for kind in ReportKind]
    assert reported(keeper, recorded, MORNING_NS + S_NS) == []
    keeper.close()
    again = Keeper(tmp_path, CONFIG, ACCOUNT)
    assert reported(again, recorded, MORNING_NS + 2 * S_NS) == []
    recorded.add(*a_day(days_later=1))
    three_days_later_ns = MORNING_NS + 3 * DAY_NS  # nobody was here at midnight
    assert reported(again, recorded, three_days_later_ns) == [(k, NEXT_DAY) for k in ReportKind]
    assert reported(again, recorded, three_days_later_ns + S_NS) == []
    again.close()


@pytest.mark.req("R-05")
def test_a_report_that_could_not_be_made_is_wanted_again_later(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created(), *a_day())
    keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
    keeper.is_wanted = True
    keeper.feed(0)
    assert len(keeper.due(MORNING_NS)) == len(ReportKind)  # and nobody makes them
    assert keeper.due(MORNING_NS + S_NS) == []
    assert len(keeper.due(MORNING_NS + 601 * S_NS)) == len(ReportKind)
    keeper.close()


@pytest.mark.req("R-05")
def test_a_report_is_made_again_from_the_same_records_after_more_were_added(
    tmp_path: Path,
) -> None:
    recorded, day = Recorded(tmp_path), day_named(DAY, "24x7")
    recorded.add(terms(), created(), *a_day())
    first = made_of(ReportKind, folded_day(tmp_path, ACCOUNT, day), day)
    late = Life("late", at_ns=BEGIN_NS + DAY_NS // 4)  # of that day, and recorded only now
    recorded.add(*late.opened(), *a_day(days_later=1))
    until_n = first[0].until_n
    again = made_of(ReportKind, folded_day(tmp_path, ACCOUNT, day, until_n=until_n), day)
    assert [each.sha256 for each in again] == [each.sha256 for each in first]
    other = made_of(ReportKind, folded_day(tmp_path, ACCOUNT, day), day)
    assert [each.sha256 for each in other] != [each.sha256 for each in first]


@pytest.mark.req("R-05")
def test_a_day_without_anything_makes_no_report(tmp_path: Path) -> None:
    Recorded(tmp_path).add(terms(), created(), *a_day())
    day = day_named("2026-11-20", "24x7")
    fold = folded_day(tmp_path, ACCOUNT, day)
    with pytest.raises(UserError, match="nothing recorded of account paper on 2026-11-20"):
        refuse_empty(fold, day)


# exports


@pytest.mark.req("R-02")
def test_exports_have_a_row_for_each_event_order_fill_and_session(recorded: Recorded) -> None:
    folder = recorded.data_dir / RECORD_FOLDER
    counts = {
        kind: len(list(exported(chain_records(folder), Wanted(kind))))
        for kind in ("events", "orders", "fills", "sessions")
    }
    assert counts == {"events": 25, "orders": 2, "fills": 3, "sessions": 1}


@pytest.mark.req("R-02")
def test_an_export_of_a_time_or_a_session_has_that_alone(recorded: Recorded) -> None:
    folder = recorded.data_dir / RECORD_FOLDER
    early = Wanted("events", from_ns=BEGIN_NS, until_ns=BEGIN_NS + 2)
    assert [row[6] for row in exported(chain_records(folder), early)] == [
        "TermsDeclared",
        "SessionCreated",
    ]
    of_session = list(exported(chain_records(folder), Wanted("events", session=SESSION)))
    assert {row[11] for row in of_session} == {SESSION}
    assert len(list(exported(chain_records(folder), Wanted("fills", session="other")))) == 0


@pytest.mark.req("R-02")
@pytest.mark.parametrize("kind", KINDS)
def test_memory_of_an_export_does_not_grow_with_the_record(tmp_path: Path, kind: str) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created(), *(marked(BEGIN_NS + n, "100000") for n in range(200)))
    records = list(chain_records(tmp_path / RECORD_FOLDER))

    def peak_bytes(times: int) -> int:
        tracemalloc.start()
        many = (  # as time passes
            msgspec.structs.replace(record, stored_ns=record.stored_ns + part * DAY_NS)
            for part in range(times)
            for record in records
        )
        for piece in csv_lines(kind, exported(many, Wanted(kind))):
            assert piece
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak_bytes(60) < 1.5 * peak_bytes(15)


@pytest.mark.req("R-02")
def test_a_session_that_ended_has_its_results(tmp_path: Path) -> None:
    Recorded(tmp_path).add(terms(), created(), *a_day())
    keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
    keeper.on_session_end(SESSION)
    lines = results_file(tmp_path, SESSION).read_text().splitlines()
    assert lines[0].startswith("at,record,part,day,at_ns")
    assert len(lines) == 1 + 1 + 14  # the session's creation, and its orders' events


class Late:
    """A session that has ended, of which more is told now and then; each time one line more."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.recorded = folder, Recorded(folder)
        self.recorded.add(terms(), created(), *a_day(), ended(BEGIN_NS + DAY_NS))

    def tell(self, at_ns: int) -> None:
        told = [each for each in a_day() if isinstance(each, OrderCanceled)]
        self.recorded.add(*(msgspec.structs.replace(each, at_ns=at_ns) for each in told))

    def count(self) -> int:
        return len(results_file(self.folder, SESSION).read_text().splitlines())


HOURS_NS = [BEGIN_NS + DAY_NS + after_s * S_NS for after_s in (0, 1, 3_600, 7_200)]


@pytest.mark.req("R-02")
@pytest.mark.parametrize("is_open", [False, True])
def test_results_have_what_was_told_after_the_end_too_however_late(
    tmp_path: Path, is_open: bool
) -> None:
    late, keeper, counts = Late(tmp_path), Keeper(tmp_path, CONFIG, ACCOUNT), []
    for at_ns in HOURS_NS:
        keeper.is_wanted = is_open
        assert keeper.feed(at_ns).detail == ""
        counts.append(late.count())
        late.tell(at_ns)
    assert counts == [17, 18, 19, 20]
    keeper.close()


@pytest.mark.req("R-02")
@pytest.mark.parametrize("is_open", [False, True])
def test_results_have_what_was_told_before_a_restart_however_long_it_took(
    tmp_path: Path, is_open: bool
) -> None:
    late, counts = Late(tmp_path), []
    for at_ns in HOURS_NS:
        keeper = Keeper(tmp_path, CONFIG, ACCOUNT)  # what was told is in the store before it asks
        keeper.is_wanted = is_open
        if is_open:
            keeper.follow_all()
        assert keeper.feed(at_ns).detail == ""
        counts.append(late.count())
        keeper.close()
        late.tell(at_ns)
    assert counts == [17, 18, 19, 20]


@pytest.mark.req("R-02")
def test_results_that_have_all_are_not_written_again(tmp_path: Path) -> None:
    late = Late(tmp_path)
    for is_open in (False, True, False, True):
        keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
        keeper.is_wanted = is_open
        assert keeper.feed(0).detail == ""
        keeper.close()
        if not is_open and late.count() == 17:
            results_file(tmp_path, SESSION).write_text("as somebody left it")
    assert results_file(tmp_path, SESSION).read_text() == "as somebody left it"


@pytest.mark.req("R-02")
@pytest.mark.parametrize("is_open", [False, True])
def test_nothing_before_the_session_is_read_for_its_results(tmp_path: Path, is_open: bool) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(terms(), *(marked(BEGIN_NS - i, "1") for i in range(1, 20_000)))
    recorded.add(created(), *a_day(), ended(BEGIN_NS + DAY_NS))
    keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
    keeper.is_wanted = is_open
    assert keeper.feed(0).detail == ""
    results_file(tmp_path, SESSION).unlink()
    old, *_, newest = segments(tmp_path / RECORD_FOLDER)
    assert old != newest
    old.write_bytes(b"nobody can read this any more\n")
    keeper.on_session_end(SESSION)
    assert len(results_file(tmp_path, SESSION).read_text().splitlines()) == 17
    keeper.close()


@pytest.mark.req("R-02")
def test_a_session_with_the_name_of_a_folder_writes_nowhere(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    name = SessionId("../../elsewhere")
    Recorded(data_dir).add(terms(), created(session=name), ended(BEGIN_NS, session=name))
    assert Keeper(data_dir, CONFIG, ACCOUNT).feed(0).detail == ""
    assert not (tmp_path / "elsewhere").exists()
    assert not (data_dir / "results").exists()


def test_no_second_process_can_open_the_store(tmp_path: Path) -> None:
    import subprocess
    import sys

    store = Store(tmp_path)
    code = "from services.recorder.queries.store import Store; import sys, pathlib\n"
    code += "try: Store(pathlib.Path(sys.argv[1]))\nexcept Exception as e: print(e.code)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "SLU-141"
    store.close()


def test_made_reports_are_found_in_the_record(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    made = ReportMade(
        at_ns=MORNING_NS,
        kind=ReportKind.ORDERS,
        day=DAY,
        account=ACCOUNT,
        file="reports/x.csv",
        sha256="0" * 64,
        size_bytes=1,
        until_seq=3,
    )
    recorded.add(terms(), made)
    keeper = Keeper(tmp_path, CONFIG, ACCOUNT)
    keeper.is_wanted = True
    keeper.feed(0)
    [row] = keeper.ask(QueryRequest(named="reports")).rows
    assert row[1:] == ("orders", DAY, "reports/x.csv", "0" * 64)
    keeper.close()
