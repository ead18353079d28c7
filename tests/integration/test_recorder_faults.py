"""What goes wrong beside the recording is said, and stops neither it nor whoever follows it."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import AccountId, Event
from schemas.errors import FieldError
from schemas.health import AlertRaised, Severity
from schemas.reports import (
    ReportKind,
    ReportRequest,
    ReportWanted,
    ReportWritten,
    StoreMarked,
)
from schemas.streams import FILLS, ORDERS
from services.recorder import recording as recorder
from services.recorder.chain import Message, Record
from services.recorder.config import RecorderConfig
from services.recorder.jetstream import ensure_stream, mend_stream, request, why_full
from services.recorder.journal import Journal
from services.recorder.key_file import PRIVATE, ensure_record_key
from services.recorder.profile import stream_config
from services.recorder.queries import serving as serving_module
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from services.recorder.queries.rows import Rows
from services.recorder.queries.serving import Serving
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from tests.bus import run
from tests.integration.guarded import CONFIGURATION, GuardedServer
from tests.integration.test_recorder_live import monitored
from tests.recorder_rig import events, recording, records

pytestmark = pytest.mark.req("R-01")
ORDER = "order.sim.paper"


def alerts(said: Sequence[AlertRaised]) -> list[tuple[str, Severity, str]]:
    return [(each.code, each.severity, each.message) for each in said if each.code != "SLU-143"]


def test_json_lines_that_cannot_be_written_are_said_and_stop_no_chain(
    tmp_path: Path, server: GuardedServer
) -> None:
    file = tmp_path / "logs" / "events" / "gate_events.jsonl"
    file.mkdir(parents=True)

    async def main() -> list[tuple[str, Severity, str]]:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as it:
            await it.ready()
            for number in range(3):
                gate.send(ORDER, b'{"src":"%s-1"}' % (b"gate", b"nobody", b"gate")[number])
                await it.recorded(number + 1)
            await it.until(lambda: alerts(it.of(AlertRaised)))
            assert not it.core.why_not_ready(0)
            told = alerts(it.of(AlertRaised))
        await gate.close()
        return told

    said = f"events are in the journal, and not in {file}: Is a directory"
    assert run(main()) == [("SLU-141", Severity.WARNING, said)]
    assert [each["src"] for each in events(tmp_path, "operator")] == ["nobody-1"]
    assert len(records(tmp_path)) == 3


def test_a_clock_that_was_set_back_is_said(tmp_path: Path, server: GuardedServer) -> None:
    async def main() -> list[tuple[str, Severity, str]]:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as it:
            await it.ready()
            gate.send(ORDER, b"{}")
            await it.recorded(1)
        async with recording(tmp_path, server.bus) as it:
            it.recording._clock = lambda: time.time_ns() - 3_600 * 10**9
            await it.ready()
            gate.send(ORDER, b"{}")
            await it.recorded(2)
            await it.until(lambda: alerts(it.of(AlertRaised)))
            told = alerts(it.of(AlertRaised))
        await gate.close()
        return told

    [(code, severity, said)] = run(main())
    assert (code, severity) == ("SLU-146", Severity.WARNING)
    assert said.endswith("s before the newest checkpoint: was it set back?")


def test_a_key_that_was_made_anew_is_said(tmp_path: Path, server: GuardedServer) -> None:
    async def main() -> list[tuple[str, Severity, str]]:
        gate = await server.connect("gate")
        for count in (1, 2):
            key = ensure_record_key(tmp_path / "keys").fingerprint
            async with recording(tmp_path, server.bus) as it:
                await it.ready()
                gate.send(ORDER, b"{}")
                await it.recorded(count)
                if count == 2:
                    await it.until(lambda: alerts(it.of(AlertRaised)))
                told = alerts(it.of(AlertRaised))
            keys.append(key)
            (tmp_path / "keys" / PRIVATE).unlink()
        await gate.close()
        return told

    keys: list[str] = []
    [(code, severity, said)] = run(main())
    assert (code, severity) == ("SLU-171", Severity.WARNING)
    assert said.endswith(
        f"is signed by {keys[0]}; from here on {keys[1]} signs: was record.pem lost, or taken away?"
    )


def test_monitoring_that_is_no_web_server_is_only_not_known(
    tmp_path: Path, server: GuardedServer
) -> None:
    """The port of the clients, say: what it answers is no HTTP."""
    wrong = server.bus.url.replace("nats://", "http://")
    bus: BusConfig = msgspec.structs.replace(server.bus, monitor_url=wrong)

    async def main() -> str:
        gate = await server.connect("gate")
        async with recording(tmp_path, bus) as it:
            await it.ready()
            gate.send(ORDER, b"{}")
            await it.recorded(1)
            detail = it.core.describe(0).detail
        await gate.close()
        return detail

    assert run(main()) == (
        "NOT DURABLE: whether the server syncs every write is not known: its monitoring did not "
        f"answer at {wrong}"
    )


def test_a_fault_of_the_recording_is_said_and_it_is_tried_anew(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("a fault")

    async def main() -> list[tuple[str, Severity, str]]:
        with monkeypatch.context() as patch:
            patch.setattr(recorder, "durability", broken)
            async with recording(tmp_path, server.bus) as it:
                await it.until(lambda: alerts(it.of(AlertRaised)))
                told = alerts(it.of(AlertRaised))
                assert "the recording broke" in it.core.why_not_ready(0)
                patch.undo()
                await it.ready()
        return told

    said = "the recording broke: ValueError('a fault')"
    assert run(main()) == [("SLU-161", Severity.CRITICAL, said)]


def test_a_server_that_is_nearly_full_is_not_ready_before_anything_is_lost(tmp_path: Path) -> None:
    text = CONFIGURATION.read_text()
    limit = "max_memory_store: 64MB"
    assert limit in text
    server = GuardedServer(
        tmp_path / "bus", configuration=text.replace(limit, f"{limit}\n max_file_store: 1MB")
    )
    bus = monitored(server)

    async def main() -> str:
        gate = await server.connect("gate")
        async with recording(tmp_path, bus) as it:
            await it.ready()
            count = 0
            while not it.core.why_not_ready(0) and count < 2_000:
                gate.send(ORDER, b'{"pad":"%s"}' % (b"x" * 10_000))
                count += 1
                await it.recorded(count)
                if await asyncio.to_thread(why_full, bus.monitor_urls):
                    await it.until(lambda: it.core.why_not_ready(0))
            told = it.core.why_not_ready(0)
            assert len(records(tmp_path)) == count
        await gate.close()
        return told

    try:
        told = run(main())
    finally:
        server.stop()
    assert told.startswith(f"the streams of the server at {bus.monitor_url} hold 9")
    assert " of 1048576 bytes, and beyond these what is published is lost" in told


def test_settings_that_are_none_of_ours_are_said_and_reset_where_they_can_be(
    tmp_path: Path,
) -> None:
    server = GuardedServer(tmp_path / "bus", configuration="jetstream {}\n")

    async def main() -> list[list[str]]:
        it = await server.connect("operator")
        config = RecorderConfig()
        made = stream_config(FILLS, config) | {"max_msg_size": 10, "max_msgs": 5}
        await request(it, "STREAM.CREATE.FILLS", made)
        made = stream_config(ORDERS, config) | {"persist_mode": "async", "max_msg_size": 10}
        await request(it, "STREAM.CREATE.ORDERS", made)
        told = [
            await ensure_stream(it, FILLS, config),
            await mend_stream(it, FILLS, config),
            await ensure_stream(it, FILLS, config),
            await ensure_stream(it, ORDERS, config),
            await mend_stream(it, ORDERS, config),
        ]
        await it.close()
        return told

    try:
        found = run(main())
    finally:
        server.stop()
    is_async = "ORDERS.persist_mode is async, wanted it unset"
    assert found == [
        ["FILLS.max_msgs is 5, wanted -1", "FILLS.max_msg_size is 10, wanted it unset"],
        [],
        [],
        ["ORDERS.max_msg_size is 10, wanted it unset", is_async],
        [is_async, "stream configuration update can not change persist mode (10052)"],
    ]


def deep(count: int) -> bytes:
    return b"[" * count + b"]" * count


def test_a_deep_message_of_an_older_release_is_followed_and_verified(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "record", file_bytes_max=1 << 20)
    for seq in (1, 2, 3):
        journal.append([Message("CONTROL", seq, "control.halt", seq, b"%d" % seq, seq)])
    journal.close()
    [file] = (tmp_path / "record").glob("chain-*.jsonl")
    lines = file.read_bytes().splitlines()
    lines[2] = lines[2].replace(b'"payload":3', b'"payload":' + deep(50_000))
    file.write_bytes(b"\n".join(lines) + b"\n")
    keeper = Keeper(tmp_path, ReportsConfig(), AccountId("paper"))
    keeper.is_wanted = True
    mark = keeper.feed(1)
    keeper.close()
    assert mark == StoreMarked(at_ns=1, recorded_count=3, lag_bytes=0)


def test_a_fault_of_the_store_is_said_and_what_it_left_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Rows.add

    def broken(rows: Rows, record: Record) -> int:
        if record.n == 2:
            raise ValueError("a fault")
        return add(rows, record)

    journal = Journal(tmp_path / "record", file_bytes_max=1 << 20)
    journal.append([Message("CONTROL", seq, "control.halt", seq, b"{}", seq) for seq in (1, 2)])
    journal.close()
    keeper = Keeper(tmp_path, ReportsConfig(), AccountId("paper"))
    keeper.is_wanted = True
    with monkeypatch.context() as patch:
        patch.setattr(Rows, "add", broken)
        first = keeper.feed(1)
    second = keeper.feed(2)
    store, _ = keeper._opened()
    found = store.values("SELECT record FROM events ORDER BY record")
    keeper.close()
    detail = "a fault of the store: ValueError('a fault')"
    assert first == StoreMarked(at_ns=1, recorded_count=0, lag_bytes=0, detail=detail)
    assert second == StoreMarked(at_ns=2, recorded_count=2, lag_bytes=0)
    assert found == [(1,), (2,)]


def test_a_follower_that_breaks_says_so_and_follows_on(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(Keeper, "due", broken)
    posted: list[Event] = []
    changed = asyncio.Event()

    def post(*said: Event) -> None:
        posted.extend(said)
        changed.set()

    async def main() -> None:
        serving = Serving(
            lambda what: connect("reports", server.bus, what_for=what),
            clock=lambda: 1,
            config=ReportsConfig(follow_every_ms=1),
            data_dir=tmp_path,
            account=AccountId("paper"),
        )
        await serving.open(post)
        while len(posted) < 3:
            changed.clear()
            await changed.wait()
        await serving.close()

    run(main())
    good = StoreMarked(at_ns=1, recorded_count=0, lag_bytes=0)
    detail = "a fault of the follower: ValueError('a fault')"
    assert posted[:3] == [good, msgspec.structs.replace(good, detail=detail), good]


def test_a_report_that_breaks_is_answered_and_the_next_one_is_made_all_the_same(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(serving_module, "folded_day", broken)
    written: list[ReportWritten] = []
    changed = asyncio.Event()

    def post(*said: Event) -> None:
        written.extend(each for each in said if isinstance(each, ReportWritten))
        changed.set()

    def wanted(number: int) -> ReportWanted:
        request = ReportRequest(operator="kim", kind=ReportKind.ORDERS, day="2026-11-25")
        return ReportWanted(at_ns=1, request_id=f"r{number}", request=request)

    async def main() -> None:
        serving = Serving(
            lambda what: connect("reports", server.bus, what_for=what),
            clock=lambda: 1,
            config=ReportsConfig(follow_every_ms=60_000),
            data_dir=tmp_path,
            account=AccountId("paper"),
        )
        await serving.open(post)
        async with asyncio.timeout(10):
            for number in (1, 2):
                serving.act(wanted(number), 1)
                while len(written) < number:
                    changed.clear()
                    await changed.wait()
                await asyncio.sleep(0)
        await serving.close()

    run(main())
    error = FieldError(path="$", found="a fault: ValueError('a fault')", wanted="a report of it")
    assert [(each.request_id, each.error) for each in written] == [("r1", error), ("r2", error)]
