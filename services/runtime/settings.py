"""What one process was told to do: the resolved configuration that the command line wrote."""

import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from schemas.base import AccountId, InstrumentId
from schemas.errors import UserError
from schemas.instruments import Instrument

_S = TypeVar("_S", bound=msgspec.Struct)

LIMIT_SECTIONS = ("account", "instruments", "gate", "executor", "breaker")
"""What gate, executor and breaker must agree on before anything may start."""

LIMITS_HASH_CHARS = 16
_WANTED_FILE = "the resolved configuration that `sluice up` writes (run/config.json)"


class AccountConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The one account that this system trades."""

    id: AccountId
    currency: str
    """Currency that cash, equity and limits are kept in."""

    initial_cash: Decimal
    """Cash before the first execution, in `currency`."""


class PathsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the processes keep what must last."""

    data_dir: Path
    """Folder of journals, logs and keys; made when it is missing."""


class Settings:
    """The configuration of one process, read once at its start.

    Attributes:
        file: where it was read from; for error texts.
        data_dir: folder of everything that this system keeps.
        account: the account traded.
        instruments: what may be traded, by id.
        limits_hash: names the limits of the file; equal where the file is. What operators change,
            and what tightens by itself, while the gate runs is not in it.
    """

    def __init__(self, file: Path, sections: dict[str, msgspec.Raw]) -> None:
        self.file = file
        self._sections = sections
        self.data_dir = self.section("paths", PathsConfig).data_dir
        self.account = self.section("account", AccountConfig)
        listed = _decoded(self._raw("instruments", b"[]"), list[Instrument], f"{file}: instruments")
        self.instruments: dict[InstrumentId, Instrument] = {each.id: each for each in listed}
        self.limits_hash = _hash({name: self._raw(name) for name in LIMIT_SECTIONS})

    def section(self, name: str, kind: type[_S]) -> _S:
        """Return one section as its strict Struct.

        Raises:
            UserError: a field is unknown, missing or has a bad value; it names the field.
        """
        found: _S = _decoded(self._raw(name), kind, f"{self.file}: {name}")
        return found

    def _raw(self, name: str, default: bytes = b"{}") -> msgspec.Raw:
        return self._sections.get(name, msgspec.Raw(default))


def load_settings(path: Path) -> Settings:
    """Return the settings in the resolved configuration at `path`.

    Raises:
        UserError: the file cannot be read, is not JSON, or a field of it is not valid.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        found = error.strerror or str(error)
        raise UserError("SLU-102", path=path, found=found, wanted=_WANTED_FILE) from error
    return Settings(path, _decoded(msgspec.Raw(data), dict[str, msgspec.Raw], str(path)))


def _decoded(data: msgspec.Raw, kind: Any, where: str) -> Any:
    """Return `data` as `kind`; what is wrong is named by file, section and field."""
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_path_from)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        said, _, inner = str(error).partition(" - at `$")
        path = where + inner.rstrip("`")
        raise UserError("SLU-100", path=path, found=said, wanted=_wanted(kind)) from error


def _path_from(kind: type, value: object) -> object:
    """Return `value` as the one type of ours that JSON has no word for."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"Expected a path in quotes, got `{value!r}`")


def _wanted(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "fields " + ", ".join(kind.__struct_fields__)
    return _WANTED_FILE


def _hash(sections: dict[str, msgspec.Raw]) -> str:
    plain = {name: msgspec.json.decode(raw) for name, raw in sections.items()}
    canonical = msgspec.json.encode(plain, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:LIMITS_HASH_CHARS]
