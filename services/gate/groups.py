"""Groups of an account's instruments that have limits of their own: sector, asset class, venue."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NoReturn

from schemas.base import InstrumentId
from schemas.instruments import Instrument
from services.gate.config_groups import GroupLimits
from services.gate.exposure import Totals
from services.gate.limits import Bound, LimitMissingError

ONE = Decimal(1)
DEFAULT = "default"
"""The row of every group that has none of its own."""


class Group:
    """One group: what it adds up to, and its limits.

    Reading a limit of a group without a row raises `LimitMissingError`.

    Attributes:
        name: as the table names it; empty for an instrument that names none.
        totals: sums over the lanes in it.
        gross_notional_max, net_notional_max: the limits.
    """

    __slots__ = ("_wanted", "gross_notional_max", "name", "net_notional_max", "totals")
    gross_notional_max: Bound[Decimal]
    net_notional_max: Bound[Decimal]

    def __init__(self, name: str, rows: Mapping[str, GroupLimits], path: str) -> None:
        self.name = name
        self.totals = Totals()
        self._wanted = f"{path}.{name or DEFAULT}" if name else f"the group of it, then {path}"
        self.take(rows, ONE)

    def take(self, rows: Mapping[str, GroupLimits], factor: Decimal) -> None:
        """Take the limits in force from these rows, each multiplied with `factor`."""
        row = rows.get(self.name, rows.get(DEFAULT)) if self.name else None
        if row is None:
            self.__class__ = _Unlimited
        else:
            self.__class__ = Group
            self.gross_notional_max = Bound(_scaled(row.gross_notional_max, factor))
            self.net_notional_max = Bound(_scaled(row.net_notional_max, factor))


class _Unlimited(Group):
    """A group without a row.

    A class of its own, for reading anything of one that has `__getattr__` takes ten times as long.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        """Say which limit is missing; Python comes here only for a slot that was never filled.

        Raises:
            LimitMissingError: it is a limit, and the group has no row.
            AttributeError: there is no such limit.
        """
        if name in ("gross_notional_max", "net_notional_max"):
            raise LimitMissingError(name, self._wanted)
        raise AttributeError(name)


class Groups:
    """The groups of one kind in an account, made as they are met; none while the table is empty.

    Attributes:
        is_limited: whether groups of this kind have limits.
    """

    def __init__(self, rows: Mapping[str, GroupLimits], path: str) -> None:
        self._rows, self._path = rows, path
        self._factor = ONE
        self._groups: dict[str, Group] = {}
        self.is_limited = bool(rows)

    def find(self, name: str) -> Group | None:
        """Return the group of this name; None where groups of this kind have no limits."""
        if not self.is_limited:
            return None
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name, self._rows, self._path)
            group.take(self._rows, self._factor)
        return group

    def by_instrument(
        self, instruments: Mapping[InstrumentId, Instrument], name_of: Callable[[Instrument], str]
    ) -> dict[InstrumentId, Group]:
        """Return the group of each instrument; empty where groups of this kind have no limits."""
        found = {key: self.find(name_of(each)) for key, each in instruments.items()}
        return {key: group for key, group in found.items() if group is not None}

    def move(self, rows: Mapping[str, GroupLimits], factor: Decimal) -> None:
        """Put other limits in force for every group, each multiplied with `factor`."""
        assert bool(rows) == self.is_limited, "a table is not taken into use while running"
        self._rows, self._factor = rows, factor
        for group in self._groups.values():
            group.take(rows, factor)


def _scaled(limit: Decimal, factor: Decimal) -> Decimal:
    return limit if factor == ONE else limit * factor
