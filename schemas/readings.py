"""The readings of a decision in which every check passed: written out only when somebody looks."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import overload

import msgspec

from schemas.orders import Reading

_VALUE = "\0"


class Form:
    """What the readings of all decisions of one kind have in common: all but the values found.

    Args:
        rows: name of each check, and the text of its limit; None where it has nothing to measure.
    """

    __slots__ = ("_parts", "_rows")

    def __init__(self, rows: Sequence[tuple[str, str | None]]) -> None:
        self._rows = tuple(rows)
        blank = self.readings([_VALUE] * sum(limit is not None for _, limit in rows))
        text = msgspec.json.encode(blank).decode()
        between: list[str] = text.split(msgspec.json.encode(_VALUE).decode()[1:-1])
        self._parts = [part for each in between for part in (each, "")][:-1]

    def readings(self, values: Sequence[object]) -> tuple[Reading, ...]:
        """Return the readings with these values, of those that measure, in order."""
        left = iter(values)
        return tuple(
            Reading(name, True) if limit is None else Reading(name, True, str(next(left)), limit)
            for name, limit in self._rows
        )

    def raw(self, values: Sequence[Decimal | int]) -> msgspec.Raw:
        """Return the bytes that `readings` would be encoded to."""
        parts = self._parts.copy()
        parts[1::2] = map(str, values)
        return msgspec.Raw("".join(parts))


class Written(Sequence[Reading]):
    """Readings as their form and what was found; they equal the tuple that they stand for."""

    __slots__ = ("_form", "_seen", "_values")

    def __init__(self, form: Form, values: Sequence[Decimal | int]) -> None:
        self._form = form
        self._values = values
        self._seen: tuple[Reading, ...] | None = None

    def raw(self) -> msgspec.Raw:
        """Return them as they stand in a frame."""
        return self._form.raw(self._values)

    def _made(self) -> tuple[Reading, ...]:
        if self._seen is None:
            self._seen = self._form.readings(self._values)
        return self._seen

    @overload
    def __getitem__(self, index: int) -> Reading: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Reading, ...]: ...

    def __getitem__(self, index: int | slice) -> Reading | tuple[Reading, ...]:
        """Return one of them, or some."""
        return self._made()[index]

    def __len__(self) -> int:
        """Return how many checks were made."""
        return len(self._made())

    def __iter__(self) -> Iterator[Reading]:
        """Return them in order."""
        return iter(self._made())

    def __eq__(self, other: object) -> bool:
        """Return whether `other` is the same readings, in whatever form."""
        if isinstance(other, Written):
            return self._made() == other._made()
        return self._made() == other

    def __hash__(self) -> int:
        """Return the hash of the tuple."""
        return hash(self._made())

    def __repr__(self) -> str:
        """Return the tuple's."""
        return repr(self._made())
