"""What real processes did on a real bus, held against the models: every step must be allowed."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from schemas.base import Event
from schemas.control import (
    ControlAnswered,
    EpochStarted,
    HaltAcknowledged,
    LeaseAnswered,
    PrepareAsked,
)
from schemas.restrictions import RestrictionAcknowledged
from schemas.subjects import HALT, RESET
from tests.integration.guarded import GuardedServer
from tests.integration.order_path import OrderPath, order_path
from tests.integration.test_arbiter_live import WAIT_S
from tests.model import control_model, restrictions_model
from tests.model.traces import first_impossible

pytestmark = pytest.mark.req("B-05", "G-09")
FAR = 1_000
HIDDEN = (
    "the halt is stored",
    "the start is refused",
    "the operator looks",
    "the executor hears the start",
    "the executor hears its lease",
    "it hears the start",
    "it hears its lease",
)


def is_hidden(label: str) -> bool:
    return label.startswith(HIDDEN)


class Traced(OrderPath):
    """Notes what a viewer sees, in the order in which the server delivers it.

    Attributes:
        trace: raw halts and restrictions as their subjects, all else as events.
    """

    def __init__(self, folder: Path, server: GuardedServer) -> None:
        super().__init__(folder, server)
        self.trace: list[str | Event] = []

    async def halt(self, data: bytes = b"", subject: str = HALT) -> None:
        self.trace.append(subject)  # the viewer sends it, and does not hear itself
        await super().halt(data, subject)

    async def restrict(self, subject: str, data: bytes = b"") -> None:
        self.trace.append(subject)
        await super().restrict(subject, data)

    def _hear(self, subject: str, data: bytes, reply: str) -> None:
        before = len(self.heard)
        super()._hear(subject, data, reply)
        self.trace += self.heard[before:]


def labels(trace: list[str | Event], label_of: Callable[[str | Event], str | None]) -> list[str]:
    return [label for each in trace if (label := label_of(each)) is not None]


def of_control(seen: str | Event) -> str | None:
    """Return the label that the model of halts, starts and leases has for it."""
    match seen:
        case str():
            return "somebody halts"
        case PrepareAsked():
            return "look and prepare"
        case EpochStarted(stream_seq=seq) if seq:
            return f"start of epoch {seq}"
        case HaltAcknowledged(component="executor"):
            return "the executor hears a halt"
        case LeaseAnswered(component="executor", is_granted=True):
            return "the arbiter grants a lease"
    return None


def of_restrictions(seen: str | Event) -> str | None:
    """Return the label that the model of restrictions has for it."""
    match seen:
        case str():
            return "somebody restricts"
        case PrepareAsked():
            return "look and prepare"
        case EpochStarted(stream_seq=seq) if seq:
            return f"start of epoch {seq}"
        case RestrictionAcknowledged(component="executor"):
            return "it hears the restriction"
        case LeaseAnswered(component="executor", is_granted=True):
            return "a lease is granted"
        case ControlAnswered(request="reset", is_ok=True):
            return "a reset"
    return None


def run(
    folder: Path, server: GuardedServer, scenario: Callable[[OrderPath], Coroutine[Any, Any, None]]
) -> list[str | Event]:
    """Return what was seen while the scenario ran."""

    async def main() -> list[str | Event]:
        async with order_path(folder, server, Traced) as it:
            assert isinstance(it, Traced)
            await scenario(it)
            return list(it.trace)

    return uvloop.run(asyncio.wait_for(main(), 6 * WAIT_S))


async def halts_and_starts(it: OrderPath) -> None:
    await it.trade()
    await it.leased_anew()
    await it.trade()
    await it.halt(b'{"reason": "one"}')
    await it.halt(b"\xff")
    assert not (await it.ask("control.start")).is_ok
    assert (await it.ask(RESET, reason="looked", halt=2)).is_ok
    await it.trade()
    await it.leased_anew()


async def restrictions_and_resets(it: OrderPath) -> None:
    await it.trade()
    await it.restrict("control.halt.session.s1", b'{"reason": "one"}')
    await it.leased_anew()
    await it.trade()
    assert not (await it.ask(RESET, reason="looked", halt=9)).is_ok
    assert (await it.ask(RESET, reason="looked", halt=1)).is_ok
    await it.trade()
    await it.restrict("control.halt.session.s1", b'{"reason": "two"}')
    await it.leased_anew()


def control() -> Any:
    bounds = control_model.Bounds(clock_max=0, log_max=FAR, halts_max=FAR, heard_max=FAR)
    return control_model.control_model(control_model.Protocol(), bounds)


def restrictions() -> Any:
    bounds = restrictions_model.Bounds(
        clock_max=0, log_max=FAR, restrictions_max=FAR, heard_max=FAR
    )
    return restrictions_model.restrictions_model(restrictions_model.Protocol(), bounds)


def test_a_real_run_of_halts_and_starts_is_one_that_the_model_allows(
    tmp_path: Path, server: GuardedServer
) -> None:
    seen = labels(run(tmp_path, server, halts_and_starts), of_control)
    assert {label.rstrip("0123456789") for label in seen} == {
        "somebody halts",
        "look and prepare",
        "start of epoch ",
        "the executor hears a halt",
        "the arbiter grants a lease",
    }, "a trace without one of these shows less than it says"
    place = first_impossible(control(), seen, is_hidden=is_hidden)
    assert place is None, seen[: (place or 0) + 1]


def test_a_real_run_of_restrictions_and_resets_is_one_that_the_model_allows(
    tmp_path: Path, server: GuardedServer
) -> None:
    seen = labels(run(tmp_path, server, restrictions_and_resets), of_restrictions)
    assert "a reset" in seen
    place = first_impossible(restrictions(), seen, is_hidden=is_hidden)
    assert place is None, seen[: (place or 0) + 1]


STARTED = ["look and prepare", "start of epoch 1", "the arbiter grants a lease"]
IMPOSSIBLE = {
    "a lease before any start": (["the arbiter grants a lease"], 0),
    "a start that nobody prepared": (["start of epoch 1"], 0),
    "a start stored over an unseen halt": (
        ["look and prepare", "somebody halts", "start of epoch 2"],
        2,
    ),
    "an epoch that is there already": ([*STARTED, "look and prepare", "start of epoch 1"], 4),
    "a lease after the executor has halted": (
        [*STARTED, "somebody halts", "the executor hears a halt", "the arbiter grants a lease"],
        5,
    ),
    "a halt that nobody asked for": ([*STARTED, "the executor hears a halt"], 3),
}


@pytest.mark.parametrize(("seen", "place"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_run_that_breaks_the_protocol_is_not_taken_for_an_allowed_one(
    seen: list[str], place: int
) -> None:
    assert first_impossible(control(), seen, is_hidden=is_hidden) == place


@pytest.mark.parametrize(
    "seen",
    [
        ["it hears the restriction"],
        ["a reset"],
        ["look and prepare", "start of epoch 1", "somebody restricts", "a reset", "a reset"],
        ["look and prepare", "somebody restricts", "start of epoch 2"],
    ],
)
def test_restrictions_and_resets_out_of_nothing_are_not_taken_for_allowed(seen: list[str]) -> None:
    place = first_impossible(restrictions(), seen, is_hidden=is_hidden)
    assert place == len(seen) - 1
