"""What was published and did not reach the record: recorded there, and told, once."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from schemas.errors import StateError
from schemas.health import AlertRaised, Severity
from schemas.recording import Hole, HolesFound
from services.recorder import jetstream
from services.recorder import recording as recorder
from services.recorder.audit import verify_record
from services.recorder.events_log import EventsLog
from services.recorder.journal import Journal
from services.recorder.key_file import PUBLIC, read_public_keys
from services.recorder.own import HOLE, STREAM
from services.recorder.recording import Recording
from services.recorder.search import Query, search
from services.runtime.fastpath import BusConnection
from tests.bus import run
from tests.integration.guarded import GuardedServer
from tests.recorder_rig import CONFIG, RecorderRig, events, recording, records

pytestmark = pytest.mark.req("R-01")
ORDER = "order.sim.paper"


async def publish(connection: BusConnection, *seqs: int) -> None:
    """Publish events with these counts of one gate, and return when the server has them all."""
    for seq in seqs:
        connection.send(ORDER, b'{"type":"X","src":"gate-1","seq":%d}' % seq)
    await connection.flush()


def hole(first_seq: int, last_seq: int) -> Hole:
    return Hole(
        publisher="gate-1",
        subject=ORDER,
        first_seq=first_seq,
        last_seq=last_seq,
        missing_count=last_seq - first_seq + 1,
    )


def holes_in(folder: Path) -> list[Hole]:
    """Return the holes that the record tells of."""
    own = [each for each in records(folder) if (each.stream, each.subject) == (STREAM, HOLE)]
    told = [msgspec.json.decode(each.data, type=HolesFound) for each in own]
    return list(itertools.chain.from_iterable(each.holes for each in told))


def alerts(rig: RecorderRig) -> list[AlertRaised]:
    return [each for each in rig.of(AlertRaised) if each.code == "SLU-170"]


async def until_seen(rig: RecorderRig, folder: Path, seq: int) -> None:
    """Return once the event with this count is in the record."""
    await rig.until(lambda: seq in seqs_in(folder))


def seqs_in(folder: Path) -> list[int]:
    ours = [each for each in records(folder) if each.stream == "ORDERS"]
    return [msgspec.json.decode(each.data)["seq"] for each in ours]


def test_a_hole_is_alerted_recorded_and_found_in_the_record(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> tuple[list[AlertRaised], str]:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, 1, 2, 6)
            await rig.until(lambda: alerts(rig))
            said, report = alerts(rig), rig.core.describe(0)
            assert rig.core.why_not_ready(0) == ""
        await gate.close()
        return said, report.detail

    [alert], detail = run(scenario())
    assert (alert.severity, alert.message) == (
        Severity.WARNING,
        "events did not reach the record: 3 of gate-1 on order.sim.paper (3 to 5); see "
        "`sluice audit search --subject record.hole`",
    )
    assert detail.endswith("; 3 events did not reach the record (SLU-170)")
    assert holes_in(tmp_path) == [hole(3, 5)]
    folder = tmp_path / "record"
    assert verify_record(folder, read_public_keys(folder / PUBLIC), []).damage is None
    found = list(search(folder, Query(subject=HOLE, texts=("gate-1",)), lambda _count: None))
    assert [each.event["type"] for each in found] == ["HolesFound"]


def test_a_hole_is_told_once_however_often_the_recorder_starts(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def once(*seqs: int) -> int:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, *seqs)
            await until_seen(rig, tmp_path, seqs[-1])
        await gate.close()
        return len(alerts(rig))

    assert [run(once(1, 4)), run(once(5, 6)), run(once(7))] == [1, 0, 0]
    assert holes_in(tmp_path) == [hole(2, 3)]
    assert [each["seq"] for each in events(tmp_path, "gate")] == [1, 4, 5, 6, 7]
    assert not (tmp_path / "logs" / "events" / "operator_events.jsonl").exists()


def test_holes_found_soon_after_one_that_was_told_are_told_at_the_end(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> int:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, 1, 3)
            await rig.until(lambda: alerts(rig))
            await publish(gate, 5, 7, 9)
            await until_seen(rig, tmp_path, 9)
        await gate.close()
        return len(alerts(rig))

    assert run(scenario()) == 2
    last = msgspec.structs.replace(hole(4, 8), missing_count=3)
    assert holes_in(tmp_path) == [hole(2, 2), last]


def test_what_an_outage_of_the_bus_swallowed_is_seen_when_it_is_back(tmp_path: Path) -> None:
    first = GuardedServer(tmp_path / "bus")
    port = int(first.url.rpartition(":")[2])

    async def scenario() -> None:
        gate = await first.connect("gate")
        async with recording(tmp_path, first.bus) as rig:
            await rig.ready()
            await publish(gate, 1, 2)
            await until_seen(rig, tmp_path, 2)
            first.stop()
            await rig.until(lambda: rig.core.why_not_ready(0))
            second = GuardedServer(tmp_path / "bus", port=port)
            try:
                await rig.ready()
                other = await second.connect("gate")
                await publish(other, 5)
                await rig.until(lambda: alerts(rig))
                await other.close()
            finally:
                second.stop()
        await gate.close()

    run(scenario())
    assert holes_in(tmp_path) == [hole(3, 4)]


def test_events_that_only_the_json_lines_lacked_are_no_hole(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal has them: they are followed when the lines are made good."""
    write, is_broken = EventsLog.write, [True]

    def broken(log: EventsLog, made: Sequence[Any], now_ns: int) -> None:
        if is_broken and made and b'"seq":3' in made[0][1].data:
            is_broken.pop()
            raise StateError("SLU-141", path="x", found="full", wanted="room")
        write(log, made, now_ns)

    monkeypatch.setattr(EventsLog, "write", broken)

    async def scenario() -> int:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, 1, 2)
            await until_seen(rig, tmp_path, 2)
            await publish(gate, 3, 4)
            await rig.until(lambda: rig.core.why_not_ready(0))
            await rig.ready()
            await publish(gate, 5)
            await until_seen(rig, tmp_path, 5)
        await gate.close()
        return len(alerts(rig))

    assert (run(scenario()), is_broken, holes_in(tmp_path)) == (0, [], [])
    assert [each["seq"] for each in events(tmp_path, "gate")] == [1, 2, 3, 4, 5]


def test_a_hole_that_the_disk_did_not_take_is_told_once_it_does(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, is_broken = Journal.append_own, [True]

    def broken(journal: Journal, subject: str, data: bytes, now_ns: int) -> None:
        if is_broken:
            is_broken.pop()
            raise StateError("SLU-141", path="x", found="full", wanted="room")
        append(journal, subject, data, now_ns)

    monkeypatch.setattr(Journal, "append_own", broken)

    async def scenario() -> int:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, 1, 3)
            await rig.until(lambda: alerts(rig))
        await gate.close()
        return len(alerts(rig))

    assert (run(scenario()), is_broken, holes_in(tmp_path)) == (1, [], [hole(2, 2)])


def test_a_hole_due_while_no_file_can_be_begun_keeps_nobody_from_recording_on(
    tmp_path: Path, server: GuardedServer
) -> None:
    blocked = tmp_path / "record" / "chain-000000000002.jsonl"
    config = replace(CONFIG, max_chain_file_bytes=1)

    async def scenario() -> list[str]:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus, config) as rig:
            await rig.ready()
            blocked.mkdir()
            gate.send(ORDER, b'[{"src":"gate-1","seq":1},{"src":"gate-1","seq":3}]')
            await rig.until(lambda: rig.core.why_not_ready(0))
            why = rig.core.why_not_ready(0)
            blocked.rmdir()
            await rig.ready()
            await rig.until(lambda: alerts(rig))
        await gate.close()
        return [why.partition(" (")[0], why.partition("path: ")[2].partition(",")[0]]

    why = ["SLU-141 state cannot be written", str(blocked)]
    assert (run(scenario()), holes_in(tmp_path)) == (why, [hole(2, 2)])


def test_a_hole_recorded_just_before_a_failure_is_told_once_and_is_nobodys_event(
    tmp_path: Path, server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, is_broken = Journal.note, [True]

    def broken(journal: Journal, logged_n: int) -> None:
        if is_broken and STREAM in journal.places:
            is_broken.pop()
            raise StateError("SLU-141", path="x", found="full", wanted="room")
        note(journal, logged_n)

    monkeypatch.setattr(Journal, "note", broken)

    async def scenario() -> int:
        gate = await server.connect("gate")
        async with recording(tmp_path, server.bus) as rig:
            await rig.ready()
            await publish(gate, 1, 3)
            await rig.until(lambda: alerts(rig))
            await rig.until(lambda: rig.core.why_not_ready(0))
            await rig.ready()
            await publish(gate, 4)
            await until_seen(rig, tmp_path, 4)
        await gate.close()
        return len(alerts(rig))

    assert (run(scenario()), is_broken, holes_in(tmp_path)) == (1, [], [hole(2, 2)])
    assert not (tmp_path / "logs" / "events" / "operator_events.jsonl").exists()


@pytest.mark.parametrize(("every_s", "is_asked_once"), [(3_600.0, True), (0.0, False)])
def test_the_servers_monitoring_is_not_asked_at_every_look(
    tmp_path: Path,
    server: GuardedServer,
    monkeypatch: pytest.MonkeyPatch,
    every_s: float,
    is_asked_once: bool,
) -> None:
    asked: list[int] = []
    looked: list[int] = []
    look = Recording._look

    def why_full(_urls: Sequence[str]) -> str:
        asked.append(1)
        return ""

    async def counted(it: Recording, journal: Journal) -> None:
        looked.append(1)
        await look(it, journal)

    monkeypatch.setattr(jetstream, "why_full", why_full)
    monkeypatch.setattr(recorder, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(recorder, "ASK_ROOM_EVERY_S", every_s)
    monkeypatch.setattr(Recording, "_look", counted)

    async def scenario() -> None:
        async with recording(tmp_path, server.bus) as rig:
            await rig.until(lambda: len(looked) > 5)

    run(scenario())
    assert (len(asked) == 1) is is_asked_once
