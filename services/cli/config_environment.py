"""Every field of the configuration by an environment variable, and the names others use (S-12)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_origin

import msgspec

from services.cli.config_layers import Layer, Origin, put
from services.cli.config_types import (
    Complaint,
    Path,
    complaints,
    dict_value_of,
    did_you_mean,
    field_types,
    struct_of,
)

PREFIX = "SLUICE_"
SEPARATOR = "__"
ALIASES: dict[str, Path] = {
    "BASIS_DATA_DIR": ("paths", "data_dir"),
    "BASIS_LOG_LEVEL": ("system", "log_level"),
    "BASIS_ENVIRONMENT": ("system", "environment"),
    "BASIS_EXECUTION_MODE": ("system", "execution_mode"),
    "LIVE_TRADING_TIMEOUT": ("strategy", "session_timeout_s"),
    "LIVE_TRADING_MAX_CONCURRENT": ("strategy", "sessions_max"),
    "LIVE_TRADING_MEMORY_LIMIT": ("strategy", "session_memory_mb_max"),
}
"""Names that other programs of this kind use; a `SLUICE_...` of the same field wins."""

Sections = Mapping[str, type[msgspec.Struct]]


def environment_layer(
    environment: Mapping[str, str], sections: Sections
) -> tuple[Layer, list[Complaint]]:
    """Return what the environment says, and what of it nobody understands."""
    values: dict[str, Any] = {}
    origins: dict[Path, Origin] = {}
    wrong: list[Complaint] = []
    for variable, path in _aliased(environment):
        put(values, path, coerced(environment[variable], type_at(path, sections)))
        origins[path] = Origin("environment", variable)
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or SEPARATOR not in variable:
            continue
        path = tuple(variable.removeprefix(PREFIX).lower().split(SEPARATOR))
        kind = type_at(path, sections)
        if kind is None:
            wrong.append(
                Complaint((variable,), "a name that nothing here has", _near(path, sections))
            )
            continue
        put(values, path, coerced(environment[variable], kind))
        origins[path] = Origin("environment", variable)
    return Layer(values, origins, Origin("environment")), wrong


def variable_of(path: Path) -> str:
    """Return the environment variable that sets the value at `path`."""
    return PREFIX + SEPARATOR.join(path).upper()


def type_at(path: Path, sections: Sections) -> Any:
    """Return the type of the value at `path`; None if there is no such value."""
    kind: Any = sections.get(path[0])
    for name in path[1:]:
        if kind is None:
            return None
        if (struct := struct_of(kind)) is not None:
            kind = field_types(struct).get(name)
        elif (inner := dict_value_of(kind)) is not None:
            kind = inner
        else:
            return None
    return kind


def coerced(text: str, kind: Any) -> Any:
    """Return the value that a text stands for where a `kind` is wanted; the text if none."""
    if get_origin(kind) is tuple and not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    for attempt in _attempts(text, kind):
        if not any(complaints((), attempt, kind)):
            return attempt
    return text


def _attempts(text: str, kind: Any) -> Iterator[Any]:
    if kind is not Any:
        yield text
    try:
        yield json.loads(text)
    except ValueError:
        yield text
    if text.lower() in ("true", "false", "yes", "no", "on", "off"):
        yield text.lower() in ("true", "yes", "on")


def _aliased(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    for variable, path in ALIASES.items():
        if environment.get(variable):
            yield variable, path


def _near(path: Path, sections: Sections) -> str:
    if path[0] not in sections:
        known = list(sections)
        return did_you_mean(path[0], known) or f"SLUICE_<section>__<field>, of {', '.join(known)}"
    known = [variable_of((path[0], name)) for name in field_types(sections[path[0]])]
    return did_you_mean_variable(variable_of(path), known) or f"one of {', '.join(known)}"


def did_you_mean_variable(variable: str, known: list[str]) -> str:
    """Return a hint at the variable that is meant; empty if none is near."""
    hint = did_you_mean(variable, [name.lower() for name in known])
    return hint.upper().replace("DID YOU MEAN", "did you mean") if hint else ""
