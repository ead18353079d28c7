"""Every field of the configuration by an environment variable, and the names others use (S-12)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_origin

import msgspec

from schemas.bounds import WANTED_NUMBER
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

READ_ELSEWHERE = frozenset(
    {
        "SLUICE_CONFIG",  # which file is read
        "SLUICE_LOG_LEVEL",  # what a supervisor tells its processes
        "SLUICE_LOG_FILE",
        "SLUICE_LOG_COPY",
        "SLUICE_PARENT_FD",
        "SLUICE_STORE_KEY",  # what a nats-server reads
        "SLUICE_SYNC_INTERVAL",
        "SLUICE_ACCOUNT",  # what compose.yaml reads
        "SLUICE_CONFIG_DIR",
        "SLUICE_RECORDINGS",
        "SLUICE_STRATEGIES",
        "SLUICE_DATA",  # what the tests read
        "SLUICE_SOAK_MINUTES",
        "SLUICE_SOAK_REPORT",
    }
)
"""Names of ours that stand for no field. Any other is a mistake: a limit that somebody set and that
is not in force."""

READ_ELSEWHERE_PREFIX = "SLUICE_NKEY_"
"""And the public key of each bus user."""

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
        if not variable.startswith(PREFIX) or _is_read_elsewhere(variable):
            continue
        path = tuple(variable.removeprefix(PREFIX).lower().split(SEPARATOR))
        kind = type_at(path, sections)
        if kind is None or len(path) == 1:
            found = "a name that nothing here has, so what it says is not in force"
            wrong.append(Complaint((variable,), found, _near(path, sections)))
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
        # a number out of bounds is still the number that was meant: it is refused as it was written
        if all(each.wanted == WANTED_NUMBER for each in complaints((), attempt, kind)):
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


def _is_read_elsewhere(variable: str) -> bool:
    return variable in READ_ELSEWHERE or variable.startswith(READ_ELSEWHERE_PREFIX)


def _near(path: Path, sections: Sections) -> str:
    """Return what the name `path` was meant to be, or else what there is."""
    meant = next(_spelled("_".join(path), sections), None)
    if meant is not None:
        return f"did you mean `{variable_of(meant)}`, with two underscores between each two names?"
    if len(path) > 1 and path[0] in sections:
        known = [variable_of((path[0], name)) for name in field_types(sections[path[0]])]
        return did_you_mean_variable(variable_of(path), known) or f"one of {', '.join(known)}"
    fields = [(section, name) for section in sections for name in field_types(sections[section])]
    # without the prefix, which all of them share and which would make any two of them alike
    known = [variable_of(each).removeprefix(PREFIX) for each in fields]
    hint = did_you_mean_variable(variable_of(path).removeprefix(PREFIX), known)
    return hint.replace("`", f"`{PREFIX}", 1) or (
        f"SLUICE_<section>__<field>, of {', '.join(sections)}"
    )


def _spelled(name: str, kind: Any) -> Iterator[Path]:
    """Yield every path below `kind` that reads as `name` when one underscore joins its parts."""
    if isinstance(kind, Mapping):
        inner = dict(kind)
    elif (struct := struct_of(kind)) is not None:
        inner = field_types(struct)
    elif (value := dict_value_of(kind)) is not None:
        parts = name.split("_")
        inner = {"_".join(parts[:count]): value for count in range(1, len(parts) + 1)}
    else:
        return
    for each, below in inner.items():
        if each == name and not isinstance(kind, Mapping):
            yield (each,)
        elif name.startswith(f"{each}_"):
            for rest in _spelled(name.removeprefix(f"{each}_"), below):
                yield (each, *rest)


def did_you_mean_variable(variable: str, known: list[str]) -> str:
    """Return a hint at the variable that is meant; empty if none is near."""
    hint = did_you_mean(variable, [name.lower() for name in known])
    return hint.upper().replace("DID YOU MEAN", "did you mean") if hint else ""
