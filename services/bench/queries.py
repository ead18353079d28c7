"""Queries over five million events, and what reading costs recording: nothing, wanted.

The store takes in the lives of orders, measured; they are then multiplied inside it until there are
five million events, and every query that has a name is timed. Beside that a journal is written as
the recorder writes it, in turns with and without another process that feeds a store from it and
asks without pause.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from schemas.errors import StateError
from schemas.reports import QueryRequest
from services.bench.order_lives import messages
from services.bench.result import Result
from services.recorder.chain import Message
from services.recorder.journal import Journal
from services.recorder.queries.asking import ask
from services.recorder.queries.named import NAMED
from services.recorder.queries.store import Store
from services.recorder.queries.tables import TABLES
from services.recorder.queries.tail import Tail

EVENTS_COUNT = 5_000_000
LIVES_COUNT = 5_000
"""Orders whose events are taken in one by one; the rest are their copies."""

GROUP = 1_000
"""Messages that the recorder commits together."""

TURN_S = 1.5
TURNS = 8
QUERY_MS_MAX = 100.0
RATIO_MIN = 0.9
"""Of two cores the reader takes the other one; a tenth is noise on a shared machine."""

GOAL = "every named query < 100 ms over 5,000,000 events; recording as fast with readers as without"


def run(rounds: int) -> Result:
    """Run both parts; `rounds` is how often each query is asked."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "query")
        try:
            fed_per_s = _feed(store)
            events = _multiply(store)
            took = {name: _times(store, name, rounds) for name in NAMED}
            scan = _times(store, "", rounds, sql="SELECT sum(at_ns)::VARCHAR FROM events")
        finally:
            store.close()
    with tempfile.TemporaryDirectory() as folder:
        turns = _recording(Path(folder))
    worst = max(took, key=lambda name: took[name].median)
    value = {f"{name}_ms": took[name].median for name in took}
    value |= {"slowest_cpu_ms": max(each.cpu for each in took.values())}
    value |= {"events": float(events), "fed_events_per_s": round(fed_per_s)}
    value |= {"recorded_with_readers_per_s": round(turns.with_readers)}
    ratio = turns.with_readers / turns.alone
    slowest_ms = took[worst].median
    return Result(
        value=value,
        yardstick={
            "scan_one_column_ms": scan.median,
            "scan_one_column_cpu_ms": scan.cpu,
            "recorded_alone_per_s": round(turns.alone),
        },
        ratio={"recording_with_readers": round(ratio, 3), f"slowest_{worst}_ms": slowest_ms},
        goal=GOAL,
        ok=slowest_ms < QUERY_MS_MAX and ratio >= RATIO_MIN,
        rounds=rounds,
        faults={"questions_asked_while_recording": turns.asked_count},
    )


def _feed(store: Store) -> float:
    """Take the lives of orders in, as the service does; return events a second."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), messages(LIVES_COUNT))
        began_s, count = time.perf_counter(), 0
        tail = Tail(Path(folder), 0)
        pending = 0
        for record in tail.read():
            pending += store.rows.add(record)
            if pending >= 20 * GROUP:
                store.commit()
                count, pending = count + pending, 0
        store.commit()
        return (count + pending) / (time.perf_counter() - began_s)


def _multiply(store: Store) -> int:
    """Copy what is there, each copy a day later and with ids of its own; return the events."""
    [(there,)] = store.values("SELECT count(*) FROM events")
    [(orders,)] = store.values("SELECT count(*) FROM orders")
    copies = EVENTS_COUNT // int(there)
    for table in (*TABLES, "orders"):
        columns = [name for name, _ in _columns(store, table)]
        copied = ", ".join(_copied(name) for name in columns)
        sql = f"INSERT INTO {table} SELECT {copied} FROM {table}, range(1, {copies}) AS c(k)"
        with store.cursor() as cursor:
            cursor.execute(sql)
    store.values("UPDATE counts SET count = count * ?", copies)
    [(found,)] = store.values("SELECT count(*) FROM events")
    [(multiplied,)] = store.values("SELECT count(*) FROM orders")
    if int(multiplied) != int(orders) * copies:
        found_orders = f"{multiplied} orders"
        raise StateError("SLU-141", path="store", found=found_orders, wanted=orders * copies)
    return int(found)


def _columns(store: Store, table: str) -> list[tuple[str, str]]:
    return [(str(row[0]), str(row[1])) for row in store.values(f"DESCRIBE {table}")]


def _copied(name: str) -> str:
    """Return the expression of a column's copy number `k`."""
    if name == "record":
        return "record + k * 1000000"
    if name == "day":
        return "day + (k % 30)::INTEGER"
    if name in ("order_id", "execution_id", "signal_id"):
        return f"{name} || '-' || k"
    return name


class Times(NamedTuple):
    """Of one query, in ms."""

    median: float
    cpu: float
    """Of all cores, a round: what it takes on a machine that does nothing else."""


def _times(store: Store, named: str, rounds: int, *, sql: str = "") -> Times:
    found = []
    began_s = time.process_time()
    for _ in range(max(rounds, 1)):
        answer = ask(store, QueryRequest(sql=sql, named=named, timeout_ms=60_000))
        if answer.error is not None:
            raise StateError(
                "SLU-141", path=named, found=answer.error.found, wanted=answer.error.wanted
            )
        found.append(answer.took_ms)
    cpu_ms = (time.process_time() - began_s) * 1_000 / len(found)
    return Times(round(statistics.median(found), 1), round(cpu_ms, 1))


# recording beside reading


class Turns(NamedTuple):
    """Messages recorded a second, and how often the reader asked."""

    alone: float
    with_readers: float
    asked_count: int


def _recording(folder: Path) -> Turns:
    """Write a journal in turns: while the reader is stopped, and while it works."""
    lives = list(messages(LIVES_COUNT // 5))
    reader = subprocess.Popen(
        [sys.executable, "-m", "services.bench.queries_reader", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None, "a pipe was asked for"
    assert reader.stdout is not None, "a pipe was asked for"
    journal = Journal(folder / "record", file_bytes_max=1 << 28)
    alone: list[float] = []
    beside: list[float] = []
    try:
        forever = _forever(lives)
        _turn(journal, forever, TURN_S)  # something to read
        reader.stdout.readline()  # its store is open
        for turn in range(TURNS):
            is_reading = turn % 2 == 1
            os.kill(reader.pid, signal.SIGCONT if is_reading else signal.SIGSTOP)
            (beside if is_reading else alone).append(_turn(journal, forever, TURN_S))
    finally:
        os.kill(reader.pid, signal.SIGCONT)
        reader.stdin.close()
        said = reader.stdout.read()
        reader.wait()
        journal.close()
    if reader.returncode or not said.strip():
        raise StateError("SLU-141", path="reader", found=f"exit {reader.returncode}", wanted="0")
    return Turns(statistics.median(alone), statistics.median(beside), int(said))


def _turn(journal: Journal, source: Iterator[Message], seconds: float) -> float:
    count, began_s = 0, time.perf_counter()
    while (took_s := time.perf_counter() - began_s) < seconds:
        journal.append([next(source) for _ in range(GROUP)])
        journal.note(journal.head.n)
        count += GROUP
    return count / took_s


def _forever(lives: Sequence[Message]) -> Iterator[Message]:
    seq = 0
    while True:
        for each in lives:
            seq += 1
            yield each._replace(stream_seq=seq)


def _write(folder: Path, source: Iterator[Message]) -> None:
    journal = Journal(folder, file_bytes_max=1 << 28)
    try:
        journal.append(list(source))
    finally:
        journal.close()
