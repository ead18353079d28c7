"""From a recorded message to the lines that people and tools read: one event a line."""

import base64
from functools import lru_cache
from typing import NamedTuple

import msgspec

from schemas.instruments import TOKEN
from services.recorder.chain import Message

NOBODY = "operator"
"""Whoever published without a name: people and their tools do."""


class EventLine(NamedTuple):
    """One line of `<component>_events.jsonl`."""

    component: str
    line: bytes
    """With its newline."""


class _Source(msgspec.Struct):
    src: str = ""


_source = msgspec.json.Decoder(_Source)
_sources = msgspec.json.Decoder(list[_Source])
_frame = msgspec.json.Decoder(list[msgspec.Raw])


def event_lines(n: int, message: Message) -> list[EventLine]:
    """Return one line for each event of the message; `record` names its place in the journal."""
    data = message.data
    try:
        if not data.isascii():
            data.decode()  # JSON Lines are UTF-8, whatever a publisher sends
        if data[:1] != b"[":
            return [_line(n, _source.decode(data), data)]
        events = zip(_sources.decode(data), _frame.decode(data), strict=True)
        return [_line(n, source, bytes(raw)) for source, raw in events]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [_undecodable(n, message)]


def _line(n: int, source: _Source, event: bytes) -> EventLine:
    """Return the line of one event; its own bytes, after the number of its record."""
    if b"\n" in event or not event.startswith(b"{"):
        event = msgspec.json.format(event.strip(), indent=-1)
    body = event[1:].strip()
    comma = b"" if body.startswith(b"}") else b","
    return EventLine(component_of(source.src), b'{"record":%d%b%b\n' % (n, comma, body))


@lru_cache(maxsize=4_096)
def component_of(src: str) -> str:
    """Return the service that published: `gate` of `gate-<boot id>`; whoever has no name else."""
    name = src.rpartition("-")[0]
    return name if TOKEN.fullmatch(name) else NOBODY


def _undecodable(n: int, message: Message) -> EventLine:
    fields = {
        "record": n,
        "subject": message.subject,
        "payload_base64": base64.b64encode(message.data).decode(),
    }
    return EventLine(NOBODY, msgspec.json.encode(fields) + b"\n")
