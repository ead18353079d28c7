"""Find the running system: without a valid configuration if need be, so that a halt always can."""

import os
import socket
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from cyclopts import Parameter

from schemas.errors import UserError
from schemas.masking import masked
from services.runtime.config import BusConfig

BUS_VARIABLE = "SLUICE_BUS__URL"
DATA_DIR_VARIABLES = ("SLUICE_PATHS__DATA_DIR", "BASIS_DATA_DIR")
LOOK_TIMEOUT_S = 1.0
"""How long a bus may take to let us in or to send us away, before it counts as there."""

WANTED = "a system started by `sluice up` with this data folder, or --nats-url"


class RunningSystem(msgspec.Struct, frozen=True, kw_only=True):
    """`run/system.json`: where the system is, for whoever wants to talk to it."""

    nats_url: str
    keys_dir: Path
    monitor_url: str
    data_dir: Path
    supervisor_pid: int
    started_ns: int
    config: Path
    pids: dict[str, int] = {}

    @property
    def is_alive(self) -> bool:
        """Whether its supervisor still runs; a killed one leaves the file behind."""
        return is_running(self.supervisor_pid)


@Parameter(name="*")
@dataclass(frozen=True)
class Place:
    """Where to look, and how to answer."""

    as_json: Annotated[
        bool, Parameter(name="--json", negative=(), help="One JSON document on standard output.")
    ] = False
    data_dir: Annotated[
        Path | None, Parameter(help="Data folder of the system; else as configured.")
    ] = None
    nats_url: Annotated[
        str | None, Parameter(help="Address of the bus; else that of the system running here.")
    ] = None
    keys_dir: Annotated[
        Path | None, Parameter(help="Folder of the keys; else `keys` in the data folder.")
    ] = None


def system_file(data_dir: Path) -> Path:
    """Return where a running system says how to reach it."""
    return data_dir / "run" / "system.json"


def running_system(data_dir: Path) -> RunningSystem | None:
    """Return the system that runs on this data folder; None if there is none."""
    try:
        found = msgspec.json.decode(
            system_file(data_dir).read_bytes(), type=RunningSystem, dec_hook=_path
        )
    except (OSError, msgspec.MsgspecError):
        return None
    return found if found.is_alive else None


def is_served(place: Place) -> bool:
    """Return whether a system works on the data folder: one started here, or one that was named.

    Whoever may work on the files alone asks this first. In containers no file says what runs: the
    environment names the bus, and it counts as there unless nobody listens at its address.
    """
    data_dir = data_dir_of(place)
    if place.nats_url is not None or running_system(data_dir) is not None:
        return True
    is_of_environment = data_dir == data_dir_of(replace(place, data_dir=None))  # an option is above
    url = os.environ.get(BUS_VARIABLE)
    return bool(url) and is_of_environment and not _is_deserted(str(url))


def works_alone(place: Place) -> bool:
    """Return whether a command has the files to itself; say so where a bus was to be expected."""
    if is_served(place):
        return False
    if url := os.environ.get(BUS_VARIABLE):
        said = (
            f"nobody listens at {masked(url)}, or it is another folder's: this works on the files"
        )
        print(f"sluice: {said} in {data_dir_of(place)}", file=sys.stderr)
    return True


def locate(place: Place) -> BusConfig:
    """Return where the bus is and whose keys to use.

    Raises:
        UserError: SLU-104 no system runs here.
    """
    data_dir = data_dir_of(place)
    system = running_system(data_dir)
    named = system if place.data_dir is not None else None  # an option is above the environment
    url = place.nats_url or (named.nats_url if named else os.environ.get(BUS_VARIABLE))
    url = url or (system.nats_url if system else None)
    if not url:
        raise UserError("SLU-104", path=system_file(data_dir), found="no system", wanted=WANTED)
    keys_dir = place.keys_dir or (named.keys_dir if named else _path_from("SLUICE_BUS__KEYS_DIR"))
    keys_dir = keys_dir or (system.keys_dir if system else data_dir / "keys")
    is_keyed = keys_dir.is_dir()
    monitor_url = system.monitor_url if system else ""
    return BusConfig(url=url, keys_dir=keys_dir if is_keyed else None, monitor_url=monitor_url)


def currency_of(place: Place) -> str:
    """Return what the account of the system asked counts in; empty where it does not run here."""
    system = running_system(data_dir_of(place))
    if system is None or locate(place).url != system.nats_url:
        return ""
    try:
        document = msgspec.json.decode(system.config.read_bytes())
        return str(document["account"]["currency"])
    except (OSError, msgspec.MsgspecError, KeyError, TypeError):
        return ""


def data_dir_of(place: Place) -> Path:
    """Return the data folder: option, environment, `sluice.toml` if it can be read, `var`."""
    from services.cli.config_layers import found_file

    if place.data_dir is not None:
        return place.data_dir.expanduser().resolve()
    for variable in DATA_DIR_VARIABLES:
        if (named := _path_from(variable)) is not None:
            return named
    file = found_file(None)
    if file is not None and (text := _data_dir_in(file)):
        return (file.resolve().parent / Path(text).expanduser()).resolve()
    return default_root() / "var"


def default_root() -> Path:
    """Return what a default path is relative to: the checkout this runs from, else here."""
    import services

    root = Path(services.__file__).resolve().parents[1]
    return root if (root / "ops" / "up").is_file() else Path.cwd()


def is_running(pid: int) -> bool:
    """Return whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, and alive
    return not _is_defunct(pid)


def _is_deserted(url: str) -> bool:
    """Return whether nobody can be there; who does not answer at all may well be."""
    try:
        parts = urlsplit(url)
        if not (parts.hostname and parts.port):
            return False  # whoever connects says what is wrong with it
        socket.create_connection((parts.hostname, parts.port), timeout=LOOK_TIMEOUT_S).close()
    except (ConnectionRefusedError, socket.gaierror):  # nobody listens, or no machine is called so
        return True
    except (OSError, ValueError):
        return False
    return False


def _is_defunct(pid: int) -> bool:
    """Return whether it has ended and only waits for its parent to notice; Linux alone says so."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return False


def _data_dir_in(file: Path) -> str:
    """Return what the file says; a file that cannot be read must not keep anybody from halting."""
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8")).get("paths", {}).get("data_dir", "")
        return str(found)
    except (OSError, ValueError, AttributeError) as error:
        print(
            f"sluice: {file} cannot be read ({error}); looking in the default place",
            file=sys.stderr,
        )
        return ""


def _path_from(variable: str) -> Path | None:
    text = os.environ.get(variable, "")
    return Path(text).expanduser().resolve() if text else None


def _path(kind: type, value: object) -> object:
    assert kind is Path, kind
    return Path(str(value))
