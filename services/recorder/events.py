"""From a recorded message to the lines that people and tools read: one event a line."""

import base64
from typing import NamedTuple

import msgspec

from schemas.streams import MARKET
from schemas.users import USERS
from services.recorder.chain import Message, is_shallow
from services.recorder.continuity import Continuity, Counted

SERVICES = frozenset(USERS)
"""Who may have a file of its own: the users of the bus."""

NOBODY = "operator"
"""Whoever published without a name: people and their tools do."""


class EventLine(NamedTuple):
    """One line of `<component>_events.jsonl`."""

    component: str
    line: bytes
    """With its newline."""


class _Source(Counted):
    record: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """No event of ours has it: beside the number of the record it would be taken for it."""


class _Uncounted(msgspec.Struct):
    src: str = ""
    record: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_source = msgspec.json.Decoder(_Source)
_sources = msgspec.json.Decoder(list[_Source])
_uncounted = msgspec.json.Decoder(_Uncounted)
_uncounted_frame = msgspec.json.Decoder(list[_Uncounted])
_frame = msgspec.json.Decoder(list[msgspec.Raw])


def event_lines(n: int, message: Message, continuity: Continuity | None = None) -> list[EventLine]:
    """Return one line for each event of the message; `record` names its place in the journal.

    Args:
        n: of the record.
        message: what was recorded.
        continuity: takes in what its publishers count, but for prices: their stream may drop some.
    """
    data = message.data
    if not is_shallow(data):
        return [_undecodable(n, message)]
    try:
        if not data.isascii():
            data.decode()  # JSON Lines are UTF-8, whatever a publisher sends
        sources = _sources_in(data)
        events = [bytes(each) for each in _frame.decode(data)] if data[:1] == b"[" else [data]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [_undecodable(n, message)]
    if continuity is not None and message.stream != MARKET.name:
        continuity.follow(message.subject, sources)
    if any(source.record is not msgspec.UNSET for source in sources):
        return [_undecodable(n, message)]
    return [_line(n, *each) for each in zip(sources, events, strict=True)]


def _sources_in(data: bytes) -> list[_Source]:
    """Return who published each event; whoever writes a count that is none has not counted.

    Raises:
        msgspec.MsgspecError: these are no events.
    """
    is_frame = data[:1] == b"["
    try:
        return _sources.decode(data) if is_frame else [_source.decode(data)]
    except msgspec.MsgspecError:
        bare = _uncounted_frame.decode(data) if is_frame else [_uncounted.decode(data)]
        return [_Source(each.src, record=each.record) for each in bare]


def _line(n: int, source: _Source, event: bytes) -> EventLine:
    """Return the line of one event; its own bytes, after the number of its record."""
    if b"\n" in event or not event.startswith(b"{"):
        event = msgspec.json.format(event.strip(), indent=-1)
    body = event[1:].strip()
    comma = b"" if body.startswith(b"}") else b","
    return EventLine(component_of(source.src), b'{"record":%d%b%b\n' % (n, comma, body))


def component_of(src: str) -> str:
    """Return the service that published: `gate` of `gate-<boot id>`; a person else.

    Whoever publishes writes it: a name that is no service's would be a file of that name.
    """
    name = src.rpartition("-")[0]
    return name if name in SERVICES else NOBODY


def _undecodable(n: int, message: Message) -> EventLine:
    fields = {
        "record": n,
        "subject": message.subject,
        "payload_base64": base64.b64encode(message.data).decode(),
    }
    return EventLine(NOBODY, msgspec.json.encode(fields) + b"\n")
