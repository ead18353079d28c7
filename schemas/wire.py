"""The only place where events become bytes and bytes become events."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeVar

import msgspec

from schemas.base import Event
from schemas.control import HaltRequested
from schemas.errors import FieldError, WireError
from schemas.subjects import INTERNAL, SUBJECTS

_S = TypeVar("_S", bound=msgspec.Struct)

_ON_BUS = tuple(SUBJECTS)
_ALL = (*_ON_BUS, *sorted(INTERNAL, key=lambda event: event.__name__))
_AnyEvent: Any = reduce(or_, _ON_BUS)
_AnyOfAll: Any = reduce(or_, _ALL)

_encoder = msgspec.json.Encoder()
_one: msgspec.json.Decoder[Event] = msgspec.json.Decoder(_AnyEvent)
_many: msgspec.json.Decoder[tuple[Event, ...]] = msgspec.json.Decoder(tuple[_AnyEvent, ...])
_kept: msgspec.json.Decoder[Event] = msgspec.json.Decoder(_AnyOfAll)

encode = _encoder.encode
"""Return the event as one JSON object, its class name under `type`."""


def encode_frame(events: Sequence[Event]) -> bytes:
    """Return one frame: the event alone, or an array when there are several."""
    return encode(events[0]) if len(events) == 1 else _encoder.encode(events)


def decode(data: bytes, *, subject: str) -> tuple[Event, ...]:
    """Return the events of a frame: one object, or an array of them.

    Raises:
        WireError: `data` is not JSON, or holds something that is not an event of the bus.
    """
    try:
        if data[:1] == b"[":
            return _many.decode(data)
        return (_one.decode(data),)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("SLU-120", subject=subject, found=str(error), wanted="an event") from error


def decode_kept(data: bytes | str, *, where: str) -> Event:
    """Return one event of a journal or of the venue's socket, internal ones included.

    Raises:
        WireError: `data` is not such an event; `where` names the file and line, or the peer.
    """
    try:
        return _kept.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("SLU-120", subject=where, found=str(error), wanted="an event") from error


class _HaltFields(msgspec.Struct):
    reason: str = ""
    operator: str = ""
    scope: str = "all"


_halt_fields = msgspec.json.Decoder(_HaltFields)
HALT_TEXT_CHARS_MAX = 500


def halt_from(data: bytes, *, subject: str, at_ns: int) -> HaltRequested:
    """Return the halt that any bytes on `control.halt` are. Never raises: no payload un-halts."""
    tail = subject.partition("control.halt.")[2]
    try:
        fields = _halt_fields.decode(data) if len(data) <= 65_536 else _HaltFields()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = data[:HALT_TEXT_CHARS_MAX].decode("utf-8", "replace")
        fields = _HaltFields(reason=text if text.isprintable() else "")
    return HaltRequested(
        at_ns=at_ns,
        reason=fields.reason[:HALT_TEXT_CHARS_MAX],
        operator=fields.operator[:HALT_TEXT_CHARS_MAX],
        scope=tail or fields.scope[:HALT_TEXT_CHARS_MAX],
        payload_bytes=len(data),
    )


def decode_request(data: bytes, kind: type[_S]) -> _S | FieldError:
    """Return the strict request that `data` holds, or what is wrong with it and where."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        said, _, path = str(error).partition(" - at `")
        return FieldError(path=path.rstrip("`") or "$", found=said, wanted=_fields_of(kind))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return FieldError(path="$", found=str(error), wanted="a JSON object")


def _fields_of(kind: type[msgspec.Struct]) -> str:
    return "an object with " + ", ".join(kind.__struct_fields__)
