"""From records to events, tolerantly: what nobody can read is still there, as what it is."""

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from schemas import wire
from schemas.base import NS_PER_S, Event
from schemas.errors import WireError
from schemas.restrictions import FlattenAsked, FlattenRequest
from schemas.subjects import FLATTEN
from schemas.wire import halt_from, is_halting
from services.recorder.chain import Record

WINDOW_NS = 60 * NS_PER_S
WAITING_MAX = 100_000

_frame = msgspec.json.Decoder(list[msgspec.Raw])


class Recorded(NamedTuple):
    """One event and where it is recorded."""

    n: int
    """Number of its record."""

    part: int
    """Its place in the record's frame, from 0."""

    event: Event
    stored_ns: int
    """When the bus stored it, in ns since the epoch."""


def recorded_events(records: Iterable[Record]) -> Iterator[Recorded]:
    """Yield the events of records, in order; halts of any bytes as the halts that they are.

    So is a flatten that was asked for: no event says who did, and why. What is no event of ours
    (other requests, bytes that nobody can read) is passed over.
    """
    for record in records:
        if is_halting(record.subject):
            halt = halt_from(record.data, subject=record.subject, at_ns=record.recv_ns)
            yield Recorded(record.n, 0, halt, record.stored_ns or record.recv_ns)
            continue
        if record.subject == FLATTEN:
            yield from _flatten_in(record)
            continue
        try:
            events = wire.decode(record.data, subject=record.subject)
        except WireError:
            continue
        for part, event in enumerate(events):
            yield Recorded(record.n, part, event, record.stored_ns or record.recv_ns)


def _flatten_in(record: Record) -> Iterator[Recorded]:
    request = wire.decode_request(record.data, FlattenRequest)
    if isinstance(request, FlattenRequest):
        asked = FlattenAsked(at_ns=record.recv_ns, request_id="", request=request)
        yield Recorded(record.n, 0, asked, record.stored_ns or record.recv_ns)


def in_time_order(found: Iterable[Recorded]) -> Iterator[Recorded]:
    """Yield events in the order of their own time.

    The record holds each stream in its order, and the streams beside each other as they came: a
    fill may stand before the decision it follows from. What is within a minute is put in order; at
    most so many events wait for it that memory stays bounded.
    """
    heap: list[tuple[int, int, int, Recorded]] = []
    newest_ns = 0
    for each in found:
        heapq.heappush(heap, (each.event.at_ns, each.n, each.part, each))
        newest_ns = max(newest_ns, each.stored_ns)
        while heap and (heap[0][0] <= newest_ns - WINDOW_NS or len(heap) > WAITING_MAX):
            yield heapq.heappop(heap)[3]
    while heap:
        yield heapq.heappop(heap)[3]


def parts(data: bytes) -> list[bytes]:
    """Return the objects of a frame, each as its own bytes; one that is no array is one part."""
    if data[:1] != b"[":
        return [data]
    try:
        return [bytes(raw) for raw in _frame.decode(data)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [data]
