"""`sluice logs`: the logs of all services and what happened on the bus, in one stream."""

import contextlib
import datetime
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from schemas.base import NS_PER_S
from schemas.errors import UserError
from schemas.masking import masked
from services.cli.config_types import did_you_mean
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of
from services.cli.log_lines import (
    EVENT,
    LEVELS,
    LogLine,
    files_of,
    merged,
    moment,
    order_ids,
    read_lines,
    related,
    service_of,
)
from services.cli.output import Output
from services.runtime.log import masked_fields

LATE_NS = 60 * NS_PER_S
"""How much later than it was made a line may say it was: by a clock that is ahead of the disk's."""

LOOK_EVERY_S = 0.25
BUS = "nats"
OF_OTHERS = "the log of who started the bus, if not `sluice up`: `docker compose logs nats`"
FIELD_CHARS_MAX = 160
Wanted = Callable[[LogLine], bool]
Identity = tuple[int, int]


def logs(
    service: Annotated[
        list[str] | None, Parameter(negative=(), help="Only of these: gate, nats, ...")
    ] = None,
    *,
    level: Annotated[
        str, Parameter(help="The least that is shown: debug ... critical. Events are of info.")
    ] = "info",
    since: Annotated[str | None, Parameter(help="10m, 2h (ago), or a time; UTC.")] = None,
    until: Annotated[str | None, Parameter(help="As --since.")] = None,
    grep: Annotated[str | None, Parameter(help="Only lines with this text.")] = None,
    order: Annotated[
        str | None,
        Parameter(help="All of one order, by its id or its signal's: from signal to fill."),
    ] = None,
    session: Annotated[str | None, Parameter(help="Only of this session.")] = None,
    events: Annotated[bool, Parameter(help="What happened on the bus too.")] = True,
    lines: Annotated[int, Parameter(help="At most the last so many; 0: all.")] = 200,
    follow: Annotated[bool, Parameter(name=("--follow", "-f"), negative=())] = False,
    place: Place | None = None,
) -> Exit:
    """Show the logs of all services, and the bus's events, in the order of time. Needs no bus."""
    found = place or Place()
    data_dir = data_dir_of(found)
    logs_dir = _logs_dir(data_dir)

    def look() -> list[Path]:
        return files_of(data_dir, logs_dir, with_events=events)

    files = _chosen(look(), service, data_dir)
    now_ns = time.time_ns()
    first_ns = moment(since, "--since", now_ns) if since else 0
    last_ns = moment(until, "--until", now_ns) if until else sys.maxsize
    wanted = _filter(files, level, (first_ns, last_ns), grep, order, session)
    output = Output(found.as_json)
    seen = {_identity(path): path.stat().st_size for path in files}
    recent = [path for path in files if path.stat().st_mtime_ns >= first_ns - LATE_NS]
    _show(output, filter(wanted, merged(recent)), lines)
    if follow:
        _follow(output, wanted, lambda: _of_services(look(), service), seen)
    return Exit.OK


def _show(output: Output, found: Iterator[LogLine], lines: int) -> None:
    """Print the last so many; all of them as they come, where that is 0.

    What was left out, and that there was nothing, is said where it is in no program's way.
    """
    count, last = 0, deque[LogLine](maxlen=lines)
    for line in found:
        count += 1
        if lines:
            last.append(line)
        else:
            _print(output, line)
    for line in last:
        _print(output, line)
    if count == 0:
        print("no line so far is like that", file=sys.stderr)
    elif 0 < lines < count:
        print(f"the last {lines:,} of {count:,} lines; --lines 0 shows all", file=sys.stderr)


def _logs_dir(data_dir: Path) -> str:
    """Return `recorder.logs_dir`: as the last run was told, else its default."""
    from services.cli.system import config_file
    from services.recorder.config import RecorderConfig

    try:
        told = msgspec.json.decode(config_file(data_dir).read_bytes())["recorder"]["logs_dir"]
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return RecorderConfig().logs_dir
    return str(told)


def _follow(
    output: Output, wanted: Wanted, look: Callable[[], list[Path]], seen: dict[Identity, int]
) -> None:
    """Print what is written from now on, in files that are not there yet too, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            for line in sorted(filter(wanted, _new(look(), seen)), key=lambda each: each.at_ns):
                _print(output, line)
            sys.stdout.flush()
            time.sleep(LOOK_EVERY_S)


def _chosen(files: list[Path], services: list[str] | None, data_dir: Path) -> list[Path]:
    """Return the files of these services.

    Raises:
        UserError: there are no logs here, or none of a service.
    """
    known = sorted({service_of(path) for path in files})
    if not known:
        wanted = "the data folder of a system that ran"
        raise UserError("SLU-102", path=data_dir, found="no logs", wanted=wanted)
    for name in services or ():
        if name not in known:
            wanted = did_you_mean(name, known) or ", ".join(known)
            wanted = OF_OTHERS if name == BUS else wanted
            raise UserError("SLU-103", path="service", found=name, wanted=wanted)
    return _of_services(files, services)


def _of_services(files: list[Path], services: list[str] | None) -> list[Path]:
    return [path for path in files if not services or service_of(path) in services]


def _filter(
    files: list[Path],
    level: str,
    span_ns: tuple[int, int],
    grep: str | None,
    order: str | None,
    session: str | None,
) -> Wanted:
    """Return what a line must be.

    Raises:
        UserError: a level is none.
    """
    if level not in LEVELS:
        wanted = did_you_mean(level, list(LEVELS)) or ", ".join(LEVELS)
        raise UserError("SLU-103", path="--level", found=level, wanted=wanted)
    levels = set(LEVELS[LEVELS.index(level) :])
    if "info" in levels:
        levels.add(EVENT)  # above it they would bury what is looked for; alerts have levels
    first_ns, last_ns = span_ns
    ids = related(files, order) if order else frozenset()
    text, name = (grep or "").encode(), _whole(session or "")

    def is_wanted(line: LogLine) -> bool:
        return (
            line.level in levels
            and line.at_ns <= last_ns
            and first_ns <= max(line.at_ns, line.latest_ns)
            and (not order or bool(ids & order_ids(line)))
            and text in line.raw
            and (not session or name.search(line.raw) is not None)
        )

    return is_wanted


def _whole(name: str) -> re.Pattern[bytes]:
    """Return what finds the name, and not one that only begins or ends like it."""
    return re.compile(rb"(?<![\w-])" + re.escape(name.encode()) + rb"(?![\w-])")


def _identity(path: Path) -> Identity:
    """Return what stays the same when a file is put aside under another name."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _new(files: list[Path], seen: dict[Identity, int]) -> Iterator[LogLine]:
    """Return the whole lines written since the last look; a file that shrank is read anew."""
    for path in files:
        try:
            identity, size = _identity(path), path.stat().st_size
        except FileNotFoundError:
            continue  # put aside since we looked: it is there under its new name next time
        start = seen.get(identity, 0)
        if size == start:
            continue
        start = start if size > start else 0
        for line in read_lines(path, start):
            start += len(line.raw) + 1
            if start > size:
                start -= len(line.raw) + 1  # it is not finished yet
                break
            yield line
        seen[identity] = start


def _print(output: Output, line: LogLine) -> None:
    """Print a line without its secrets: an event has what a person typed, and a dump anything."""
    event, shown = masked(line.event), masked_fields(line.fields)
    if output.is_json:
        document = {"at_ns": line.at_ns, "level": line.level, "service": line.service}
        sys.stdout.write(msgspec.json.encode({**document, "event": event, **shown}).decode() + "\n")
        return
    at = datetime.datetime.fromtimestamp(line.at_ns / NS_PER_S, tz=datetime.UTC)
    when = at.strftime("%H:%M:%S.%f")[:-3]
    fields = "  ".join(f"{name}={_short(value)}" for name, value in shown.items())
    output.line(f"{when} {line.level:<8} {line.service:<10} {event}  {fields}".rstrip())


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode() if isinstance(value, dict | list) else str(value)
    return text if len(text) <= FIELD_CHARS_MAX else text[: FIELD_CHARS_MAX - 3] + "..."
