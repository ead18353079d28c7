"""Journals belong to one account: put those of another aside, and bring back the wanted one's.

Orders, executions and sessions of one account mean nothing to another, and may be of instruments
that are not there any more. Halts, epochs and the recording belong to the system: they stay.
Nothing is ever deleted, and a crash half-way is finished by the next start.
"""

from pathlib import Path

import msgspec

from schemas.errors import StateError
from services.cli.private_files import write_private
from services.runtime.paths import is_there

OF_ACCOUNT = ("venue", "executor", "gate", "strategy")
"""Services whose journal is about one account."""


class Owner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose journals belong in `state`."""

    account: str


def owner_file(data_dir: Path) -> Path:
    """Return where it stands whose journals they are."""
    return data_dir / "state" / "account.json"


def switch_account(data_dir: Path, account: str) -> None:
    """Let the journals in `state` be those of `account`.

    Raises:
        StateError: it cannot be told whose journals they are.
    """
    owner = _owner(data_dir)
    if owner is not None:
        _bring_back(data_dir, owner.account)  # what a switch that was cut off has left aside
        if owner.account == account:
            return
        _put_aside(data_dir, owner.account)
    write_private(owner_file(data_dir), msgspec.json.encode(Owner(account)))
    _bring_back(data_dir, account)


def _put_aside(data_dir: Path, account: str) -> None:
    for name in OF_ACCOUNT:
        here = data_dir / "state" / f"{name}.jsonl"
        if is_there(here):
            there = _aside(data_dir, account) / here.name
            there.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            here.replace(there)


def _bring_back(data_dir: Path, account: str) -> None:
    for name in OF_ACCOUNT:
        there = _aside(data_dir, account) / f"{name}.jsonl"
        here = data_dir / "state" / there.name
        if is_there(there) and not is_there(here):
            there.replace(here)


def _aside(data_dir: Path, account: str) -> Path:
    return data_dir / "state" / "accounts" / account


def _owner(data_dir: Path) -> Owner | None:
    """Return whose journals they are; None when there are none yet."""
    path = owner_file(data_dir)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Owner)
    except FileNotFoundError:
        journals = [data_dir / "state" / f"{name}.jsonl" for name in OF_ACCOUNT]
        if not any(is_there(each) for each in journals):
            return None
        found: object = "no such file, and journals beside it"
    except (OSError, msgspec.MsgspecError) as error:
        found = error
    wanted = 'whose journals these are: {"account": "paper"}'
    raise StateError("SLU-140", path=path, found=found, wanted=wanted)
