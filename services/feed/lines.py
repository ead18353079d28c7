"""Reading recordings line by line, and saying where they are wrong."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias, cast

from schemas.errors import UserError

Counts: TypeAlias = dict[str, int]
"""Messages read by kind. A plain dict that has every kind beforehand: the fastest to count in."""

KINDS = (
    *("quote", "trade", "bar", "book", "funding", "lending", "liquidity", "balance", "staking"),
    *("status", "suspicious", "skipped"),
)
"""What messages are counted as; the last two are read and not published."""

BUFFER_BYTES = 1 << 17
FOUND_CHARS_MAX = 120

BAD_ARCHIVE = (EOFError, OSError, zlib.error, zipfile.BadZipFile)
"""What reading a torn or foreign archive raises."""


def unreadable(path: object, found: object, wanted: str) -> UserError:
    """Return the error for a recording that is there and cannot be understood."""
    text = found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)
    if len(text) > FOUND_CHARS_MAX:
        text = text[:FOUND_CHARS_MAX] + "..."
    return UserError("SLU-110", path=path, found=text.strip() or "nothing", wanted=wanted)


def missing(path: object, found: str, wanted: str) -> UserError:
    """Return the error for a path where no recording is."""
    return UserError("SLU-102", path=path, found=found, wanted=wanted)


def finite(text: str) -> Decimal:
    """Return the number that `text` is.

    Raises:
        ArithmeticError: it is none.
        ValueError: it is infinite, or says that it is no number.
    """
    number = Decimal(text)
    if not number.is_finite():
        raise ValueError(f"{text} is no number")
    return number


@contextmanager
def opened_gzip(path: Path) -> Iterator[Iterable[bytes]]:
    """Open a gzip file to read lines from.

    Raises:
        UserError: it cannot be opened.
    """
    try:
        packed = gzip.GzipFile(path)
    except OSError as error:
        raise missing(path, error.strerror or str(error), "a file that can be read") from error
    # A GzipFile gives all that BufferedReader asks of a raw stream, and hands out lines slowly.
    with packed, io.BufferedReader(cast(io.RawIOBase, packed), BUFFER_BYTES) as lines:
        yield lines
