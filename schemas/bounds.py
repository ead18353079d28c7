"""How large and how fine a number may be that a person gives: what every sum here can bear.

Arithmetic is exact to 28 digits; a number far outside ends whoever computes with it.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

NUMBER_MAX = Decimal(10**15)
DIGITS_MAX = 28
PLACES_MAX = 18
"""After the point: the finest unit of any token."""

WANTED_NUMBER = "a number of at most 1e15 either way, with at most 28 digits, 18 after the point"


def is_bounded(number: Decimal) -> bool:
    """Return whether everything that is computed from the number stays exact."""
    _, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):  # no number, or an infinite one
        return False
    is_small = -NUMBER_MAX <= number <= NUMBER_MAX  # to compare computes nothing that overflows
    return is_small and len(digits) <= DIGITS_MAX and exponent >= -PLACES_MAX


def out_of_bounds(path: str, value: Any) -> Iterator[tuple[str, Decimal]]:
    """Return where in a value a decimal number is out of bounds, and each such number."""
    if isinstance(value, Decimal):
        if not is_bounded(value):
            yield path, value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from out_of_bounds(f"{path}.{name}", getattr(value, name))
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from out_of_bounds(f"{path}.{name}", each)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, each in enumerate(value):
            yield from out_of_bounds(f"{path}[{index}]", each)
