"""In containers no file says what runs: the environment names the bus, and commands go by that."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.cli import backup_archive, desk
from services.cli.locate import Place, is_served
from services.runtime.supervisor_server import free_port
from tests.report_rig import Recorded, a_day, terms
from tests.unit.test_cli_commands import leave_home, runner

pytestmark = pytest.mark.req("S-14")


@pytest.fixture(autouse=True)
def _nobody_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_home(tmp_path, monkeypatch)
    monkeypatch.setattr(desk, "CONNECT_TIMEOUT_S", 0.1)


@pytest.fixture
def sluice(capsys: pytest.CaptureFixture[str]) -> Any:
    return runner(capsys)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address of a bus that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"nats://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("SLUICE_BUS__URL", url)
        yield url


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address in the environment, where nobody listens."""
    url = f"nats://127.0.0.1:{free_port('127.0.0.1', 0)}"
    monkeypatch.setenv("SLUICE_BUS__URL", url)
    return url


@pytest.fixture
def record(tmp_path: Path) -> Path:
    Recorded(tmp_path / "var").add(terms(), *a_day())
    return tmp_path / "var"


REPORT = ("report", "statement", "--day", "2026-11-25")
QUERY = ("query", "select 1")


def test_what_the_environment_names_is_a_system_of_the_folder_it_names(
    tmp_path: Path, bus: str
) -> None:
    assert is_served(Place())
    assert is_served(Place(data_dir=tmp_path / "var")), "the same folder, said twice"
    assert not is_served(Place(data_dir=tmp_path / "restored")), "an option is above it"
    assert is_served(Place(data_dir=tmp_path / "restored", nats_url=bus))


def test_where_nobody_listens_no_system_runs(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_served(Place())
    monkeypatch.setenv("SLUICE_BUS__URL", "nats://no-such-host.invalid:4222")
    assert not is_served(Place())
    monkeypatch.setenv("SLUICE_BUS__URL", "no address")
    assert is_served(Place()), "what cannot be looked for is not known to be away"


@pytest.mark.parametrize("words", [REPORT, QUERY])
def test_a_system_that_the_environment_names_is_asked_and_its_files_are_left_alone(
    sluice: Any, record: Path, bus: str, words: tuple[str, ...]
) -> None:
    said = sluice(*words)
    assert (said.code, said.out) == (3, "")
    assert f"url: {bus}" in said.err
    assert not (record / "reports").exists()
    assert not (record / "query").exists()


@pytest.mark.parametrize("words", [REPORT, QUERY, ("audit", "rebuild")])
def test_where_the_bus_is_away_the_files_are_worked_on_and_it_is_said(
    sluice: Any, record: Path, nobody: str, words: tuple[str, ...]
) -> None:
    said = sluice(*words)
    assert said.code == 0
    where = f"nobody listens at {nobody}, or it is another folder's"
    assert said.err == f"sluice: {where}: this works on the files in {record}\n"


def test_a_rebuild_is_left_to_the_system_that_the_environment_names(
    sluice: Any, record: Path, bus: str
) -> None:
    said = sluice("audit", "rebuild")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("asked the reports service to make it anew")


@pytest.mark.req("O-05")
def test_the_banner_of_a_command_that_needs_no_bus_is_there_in_containers_too(
    sluice: Any, bus: str
) -> None:
    assert sluice("explain", "exit-codes").out.startswith("STATE UNKNOWN")


def test_a_backup_waits_for_the_record_of_the_system_that_the_environment_names(
    sluice: Any, record: Path, bus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[Path] = []
    monkeypatch.setattr(backup_archive, "_settle", lambda folder, _: settled.append(folder))
    assert sluice("backup", "create", str(record.parent / "b.tar.gz")).code == 0
    assert settled == [record / "record"]
    monkeypatch.delenv("SLUICE_BUS__URL")
    assert sluice("backup", "create", str(record.parent / "c.tar.gz")).code == 0
    assert len(settled) == 1
