"""Check a value against the type of its field, and say in words what would have been right."""

import enum
import types
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from schemas.bounds import WANTED_NUMBER, out_of_bounds
from schemas.masking import MASK, is_secret

Path = tuple[str, ...]
"""Where a value is: `("gate", "default", "order_quantity_max")`."""


class Complaint(msgspec.Struct, frozen=True):
    """One thing wrong with one value."""

    path: Path
    found: str
    wanted: str


def complaints(
    path: Path, value: Any, kind: Any, *, is_hidden: bool = False
) -> Iterator[Complaint]:
    """Yield everything wrong with `value`, which should be a `kind`; all of it, at once.

    Args:
        path: where it is.
        value: what stands there.
        kind: its type.
        is_hidden: whether it, or a table around it, is a secret.
    """
    struct = struct_of(kind)
    if struct is not None:
        yield from _struct_complaints(path, value, struct, is_hidden)
    elif (inner := dict_value_of(kind)) is not None and isinstance(value, dict):
        for key, each in value.items():
            hides = is_hidden or names_secret(key, kind)
            yield from complaints((*path, key), each, inner, is_hidden=hides)
    else:
        try:
            found = msgspec.convert(value, kind)
        except msgspec.ValidationError:
            yield Complaint(path, _found(value, is_hidden), wanted_of(kind))
            return
        if any(out_of_bounds("", found)):
            yield Complaint(path, _found(value, is_hidden), WANTED_NUMBER)


def names_secret(name: str, table: Any) -> bool:
    """Return whether `name` is that of a secret, in a table that should be a `table`.

    A person chooses what a row is called, an account or an instrument, and may call it anything;
    where nothing declares what the rows are, they may be anything, too.
    """
    is_chosen = dict_value_of(table) not in (None, Any)
    return not is_chosen and is_secret(name)


def did_you_mean(name: str, known: list[str]) -> str:
    """Return a hint at the known name that is meant; empty if none is near."""
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""


def struct_of(kind: Any) -> type[msgspec.Struct] | None:
    """Return the Struct that `kind` is; None if it is something else."""
    is_struct = isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    return kind if is_struct else None


def dict_value_of(kind: Any) -> Any:
    """Return what the values of the dictionary `kind` are; None if it is none."""
    return get_args(kind)[1] if get_origin(kind) is dict else None


def field_types(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the fields of a Struct with their types, in order."""
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def wanted_of(kind: Any) -> str:
    """Return in words what a value of `kind` looks like."""
    origin = get_origin(kind)
    if origin is Annotated:
        plain, *metas = get_args(kind)
        bounds = [bound for meta in metas for bound in _bounds(meta)]
        return ", ".join([wanted_of(plain), *bounds])
    if origin is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if origin in (Union, types.UnionType):
        return " or ".join(wanted_of(each) for each in get_args(kind) if each is not types.NoneType)
    if origin is tuple:
        return 'a list, like ["A", "B"]'
    if origin is dict:
        return "a table of names and values"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(str(each.value) for each in kind)
    names = {
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "str": "a text in quotes",
        "Decimal": 'a number, best in quotes: "0.10"',
    }
    return names.get(getattr(kind, "__name__", ""), str(kind))


def shown(value: Any) -> str:
    """Return the value as it would stand in a TOML file, near enough for a person."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _found(value: Any, is_hidden: bool) -> str:
    """Return the value for a complaint; a secret is masked, also where it is of a wrong kind."""
    return MASK if is_hidden else shown(value)


def _struct_complaints(
    path: Path, value: Any, kind: type[msgspec.Struct], is_hidden: bool
) -> Iterator[Complaint]:
    if not isinstance(value, dict):
        yield Complaint(path, _found(value, is_hidden), f"a table [{'.'.join(path)}]")
        return
    known, found = field_types(kind), False
    for name, each in value.items():
        if name in known:
            hides = is_hidden or names_secret(name, kind)
            for complaint in complaints((*path, name), each, known[name], is_hidden=hides):
                found = True
                yield complaint
        else:
            found = True
            hint = did_you_mean(name, list(known)) or f"one of {', '.join(known)}"
            yield Complaint((*path, name), "a name that nothing here has", hint)
    if not found:
        yield from _whole_complaints(path, value, kind)


def _whole_complaints(path: Path, value: Any, kind: type[msgspec.Struct]) -> Iterator[Complaint]:
    """Yield what shows only when all fields are seen together."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        said, _, inner = str(error).partition(" - at `$")
        deeper = tuple(part for part in inner.rstrip("`").split(".") if part)
        field = said.split(" ")[0].rstrip(":")
        if field in field_types(kind):
            deeper = (*deeper, field)
        found, _, wanted = said.partition("wanted ")
        yield Complaint((*path, *deeper), found.rstrip(" ,:") or said, wanted or "see above")


def _bounds(meta: Any) -> Iterator[str]:
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    for name, word in words.items():
        if (limit := getattr(meta, name, None)) is not None:
            yield f"{word} {limit}"
