"""The limits that a start may name for its session: read from a request, strictly.

Strategy service and gate read them here alike: the one to make the session with them, the other to
compare them with the account's.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any

import msgspec

from schemas.bounds import WANTED_NUMBER, is_bounded
from schemas.errors import FieldError
from schemas.sessions import SessionLimits

PATH = "$.risk_limits"
_WANTED = 'a decimal number above 0, in quotes: "1000.50"'


def session_limits(given: Mapping[str, Any]) -> tuple[SessionLimits, tuple[FieldError, ...]]:
    """Return the limits that a request names, and everything that is wrong with them.

    Those that are wrong are left out of the limits: with an error nothing may be started.
    """
    errors: list[FieldError] = []
    chosen: dict[str, Decimal] = {}
    for name, value in given.items():
        found = _number(name, value)
        if isinstance(found, FieldError):
            errors.append(found)
        else:
            chosen[name] = found
    return msgspec.convert(chosen, SessionLimits), tuple(errors)


def _number(name: str, value: Any) -> Decimal | FieldError:
    path, known = f"{PATH}.{name}", SessionLimits.__struct_fields__
    if name not in known:
        close = get_close_matches(name, known, n=1)
        wanted = "one of " + ", ".join(known) + (f"; did you mean {close[0]}?" if close else "")
        return FieldError(path=path, found=repr(value), wanted=wanted)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return FieldError(path=path, found=repr(value), wanted=_WANTED)
    try:
        number = Decimal(value)
    except InvalidOperation:
        return FieldError(path=path, found=repr(value), wanted=_WANTED)
    if not number.is_finite() or number <= 0:
        return FieldError(path=path, found=repr(value), wanted=_WANTED)
    if not is_bounded(number):
        return FieldError(path=path, found=str(number), wanted=WANTED_NUMBER)
    if name == "max_positions" and number % 1:
        return FieldError(path=path, found=repr(value), wanted="a whole number above 0")
    return number
