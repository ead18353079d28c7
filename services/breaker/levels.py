"""The levels of a breaker (B-08): at which value it does what, and how values are written."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Protocol

from schemas.breakers import LevelSetting
from schemas.control import Response
from schemas.errors import FieldError

MEBIBYTE = Decimal(1024 * 1024)

SEVERITY: dict[Response, int] = {
    Response.WARN: 0,
    Response.REDUCE: 1,
    Response.FLATTEN: 2,
    Response.HALT: 3,
}
"""Mildest first. A halt keeps positions and lets nothing out, not even a flatten: it stands last,
and of several levels that are passed at once the strictest alone is done."""

REDUCING = (Response.REDUCE, Response.FLATTEN)
"""Responses that let only orders pass that reduce."""


class Show(Protocol):
    """Writes a number as people read it: rounded, but never coarser than the level `like`.

    A level is written like itself: no two levels of a breaker read the same, so that what is
    written of a level says which one it is.
    """

    def __call__(self, number: Decimal, /, *, like: Decimal | None = None) -> str:
        """Return the number with its unit."""


def percent(fraction: Decimal, /, *, like: Decimal | None = None) -> str:
    """Return a signed fraction as people read it: `-3.21 %`."""
    return f"{fraction.scaleb(2):.{max(2, _places(like) - 2)}f} %"


def money(amount: Decimal, /, *, like: Decimal | None = None) -> str:
    """Return an amount with cents and no exponent."""
    return f"{amount:.{max(2, _places(like))}f}"


def count(number: Decimal, /, *, like: Decimal | None = None) -> str:
    """Return a count; it has a decimal point only where the level has one."""
    return f"{number:.{_places(like)}f}"


def seconds(length: Decimal, /, *, like: Decimal | None = None) -> str:
    """Return a length of time in seconds, to the tenth."""
    return f"{length:.{max(1, _places(like))}f} s"


def mebibytes(size_bytes: Decimal, /, *, like: Decimal | None = None) -> str:
    """Return a size in MiB (1,048,576 bytes); in bytes too where the level is none of tenths."""
    text = f"{size_bytes / MEBIBYTE:.1f} MiB"
    if like is None or like * 10 % MEBIBYTE == 0:
        return text
    return f"{text} ({size_bytes:.{_places(like)}f} bytes)"


def _places(like: Decimal | None) -> int:
    """Return how many places after the point a level needs; 0.250 and 0.25 need as many."""
    return 0 if like is None else len(f"{like:f}".partition(".")[2].rstrip("0"))


def in_order(levels: Sequence[LevelSetting], *, is_floor: bool = False) -> tuple[LevelSetting, ...]:
    """Return the levels, the one that is reached first at the front.

    With `is_floor` the value falls into danger (free disk), rather than rises.
    """
    return tuple(sorted(levels, key=lambda level: level.at, reverse=is_floor))


def complaints(
    path: str, levels: Sequence[LevelSetting], *, below: Decimal | None, is_floor: bool = False
) -> list[FieldError]:
    """Return what is wrong with a breaker's levels; empty when nothing is.

    Args:
        path: where they stand, for the errors.
        levels: what was asked for, in any order.
        below: what every threshold must stay under (1 for a fraction); None: no bound.
        is_floor: whether the value falls into danger.
    """
    found: list[FieldError] = []
    wanted = "a number above 0" + ("" if below is None else f" and below {below}, like 0.10")
    for at, level in enumerate(levels):
        is_number = level.at.is_finite() and level.at > 0
        if not is_number or (below is not None and level.at >= below):
            found.append(FieldError(path=f"{path}[{at}].at", found=str(level.at), wanted=wanted))
    if found:
        return found
    ordered = in_order(levels, is_floor=is_floor)
    for mild, strict in pairwise(ordered):
        if mild.at == strict.at:
            two = f"{mild.response} and {strict.response} both at {mild.at}"
            found.append(FieldError(path=path, found=two, wanted="one level for each threshold"))
        elif SEVERITY[mild.response] > SEVERITY[strict.response]:
            text = (
                f"{mild.response} at {mild.at} is reached before {strict.response} at {strict.at}"
            )
            wanted = "milder responses first: warn, reduce, flatten, halt"
            found.append(FieldError(path=path, found=text, wanted=wanted))
    return found
