"""The keys of the bus users: made once, never overwritten, readable by their owner alone."""

import os
from pathlib import Path

import nkeys
import pytest

from schemas.errors import UserError
from schemas.users import USERS
from services.runtime.keys import (
    NO_STORE_KEY,
    SYNC_ALWAYS,
    ensure_keys,
    load_seed,
    public_key,
    seed_file,
    server_environment,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "var" / "keys"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.req("A-01", "A-05")
def test_the_first_start_makes_a_key_for_every_user(folder: Path) -> None:
    made = ensure_keys(folder)
    assert tuple(made) == USERS
    assert len(set(made.values())) == len(USERS)
    assert {key[0] for key in made.values()} == {"U"}


def test_only_their_owner_can_read_the_keys_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        ensure_keys(folder)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{u}.nk" for u in USERS)


def test_a_key_is_never_overwritten_and_a_missing_one_is_made(folder: Path) -> None:
    first = ensure_keys(folder)
    seed_file(folder, "gate").unlink()
    again = ensure_keys(folder)
    assert again["gate"] != first["gate"]
    assert {u: k for u, k in again.items() if u != "gate"} == {
        u: k for u, k in first.items() if u != "gate"
    }


def test_two_first_starts_at_once_agree_on_one_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_keys(folder)
    kept = load_seed(folder, "gate")
    monkeypatch.setattr(Path, "exists", lambda _: False)  # the other start was a moment faster
    ensure_keys(folder)
    monkeypatch.undo()
    assert load_seed(folder, "gate") == kept
    assert len(list(folder.iterdir())) == len(USERS)


@pytest.mark.req("A-05")
@pytest.mark.parametrize("bad", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused_with_the_remedy(folder: Path, bad: int) -> None:
    ensure_keys(folder)
    path = seed_file(folder, "gate")
    path.chmod(bad)
    with pytest.raises(UserError) as caught:
        load_seed(folder, "gate")
    assert (caught.value.code, caught.value.fields) == (
        "SLU-102",
        {
            "path": str(path),
            "found": f"mode {bad:04o}: others can reach this secret",
            "wanted": f"mode 0600: run `chmod 600 {path}`",
        },
    )
    with pytest.raises(UserError):
        ensure_keys(folder)


def test_a_folder_of_keys_that_others_can_enter_is_refused(folder: Path) -> None:
    ensure_keys(folder)
    folder.chmod(0o755)
    with pytest.raises(UserError, match=f"chmod 700 {folder}"):
        load_seed(folder, "gate")


def typed_wrong(seed: str) -> str:
    return seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]


def test_a_file_that_holds_no_seed_is_refused_and_never_shown(folder: Path) -> None:
    ensure_keys(folder)
    seed = load_seed(folder, "gate")
    account = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT).decode()
    for text in ("", "hello", seed[:-4], typed_wrong(seed), account, "é" * 58):
        seed_file(folder, "gate").write_text(text)
        with pytest.raises(UserError) as caught:
            load_seed(folder, "gate")
        assert caught.value.code == "SLU-102"
        assert not text or text not in str(caught.value)


def test_a_missing_key_says_who_makes_it(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    with pytest.raises(UserError, match="sluice up"):
        load_seed(folder, "gate")


def test_the_server_is_told_public_halves_only(folder: Path) -> None:
    made = ensure_keys(folder)
    told = server_environment(made, sync_interval=SYNC_ALWAYS)
    assert told["SLUICE_NKEY_GATE"] == public_key(load_seed(folder, "gate"))
    assert told["SLUICE_SYNC_INTERVAL"] == "always"
    assert told["SLUICE_STORE_KEY"] == NO_STORE_KEY
    assert len(told) == len(USERS) + 2
    assert not {load_seed(folder, user) for user in USERS} & set(told.values())
