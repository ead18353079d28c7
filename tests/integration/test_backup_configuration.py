"""The first start after a restore is under the configuration that the backup was of, or refused."""

import shutil
from pathlib import Path

import msgspec
import pytest

from schemas.errors import StateError, UserError
from services.cli.account_journals import owner_file
from services.cli.backup_config import NOTICE, configured_by, refuse_another
from services.cli.backup_place import UNFINISHED
from services.cli.config_resolve import load_config
from services.cli.system import config_file, prepare
from services.runtime.settings import load_settings
from tests.backup_rig import backed_up, make_data_dir, restored, run

pytestmark = pytest.mark.req("R-07")
MAIN = {"SLUICE_ACCOUNT__ID": "main", "SLUICE_ACCOUNT__INITIAL_CASH": "250000"}
JOURNAL = b'{"type":"CashMoved"}\n'


def start(data_dir: Path, environment: dict[str, str], *, accept_other: bool = False) -> str:
    """Prepare a start, as `sluice up` does, and end it; return the account it would have traded."""
    options = {"--data-dir": (("paths", "data_dir"), str(data_dir))}
    run = prepare(
        load_config(None, options, (), environment), is_fresh=False, accept_other=accept_other
    )
    run.retire()
    return str(run.account["id"])


def files(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder of account `main`, which had 250,000 and has traded."""
    folder = make_data_dir(tmp_path)
    shutil.rmtree(folder / "state")
    assert start(folder, MAIN) == "main"
    (folder / "state" / "venue.jsonl").write_bytes(JOURNAL)
    return folder


@pytest.fixture
def new(data_dir: Path, tmp_path: Path) -> Path:
    """That, restored on an empty machine."""
    (data_dir / "state" / "venue.jsonl").unlink()
    restored(backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "new")
    (tmp_path / "new" / "state" / "venue.jsonl").write_bytes(JOURNAL)
    return tmp_path / "new"


def test_a_restored_system_does_not_start_under_the_defaults_and_stays_as_it_is(
    new: Path,
) -> None:
    before, was = files(new), load_settings(config_file(new))
    with pytest.raises(UserError, match="SLU-100") as caught:
        start(new, {})
    fields = caught.value.fields
    assert fields["path"] == "account, gate"
    assert str(fields["found"]).startswith("account paper, limits ")
    assert fields["wanted"] == (
        f"account main, limits {was.limits_hash}, as b.tar.gz was of: the same file, variables "
        "and options as there; or --accept-other-configuration, if another one is meant"
    )
    assert files(new) == before
    with pytest.raises(UserError, match="account main, limits"):
        run("up", "--no-start", "--for", "1", "--data-dir", str(new))


def test_a_limit_that_is_another_is_another_configuration(new: Path) -> None:
    with pytest.raises(UserError, match="SLU-100") as caught:
        start(new, {**MAIN, "SLUICE_BREAKER__ORDER_COUNT_MAX": "7"})
    assert caught.value.fields["path"] == "breaker"


def test_under_its_own_configuration_it_starts_and_from_then_on_under_any(new: Path) -> None:
    assert start(new, MAIN) == "main"
    assert not (new / NOTICE).exists()
    assert (new / "state" / "venue.jsonl").read_bytes() == JOURNAL
    assert start(new, {}) == "paper"  # a choice of the operator's, as on any day


def test_another_configuration_is_taken_where_a_person_says_so(new: Path) -> None:
    assert start(new, {}, accept_other=True) == "paper"
    aside = new / "state" / "accounts" / "main" / "venue.jsonl"
    assert (aside.read_bytes(), (new / NOTICE).exists()) == (JOURNAL, False)


def test_a_backup_without_a_configuration_starts_only_where_a_person_says_under_which(
    data_dir: Path, tmp_path: Path
) -> None:
    (data_dir / "state" / "venue.jsonl").unlink()
    config_file(data_dir).unlink()
    done = restored(backed_up(data_dir, tmp_path / "b.tar.gz"), tmp_path / "new")
    assert (done.account, done.limits_hash) == ("", "")
    with pytest.raises(UserError, match="a configuration that cannot be read"):
        start(tmp_path / "new", MAIN)
    assert start(tmp_path / "new", MAIN, accept_other=True) == "main"


def test_word_of_a_restore_that_cannot_be_read_is_no_leave(new: Path) -> None:
    (new / NOTICE).write_bytes(b"{")
    with pytest.raises(StateError, match="SLU-148"):
        start(new, MAIN)
    assert start(new, MAIN, accept_other=True) == "main"


def test_a_restore_says_which_configuration_it_was_of(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data_dir / "state" / "venue.jsonl").unlink()
    backup = backed_up(data_dir, tmp_path / "b.tar.gz")
    was = load_settings(config_file(data_dir))
    assert run("backup", "restore", str(backup), "--data-dir", str(tmp_path / "new")) == 0
    assert f"It was of account main, limits {was.limits_hash}" in capsys.readouterr().out
    owner = msgspec.json.decode(owner_file(tmp_path / "new").read_bytes())
    assert owner == {"account": "main"}


def test_a_configuration_that_is_compared_is_the_one_the_services_agree_on(new: Path) -> None:
    path = config_file(new)
    assert configured_by(path.read_bytes(), path).limits_hash == load_settings(path).limits_hash
    refuse_another(new, path.read_bytes(), is_accepted=False)


def test_what_containers_start_by_refuses_the_same(
    new: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sluice config write` is run once before the services there, in place of `sluice up`."""
    write, before = ("config", "write", "--data-dir", str(new)), files(new / "state")
    with pytest.raises(UserError, match="account main, limits"):
        run(*write)
    assert files(new / "state") == before
    for name, value in MAIN.items():
        monkeypatch.setenv(name, value)
    assert run(*write) == 0
    assert not (new / NOTICE).exists()
    (new / UNFINISHED).mkdir()
    with pytest.raises(StateError, match="SLU-148"):
        run(*write)
