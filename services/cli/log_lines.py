"""Lines of every log of a system, in one form and in the order of time.

Three forms come in: our own logs, nats-server's, and the recorder's events by component. A line
that is none of them is shown as it is, at the time of the line before it: nothing is left out. It
is an error, for nobody logs so on purpose: an interpreter or a runtime does that breaks down.
"""

import datetime
import heapq
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from schemas.base import NS_PER_S
from schemas.errors import UserError

LEVELS = ("debug", "info", "warning", "error", "critical")
EVENT = "event"
"""The level of what happened on the bus: neither good nor bad."""

ERROR = "error"

_NATS = re.compile(rb"\[\d+\] (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+) \[(\w+)\] (.*)")
_NATS_LEVELS = {"INF": "info", "DBG": "debug", "TRC": "debug", "WRN": "warning", "ERR": "error"}
_RELATIVE = re.compile(r"(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DROPPED = ("at", "at_ns", "level", "service", "type", "src", "seq", "record")
SHORT_ID = re.compile("[0-9a-f]{8,31}")
"""An order's id as a person copies it from a table: of a hash, eight digits tell it apart."""

IDS = ("order_id", "signal_id", "parent_id", "replaces", "by")
"""Fields that name an order, or the signal it was made from."""

_json = msgspec.json.Decoder(dict[str, Any])


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line, whoever wrote it."""

    at_ns: int
    level: str
    service: str
    event: str
    """What happened: the text of a log line, the type of an event."""

    fields: dict[str, Any] = {}
    raw: bytes = b""
    """As it was read; what is searched."""

    is_timed: bool = True
    """Whether it says its time itself."""

    latest_ns: int = 0
    """When it was written at the latest, where it does not say: hours may be between it and the
    line before."""


def files_of(data_dir: Path, logs_dir: str, *, with_events: bool) -> list[Path]:
    """Return every file there is to read: older ones first."""
    found = [*data_dir.glob("log/*.log.*"), *data_dir.glob("log/*.log")]
    if with_events:
        found += (data_dir / logs_dir / "events").glob("*_events*.jsonl")
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def read_lines(path: Path, start: int = 0) -> Iterator[LogLine]:
    """Return the lines of one file from byte `start` on, as they stand.

    What says no time belongs to the line before it: what follows an error is one too. The first
    ones have none before them, and get the time of the next that says it.
    """
    service, offset, at_ns, latest_ns, is_broken = service_of(path), start, 0, 0, False
    with path.open("rb") as file:
        file.seek(start)
        for raw in file:
            offset += len(raw)
            line = parsed(raw.rstrip(b"\n"), service=service, at_ns=at_ns)
            if line.is_timed:
                at_ns, latest_ns, is_broken = line.at_ns, 0, False
            else:
                latest_ns = latest_ns or _next_ns(path, offset)
                at_ns, is_broken = at_ns or latest_ns, is_broken or line.level == ERROR
                level = ERROR if is_broken else line.level
                line = replace(line, at_ns=at_ns, latest_ns=latest_ns, level=level)
            yield line


def _next_ns(path: Path, start: int) -> int:
    """Return the first time that is said from byte `start` on; else when the file was written."""
    with path.open("rb") as file:
        file.seek(start)
        for raw in file:
            line = parsed(raw.rstrip(b"\n"), service="")
            if line.is_timed:
                return line.at_ns
    return path.stat().st_mtime_ns


def merged(files: Iterable[Path]) -> Iterator[LogLine]:
    """Return the lines of all files in the order of time; holds one line of each at a time."""
    return heapq.merge(*(read_lines(path) for path in files), key=lambda line: line.at_ns)


def service_of(path: Path) -> str:
    """Return who writes a file: `gate` of `gate.log.2026-11-27`, `gate_events.2026-11-27.jsonl`."""
    return path.name.split(".")[0].removesuffix("_events")


def parsed(raw: bytes, *, service: str, at_ns: int = 0) -> LogLine:
    """Return one line in the one form; `at_ns` is for what says no time itself."""
    if found := _NATS.match(raw):
        when, level, text = (each.decode(errors="replace") for each in found.groups())
        at = datetime.datetime.strptime(when, "%Y/%m/%d %H:%M:%S.%f").astimezone()
        level = _NATS_LEVELS.get(level, "critical")
        return LogLine(at_ns=_ns(at), level=level, service=service, event=text, raw=raw)
    try:
        fields = _json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = raw.decode(errors="replace")
        return LogLine(
            at_ns=at_ns, level=ERROR, service=service, event=text, raw=raw, is_timed=False
        )
    return _of_ours(fields, raw, service, at_ns)


def _of_ours(fields: dict[str, Any], raw: bytes, service: str, at_ns: int) -> LogLine:
    rest = {name: value for name, value in fields.items() if name not in _DROPPED}
    if "type" in fields:
        alert_level = str(fields.get("severity", "")) if fields["type"] == "AlertRaised" else ""
        return LogLine(
            at_ns=int(fields.get("at_ns") or at_ns),
            level=alert_level or EVENT,
            service=service,
            event=str(fields["type"]),
            fields=rest,
            raw=raw,
            is_timed=bool(fields.get("at_ns")),
        )
    when = fields.get("at")
    rest.pop("event", None)
    return LogLine(
        at_ns=_ns(datetime.datetime.fromisoformat(when)) if isinstance(when, str) else at_ns,
        level=str(fields.get("level", "info")),
        service=str(fields.get("service", service)),
        event=str(fields.get("event", "")),
        fields=rest,
        raw=raw,
        is_timed=isinstance(when, str),
    )


def related(files: Iterable[Path], wanted: str) -> frozenset[str]:
    """Return `wanted` and the ids that stand for the same order: its signal, its order, its slices.

    A decision names a signal and its order, an approval carries both, an execution the order. Of an
    order's id its beginning is enough, as `sluice orders` shows it.
    """
    files, ids = list(files), {wanted}
    if SHORT_ID.fullmatch(wanted):
        ids |= {
            each for line in merged(files) for each in order_ids(line) if each.startswith(wanted)
        }
    for line in merged(files):
        own = order_ids(line)
        if own & ids:
            ids |= own
    return frozenset(ids)


def order_ids(line: LogLine) -> set[str]:
    """Return the ids of the order that a line is about; none for a list of many, as a book is."""
    return set(_ids(line.fields))


def _ids(fields: dict[str, Any]) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _ids(value)
        elif name in IDS and isinstance(value, str):
            yield value


def moment(text: str, option: str, now_ns: int) -> int:
    """Return the time that a person means, in ns: `10m` (ago), or ISO 8601, UTC without an offset.

    Raises:
        UserError: it is neither.
    """
    if found := _RELATIVE.fullmatch(text):
        return now_ns - int(found.group(1)) * _SECONDS[found.group(2)] * NS_PER_S
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        wanted = "30s, 10m, 2h, 1d (ago), or a time as 2026-01-31T14:02:00"
        raise UserError("SLU-103", path=option, found=text, wanted=wanted) from None
    return _ns(at if at.tzinfo else at.replace(tzinfo=datetime.UTC))


def _ns(at: datetime.datetime) -> int:
    """Return the moment, exactly: a float of seconds is good for a fifth of a microsecond only."""
    since = at - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1_000
