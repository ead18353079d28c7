"""What a strategy keeps beyond a restart of the service, such as the level of a stop."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from schemas.base import SessionId
from schemas.sessions import StateRemembered

KEYS_MAX = 2_000
"""Keys of one session; a count. All are handed to the session's process at once."""

KEY_CHARS_MAX = 128
VALUE_BYTES_MAX = 4_096
"""Longest value, as JSON: each change of one is a line in the journal."""


class Remembered:
    """The fold of what one session's strategy has kept.

    Attributes:
        values: by key, as JSON has them; None while nothing was ever kept.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] | None = None

    def apply(self, kept: StateRemembered) -> bool:
        """Fold in what was kept; return whether it is news."""
        is_first = self.values is None
        values = self.values = {} if self.values is None else self.values
        if kept.value is None:
            return values.pop(kept.key, None) is not None or is_first
        was, values[kept.key] = values.get(kept.key), kept.value
        return bool(was != kept.value)

    def objection(self, key: str, value: Any) -> str:
        """Return why this cannot be kept, in words; empty: it can.

        Raises:
            TypeError: JSON has no such value.
        """
        known = self.values or {}
        is_one_more = value is not None and key not in known and len(known) >= KEYS_MAX
        many = f"more than {KEYS_MAX} keys to be remembered: forget some, with None"
        return too_long(key, value) or (many if is_one_more else "")

    def facts(self, session: SessionId, now_ns: int) -> list[StateRemembered]:
        """Return what this is the fold of, each key once; nothing if nothing ever was kept."""
        if self.values is None:
            return []
        kept = [
            StateRemembered(at_ns=now_ns, session=session, key=key, value=value)
            for key, value in self.values.items()
        ]
        return kept or [StateRemembered(at_ns=now_ns, session=session, key="")]

    def copy(self) -> dict[str, Any] | None:
        """Return what is kept, for whoever may change it; None if nothing ever was."""
        if self.values is None:
            return None
        copied: dict[str, Any] = plain(self.values)
        return copied


def too_long(key: str, value: Any) -> str:
    """Return by how much a key or a value is too long; empty: it is not.

    Raises:
        TypeError: JSON has no such value.
    """
    if len(key) > KEY_CHARS_MAX:
        return f"a key of {len(key)} characters to be remembered, at most {KEY_CHARS_MAX}"
    size_bytes = len(msgspec.json.encode(value))
    if size_bytes > VALUE_BYTES_MAX:
        return f"{size_bytes} bytes to be remembered under {key}, at most {VALUE_BYTES_MAX}"
    return ""


def plain(value: Any) -> Any:
    """Return a copy as JSON has it: what a restart gives back.

    Raises:
        TypeError: JSON has no such value. What is no number would be nothing: it would forget.
    """
    if (odd := _no_number(value)) is not None:
        raise TypeError(f"to be remembered: found {odd}, wanted a finite number")
    return msgspec.json.decode(msgspec.json.encode(value))


def _no_number(value: Any) -> float | None:
    """Return the first float in a value that JSON has no number for; None: there is none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else value
    inside: Iterable[Any] = ()
    if isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        inside = value
    return next((odd for each in inside if (odd := _no_number(each)) is not None), None)
