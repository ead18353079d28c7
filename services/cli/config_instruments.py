"""The `[[instruments]]` of a configuration, and what is wrong with one."""

from typing import Any

import msgspec

from schemas.instruments import Instrument
from services.cli.config_types import Complaint, Path, complaints

INSTRUMENTS = "instruments"


def instrument_complaints(rows: Any) -> list[Complaint]:
    """Return everything that is wrong with the rows."""
    if not isinstance(rows, list):
        return [Complaint((INSTRUMENTS,), str(rows), "tables, each under [[instruments]]")]
    found: list[Complaint] = []
    for number, row in enumerate(rows):
        path = (INSTRUMENTS, str(number))
        wrong = [*complaints(path, row, Instrument)]
        found += wrong or worthless(path, msgspec.convert(row, Instrument))
    return found


def worthless(path: Path, instrument: Instrument) -> list[Complaint]:
    """Return what would make every value nothing or its opposite, and every limit on it void."""
    sizes = {name: getattr(instrument, name) for name in ("tick_size", "lot_size", "multiplier")}
    return [
        Complaint((*path, name), str(size), "a number above 0")
        for name, size in sizes.items()
        if not (size.is_finite() and size > 0)
    ]
