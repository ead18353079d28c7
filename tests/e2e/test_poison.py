"""A message that nobody can read is parked with its reason; nobody dies of it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
import uvloop
from nats.aio.msg import Msg

from schemas.control import ControlAnswered, HaltRequested
from schemas.health import DeadLettered
from schemas.restrictions import LockRequested
from schemas.subjects import DEAD_LETTERS, PAUSE, REDUCE, RESET, RESUME, START, STOP, SUBJECTS
from schemas.wire import decode
from tests.conftest import NatsServer
from tests.e2e.system import System

POISON = (b"\xff\xfe not json", b'{"type":"Nonsense"}', b'[{"type":"QuoteReceived"}]')
REQUESTS = (START, RESET, STOP, PAUSE, RESUME)
UNHEARD = ("report.", "query.")
HEARD_BY_SOMEBODY = ("market.", "signal.", "order.", "exec.", "control.prepare", "control.epoch")


@pytest.fixture
def trading(nats_server: NatsServer, tmp_path: Path) -> Iterator[System]:
    # So much unreadable market data would trip the breaker on data errors, as it should.
    poisonous = ("--set", "breaker.levels.data_errors=[]")
    system = System(tmp_path).up("--nats-url", nats_server.url, *poisonous)
    try:
        system.wait_for_fills()
        yield system
    finally:
        system.close()


def concrete(pattern: str) -> str:
    """Return a subject inside the pattern, as a service would publish it."""
    named = {"market": "market.sim.ALPHA", "signal": "signal.ema_cross-1.ALPHA"}
    family, _, rest = pattern.partition(".")
    if family in named:
        return f"{named[family]}.{rest.split('.')[-1]}" if family == "market" else named[family]
    if family in ("order", "exec"):
        return f"{family}.sim.paper"
    return pattern.replace("*", "poison")


def subjects() -> list[str]:
    halting = (SUBJECTS[HaltRequested], SUBJECTS[LockRequested], REDUCE)  # whatever the bytes
    skipped = (*halting, DEAD_LETTERS, SUBJECTS[ControlAnswered])
    patterns = [p for p in SUBJECTS.values() if p not in skipped and not p.startswith(UNHEARD)]
    return list(dict.fromkeys(concrete(pattern) for pattern in patterns))


async def poison_everything(url: str) -> tuple[set[str], list[ControlAnswered]]:
    """Publish every poison on every subject; return where dead letters came from, and answers."""
    bus = await nats.connect(url)
    parked: set[str] = set()

    async def on_dead_letter(message: Msg) -> None:
        for event in decode(message.data, subject=message.subject):
            assert isinstance(event, DeadLettered)
            assert event.reason
            parked.add(event.subject)

    await bus.subscribe(DEAD_LETTERS, cb=on_dead_letter)
    for subject in subjects():
        for data in POISON:
            await bus.publish(subject, data)
    answers = []
    for subject in REQUESTS:
        for data in POISON:
            reply = await bus.request(subject, data, timeout=10)
            [answer] = decode(reply.data, subject=reply.subject)
            assert isinstance(answer, ControlAnswered)
            answers.append(answer)
    # No built-in strategy listens to funding or staking, and no instrument of the demo obeys
    # market-wide halts; the recorder keeps them without reading.
    heard = [s for s in subjects() if not s.endswith((".funding", ".staking", ".halt"))]
    wanted = {s for s in heard if s.startswith(HEARD_BY_SOMEBODY)}
    for _ in range(500):
        if wanted <= parked:
            break
        await asyncio.sleep(0.01)
    await bus.close()
    assert wanted <= parked, wanted - parked
    return parked, answers


@pytest.mark.req("G-09", "R-01", "O-04")
def test_poison_on_every_subject_is_parked_and_kills_nobody(
    nats_server: NatsServer, trading: System
) -> None:
    before = {name: view["pid"] for name, view in trading.status()["services"].items()}
    _, answers = uvloop.run(poison_everything(nats_server.url))
    assert [answer.is_ok for answer in answers] == [False] * len(REQUESTS) * len(POISON)
    assert all(answer.errors for answer in answers)
    status = trading.status()
    assert {name: view["pid"] for name, view in status["services"].items()} == before
    assert status["halt"] is None, status["halt"]
    assert status["breaker_state"] == "NORMAL"
    trading.wait_for_fills(status["fills"] + 1)
