"""The hash chain: every record carries the hash of the one before, so a changed byte is seen (I13).

A record is one line of JSON. Its hash is the SHA-256 of that whole line, and stands in the next
line; the hash of the last one, the head, stands in a file of its own.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

GENESIS = "0" * 64
"""What the first record carries in place of a hash."""

DEPTH_MAX = 100
"""Brackets within brackets that a message may have and still be taken for JSON. Ours have six.

How many a decoder can follow depends on how deep the stack is that it is called on: what was
written in one thread could not be read in another.
"""

_RAW = msgspec.json.Decoder(msgspec.Raw)
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE = bytes.maketrans(b"{}", b"[]")
_PAYLOAD = b',"payload":'
"""Only between two fields: inside a string its quotes would have backslashes."""


class Message(NamedTuple):
    """One message as it came from a stream."""

    stream: str
    stream_seq: int
    subject: str
    stored_ns: int
    """When the server stored it, in ns since the epoch."""

    data: bytes
    recv_ns: int
    """When the recorder got it, in ns since the epoch."""


class Record(msgspec.Struct, frozen=True):
    """One line of the journal, read back."""

    n: int
    prev_hash: str
    recv_ns: int
    subject: str
    stream: str
    stream_seq: int
    stored_ns: int = 0
    payload: msgspec.Raw = msgspec.Raw(b"")
    """The message, where it is JSON on one line: these very bytes."""

    payload_base64: str = ""
    """The message, where it is anything else."""

    @property
    def data(self) -> bytes:
        """The message's bytes as they came."""
        return bytes(self.payload) or base64.b64decode(self.payload_base64)


class Head(msgspec.Struct, frozen=True):
    """Where the chain ends: the number of its last record, and that record's hash."""

    n: int = 0
    hash: str = GENESIS


class Damage(NamedTuple):
    """The first thing wrong with a chain."""

    n: int
    """The record that is not what was written."""

    why: str


_record = msgspec.json.Decoder(Record)


def hash_of(line: bytes) -> str:
    """Return the hash of one record, its line without the newline."""
    return hashlib.sha256(line).hexdigest()


def line_of(head: Head, message: Message) -> bytes:
    """Return the line that records `message` after `head`; no newline at its end."""
    return b'{"n":%d,"prev_hash":"%s","recv_ns":%d,"subject":%s,"stream":"%s",' % (
        head.n + 1,
        head.hash.encode(),
        message.recv_ns,
        _quoted(message.subject),
        message.stream.encode(),
    ) + b'"stream_seq":%d,"stored_ns":%d,%s}' % (
        message.stream_seq,
        message.stored_ns,
        _payload(message.data),
    )


def read_line(line: bytes) -> Record:
    """Return the record that a line holds.

    A payload that is too deep for a decoder, which older releases wrote as it was, is not looked
    at: the hash says that it is the one that was written.

    Raises:
        msgspec.DecodeError: it is no record.
    """
    try:
        record = _record.decode(line)
    except RecursionError:
        head, _, payload = line.partition(_PAYLOAD)
        record = _record.decode(head + b"}")
        return msgspec.structs.replace(record, payload=msgspec.Raw(payload[:-1]))
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from error
    if record.payload_base64:
        try:
            base64.b64decode(record.payload_base64, validate=True)
        except ValueError as error:
            raise msgspec.DecodeError(f"its payload is no base64: {error}") from error
    return record


def verify(lines: Iterable[bytes], *, after: Head, until: Head | None = None) -> Head | Damage:
    """Return the head that the lines lead to, or the first damage.

    Args:
        lines: records in order, without their newlines.
        after: where the chain stood before the first of them.
        until: what is known of the end from elsewhere; the lines must reach and match it.
    """
    head = after
    for line in lines:
        damage = _damage(line, head)
        if damage is not None:
            return damage
        head = Head(head.n + 1, hash_of(line))
        if until is not None and head.n == until.n and head.hash != until.hash:
            return Damage(head.n, f"its hash is {head.hash}; {until.hash} was noted for it")
    if until is not None and head.n < until.n:
        return Damage(head.n + 1, f"it is missing: records up to {until.n} had been written")
    return head


def _damage(line: bytes, head: Head) -> Damage | None:
    try:
        record = read_line(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Damage(head.n + 1, f"it is no record: {error}")
    if record.n != head.n + 1:
        return Damage(head.n + 1, f"record {record.n} stands in its place")
    if record.prev_hash != head.hash:
        why = f"its hash is {head.hash}; record {record.n} was written after {record.prev_hash}"
        return Damage(head.n, why)
    return None


@lru_cache(maxsize=65_536)
def _quoted(subject: str) -> bytes:
    return msgspec.json.encode(subject)


def is_shallow(data: bytes) -> bool:
    """Return whether JSON has no more than `DEPTH_MAX` brackets within brackets; never raises."""
    if data.count(b"[") + data.count(b"{") <= DEPTH_MAX:
        return True
    brackets = _STRING.sub(b"", data).translate(_ALIKE, _NO_BRACKETS)
    for _ in range(DEPTH_MAX):  # each round takes away the innermost
        if not brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return not brackets


def _payload(data: bytes) -> bytes:
    """Return the message as it is if it is JSON on one line; whatever else it is, as base64."""
    if _is_one_line(data) and is_shallow(data):
        try:
            _RAW.decode(data)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return b'"payload":' + data
    return b'"payload_base64":"' + base64.b64encode(data) + b'"'


def _is_one_line(data: bytes) -> bool:
    """Whether the bytes can stand inside a line of JSON, and be taken out again unchanged."""
    if b"\n" in data or b"\r" in data or data[:1] <= b" " or data[-1:] <= b" ":
        return False
    try:
        return data.isascii() or bool(data.decode())
    except UnicodeDecodeError:
        return False
