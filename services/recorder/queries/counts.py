"""Counts kept while the store is fed, so that nobody has to count millions of rows when asked."""

from collections.abc import Iterable

from services.recorder.queries.order_rows import Row

EVENT, DECIDE, SEND, FILL = "event", "decide_us", "send_us", "fill_us"
"""What is counted: events by kind; decisions, writes to the venue and first executions by the time
they took, in microseconds."""

DIGITS = 6
"""Binary digits that a latency is counted by: it is told at most 3 % too low."""


class Counts:
    """How often what was, by day, name and size."""

    def __init__(self) -> None:
        self._counts: dict[str, list[object]] = {}
        self._changed: dict[str, None] = {}

    def restore(self, rows: Iterable[Row]) -> None:
        """Go on where a store stands."""
        for row in rows:
            self._counts[row[0]] = list(row)

    def add(self, what: str, day: str, name: str, *, component: str = "", size: int = 0) -> None:
        """Count one."""
        spare = max(0, size.bit_length() - DIGITS)
        bucket = size >> spare << spare
        key = f"{what}|{day}|{name}|{component}|{bucket}"
        row = self._counts.get(key)
        if row is None:
            row = self._counts[key] = [key, what, day, name, component, bucket, 0]
        count = row[6]
        assert isinstance(count, int), "a count is a number"
        row[6] = count + 1
        self._changed[key] = None

    def forget(self, keys: Iterable[str]) -> None:
        """Forget these: their day is over and gone."""
        for key in keys:
            self._counts.pop(key, None)

    def take(self) -> list[Row]:
        """Return the rows that changed since the last time."""
        changed, self._changed = self._changed, {}
        return [tuple(self._counts[key]) for key in changed]
