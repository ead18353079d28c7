"""The recorder on a real server: every message once, in order, whatever dies in between."""

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from nats import errors as nats_errors

from schemas.base import NS_PER_S
from schemas.control import HaltRequested
from schemas.health import AlertRaised
from schemas.streams import AUDIT, FILLS, ORDERS, STREAMS
from services.recorder.chain import Head
from services.recorder.config import RecorderConfig, Retention
from services.recorder.core import STALLED_NS
from services.recorder.jetstream import (
    JetStreamError,
    Start,
    found_stream,
    mend_stream,
    request,
)
from services.recorder.journal import Journal, verify_folder
from services.recorder.profile import stream_config
from services.recorder.recording import Recording
from services.runtime.fastpath import BusConnection
from services.runtime.keys import SYNC_ALWAYS
from tests.conftest import ROOT
from tests.integration.guarded import GuardedServer
from tests.recorder_rig import CONFIG, WAIT_S, events, recording, records

pytestmark = pytest.mark.req("R-01")
ORDER, FILL = "order.sim.paper", "exec.sim.paper"


def run(what: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(what, 60))


def numbered(number: int, src: str = "gate-1") -> bytes:
    return b'{"type":"X","src":"%s","number":%d}' % (src.encode(), number)


async def publish(connection: BusConnection, subject: str, *numbers: int) -> None:
    """Publish and return when the server has them all."""
    for number in numbers:
        connection.send(subject, numbered(number))
    await connection.flush()


def numbers_in(folder: Path, stream: str) -> list[int]:
    """Return the numbers recorded of a stream, in order."""
    return [msgspec.json.decode(r.data)["number"] for r in records(folder) if r.stream == stream]


def test_messages_are_recorded_in_order_and_chained(tmp_path: Path, server: GuardedServer) -> None:
    async def scenario() -> None:
        gate, executor = await server.connect("gate"), await server.connect("executor")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, *range(300))
            await publish(executor, FILL, *range(200))
            await rig.recorded(500)
            head = Head(500, rig.core.describe(0).chain_head)
        await gate.close()
        await executor.close()
        assert verify_folder(tmp_path / "record") == head

    run(scenario())
    assert numbers_in(tmp_path, "ORDERS") == list(range(300))
    assert numbers_in(tmp_path, "FILLS") == list(range(200))
    recorded = [msgspec.json.decode(record.data)["number"] for record in records(tmp_path)]
    assert [event["number"] for event in events(tmp_path, "gate")] == recorded


def test_whatever_the_bytes_they_are_recorded(tmp_path: Path, server: GuardedServer) -> None:
    async def scenario() -> None:
        operator = await server.connect("operator")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            for data in (b"", b"\xff\xfe", b'{"halt": false}', b"x" * 1_000_000):
                operator.send("control.halt", data)
            await rig.recorded(4)
        await operator.close()

    run(scenario())
    found = [record.data for record in records(tmp_path) if record.stream == "CONTROL"]
    assert found == [b"", b"\xff\xfe", b'{"halt": false}', b"x" * 1_000_000]


async def start_requests(server: GuardedServer) -> list[bytes]:
    """Return what an operator gets who asks for a start and for a halt while nobody is there."""
    operator = await server.connect("operator")
    answers: list[bytes] = []
    await operator.take("_INBOX.operator.a", lambda subject, data, reply: answers.append(data))
    for subject in ("control.start", "control.reset", "control.halt"):
        operator.send(subject, b"{}", reply="_INBOX.operator.a")
    await operator.flush()
    await operator.flush()
    await operator.close()
    return answers


def test_a_stream_never_answers_a_request_in_the_place_of_its_owner(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            answers = await start_requests(server)
            await rig.recorded(3)
            assert answers == []

    run(scenario())
    assert sorted(r.subject for r in records(tmp_path)) == [
        "control.halt",
        "control.reset",
        "control.start",
    ]


@pytest.mark.parametrize("call", ["STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.DELETE"])
def test_the_streams_are_made_so_that_nothing_can_be_taken_out(tmp_path: Path, call: str) -> None:
    """On a server without users: the profile must hold even where no right does."""
    server = GuardedServer(tmp_path / "bus", configuration="jetstream {}\n")

    async def scenario() -> None:
        connection = await server.connect("operator")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(connection, ORDER, 1)
            await rig.recorded(1)
            for spec in STREAMS:
                found = await request(connection, f"STREAM.INFO.{spec.name}", {})
                assert tuple(found["config"]["subjects"]) == spec.subjects
            if call != "STREAM.DELETE":  # that right only the bus users can take away
                with pytest.raises(JetStreamError):
                    await request(connection, f"{call}.ORDERS", {"seq": 1})
        await connection.close()

    try:
        run(scenario())
    finally:
        server.stop()


def test_what_was_published_while_nobody_recorded_is_recorded_later(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 1, 2, 3)
            await rig.recorded(3)
        await publish(gate, ORDER, 4, 5, 6)
        async with recording(tmp_path, server.bus) as rig:
            await rig.recorded(6)
            await publish(gate, ORDER, 7)
            await rig.recorded(7)
        await gate.close()

    run(scenario())
    assert numbers_in(tmp_path, "ORDERS") == [1, 2, 3, 4, 5, 6, 7]


class Process:
    """The recorder as a process of its own, to be killed."""

    def __init__(self, folder: Path, server: GuardedServer) -> None:
        self.folder = folder
        resolved = {
            "bus": {"url": server.url, "keys_dir": str(server.bus.keys_dir)},
            "account": {"id": "paper", "currency": "USD", "initial_cash": "1"},
            "recorder": {"disk_free_bytes_min": 1, "batch_max": 50},
            "paths": {"data_dir": str(folder)},
        }
        file = folder / "config.json"
        file.write_text(json.dumps(resolved))
        command = [sys.executable, "-m", "services.recorder", "--config", str(file)]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def count(self) -> int:
        return sum(p.read_bytes().count(b"\n") for p in (self.folder / "record").glob("chain-*"))

    async def until_recorded(self, count: int) -> None:
        for _ in range(3_000):
            if self.count() >= count:
                return
            await asyncio.sleep(0.005)  # another process cannot be awaited
        raise AssertionError(f"{self.count()} of {count}: {(self.folder / 'log').read_text()}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=5)


@pytest.mark.req("X-10")
def test_a_recorder_killed_again_and_again_records_everything_once(
    tmp_path: Path, server: GuardedServer
) -> None:
    count = 3_000

    async def scenario() -> None:
        gate = await server.connect("gate")
        process = Process(tmp_path, server)
        try:
            for at in range(0, count, 1_000):
                await process.until_recorded(1 if at == 0 else at // 2)
                publishing = asyncio.create_task(publish(gate, ORDER, *range(at, at + 1_000)))
                await process.until_recorded(at // 2 + 200)
                process.kill()
                await publishing
                process = Process(tmp_path, server)
            await process.until_recorded(count)
        finally:
            process.kill()
            await gate.close()

    run(scenario())
    assert numbers_in(tmp_path, "ORDERS") == list(range(count))
    assert isinstance(verify_folder(tmp_path / "record"), Head)
    journal = Journal(tmp_path / "record", file_bytes_max=1 << 30)
    journal.close()


def test_json_lines_lack_nothing_and_repeat_nothing_after_a_kill(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        gate = await server.connect("gate")
        process = Process(tmp_path, server)
        await process.until_recorded(1)
        for at in (0, 500, 1_000):
            publishing = asyncio.create_task(publish(gate, ORDER, *range(at, at + 500)))
            await process.until_recorded(at + 100)
            process.kill()
            await publishing
            process = Process(tmp_path, server)
            await process.until_recorded(at + 500)
        process.kill()
        await gate.close()
        async with recording(tmp_path, server.bus) as rig:  # the last kill is repaired as well
            await rig.ready()

    run(scenario())
    assert [event["number"] for event in events(tmp_path, "gate")] == list(range(1_500))


def test_a_server_that_comes_back_is_recorded_on(tmp_path: Path) -> None:
    first = GuardedServer(tmp_path / "bus")
    port = int(first.url.rpartition(":")[2])

    async def scenario() -> None:
        gate = await first.connect("gate")
        async with recording(tmp_path, first.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 1, 2)
            await rig.recorded(2)
            first.stop()
            await rig.until(lambda: rig.core.why_not_ready(0))
            second = GuardedServer(tmp_path / "bus", port=port)
            try:
                await rig.ready()
                other = await second.connect("gate")
                await publish(other, ORDER, 3)
                await rig.until(lambda: numbers_in(tmp_path, "ORDERS") == [1, 2, 3])
                await other.close()
            finally:
                second.stop()
        await gate.close()

    run(scenario())


def lose_streams(folder: Path) -> None:
    """What an unsynced disk can do: the streams begin again at 1."""
    shutil.rmtree(folder / "bus" / "nats")


def test_a_stream_that_lost_its_tail_halts_and_its_used_numbers_are_recorded(
    tmp_path: Path,
) -> None:
    first = GuardedServer(tmp_path / "bus")

    async def before() -> None:
        gate = await first.connect("gate")
        async with recording(tmp_path, first.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 1, 2, 3)
            await rig.recorded(3)
        await gate.close()

    run(before())
    first.stop()
    lose_streams(tmp_path)
    second = GuardedServer(tmp_path / "bus")

    async def after() -> None:
        gate = await second.connect("gate")
        async with recording(tmp_path, second.bus) as rig:
            await rig.until(lambda: rig.of(HaltRequested))
            reason = "ORDERS goes on at 1 where 4 was due: it has lost its tail"
            assert [halt.reason for halt in rig.of(HaltRequested)] == [reason]
            await publish(gate, ORDER, 7, 8)
            await rig.recorded(5)
        async with recording(tmp_path, second.bus) as rig:
            await rig.ready()
            assert rig.of(HaltRequested) == []  # it was told, and is not told again
        await gate.close()

    try:
        run(after())
    finally:
        second.stop()
    assert numbers_in(tmp_path, "ORDERS") == [1, 2, 3, 7, 8]


def test_numbers_used_again_before_anybody_looked_are_recorded_too(tmp_path: Path) -> None:
    first = GuardedServer(tmp_path / "bus")

    async def before() -> None:
        gate = await first.connect("gate")
        async with recording(tmp_path, first.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 1, 2, 3)
            await rig.recorded(3)
        await gate.close()

    async def refill(server: GuardedServer) -> None:
        async with recording(tmp_path / "other", server.bus) as rig:  # only to make the streams
            await rig.ready()
        gate = await server.connect("gate")
        await publish(gate, ORDER, 11, 12, 13, 14, 15)
        await gate.close()

    async def after(server: GuardedServer) -> None:
        await refill(server)
        async with recording(tmp_path, server.bus) as rig:
            await rig.recorded(8)
            assert [halt.operator for halt in rig.of(HaltRequested)] == ["recorder"]

    run(before())
    first.stop()
    lose_streams(tmp_path)
    second = GuardedServer(tmp_path / "bus")
    try:
        run(after(second))
    finally:
        second.stop()
    assert numbers_in(tmp_path, "ORDERS") == [1, 2, 3, 11, 12, 13, 14, 15]


def test_a_journal_restored_from_an_older_copy_is_completed_from_the_stream(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 1, 2)
            await rig.recorded(2)
        shutil.copytree(tmp_path / "record", tmp_path / "backup")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 3, 4)
            await rig.recorded(4)
        shutil.rmtree(tmp_path / "record")
        shutil.copytree(tmp_path / "backup", tmp_path / "record")
        async with recording(tmp_path, server.bus) as rig:
            await rig.recorded(4)
        await gate.close()

    run(scenario())
    assert numbers_in(tmp_path, "ORDERS") == [1, 2, 3, 4]


def test_a_damaged_journal_halts_and_is_not_written_on(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 1, 2)
            await rig.recorded(2)
        [file] = (tmp_path / "record").glob("chain-*")
        file.write_bytes(file.read_bytes().replace(b'"number":2', b'"number":9'))
        damaged = file.read_bytes()
        async with recording(tmp_path, server.bus) as rig:
            await rig.until(lambda: rig.of(HaltRequested))
            assert [alert.code for alert in rig.of(AlertRaised)] == ["SLU-140"]
            assert "record: 2" in rig.core.why_not_ready(0)
        await gate.close()
        assert file.read_bytes() == damaged

    run(scenario())


class Disk:
    """`os.write` and `os.fsync` of a disk that is full, or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.write = os.write
        monkeypatch.setattr(os, "write", self._write)

    def _write(self, file: int, data: memoryview) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.write(file, data)


def test_a_full_disk_alerts_is_not_ready_and_loses_nothing(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 1)
            await rig.recorded(1)
            disk = Disk(monkeypatch)
            disk.is_full = True
            await publish(gate, ORDER, 2, 3)
            await rig.until(lambda: rig.core.why_not_ready(0))
            assert "No space left on device" in rig.core.why_not_ready(0)
            assert [alert.code for alert in rig.of(AlertRaised)][-1] == "SLU-141"
            disk.is_full = False
            await rig.ready()
            await publish(gate, ORDER, 4)
            await rig.until(lambda: numbers_in(tmp_path, "ORDERS") == [1, 2, 3, 4])
        await gate.close()

    run(scenario())


def test_little_room_is_not_ready_but_records_on(tmp_path: Path, server: GuardedServer) -> None:
    config = RecorderConfig(disk_free_bytes_min=1 << 60)

    async def scenario() -> None:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus, config) as rig:
            await rig.until(lambda: "bytes free" in rig.core.why_not_ready(0))
            await publish(gate, ORDER, 1)
            await rig.recorded(1)
            assert not rig.core.describe(0).is_durable
        await gate.close()

    run(scenario())


def monitored(server: GuardedServer) -> Any:
    ports = json.loads((server.folder / f"nats-server_{server.process.pid}.ports").read_text())
    return msgspec.structs.replace(server.bus, monitor_url=ports["monitoring"][0])


@pytest.mark.parametrize("sync_interval", [SYNC_ALWAYS, "120s"])
def test_the_verdict_on_durability_is_that_of_the_server_itself(
    tmp_path: Path, sync_interval: str
) -> None:
    server = GuardedServer(tmp_path / "bus", sync_interval=sync_interval)

    async def scenario() -> None:
        async with recording(tmp_path, monitored(server)) as rig:
            await rig.ready()
            found = rig.core.describe(0)
            assert found.is_durable == (sync_interval == SYNC_ALWAYS)
            word = "durable: every write is on the disk" if found.is_durable else "NOT DURABLE"
            assert found.detail.startswith(word)

    try:
        run(scenario())
    finally:
        server.stop()


@pytest.mark.req("R-06")
def test_a_stream_of_an_older_release_is_durable_and_says_how_its_age_is_applied(
    tmp_path: Path,
) -> None:
    server = GuardedServer(tmp_path / "bus", sync_interval=SYNC_ALWAYS)
    ages = {"ORDERS": "2557 days", "FILLS": "2557 days", "AUDIT": "400 days"}
    config = msgspec.structs.replace(CONFIG, retention=Retention(control_days=400))

    async def scenario() -> None:
        older = await server.connect("recorder")
        for spec in (ORDERS, FILLS, AUDIT):
            ageless = {**stream_config(spec, CONFIG), "max_age": 0}
            await request(older, f"STREAM.CREATE.{spec.name}", ageless)
        async with recording(tmp_path, monitored(server), config) as rig:
            await rig.ready()
            found = rig.core.describe(0)
            told = ", ".join(f"{n}.max_age is without end, wanted {a}" for n, a in ages.items())
            apply = "kept longer than its policy, until `sluice streams --apply`"
            begin = "durable: every write is on the disk before it counts; "
            assert (found.is_durable, found.detail) == (True, f"{begin}{apply}: {told}")
        keeper = await server.connect("supervisor")
        for spec in (ORDERS, FILLS, AUDIT):
            assert await mend_stream(keeper, spec, config) == []
        async with recording(tmp_path, monitored(server), config) as rig:
            await rig.ready()
            assert rig.core.describe(0).detail == begin.removesuffix("; ")
        for connection in (older, keeper):
            await connection.close()

    try:
        run(scenario())
    finally:
        server.stop()


def test_a_stream_somebody_made_too_weak_is_said_and_mended_by_another_key_only(
    tmp_path: Path,
) -> None:
    server = GuardedServer(tmp_path / "bus", configuration="jetstream {}\n")

    async def scenario() -> None:
        connection = await server.connect("operator")
        weak = {"name": "ORDERS", "subjects": ["order.>"], "storage": "memory", "max_msgs": 5}
        await request(connection, "STREAM.CREATE.ORDERS", weak)
        mendable = {"name": "FILLS", "subjects": ["exec.>"], "storage": "file", "max_msgs": 5}
        await request(connection, "STREAM.CREATE.FILLS", mendable)
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            found = rig.core.describe(0)
            assert not found.is_durable
            assert "ORDERS.storage is memory, wanted file" in found.detail
            assert "FILLS.max_msgs is 5, wanted -1" in found.detail
        left = await mend_stream(connection, ORDERS, CONFIG)
        assert "ORDERS.storage is memory, wanted file" in left
        assert await mend_stream(connection, FILLS, CONFIG) == []
        mended = await found_stream(connection, FILLS)
        assert mended is not None
        assert (mended["max_msgs"], mended["deny_purge"]) == (-1, True)
        await connection.close()

    try:
        run(scenario())
    finally:
        server.stop()


@pytest.mark.req("R-01", "A-01")
def test_the_recorders_key_cannot_change_a_stream(tmp_path: Path, server: GuardedServer) -> None:
    async def scenario() -> None:
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            thief = await server.connect("recorder")
            kept = await found_stream(thief, ORDERS)
            assert kept is not None
            with pytest.raises(nats_errors.TimeoutError):
                await request(thief, "STREAM.UPDATE.ORDERS", {**kept, "max_msgs": 1})
            assert "permissions violation" in "; ".join(thief.refusals).lower()
            with pytest.raises(JetStreamError):  # nor by making it once more
                await request(thief, "STREAM.CREATE.ORDERS", {**kept, "max_msgs": 1})
            assert await found_stream(thief, ORDERS) == kept
            await thief.close()

    run(scenario())


def test_too_small_a_disk_for_market_data_is_said_and_keeps_nobody_from_trading(
    tmp_path: Path, server: GuardedServer
) -> None:
    config = RecorderConfig(disk_free_bytes_min=1, market_bytes_max=1 << 60, chain_market=True)

    async def scenario() -> None:
        async with recording(tmp_path, server.bus, config) as rig:
            await rig.ready()
            found = rig.core.describe(0)
            assert (found.is_durable, "MARKET is not kept: insufficient" in found.detail) == (
                False,
                True,
            )

    run(scenario())


async def acknowledged_seq(server: GuardedServer) -> int:
    """Return up to where the recorder has told the server that ORDERS is on its own disk."""
    asker = await server.connect("recorder")
    found = await request(asker, "CONSUMER.LIST.ORDERS", {})
    await asker.close()
    return max(int(each["ack_floor"]["stream_seq"]) for each in found["consumers"])


def test_the_server_is_told_what_is_on_our_own_disk_and_nothing_sooner(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncing, may_sync = threading.Event(), threading.Event()
    may_sync.set()
    sync = os.fsync

    def slow(descriptor: int) -> None:
        syncing.set()
        assert may_sync.wait(WAIT_S)
        sync(descriptor)

    async def scenario() -> None:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 1, 2, 3)
            await rig.recorded(3)
            monkeypatch.setattr(os, "fsync", slow)
            await until(lambda: acknowledged_seq(server), 3)
            syncing.clear()
            may_sync.clear()
            await publish(gate, ORDER, 4)
            await asyncio.to_thread(syncing.wait, WAIT_S)
            assert await acknowledged_seq(server) == 3
            hung_ns = time.time_ns() + STALLED_NS + NS_PER_S
            assert "does a disk hang?" in rig.core.why_not_ready(hung_ns)
            may_sync.set()
            await rig.recorded(4)
            await until(lambda: acknowledged_seq(server), 4)
        await gate.close()

    run(scenario())


async def until(asked: Callable[[], Awaitable[int]], wanted: int) -> None:
    """Ask again and again until the answer is the wanted one."""
    async with asyncio.timeout(WAIT_S):
        while await asked() != wanted:
            pass  # each question is a round trip


def test_without_going_on_where_the_journal_ends_messages_are_lost(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ablation: begin with what is new, as a plain subscriber does."""

    async def newest(self: Any, stream: str, place: Any) -> Any:
        return Start(1, after_ns=self._clock())

    async def scenario() -> None:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 1)
            await rig.recorded(1)
        await publish(gate, ORDER, 2)
        monkeypatch.setattr(Recording, "_start", newest)
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, ORDER, 3)
            await rig.recorded(2)
        await gate.close()

    run(scenario())
    assert numbers_in(tmp_path, "ORDERS") == [1, 3]
