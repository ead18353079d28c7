"""`recover`: kill -9 of everything while it trades; when could it trade again, what was lost."""

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import uvloop

from schemas.base import Event
from schemas.errors import BusError
from schemas.executions import OrderFilled, OutcomeRecorded
from schemas.venue import VenueAccepted, VenueFilled
from services.bench.chain import kept
from services.bench.result import Result, middle
from services.bench.whole import Whole, until, whole

GOAL = "a start is granted < 5 s after kill -9 of any service; nothing lost, nothing doubled"
RECOVERED_S_MAX = 5.0
KILLED = ("strategy", "gate", "executor", "breaker", "venue", "feed", "recorder", "nats")
WRONG = ("executions_lost_count", "doubled_count")
FILLS_BETWEEN = 2
"""Executions that are waited for before the next kill: it must trade."""


async def _recovered_s(found: Whole, service: str) -> float:
    """Kill one process; return how long until it is back and a start is granted."""
    old = await until(f"a running {service}", lambda: found.pid(service))
    before = await found.fills()
    os.kill(old, signal.SIGKILL)
    began_s = time.monotonic()

    async def is_back() -> bool:
        return await found.pid(service) not in (0, old) and await found.is_started()

    await until(f"a start after the death of {service}", is_back)
    took_s = time.monotonic() - began_s
    await until("executions after it", lambda: _has_filled(found, before + FILLS_BETWEEN))
    return round(took_s, 2)


async def _has_filled(found: Whole, count: int) -> bool:
    return await found.fills() >= count


def _of(state: Path, pattern: str) -> Iterator[Event]:
    for journal in sorted(state.rglob(pattern)):
        with contextlib.suppress(FileNotFoundError):
            yield from kept(journal)


def losses(state: Path) -> dict[str, float]:
    """Return what the journals of venue and executor disagree about after all of it."""
    ours, sent = Counter[str](), Counter[str]()
    for event in _of(state, "executor*.jsonl"):
        if isinstance(event, OrderFilled):
            ours[event.execution_id] += 1
        elif isinstance(event, OutcomeRecorded) and event.is_sent:
            sent[event.order_id] += 1
    accepted, theirs = Counter[str](), Counter[str]()
    for event in _of(state, "venue*.jsonl"):
        if isinstance(event, VenueAccepted):
            accepted[event.order_id] += 1
        elif isinstance(event, VenueFilled):
            theirs[event.execution_id] += 1
    doubled = [each for counts in (sent, accepted, ours) for each, n in counts.items() if n > 1]
    return {
        "orders_count": len(accepted),
        "executions_count": len(theirs),
        "executions_lost_count": len(theirs.keys() - ours.keys()),
        "doubled_count": len(doubled),
    }


async def _round() -> dict[str, float]:
    async with whole() as found:
        await until("executions", lambda: _has_filled(found, FILLS_BETWEEN))
        value = {f"{each}_s": await _recovered_s(found, each) for each in KILLED}
        await until("a halted end", lambda: _halted(found))
        state = found.data_dir / "state"
        return value | losses(state)


async def _halted(found: Whole) -> bool:
    """Halt, and let what is on its way arrive: the books are compared at rest."""
    await found.halt()
    before = await found.fills()
    book = await found.desk.book()
    return book is not None and book.is_reconciled and before == book.fill_count


async def _rounds(rounds: int) -> Result:
    found = [await _round() for _ in range(rounds)]
    value = middle(found)
    for name in WRONG:  # one is one too many, in whatever round
        value[name] = sum(each[name] for each in found)
    wrong = sum(value[name] for name in WRONG)
    slowest = max(value[f"{each}_s"] for each in KILLED)
    if not value["executions_count"]:
        raise BusError("SLU-123", found="no execution", wanted="kills while trading goes on")
    return Result(
        value=value | {"slowest_s": slowest},
        yardstick={},
        ratio={},
        goal=GOAL,
        ok=slowest < RECOVERED_S_MAX and not wrong,
        rounds=rounds,
        faults=dict.fromkeys(KILLED, rounds),
        failure="" if not wrong else f"{wrong:g} executions or orders were lost or doubled",
    )


def run(rounds: int = 5) -> Result:
    """Kill each process once a round, in a system that trades."""
    return uvloop.run(_rounds(rounds))
