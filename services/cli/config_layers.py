"""Lay defaults, file, environment and command line over each other; remember who said what."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from schemas.errors import UserError
from services.cli.config_types import Path

DEFAULTS_FILE = FilePath(__file__).with_name("sluice.toml")
FILE_NAME = "sluice.toml"
_TABLE = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(
    r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\")(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"))*)\s*="
)
_PART = re.compile(r"\"([^\"]*)\"|([A-Za-z0-9_-]+)")


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from."""

    kind: str
    """`default`, `file`, `environment` or `command line`."""

    name: str = ""
    """File, variable or option."""

    line: int = 0
    folder: FilePath | None = None
    """What a relative path is relative to; None: the folder of whoever runs the command."""

    def __str__(self) -> str:
        """Return it for people: `sluice.toml:12`."""
        where = f"{self.name}:{self.line}" if self.line else self.name
        return where if self.kind == "file" else f"{self.kind} {where}".strip()


class Layer(msgspec.Struct, frozen=True):
    """What one source says."""

    values: dict[str, Any]
    origins: Mapping[Path, Origin]
    """Of the values it can name; any other value has the origin of the nearest one above it."""

    origin: Origin


class Merged(msgspec.Struct, frozen=True):
    """All layers, the last word of each value, and who had it."""

    values: dict[str, Any]
    origins: dict[Path, Origin]

    def origin_of(self, path: Path) -> Origin:
        """Return where the value at `path` came from; a value nobody gave is a default."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return Origin("default")


def merge(layers: list[Layer]) -> Merged:
    """Return the layers as one; later ones win, table by table."""
    merged = Merged({}, {})
    for layer in layers:
        _lay(merged.values, layer.values, (), layer, merged.origins)
    return merged


def defaults_layer(root: FilePath) -> Layer:
    """Return the shipped defaults; a relative path among them is relative to `root`."""
    values = tomllib.loads(DEFAULTS_FILE.read_text())
    return Layer(values, {}, Origin("default", folder=root))


def file_layer(path: FilePath) -> Layer:
    """Return what a TOML file says.

    Raises:
        UserError: SLU-102 it cannot be read; SLU-100 it is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            "SLU-102", path=path, found=error.strerror or error, wanted="a TOML file"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError("SLU-100", path=path, found=error, wanted="TOML in UTF-8") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError("SLU-100", path=path, found=error, wanted="TOML") from error
    folder = path.resolve().parent
    origins = {key: Origin("file", str(path), line, folder) for key, line in lines_of(text).items()}
    return Layer(values, origins, Origin("file", str(path), folder=folder))


def option_layer(options: Mapping[str, tuple[Path, Any]]) -> Layer:
    """Return what the options of a command say: option -> (path, value)."""
    values: dict[str, Any] = {}
    for path, value in options.values():
        put(values, path, value)
    origins = {path: Origin("command line", name) for name, (path, _) in options.items()}
    return Layer(values, origins, Origin("command line"))


def found_file(given: FilePath | None) -> FilePath | None:
    """Return the configuration file: the one given, `$SLUICE_CONFIG`, or `./sluice.toml`."""
    if given is not None:
        return given
    if named := os.environ.get("SLUICE_CONFIG"):
        return FilePath(named)
    here = FilePath(FILE_NAME)
    return here if here.is_file() else None


def lines_of(text: str) -> dict[Path, int]:
    """Return the line that each table and key of a TOML text stands on, from 1."""
    found: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = _parts(header[1])
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key[1])), number)
    return found


def put(values: dict[str, Any], path: Path, value: Any) -> None:
    """Set the value at `path`, making tables on the way."""
    for name in path[:-1]:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            return
        values = inner
    values[path[-1]] = value


def leaves(values: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every value that is no table, with its path, in order."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


def _lay(
    under: dict[str, Any],
    over: Mapping[str, Any],
    path: Path,
    layer: Layer,
    origins: dict[Path, Origin],
) -> None:
    for name, value in over.items():
        here = (*path, name)
        if isinstance(value, dict):
            inner = under.get(name)
            if not isinstance(inner, dict):
                inner = under[name] = {}
            if not value or here in layer.origins:
                origins.setdefault(here, layer.origins.get(here, layer.origin))
            _lay(inner, value, here, layer, origins)
        else:
            under[name] = value
            origins[here] = layer.origins.get(here, layer.origin)


def _parts(dotted: str) -> Path:
    return tuple(quoted or bare for quoted, bare in _PART.findall(dotted))
