"""`sluice halt --scope` and `sluice reduce`: less than all, or less than everything stopped."""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter

from schemas.base import Event
from schemas.errors import UserError
from schemas.health import HealthReported, SupervisorReported
from schemas.restrictions import (
    ALL,
    Level,
    RestrictionAcknowledged,
    RestrictionCleared,
    RestrictionRequested,
    known_scope,
)
from schemas.subjects import subject_of
from services.cli.desk import Desk, at_desk_to_stop
from services.cli.exits import Exit
from services.cli.listening import FLUSH_TIMEOUT_S, MUST_ACKNOWLEDGE, Listening, is_absent
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import Output

ACKNOWLEDGE_TIMEOUT_S = 3.0
CLEAR_TIMEOUT_S = 3.0
REPORTED_QUOTES_MAX = 100
"""How many instruments the feed names in its report."""

Reason = Annotated[str, Parameter(help="The reason, as elsewhere.")]
WANTED = "account.ID, session.ID, venue.NAME or symbol.VENUE.SYMBOL"


class RestrictionResult(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `sluice reduce --json` and `sluice halt --scope S --json`."""

    scope: str
    level: Level
    is_in_force: bool
    """Whether every live component that could send an order has acknowledged."""

    acknowledged: dict[str, float]
    """Component -> milliseconds after it was published."""

    silent: list[str]
    absent: list[str]
    """Not running, says the supervisor: they send nothing."""

    cancelled_count: int | None
    """Orders cancelled at the venue; null when it has not said yet."""

    resting_count: int | None
    """Orders in the scope that still rest, as far as the level lets them."""

    warning: str = ""
    """What looks like a mistyped scope: nothing here goes by that name."""


def reduce(
    *words: Annotated[str, Parameter(help="The reason, for the record; quotes are not needed.")],
    scope: Annotated[str, Parameter(help=f"What to restrict; else all. {WANTED}.")] = ALL,
    operator: Annotated[str | None, Parameter(help="Who asks; else $USER.")] = None,
    reason: Reason = "",
    place: Place | None = None,
) -> Exit:
    """Let only orders pass that reduce exposure; cancel those that would increase it."""
    request = RestrictionRequested(
        at_ns=0,
        level=Level.REDUCE,
        scope=checked_scope(scope),
        reason=reason_of(words, reason),
        operator=operator or operator_name(),
    )
    return asyncio.run(restrict(place or Place(), request))


def reason_of(words: Sequence[str], reason: str) -> str:
    """Return what was given as words, and by `--reason`, as one."""
    return " ".join([*words, reason] if reason else words)


def checked_scope(scope: str) -> str:
    """Return the scope.

    Raises:
        UserError: SLU-103 it is none.
    """
    if scope != known_scope(scope):
        raise UserError("SLU-103", path="--scope", found=repr(scope), wanted=f"{WANTED}, or all")
    return scope


async def restrict(place: Place, request: RestrictionRequested) -> Exit:
    """Publish a restriction, wait until gate and executor have it, and print what came of it."""
    output = Output(place.as_json)
    async with at_desk_to_stop(place) as desk:
        heard = _Heard(request)
        listening = Listening(desk, heard.note)
        await listening.begin(RestrictionAcknowledged, RestrictionCleared, HealthReported)
        supervisor = asyncio.ensure_future(desk.supervisor())
        heard.began_s = time.monotonic()
        words = {"reason": request.reason, "operator": request.operator}
        desk.connection.send(subject_of(request), msgspec.json.encode(words))
        await desk.connection.flush(FLUSH_TIMEOUT_S)
        why = request.reason or "no reason given"
        output.line(f"{request.level} of {request.scope} published by {request.operator}: {why}")
        await listening.until(heard.is_acknowledged, ACKNOWLEDGE_TIMEOUT_S)
        if "executor" in heard.acknowledged:
            await listening.until(heard.is_clear, CLEAR_TIMEOUT_S)
        result = heard.result(await supervisor, await _warning(desk, request.scope))
    output.data(result)
    _print(result, output)
    return Exit.OK if result.is_in_force else Exit.SILENT


class _Heard:
    """What components said after a restriction was published."""

    def __init__(self, request: RestrictionRequested) -> None:
        self._request = request
        self._cleared: RestrictionCleared | None = None
        self._seen: dict[str, None] = {}
        self.acknowledged: dict[str, float] = {}
        self.began_s = 0.0

    def note(self, event: Event) -> None:
        mine = (self._request.scope, self._request.level)
        match event:
            case RestrictionAcknowledged() if (event.scope, event.level) == mine:
                after_ms = round((time.monotonic() - self.began_s) * 1_000, 2)
                self.acknowledged.setdefault(event.component, after_ms)
            case RestrictionCleared() if (event.scope, event.level) == mine:
                self._cleared = event
            case HealthReported(service=name):
                self._seen[name] = None

    def is_acknowledged(self) -> bool:
        return all(name in self.acknowledged for name in MUST_ACKNOWLEDGE)

    def is_clear(self) -> bool:
        return self._cleared is not None

    def result(self, report: SupervisorReported | None, warning: str) -> RestrictionResult:
        missing = [name for name in MUST_ACKNOWLEDGE if name not in self.acknowledged]
        absent = [
            name for name in missing if is_absent(name, self._seen, self.acknowledged, report)
        ]
        silent = [name for name in missing if name not in absent]
        cleared = self._cleared
        return RestrictionResult(
            scope=self._request.scope,
            level=self._request.level,
            is_in_force=not silent,
            acknowledged=self.acknowledged,
            silent=silent,
            absent=absent,
            cancelled_count=cleared.cancelled_count if cleared else None,
            resting_count=cleared.resting_count if cleared else None,
            warning=warning,
        )


async def _warning(desk: Desk, scope: str) -> str:
    """Return what is odd about a scope, for who mistyped it; empty if nothing is, or unknown."""
    kind, _, name = scope.partition(".")
    known: list[str] = []
    if kind == "session" and (sessions := await desk.sessions()) is not None:
        known = [str(each.session) for each in sessions.sessions]
    elif kind == "account" and (book := await desk.book()) is not None:
        known = [str(book.account)]
    elif kind in ("venue", "symbol") and (feed := await desk.feed()) is not None:
        ids = [each.replace(":", ".", 1) for each in feed.quotes]
        if len(ids) >= REPORTED_QUOTES_MAX:
            return ""  # the feed shows no more than these: others may well be there
        known = ids if kind == "symbol" else list(dict.fromkeys(i.partition(".")[0] for i in ids))
    if not known or name in known:
        return ""
    some = ", ".join(known)
    if kind in ("venue", "symbol"):  # one without a quote so far is restricted like any other
        return f"the feed has shown no {kind} {name} yet: is it the one meant? There are {some}"
    return f"no {kind} {name} is known here, so nothing that runs is restricted; there are {some}"


def _print(result: RestrictionResult, output: Output) -> None:
    for name, after_ms in result.acknowledged.items():
        output.line(f"  {name:<9} in force after {after_ms:.1f} ms")
    for name in result.absent:
        output.line(f"  {name:<9} does not run here: it sends nothing")
    for name in result.silent:
        output.line(f"  {name:<9} SILENT: it may not know. To be certain: sluice halt")
    if result.resting_count is None:
        output.line("  the venue has not said yet what still rests; see `sluice orders`")
    else:
        left = "all of them only reduce" if result.level is Level.REDUCE else "in the scope"
        output.line(
            f"  at the venue: {result.cancelled_count} cancelled, "
            f"{result.resting_count} still rest ({left})"
        )
    word = "entries stopped" if result.level is Level.REDUCE else "no new order"
    state = f"{word} in {result.scope}; cancels always pass"
    output.line(state if result.is_in_force else f"NOT CERTAIN: {state}")
    if result.warning:
        output.line(f"WARNING: {result.warning}")
    after = 'sluice reset --reason "why"' if result.is_in_force else 'sluice halt "why"'
    output.next_step("sluice status", after)
