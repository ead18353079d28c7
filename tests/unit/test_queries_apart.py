"""What somebody asks in SQL of his own: limited whatever the planner does, and in no one's way."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest

from schemas.errors import FieldError, StateError
from schemas.reports import QueryAnswer, QueryRequest
from services.recorder.chain import Record
from services.recorder.queries import apart, opening, store
from services.recorder.queries.asking import ask
from services.recorder.queries.lending import Lending
from services.recorder.queries.making import RECORD_FOLDER, chain_records
from services.recorder.queries.opening import SPILL_FOLDER
from services.recorder.queries.store import Store
from tests.report_rig import Recorded, a_day, created, terms

pytestmark = pytest.mark.req("R-04")

COUNT = "SELECT count(*) FROM events"
ENDLESS = (
    "SELECT max(jaro_similarity(repeat('ab', 300000 + i::INTEGER), repeat('ba', 300000)))"
    " FROM range(100) t(i)"
)
"""One call of one function, for minutes: nothing interrupts it once it has begun."""

TOO_LARGE = FieldError(
    path="sql",
    found="more memory than queries may use",
    wanted="less at once, or `query_memory_mb`",
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    recorded = Recorded(tmp_path_factory.mktemp("recorded"))
    recorded.add(terms(), created(), *a_day())
    return list(chain_records(recorded.data_dir / RECORD_FOLDER))


@pytest.fixture
def fed(tmp_path: Path, records: list[Record]) -> Iterator[Store]:
    """A store that has the first three records, and small limits."""
    made = Store(tmp_path, memory_mb=64)
    take(made, records[:3])
    yield made
    made.close()


def take(into: Store, records: list[Record]) -> None:
    for record in records:
        into.rows.add(record)
    into.commit()


def asked(of: Store, sql: str, **more: Any) -> QueryAnswer:
    return ask(of, QueryRequest(sql=sql, **more))


def late(timeout_ms: int) -> FieldError:
    found = f"not done after {timeout_ms} ms"
    return FieldError(path="timeout_ms", found=found, wanted="less to look at, or more time")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT len(range(100000000))",
        "SELECT list_sum(range(300000000))",
        "SELECT max(len(range(100000000 + record))) FROM events",
        "SELECT length(repeat('x', 1000000000))",
    ],
)
def test_what_one_function_makes_of_a_number_has_a_limit(fed: Store, sql: str) -> None:
    assert asked(fed, sql, timeout_ms=60_000).error == TOO_LARGE
    assert asked(fed, COUNT).rows == ((3,),)


@pytest.mark.timeout(60)
def test_a_query_that_heeds_no_interrupt_ends_at_its_time_all_the_same(fed: Store) -> None:
    assert asked(fed, ENDLESS, timeout_ms=1_000).error == late(1_000)
    assert asked(fed, COUNT).rows == ((3,),)


def test_a_query_does_not_fill_the_disk(fed: Store, tmp_path: Path) -> None:
    pairs = "range(2000) a(i), range(10000) b(i)"
    sorted_ = f"SELECT md5((a.i * b.i)::VARCHAR) AS s, a.i FROM {pairs} ORDER BY s, a.i"
    assert asked(fed, f"{sorted_} OFFSET 19999999", timeout_ms=60_000).error == TOO_LARGE
    assert not list(tmp_path.glob(f"{SPILL_FOLDER}/*"))


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT * FROM duckdb_settings/**/()", "duckdb_settings"),
        ("SELECT * FROM checkpoint--\n()", "checkpoint"),
        ('SELECT "force_checkpoint" /* ( */ ()', "force_checkpoint"),
        ("SELECT * FROM duckdb_databases", "duckdb_databases"),
        ('SELECT * FROM "DuckDB_Databases"', "duckdb_databases"),
        ("SELECT * FROM system.main.duckdb_tables", "main.duckdb_tables"),
        ("SELECT * FROM (SELECT 1), LATERAL (FROM pragma_database_list)", "pragma_database_list"),
        ("SELECT (SELECT name FROM sqlite_master LIMIT 1)", "sqlite_master"),
        ("SELECT * FROM information_schema.tables", "information_schema.tables"),
        ("SELECT * FROM pg_catalog.pg_settings", "pg_catalog.pg_settings"),
        ("WITH pg_settings AS (SELECT 1) FROM pg_settings", "pg_settings"),
        ("SELECT 1 ORDER BY current_setting('temp_directory')", "current_setting"),
        ("SELECT count(*) FILTER (getenv('HOME') = '') FROM events", "getenv"),
    ],
)
def test_no_way_of_writing_hides_a_name_that_nobody_may_use(
    fed: Store, sql: str, found: str
) -> None:
    wanted = "the tables that `sluice query` lists"
    assert asked(fed, sql).error == FieldError(path="sql", found=found, wanted=wanted)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT sum(i)::BIGINT FROM range(10) t(i) -- checkpoint()", ((45,),)),
        ("WITH settings AS (SELECT 'duckdb_settings()' AS s) FROM settings", None),
        ("SELECT typeof(record), pg_typeof(1) FROM main.events LIMIT 1", (("BIGINT", "integer"),)),
        ("SELECT 100000000000000000000 * 2", ((200000000000000000000,),)),
        ("SELECT [1, 2], {'a': 1.5}, NULL, 'ü'", (([1, 2], {"a": "1.5"}, None, "ü"),)),
    ],
)
def test_what_reads_our_tables_or_none_is_answered(
    fed: Store, sql: str, rows: tuple[tuple[object, ...], ...] | None
) -> None:
    found = asked(fed, sql)
    assert found.error is None
    assert found.rows == (rows or (("duckdb_settings()",),))
    assert found.recorded_count == 3


def test_the_store_follows_the_record_between_and_after_questions(
    fed: Store, records: list[Record]
) -> None:
    assert asked(fed, COUNT).rows == ((3,),)
    take(fed, records[3:5])
    assert asked(fed, COUNT).rows == ((5,),)
    assert asked(fed, ENDLESS, timeout_ms=1).error == late(1)
    take(fed, records[5:])
    assert (fed.n, asked(fed, COUNT).rows) == (len(records), ((len(records),),))
    assert ask(fed, QueryRequest(named="pnl_by_session")).recorded_count == len(records)


@pytest.mark.timeout(60)
def test_a_batch_waits_for_a_question_and_is_taken_in_after_it(
    fed: Store, records: list[Record]
) -> None:
    feeding = threading.Thread(target=take, args=(fed, records[3:]))
    with fed._lending.lent(0):
        feeding.start()
        while not fed._lending._waiting_count:
            pass
    feeding.join()
    assert fed.n == len(records)


def test_a_question_that_comes_while_the_store_takes_in_for_long_is_to_be_asked_again(
    fed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.recorder.queries.asking.WAIT_S", 0)
    with fed.cursor():
        found = asked(fed, COUNT).error
    wanted = "to be asked again in a moment"
    taking = "the store is taking in what was recorded"
    assert found == FieldError(path="query", found=taking, wanted=wanted)


@pytest.mark.timeout(60)
def test_who_waited_for_the_file_has_it_before_it_is_lent_again() -> None:
    lending, order = Lending(), list[str]()

    def use() -> None:
        with lending.used():
            order.append("use")

    user = threading.Thread(target=use)
    with lending.lent(0):
        user.start()
        while not lending._waiting_count:
            pass
    with lending.lent(60):
        order.append("second loan")
    user.join()
    assert order == ["use", "second loan"]


def test_a_file_that_cannot_be_opened_again_loses_nothing(
    fed: Store, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_told: object, **_more: object) -> None:
        raise duckdb.IOException("no such disk")

    monkeypatch.setattr(store, "connected", broken)
    assert asked(fed, COUNT).rows == ((3,),)
    named = ask(fed, QueryRequest(named="events")).error
    assert named is not None
    assert "no such disk" in named.found
    with pytest.raises(StateError, match="no such disk"):
        take(fed, records[3:])
    with pytest.raises(StateError, match="no such disk"):
        assert fed.n
    monkeypatch.setattr(store, "connected", opening.connected)
    assert fed.n == 3
    take(fed, [each for each in records if each.n > fed.n])
    held = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM fills), quantity"
    assert asked(fed, f"{held} FROM positions").rows == ((len(records), 3, "6"),)


def test_without_a_process_nothing_is_answered_and_the_store_goes_on(
    fed: Store, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "MODULE", "services.recorder.queries.nowhere")
    found = asked(fed, COUNT).error
    assert found is not None
    assert "no process for a query" in found.found
    take(fed, records[3:])
    assert fed.n == len(records)


KILLED = """
import os, pathlib, psutil, sys, threading
from schemas.reports import QueryRequest
from services.recorder.queries.asking import ask
from services.recorder.queries.opening import FILE
from services.recorder.queries.store import Store
store = Store(pathlib.Path(sys.argv[1]))
question = QueryRequest(sql=sys.argv[2], timeout_ms=60_000)
threading.Thread(target=ask, args=(store, question), daemon=True).start()
while store._connection is not None:
    pass
child = psutil.Process(store._apart._process.pid)
while not any(each.path.endswith(FILE) for each in child.open_files()):
    pass
begun_s = child.cpu_times().user
while child.cpu_times().user < begun_s + 1:
    pass  # it is in the midst of the question
print(child.pid, flush=True)
os._exit(9)
"""


@pytest.mark.timeout(60)
def test_a_service_that_was_killed_leaves_nobody_who_has_its_file_open(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), ENDLESS]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 9
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait()
    again = Store(tmp_path)
    assert again.n == 0
    again.close()
