"""The only place where events become bytes and bytes become events."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Any, TypeVar

import msgspec

from schemas.base import Event
from schemas.control import HaltRequested
from schemas.errors import FieldError, WireError
from schemas.readings import Written
from schemas.restrictions import ALL, Level, RestrictionRequested, known_scope
from schemas.subjects import HALT, HALTING, INTERNAL, REDUCE, SUBJECTS

_S = TypeVar("_S", bound=msgspec.Struct)

_ON_BUS = tuple(SUBJECTS)
_ALL = (*_ON_BUS, *sorted(INTERNAL, key=lambda event: event.__name__))
_AnyEvent: Any = reduce(or_, _ON_BUS)
_AnyOfAll: Any = reduce(or_, _ALL)


def _written(value: object) -> msgspec.Raw:
    """Return the bytes of readings that nobody has looked at."""
    if isinstance(value, Written):
        return value.raw()
    raise NotImplementedError(f"{type(value).__name__} has no place on the wire")


_encoder = msgspec.json.Encoder(enc_hook=_written)
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


_HALT_BELOW, _REDUCE_BELOW = f"{HALT}.", f"{REDUCE}."
_halt_fields: msgspec.json.Decoder[_HaltFields | tuple[_HaltFields, ...]] = msgspec.json.Decoder(
    _HaltFields | tuple[_HaltFields, ...]
)
HALT_TEXT_CHARS_MAX = 500


def is_halting(subject: str) -> bool:
    """Return whether any bytes on `subject` forbid something: a halt, or a restriction."""
    return subject in HALTING or subject.startswith((_HALT_BELOW, _REDUCE_BELOW))


def forbidden_by(subject: str) -> tuple[str, Level]:
    """Return the scope and the level that a subject stands for; its bytes have no say (I10).

    A scope that nobody knows is all of it, and a subject that nobody knows is a halt.
    """
    if subject.startswith(_REDUCE_BELOW) or subject == REDUCE:
        return known_scope(subject[len(_REDUCE_BELOW) :]), Level.REDUCE
    return known_scope(subject[len(_HALT_BELOW) :]), Level.HALT


def halt_from(data: bytes, *, subject: str, at_ns: int) -> HaltRequested | RestrictionRequested:
    """Return the halt or restriction that any bytes on `control.halt` or `control.reduce` are.

    Never raises, and no payload un-halts or narrows: scope and level are the subject's.
    """
    fields = _fields_from(data)
    scope, level = forbidden_by(subject)
    if scope == ALL and level is Level.HALT:
        return HaltRequested(
            at_ns=at_ns,
            reason=fields.reason[:HALT_TEXT_CHARS_MAX],
            operator=fields.operator[:HALT_TEXT_CHARS_MAX],
            scope=subject.partition(_HALT_BELOW)[2] or fields.scope[:HALT_TEXT_CHARS_MAX],
            payload_bytes=len(data),
        )
    return RestrictionRequested(
        at_ns=at_ns,
        level=level,
        scope=scope,
        reason=fields.reason[:HALT_TEXT_CHARS_MAX],
        operator=fields.operator[:HALT_TEXT_CHARS_MAX],
        payload_bytes=len(data),
    )


def _fields_from(data: bytes) -> _HaltFields:
    """Return what people read of a halt; of a frame of several, the first one's."""
    try:
        read = _halt_fields.decode(data) if len(data) <= 65_536 else _HaltFields()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = data[:HALT_TEXT_CHARS_MAX].decode("utf-8", "replace")
        return _HaltFields(reason=text if text.isprintable() else "")
    if isinstance(read, _HaltFields):
        return read
    return read[0] if read else _HaltFields()


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
