"""Find things in a record: what a person asks for, and everything about one order."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.subjects import START
from services.recorder.chain import Record, is_shallow, read_line
from services.recorder.reader import lines, watched_lines
from services.runtime.paths import is_there
from services.runtime.rights import covers

_ENCODED, _ESCAPE = b'"payload_base64":', b"\\"
"""A line with one of these may say in other bytes what is looked for."""

ASKED_MAX = 10
"""Most requests for a start that are shown: two people may have to ask, some ask twice."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for: all that is given must hold; what is empty is not asked."""

    subject: str = ""
    """A subject as the bus matches it: `order.>`, `risk.decision.*`."""

    texts: tuple[str, ...] = ()
    """Each stands somewhere in the record: an id, a name, a word; capitals count."""

    fields: tuple[tuple[str, str], ...] = ()
    """Names and values: a field of that name, at any depth, has that value."""

    since_ns: int = 0
    until_ns: int = 0
    """When the bus stored it, in ns since the epoch."""


class Found(NamedTuple):
    """One event of the record, and where it stands."""

    n: int
    stored_ns: int
    subject: str
    event: dict[str, Any]
    """As it was published; `{"bytes": ...}` where it is no JSON object."""


class Trail(NamedTuple):
    """Everything the record holds about one order, oldest first."""

    order: list[Found]
    """Signal, decision with every limit it read, approval, sending, the venue's words."""

    authority: list[Found]
    """By whose word it could trade: who asked for the start, who took part, and its epoch; who
    moved limits before the gate decided; who confirmed the signal, or refused it."""

    session: list[Found]
    """Where its session came from."""


OnBytes = Callable[[int], None]


def search(folder: Path, query: Query, on_bytes: OnBytes) -> Iterator[Found]:
    """Yield the events of the records that match, oldest first.

    Raises:
        msgspec.DecodeError: a line that matches is no record.
        OSError: a file cannot be read.
    """
    texts = [_bytes(text) for text in (*query.texts, *(value for _, value in query.fields))]
    for line in watched_lines(folder, on_bytes):
        if all(text in line for text in texts) or _is_veiled(line):
            record = read_line(line)
            if _is_wanted(record, query):
                yield from (each for each in events_of(record) if _has_all(each, query))


def order_trail(folder: Path, order_id: str, on_bytes: OnBytes) -> Trail:
    """Return everything about one order; the record is read twice.

    Raises:
        msgspec.DecodeError: a line that matches is no record.
        OSError: a file cannot be read.
    """
    found = list(search(folder, Query(texts=(order_id,)), on_bytes))
    order = [each for each in found if order_id in _orders_of(each.event)]
    signals = sorted({text for each in order if (text := _signal_of(each.event))})
    epochs = [each.event["epoch"] for each in order if each.event.get("epoch")]
    sessions = [each.event["session"] for each in order if each.event.get("session")]
    trail = Trail(order, [], [])
    asked: list[Found] = []  # requests for the start that the next epoch may be the answer to
    decided_n = min((e.n for e in order if e.event.get("type") == "SignalDecided"), default=0)
    for each in _related(folder, signals, on_bytes):
        event = each.event
        match event.get("type"):
            case "SignalRaised" if event.get("signal_id") in signals:
                order.append(each)
            case "EpochStarted":
                trail.authority.extend([*asked, each] if event.get("epoch") in epochs else [])
                asked = []
            case "SessionCreated" if event.get("session") in sessions:
                trail.session.append(each)
            case "SignalAwaiting" if _signal_of({"order": event.get("signal")}) in signals:
                order.append(each)
            case "SignalConfirmed" | "SignalWithdrawn" if event.get("signal_id") in signals:
                trail.authority.append(each)
            case "LimitsChanged" if each.n < decided_n:
                trail.authority.append(each)
            case _ if each.subject == START:
                asked = [*asked, each][-ASKED_MAX:]
    order.sort(key=lambda each: each.n)
    return trail


def intents(journal: Path, order_id: str) -> list[dict[str, Any]]:
    """Return what the executor's own journal says of an order: intent and outcome.

    Raises:
        OSError: the file cannot be read.
    """
    if not is_there(journal):
        return []
    wanted = _bytes(order_id)
    texts = (line for line in lines(journal) if wanted in line)
    events = [msgspec.json.decode(text)["event"] for text in texts]
    kinds = ("IntentRecorded", "OutcomeRecorded")
    return [each for each in events if each["type"] in kinds and order_id in _orders_of(each)]


def _related(folder: Path, signals: Iterable[str], on_bytes: OnBytes) -> Iterator[Found]:
    """Yield the events that say where signals came from, and by whose word they could trade."""
    texts = [_bytes(f'"{text}"') for text in signals]
    others = (
        f'"{START}"'.encode(),
        b'"control.epoch"',
        b'"SessionCreated"',
        b'"LimitsChanged"',
    )
    for line in watched_lines(folder, on_bytes):
        if any(text in line for text in (*texts, *others)) or _is_veiled(line):
            yield from events_of(read_line(line))


def _orders_of(event: dict[str, Any]) -> tuple[str, ...]:
    order = event.get("order")
    inner = order.get("order_id", "") if isinstance(order, dict) else ""
    return (str(event.get("order_id", "")), str(inner))


def _signal_of(event: dict[str, Any]) -> str:
    order = event.get("order")
    return str((order if isinstance(order, dict) else event).get("signal_id", ""))


def events_of(record: Record) -> Iterator[Found]:
    """Yield the events of a record: a frame holds several.

    What is deeper than any event of ours stands there as its bytes: nobody could walk through it.
    """
    data, found = record.data, None
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = msgspec.json.decode(data) if is_shallow(data) else None
    for event in found if isinstance(found, list) else [found]:
        whole = event if isinstance(event, dict) else {"bytes": data.decode("utf-8", "replace")}
        yield Found(record.n, record.stored_ns, record.subject, whole)


def _is_veiled(line: bytes) -> bool:
    return _ESCAPE in line or _ENCODED in line


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # as the command line has what is no text


def _is_wanted(record: Record, query: Query) -> bool:
    is_after = not query.since_ns or record.stored_ns >= query.since_ns
    is_before = not query.until_ns or record.stored_ns < query.until_ns
    return is_after and is_before and (not query.subject or covers(query.subject, record.subject))


def _has_all(found: Found, query: Query) -> bool:
    """Whether this very event of a frame has what was looked for."""
    said = f"{found.subject} {msgspec.json.encode(found.event).decode()}"
    has_texts = all(each in said or _says(found.event, each) for each in query.texts)
    return has_texts and all(_has(found.event, *each) for each in query.fields)


def _says(value: object, text: str) -> bool:
    """Whether a text stands in a string as it is read, whatever JSON makes of it."""
    match value:
        case str():
            return text in value
        case dict():
            return any(text in name or _says(each, text) for name, each in value.items())
        case list():
            return any(_says(each, text) for each in value)
    return False


def _has(value: object, name: str, wanted: str) -> bool:
    if isinstance(value, dict):
        return value.get(name) == wanted or any(_has(v, name, wanted) for v in value.values())
    return isinstance(value, list) and any(_has(each, name, wanted) for each in value)
