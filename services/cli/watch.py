"""`sluice watch`: everything on a subject, decoded, as it happens."""

import asyncio
import contextlib
import re
import signal
import sys
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from schemas.base import Event
from schemas.errors import UserError, WireError
from schemas.wire import decode, halt_from, is_halting
from services.cli.desk import Desk, at_desk
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.output import Output, time_of

DEFAULT = ("control.>", "signal.>", "risk.decision.>", "order.>", "exec.>", "session.>")
"""What a person wants to see who names nothing; market data and health would drown it."""

QUIET = ("control.lease", "control.leased.>")
"""Four questions a second: shown only to who asks for them by name."""

_HIDDEN = frozenset({"type", "at_ns", "src", "seq"})


def watch(
    subject: Annotated[
        str | None, Parameter(help="Subject, with wildcards: `exec.>`, `market.*.*.quote`.")
    ] = None,
    *,
    count: Annotated[int, Parameter(help="Stop after so many events; 0 never.")] = 0,
    place: Place | None = None,
) -> Exit:
    """Show events as they happen, decoded; Ctrl-C ends it. With --json, one event a line.

    Raises:
        UserError: SLU-103 the subject is none.
    """
    if subject is not None and not _is_subject(subject):
        wanted = "words between single dots; * stands for one of them, > at the end for the rest"
        raise UserError("SLU-103", path="watch", found=repr(subject), wanted=wanted)
    return asyncio.run(_watch(place or Place(), subject, count))


def _is_subject(text: str) -> bool:
    """Return whether the bus takes it: the client library raises over what it does not."""
    words = text.split(".")
    named = words[:-1] if words[-1] == ">" else words
    return all(words) and not any(">" in each or re.search(r"\s", each) for each in named)


async def _watch(place: Place, subject: str | None, count: int) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        output.banner(await desk.arbiter())
        view = _View(desk, count, is_json=place.as_json, is_default=subject is None)
        desk.connection.on_link.append(_tell_link)
        for each in DEFAULT if subject is None else (subject,):
            await desk.connection.take(each, view.take)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, view.ended.set)
        await desk.connection.flush(2)
        refused = await _refusal_or_end(desk, view)
        desk.connection.on_link.remove(_tell_link)  # that it is closed now is no news
    if view.failure is not None:
        raise view.failure  # nobody reads it any more, or the disk is full
    if refused:
        output.line(f"the bus refuses: {refused}")
        return Exit.REFUSED
    return Exit.OK


def _tell_link(is_up: bool, detail: str) -> None:
    """Say that silence means nothing while the bus is away, and what may be missing after it."""
    said = "the bus is back; what was said meanwhile is not shown" if is_up else "the bus is gone"
    print(f"sluice: {said}" + (f": {detail}" if detail and not is_up else ""), file=sys.stderr)


async def _refusal_or_end(desk: Desk, view: "_View") -> str:
    """Wait for the end; return at once, with the reason, if the server refuses the subject."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(view.ended.wait(), 0.2)
    if not desk.connection.refusals:
        await view.ended.wait()
    return "; ".join(desk.connection.refusals)


class _View:
    """Prints what comes, and counts it."""

    def __init__(self, desk: Desk, count: int, *, is_json: bool, is_default: bool) -> None:
        self.ended = asyncio.Event()
        self.failure: OSError | None = None
        self._desk, self._left = desk, count
        self._is_json, self._is_default = is_json, is_default

    def take(self, subject: str, data: bytes, _reply: str) -> None:
        if self.ended.is_set() or (self._is_default and subject.startswith("control.lease")):
            return
        for line in self._lines(subject, data):
            try:
                print(line, flush=True)
            except OSError as error:  # the reader of the bus would take it for the bus's, and go on
                self.failure = error
                self.ended.set()
                return
            self._left -= 1
            if self._left == 0:
                self.ended.set()
                return

    def _lines(self, subject: str, data: bytes) -> list[str]:
        if is_halting(subject):
            events: tuple[Event, ...] = (halt_from(data, subject=subject, at_ns=0),)
        else:
            try:
                events = decode(data, subject=subject)
            except WireError:
                return [self._other(subject, data)]
        return [self._line(subject, event) for event in events]

    def _line(self, subject: str, event: Event) -> str:
        if self._is_json:
            return msgspec.json.encode({"subject": subject, "event": event}).decode()
        fields: dict[str, Any] = msgspec.to_builtins(event)
        shown = "  ".join(f"{k}={_short(v)}" for k, v in fields.items() if k not in _HIDDEN)
        when = time_of(event.at_ns)[11:19] if event.at_ns else "--------"
        return f"{when} {subject}  {type(event).__name__}  {shown}"

    def _other(self, subject: str, data: bytes) -> str:
        """Show what is no event of ours (a request by hand): it is text, or its length."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = f"{len(data)} bytes that are no text"
        if self._is_json:
            return msgspec.json.encode({"subject": subject, "text": text[:2_000]}).decode()
        return f"-------- {subject}  {text[:500]}"


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode() if isinstance(value, dict | list) else str(value)
    return text if len(text) <= 160 else text[:157] + "..."
