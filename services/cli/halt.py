"""`sluice halt`: no confirmation, no configuration; only the bus has to be there."""

import asyncio
import time
from typing import Annotated

import msgspec
from cyclopts import Parameter

from schemas.base import Event
from schemas.control import HaltAcknowledged, HaltConfirmed
from schemas.health import HealthReported
from schemas.restrictions import ALL, Level, RestrictionRequested, known_scope
from schemas.subjects import HALT
from services.cli.desk import Desk, at_desk_to_stop
from services.cli.exits import Exit
from services.cli.halt_words import readable
from services.cli.listening import FLUSH_TIMEOUT_S, MUST_ACKNOWLEDGE, Listening, is_absent
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import Output
from services.cli.restrict import WANTED, Reason, reason_of, restrict

ACKNOWLEDGE_TIMEOUT_S = 3.0
"""Longer than a health report takes to come: who is alive has said so by then."""

CONFIRM_TIMEOUT_S = 2.0
"""How long the venue's answer about resting orders is waited for; the halt stands without it."""


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """One component's word, as seen from here."""

    component: str
    after_ms: float
    """Since the halt was published."""

    halts: int
    fence: int


class HaltResult(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `sluice halt --json`."""

    is_halted: bool
    """Whether every live component that could send an order has acknowledged."""

    acknowledged: list[Acknowledgement]
    silent: list[str]
    absent: list[str]
    """Not running, says the supervisor: they send nothing."""

    resting_count: int | None
    """Orders that still rest at the venue; null when it has not said yet."""

    cancelled_count: int | None


def halt(
    *words: Annotated[str, Parameter(help="The reason, for the record; quotes are not needed.")],
    scope: Annotated[str, Parameter(help=f"Halt only this; else all. {WANTED}.")] = ALL,
    operator: Annotated[str | None, Parameter(help="Who halts; else $USER.")] = None,
    reason: Reason = "",
    place: Place | None = None,
) -> Exit:
    """Halt all trading now; wait until gate and executor have acknowledged it."""
    where, who = place or Place(), readable(operator or operator_name())
    why = readable(reason_of(words, reason))
    if scope != known_scope(scope):  # who mistypes in a hurry wants something stopped
        Output(where.as_json).line(f"--scope {scope!r} is none of {WANTED}: halting ALL")
    if known_scope(scope) == ALL:
        return asyncio.run(_halt(where, why, who))
    request = RestrictionRequested(at_ns=0, level=Level.HALT, scope=scope, reason=why, operator=who)
    return asyncio.run(restrict(where, request))


async def _halt(place: Place, reason: str, operator: str) -> Exit:
    output = Output(place.as_json)
    async with at_desk_to_stop(place) as desk:
        watch = _Watch(desk)
        await watch.listen()
        payload = _payload(reason, operator)
        watch.begin()
        desk.connection.send(HALT, payload)
        await desk.connection.flush(FLUSH_TIMEOUT_S)  # it is at the server now, whatever comes
        output.line(f"halt published by {operator}: {reason or 'no reason given'}")
        result = await watch.result()
    output.data(result)
    _print(result, output)
    return Exit.OK if result.is_halted else Exit.SILENT


def _payload(reason: str, operator: str) -> bytes:
    """Return what goes with the halt: whatever is wrong with the words, it leaves without them."""
    try:
        return msgspec.json.encode({"reason": reason, "operator": operator})
    except Exception:
        return b""


class _Watch:
    """Collects what components say after the halt."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._acknowledged: dict[str, Acknowledgement] = {}
        self._confirmed: HaltConfirmed | None = None
        self._seen: set[str] = set()
        self._began_s = 0.0
        self._listening = Listening(desk, self._note)

    async def listen(self) -> None:
        await self._listening.begin(HaltAcknowledged, HaltConfirmed, HealthReported)

    def begin(self) -> None:
        self._began_s = time.monotonic()

    async def result(self) -> HaltResult:
        """Return what was heard once all have acknowledged and the venue is clear, or in time."""
        supervisor = asyncio.ensure_future(self._desk.supervisor())
        await self._listening.until(self._is_acknowledged, ACKNOWLEDGE_TIMEOUT_S)
        if "executor" in self._acknowledged:
            await self._listening.until(self._is_clear, CONFIRM_TIMEOUT_S)
        report = await supervisor
        missing = [name for name in MUST_ACKNOWLEDGE if name not in self._acknowledged]
        absent = [
            name for name in missing if is_absent(name, self._seen, self._acknowledged, report)
        ]
        silent = [name for name in missing if name not in absent]
        confirmed = self._confirmed
        return HaltResult(
            is_halted=not silent,
            acknowledged=list(self._acknowledged.values()),
            silent=silent,
            absent=absent,
            resting_count=confirmed.resting_count if confirmed else None,
            cancelled_count=confirmed.cancelled_count if confirmed else None,
        )

    def _is_acknowledged(self) -> bool:
        return all(name in self._acknowledged for name in MUST_ACKNOWLEDGE)

    def _is_clear(self) -> bool:
        return self._confirmed is not None and self._confirmed.resting_count == 0

    def _note(self, event: Event) -> None:
        match event:
            case HaltAcknowledged(component=name) if self._began_s:
                after_ms = round((time.monotonic() - self._began_s) * 1_000, 2)
                self._acknowledged.setdefault(
                    name,
                    Acknowledgement(
                        component=name, after_ms=after_ms, halts=event.halts, fence=event.fence
                    ),
                )
            case HaltConfirmed():
                self._confirmed = event
            case HealthReported(service=name):
                self._seen.add(name)


def _print(result: HaltResult, output: Output) -> None:
    for each in result.acknowledged:
        output.line(f"  {each.component:<9} halted after {each.after_ms:.1f} ms")
    for name in result.absent:
        output.line(f"  {name:<9} does not run here: it sends nothing")
    for name in result.silent:
        output.line(
            f"  {name:<9} SILENT: it may still be trading. Kill its process (sluice status)"
        )
    if result.resting_count is None:
        output.line("  the venue has not said yet what still rests; see `sluice orders`")
    else:
        output.line(
            f"  at the venue: {result.cancelled_count} cancelled, {result.resting_count} still rest"
        )
    output.line("HALTED" if result.is_halted else "NOT CERTAIN that all is halted")
    # A reset is no step to offer while somebody may still trade.
    after = 'sluice reset --reason "why"' if result.is_halted else "sluice venue-kill"
    output.next_step("sluice status", after)
