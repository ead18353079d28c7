"""How values stand in reports: the same bytes wherever and whenever they are written."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from schemas.base import NS_PER_S

NOT_AVAILABLE = "not available"


def iso_time(at_ns: int) -> str:
    """Return a moment in UTC with nanoseconds, as RTS 25 writes them; empty for 0."""
    if not at_ns:
        return ""
    at = datetime.fromtimestamp(at_ns // NS_PER_S, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ns % NS_PER_S:09d}Z"


def plain(value: object) -> str:
    """Return a value as a cell: numbers without an exponent, what is not known empty."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}" if value else f"{abs(value):f}"  # a zero has no sign
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return a CSV file (RFC 4180, UTF-8)."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([plain(value) for value in row] for row in rows)
    return text.getvalue().encode()
