"""`footprint`: what the whole system takes of a machine, idle and at 2,000 ticks/s."""

import asyncio
import time

import psutil
import uvloop

from services.bench.result import Result, middle
from services.bench.whole import Whole, until, whole

GOAL = (
    "start to first fill < 5 s; all processes together < 400 MB; idle < 5 % of one core; "
    "no yardstick: it is a share of the machine"
)
FIRST_FILL_S_MAX, RESIDENT_MB_MAX, IDLE_PERCENT_MAX = 5.0, 400.0, 5.0
TICKS_PER_S, SYMBOLS = 2_000, ("ALPHA", "BETA", "GAMMA", "DELTA")
SETTLE_S, WINDOW_S = 1.0, 3.0
MB = 1 << 20


def _resident_mb(processes: list[psutil.Process]) -> float:
    """Return memory in use; what processes share is counted once (proportional set size)."""
    return sum(float(each.memory_full_info().pss) for each in processes) / MB


def _cpu_s(processes: list[psutil.Process]) -> float:
    times = [each.cpu_times() for each in processes]
    return sum(each.user + each.system for each in times)


async def _usage(found: Whole) -> tuple[float, float]:
    """Return the share of one core, in percent, and the memory, over a while."""
    await asyncio.sleep(SETTLE_S)
    processes = found.processes()
    before_s, began_s = _cpu_s(processes), time.monotonic()
    await asyncio.sleep(WINDOW_S)
    used_s = _cpu_s(processes) - before_s
    return used_s / (time.monotonic() - began_s) * 100, _resident_mb(processes)


async def _round() -> dict[str, float]:
    began_s = time.monotonic()
    per_symbol = str(TICKS_PER_S // len(SYMBOLS))
    async with whole(FEED__QUOTES_PER_S=per_symbol) as found:
        await until("a first fill", found.fills)
        first_fill_s = time.monotonic() - began_s
        busy_percent, busy_mb = await _usage(found)
    async with whole(FEED__QUOTES_PER_S="1") as found:
        await until("every service", lambda: found.pid("feed"))
        idle_percent, idle_mb = await _usage(found)
    return {
        "first_fill_s": round(first_fill_s, 2),
        "idle_percent": round(idle_percent, 1),
        "idle_mb": round(idle_mb, 1),
        "busy_percent": round(busy_percent, 1),
        "busy_mb": round(busy_mb, 1),
    }


async def _rounds(rounds: int) -> Result:
    value = middle([await _round() for _ in range(rounds)])
    is_ok = (
        value["first_fill_s"] < FIRST_FILL_S_MAX
        and max(value["idle_mb"], value["busy_mb"]) < RESIDENT_MB_MAX
        and value["idle_percent"] < IDLE_PERCENT_MAX
    )
    return Result(value=value, yardstick={}, ratio={}, goal=GOAL, ok=is_ok, rounds=rounds)


def run(rounds: int = 5) -> Result:
    """Start the whole system anew each round: once busy, once with next to nothing to do."""
    return uvloop.run(_rounds(rounds))
