"""`sluice doctor` tells what it found as it finds it, and never more than it knows."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import BootId
from schemas.health import HealthReported
from services.cli import doctor
from services.cli.exits import Exit
from services.cli.locate import Place, system_file
from services.cli.processes import MODULES
from services.cli.status import Answers
from services.runtime.config import BusConfig
from tests.unit.test_cli_output import GATE, arbiter

pytestmark = pytest.mark.req("O-02", "S-14")
ANSWERS = Answers(arbiter(), GATE, None, None, None, None, None)


class Connection:
    """A bus with its streams."""

    async def request(self, _subject: str, _data: bytes, *, timeout: float) -> Any:
        assert timeout == 2

        class Message:
            data = msgspec.json.encode({"streams": 5, "state": {"messages": 1, "last_seq": 1}})

        return Message()


class Desk:
    """Somebody's, at a bus."""

    connection, user, bus = Connection(), "kim", BusConfig(url="nats://there:1")


def report(service: str) -> tuple[HealthReported, int]:
    event = HealthReported(
        at_ns=1, service=service, boot_id=BootId("b"), pid=1, is_ready=True, uptime_s=1.0
    )
    return event, 1


def told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data_dir: Path,
    heard: tuple[str, ...],
    *,
    as_json: bool = False,
) -> tuple[Exit, str, str]:
    """Return how it ends, and what it has said before and after it hears the services."""
    before: list[str] = []

    @contextlib.asynccontextmanager
    async def at_desk(_place: Place) -> AsyncIterator[Desk]:
        yield Desk()

    async def listen(_desk: Desk) -> Any:
        before.append(capsys.readouterr().out)
        return {name: report(name) for name in heard}, []

    async def answer(_asked: object) -> Answers:
        return ANSWERS

    async def refused(_bus: BusConfig) -> bool:
        return False

    for name, made in (
        ("at_desk", at_desk),
        ("ask_all", answer),
        ("lets_anybody_in", refused),
        ("_listen", listen),
    ):
        monkeypatch.setattr(doctor, name, made)
    code = asyncio.run(doctor._doctor(Place(as_json=as_json, data_dir=data_dir)))
    return code, "".join(before), capsys.readouterr().out


def firsts(said: str) -> list[str]:
    """Return how its lines begin: verdict and what was looked at."""
    return [" ".join(line[:28].split()) for line in said.splitlines() if line[0] != " "]


def test_each_check_is_told_as_it_is_done_and_not_after_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, before, after = told(monkeypatch, capsys, tmp_path, doctor.REPORTERS)
    assert firsts(before) == [
        *("ok bus", "ok anonymous access", "warning keys", "ok JetStream"),
        *("ok stream CONTROL", "ok stream ORDERS", "ok stream FILLS", "ok stream AUDIT"),
        *("ok stream MARKET", "BAD recording", "ok disk", "ok trading"),
        "hearing the services for 2.5",
    ]
    assert firsts(after)[1:-2] == [f"ok {name}" for name in doctor.REPORTERS]
    assert after.splitlines()[-2:] == [
        "ok        messages           0 gaps, 0 dead letters",
        "NOT HEALTHY: recording",
    ]
    assert code is Exit.UNHEALTHY


def test_programs_get_one_document_and_nothing_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, before, after = told(monkeypatch, capsys, tmp_path, doctor.REPORTERS, as_json=True)
    assert (before, json.loads(after)["is_healthy"]) == ("", False)


def test_what_silent_services_lost_is_not_known_to_be_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = tuple(name for name in doctor.REPORTERS if name not in ("gate", "feed"))
    _, _, after = told(monkeypatch, capsys, tmp_path, heard)
    assert after.splitlines()[-2:] == [
        "warning   messages           0 gaps, 0 dead letters; unknown of gate, feed",
        "NOT HEALTHY: recording, gate, feed",
    ]


@pytest.mark.parametrize("was_up_here", [False, True])
def test_a_supervisor_is_missed_only_where_sluice_up_was_and_never_in_containers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    was_up_here: bool,
) -> None:
    if was_up_here:
        file = system_file(tmp_path)
        file.parent.mkdir()
        file.touch()
    _, _, after = told(monkeypatch, capsys, tmp_path, tuple(MODULES))
    missed = ["BAD supervisor"] if was_up_here else []
    assert firsts(after)[1:-2] == [f"ok {name}" for name in MODULES] + missed
    verdict = "NOT HEALTHY: recording" + (", supervisor" if was_up_here else "")
    assert after.splitlines()[-1] == verdict
