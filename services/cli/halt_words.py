"""What was meant by the arguments of a halt, in whatever order they came."""

from difflib import get_close_matches
from pathlib import Path

import msgspec

from services.cli.app import COMMANDS
from services.cli.locate import Place

VALUED = ("--data-dir", "--nats-url", "--keys-dir", "--scope", "--operator", "--reason")
"""The options of `sluice halt` that take a value."""

ALIKE_MIN = 0.8
"""From where on an option is taken for a mistyped one; 1 is equal."""

_PLACES = VALUED[:3]
_NO_HALT = frozenset(("--help", "-h", "--version"))


class Meant(msgspec.Struct, frozen=True, kw_only=True):
    """What can be made of the arguments that the command line could not."""

    words: tuple[str, ...]
    operator: str | None
    place: Place
    lost: tuple[str, ...]
    """Options that say which system, mistyped or without a value."""


def readable(argument: str) -> str:
    r"""Return the argument as text; bytes of it that are no UTF-8 are shown as `\xe4`."""
    try:
        return argument.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that stands for no byte
        return argument.encode("utf-8", "backslashreplace").decode()


def halt_in_front(arguments: list[str]) -> list[str]:
    """Return the arguments with `halt` before the options that somebody typed ahead of it."""
    at = _command_at(arguments)
    if at is None or arguments[at] != "halt" or _NO_HALT & set(arguments[:at]):
        return arguments
    return ["halt", *arguments[:at], *arguments[at + 1 :]]


def meant(arguments: list[str]) -> Meant:
    """Return which system is meant, who halts, and why, out of arguments that make no sense."""
    values: dict[str, str] = {}
    words: list[str] = []
    lost: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in VALUED and name != "--scope":  # a scope that is in doubt is all
            given = value if equals else next(rest, "")
            if given:
                values[name] = given
            elif name in _PLACES:
                lost.append(name)
        elif argument != "--json":
            words.append(argument)
            if name.startswith("--") and get_close_matches(name, _PLACES, 1, ALIKE_MIN):
                lost.append(name)
    reason = values.get("--reason")
    place = Place(
        as_json="--json" in arguments,
        data_dir=_path(values.get("--data-dir")),
        nats_url=values.get("--nats-url"),
        keys_dir=_path(values.get("--keys-dir")),
    )
    return Meant(
        words=(*words, reason) if reason else tuple(words),
        operator=values.get("--operator"),
        place=place,
        lost=tuple(lost),
    )


def _command_at(arguments: list[str]) -> int | None:
    """Return where the first word is that names a command, behind options alone."""
    if not arguments or not arguments[0].startswith("-"):
        return None
    names = {name for name, _, _ in COMMANDS}
    is_value = False
    for index, argument in enumerate(arguments):
        if is_value:
            is_value = False
        elif argument in VALUED:
            is_value = True
        elif argument in names:
            return index
    return None


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
