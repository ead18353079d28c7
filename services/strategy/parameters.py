"""Parameters of a strategy: a request's laid over the configured ones, all checked at once."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from schemas.errors import FieldError
from services.strategy.interface import Parameters
from services.strategy.mistakes import said_by

OVERRIDES = "$.config_overrides"


def configured_path(strategy: str) -> str:
    """Return how error texts call a strategy's section of the configuration."""
    return f"sluice.toml: strategy.parameters.{strategy}"


def meant(found: str, known: list[str]) -> str:
    """Return the known name that a mistyped one was meant to be, as a hint; empty if none is."""
    close = get_close_matches(found, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def parameters_of(
    kind: type[Parameters],
    strategy: str,
    configured: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> tuple[Parameters | None, list[FieldError]]:
    """Return the parameters, or everything that is wrong with them and where.

    Overrides are laid over a copy, field by field: nothing configured is ever changed.

    Raises:
        KeyboardInterrupt: a person's, or of a check that is the strategy's own.
    """
    sources = ((configured_path(strategy), configured), (OVERRIDES, overrides))
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    found: list[FieldError] = []
    for path, values in sources:
        for name, value in values.items():
            if name in fields:
                found += _complaint(f"{path}.{name}", value, fields[name].type)
            else:
                wanted = (", ".join(fields) or "no parameters at all") + meant(name, list(fields))
                found.append(FieldError(path=f"{path}.{name}", found=name, wanted=wanted))
    merged = {**configured, **overrides}
    for name, field in fields.items():
        if field.required and name not in merged:
            found.append(FieldError(path=f"{OVERRIDES}.{name}", found="nothing", wanted="a value"))
    return (None, found) if found else _made(kind, merged)


def _complaint(path: str, value: Any, kind: Any) -> list[FieldError]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        said, _, inner = str(error).partition(" - at `$")
        return [FieldError(path=path + inner.rstrip("`"), found=repr(value), wanted=said)]
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of a check that is the strategy's own
        wanted = "a value that its own check can look at"
        return [FieldError(path=path, found=f"{value!r}: {said_by(error)}", wanted=wanted)]
    return []


def _made(
    kind: type[Parameters], merged: Mapping[str, Any]
) -> tuple[Parameters | None, list[FieldError]]:
    """Return the parameters; what is wrong between two fields shows only here."""
    try:
        return msgspec.convert(merged, kind), []
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of a check that is the strategy's own, it may be any
        wanted = str(error) if isinstance(error, msgspec.ValidationError) else said_by(error)
        shown = ", ".join(f"{name} = {value!r}" for name, value in merged.items())
        return None, [FieldError(path=OVERRIDES, found=shown or "{}", wanted=wanted)]
