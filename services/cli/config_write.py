"""`sluice config write`: make keys and the resolved configuration, for processes started elsewhere.

`sluice up` does this by itself. Containers and service managers run it once, before the services.
"""

import datetime
import shutil
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from schemas.errors import UserError
from schemas.users import USERS
from services.cli.account_journals import switch_account
from services.cli.backup_config import forget_restore, refuse_another
from services.cli.backup_place import refuse_unfinished
from services.cli.config_command import Settings
from services.cli.config_resolve import Config, account_of, document, instruments_of, load_config
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.output import Output
from services.cli.private_files import write_private
from services.cli.system import config_file, to_bytes
from services.recorder.key_file import PRIVATE, ensure_record_key
from services.runtime.config import BusConfig
from services.runtime.keys import ensure_keys, seed_file

EVERYBODY = "viewer"
"""Whose key goes along with each service's own: its health check looks with it."""


def write(
    *,
    config: Annotated[Path | None, Parameter(help="The configuration file.")] = None,
    sets: Settings = None,
    split_keys: Annotated[
        Path | None, Parameter(help="Also copy each user's key to FOLDER/USER/.")
    ] = None,
    seen_keys_dir: Annotated[
        Path | None, Parameter(help="Where the services will find their key, if elsewhere.")
    ] = None,
    accept_other_configuration: Annotated[
        bool,
        Parameter(negative=(), help="After a restore: not the account or limits of the backup."),
    ] = False,
    place: Place | None = None,
) -> Exit:
    """Write run/config.json and the keys; start nothing."""
    found = place or Place()
    options = {}
    if found.data_dir is not None:
        options["--data-dir"] = (("paths", "data_dir"), str(found.data_dir))
    loaded = load_config(config, options, sets or ())
    refuse_unfinished(loaded.data_dir)
    public_keys = ensure_keys(loaded.keys_dir)
    if split_keys is not None:
        _split(loaded.keys_dir, split_keys)
    bus = BusConfig(
        url=loaded.bus.url or f"nats://{loaded.bus.host}:{loaded.bus.port}",
        keys_dir=seen_keys_dir or loaded.keys_dir,
        monitor_url=loaded.bus.monitor_url,
    )
    path = config_file(loaded.data_dir)
    account = _write_config(loaded, bus, path, accept_other_configuration)
    write_private(public_keys_file(loaded.data_dir), msgspec.json.encode(public_keys))
    output = Output(found.as_json)
    output.data({"file": str(path), "account": account})
    output.line(f"wrote {path}, for account {account['id']}")
    output.next_step("sluice service NAME")
    return Exit.OK


def _write_config(config: Config, bus: BusConfig, path: Path, accept_other: bool) -> dict[str, Any]:
    """Write the configuration, and let the journals be its account's; return that account."""
    instruments = instruments_of(config)
    now = datetime.datetime.now(datetime.UTC)
    account = account_of(config, instruments, is_fresh=False, now=now)
    text = to_bytes(document(config, instruments, account, bus))
    refuse_another(config.data_dir, text, is_accepted=accept_other)
    switch_account(config.data_dir, account["id"])
    write_private(path, text)
    forget_restore(config.data_dir)
    return account


def public_keys_file(data_dir: Path) -> Path:
    """Return where the public halves of the keys are: what the bus has to know."""
    return data_dir / "run" / "public_keys.json"


def _split(keys_dir: Path, folder: Path) -> None:
    """Give each user its own key and no other; the recorder the one that signs the record too."""
    ensure_record_key(keys_dir)
    for user in USERS:
        _hand_out(keys_dir, folder / user, user)
    _copy(keys_dir / PRIVATE, folder / "recorder" / PRIVATE)


def _hand_out(keys_dir: Path, folder: Path, user: str) -> None:
    """Copy a user's own key, and the one that may only look, to a folder of its own."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise UserError(
            "SLU-102", path=folder, found=error.strerror or error, wanted="a folder for a key"
        ) from error
    for name in dict.fromkeys((user, EVERYBODY)):
        _copy(seed_file(keys_dir, name), seed_file(folder, name))


def _copy(key: Path, copy: Path) -> None:
    """Copy one key; its mode goes with it."""
    try:
        copy.unlink(missing_ok=True)
        shutil.copy2(key, copy)
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError("SLU-102", path=copy, found=found, wanted="a folder for a key") from error
