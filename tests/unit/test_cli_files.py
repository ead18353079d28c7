"""What the command line finds and writes on disk: private, whole, and of the right account."""

import contextlib
import fcntl
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from schemas.errors import StateError, UserError
from services.cli import account_journals, locate, system
from services.cli.account_journals import OF_ACCOUNT, owner_file, switch_account
from services.cli.config_resolve import ConfigError, default_anchors, load_config
from services.cli.locate import Place, running_system, system_file
from services.cli.private_files import write_private
from services.cli.system import prepare


def journals(data_dir: Path) -> dict[str, str]:
    state = data_dir / "state"
    return {p.name: p.read_text() for p in sorted(state.glob("*.jsonl"))}


def write_journals(data_dir: Path, text: str) -> dict[str, str]:
    state = data_dir / "state"
    state.mkdir(parents=True, exist_ok=True)
    for name in (*OF_ACCOUNT, "breaker"):
        (state / f"{name}.jsonl").write_text(text)
    return journals(data_dir)


@pytest.mark.req("S-13")
def test_an_account_gets_its_own_journals_back(tmp_path: Path) -> None:
    switch_account(tmp_path, "paper")
    of_paper = write_journals(tmp_path, "paper")
    switch_account(tmp_path, "replay-1")
    assert journals(tmp_path) == {"breaker.jsonl": "paper"}  # halts belong to the system
    switch_account(tmp_path, "paper")
    assert journals(tmp_path) == of_paper


@pytest.mark.parametrize("steps", range(10))
def test_a_switch_that_was_cut_off_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    switch_account(tmp_path, "paper")
    of_paper = write_journals(tmp_path, "paper")
    left = steps
    rename = Path.replace

    def failing(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError("power failed")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with contextlib.suppress(OSError, UserError):
            switch_account(tmp_path, "replay-1")
    switch_account(tmp_path, "paper")
    assert journals(tmp_path) == of_paper


def test_journals_of_nobody_knows_whom_are_not_touched(tmp_path: Path) -> None:
    before = write_journals(tmp_path, "whose?")
    with pytest.raises(StateError):
        switch_account(tmp_path, "paper")
    assert journals(tmp_path) == before


def test_without_the_switch_one_account_would_read_the_journal_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch_account(tmp_path, "paper")
    write_journals(tmp_path, "paper")
    monkeypatch.setattr(account_journals, "_put_aside", lambda *_: None)
    switch_account(tmp_path, "replay-1")
    assert set(journals(tmp_path)) > {"breaker.jsonl"}


def test_a_private_file_is_never_readable_by_others(tmp_path: Path) -> None:
    file = tmp_path / "run" / "config.json"
    old_mask = os.umask(0)
    try:
        write_private(file, b"{}")
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # a choice of ports of our own
    return tmp_path / "var"


def test_a_run_is_prepared_before_the_first_process_starts(data_dir: Path) -> None:
    config = load_config(environment={"SLUICE_PATHS__DATA_DIR": str(data_dir)})
    run = prepare(config, is_fresh=False)
    try:
        written = json.loads((data_dir / "run" / "config.json").read_text())
        names = [spec.name for spec in run.plan.specs]
        assert (names[0], names[-1]) == ("nats", "reports")
        assert written["bus"]["url"] == run.plan.bus.url
        assert written["account"] == run.account
        assert (data_dir / "keys" / "operator.nk").exists()
        assert json.loads(owner_file(data_dir).read_text())["account"] == "paper"
    finally:
        run.retire()


def test_two_systems_never_share_one_data_folder(data_dir: Path) -> None:
    config = load_config(environment={"SLUICE_PATHS__DATA_DIR": str(data_dir)})
    run = prepare(config, is_fresh=False)
    try:
        with pytest.raises(UserError) as caught:
            prepare(config, is_fresh=False)
        assert caught.value.code == "SLU-163"
    finally:
        run.retire()
    prepare(config, is_fresh=False).retire()  # the folder is free again


def can_choose_ports() -> bool:
    try:
        os.close(system._flocked(system._ports_file(), fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def test_nobody_else_chooses_ports_until_ours_are_taken(data_dir: Path) -> None:
    config = load_config(environment={"SLUICE_PATHS__DATA_DIR": str(data_dir)})
    run = prepare(config, is_fresh=False)
    run.announce({"nats": 7})
    assert not can_choose_ports()
    run.announce({"nats": 7, "recorder": 8})
    assert can_choose_ports()
    run.retire()


def test_a_running_system_is_found_and_a_dead_one_is_not(data_dir: Path) -> None:
    config = load_config(environment={"SLUICE_PATHS__DATA_DIR": str(data_dir)})
    run = prepare(config, is_fresh=False)
    run.announce({"gate": 7})
    found = running_system(data_dir)
    assert found is not None
    assert (found.nats_url, found.pids) == (run.plan.bus.url, {"gate": 7})
    assert stat.S_IMODE(system_file(data_dir).stat().st_mode) == 0o600
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    text = system_file(data_dir).read_text().replace(str(os.getpid()), str(ended.pid))
    system_file(data_dir).write_text(text)
    assert running_system(data_dir) is None
    run.retire()
    assert not system_file(data_dir).exists()


def test_a_process_that_only_waits_to_be_noticed_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet waited for
        assert locate.is_running(child.pid) is False


def test_the_bus_is_found_by_option_before_all_else(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_BUS__URL", "nats://other:1")
    place = Place(nats_url="nats://here:2", data_dir=data_dir)
    assert locate.locate(place).url == "nats://here:2"
    assert locate.locate(Place(data_dir=data_dir)).url == "nats://other:1"


@pytest.mark.req("O-01")
def test_a_user_without_a_home_directory_is_told_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigError) as caught:
        default_anchors()
    [error] = caught.value.errors
    assert (error.path, error.found) == ("HOME", "nothing, and this user has no home directory")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_anchors() == Path("/state/sluice/anchors")
