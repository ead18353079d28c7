"""A long run: memory and file handles flat, nothing lost, as fast at the end as at first.

`pytest -m long tests/e2e/test_soak.py` runs for SLUICE_SOAK_MINUTES (30) at 2,000 ticks a second,
and writes what it saw to SLUICE_SOAK_REPORT if that names a file. Memories that are bounded by a
number of orders that takes a day are given a bound that such a run reaches.
"""

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.cli.config_sections import METERED
from tests.e2e.system import System

pytestmark = [pytest.mark.req("O-04", "O-07"), pytest.mark.long, pytest.mark.timeout(7_200)]

MINUTES = float(os.environ.get("SLUICE_SOAK_MINUTES", "30"))
SAMPLE_EVERY_S = 5.0
WARM_UP_SHARE = 1 / 3
"""Caches fill and imports happen in the first part; a leak goes on after it."""

GROWTH_SHARE_PER_HOUR_MAX = 0.10
QUERY_MEMORY_MB = 64
GROWTH_MIB_PER_HOUR_MAX = {"nats": 16.0}
"""The server's memory follows the peaks of its collector: -0.3 to 11.6 MiB an hour in four runs,
where its live heap, by its own traces, grew by 5 at most. Of any other process: 8."""

CACHING = "reports"
"""Its store keeps pages of tables in memory up to a bound, and some open files when it is there: it
takes hours of record to get there, so that it is held to the bound, and not to a slope."""

CACHE_MIB_MAX, CACHE_FILES_MAX = QUERY_MEMORY_MB + 48, 12
"""Beside the pages, what is held to make them, and to fold the orders that closed last."""

MIB = 1024 * 1024
SETTINGS = (
    "feed.quotes_per_s=430",  # of each of four symbols; some 2,060 events a second with trades
    "recorder.market_bytes_max=67108864",  # the server keeps some 12 KB for each block of 2 MB
    "executor.closed_orders_max=1000",
    "gate.approved_ids_max=1000",
    "venue.closed_orders_max=1000",
    "venue.executions_max=1000",
    f"reports.query_memory_mb={QUERY_MEMORY_MB}",
    "reports.closed_orders_max=1000",
)
LOST = ("sluice_dead_letters_total", "sluice_sequence_gaps_total", "sluice_events_lost_total")
HOPS = ("QuoteReceived", "SignalRaised", "OrderApproved")

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Sample(NamedTuple):
    """What all processes exposed at one time."""

    at_s: float
    by_service: Mapping[str, Series]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    found = System(tmp_path_factory.mktemp("soak"))
    try:
        found.up(*[part for each in SETTINGS for part in ("--set", each)])
        found.wait_for_fills()
        # It opens by itself once 32 MiB of record wait: in the middle of a run, one step, no slope.
        assert found.run("query", "--named", "events").returncode == 0
        yield found
    finally:
        found.close()


def scraped(data_dir: Path) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for service in METERED:
        file = data_dir / "run" / "metrics" / f"{service}.json"
        [target] = json.loads(file.read_text())[0]["targets"]
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found[service] = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    return found


def of_processes(samples: list[Sample], name: str) -> dict[str, list[float]]:
    """One gauge of the supervisor's through time, by process."""
    processes = [key for key in samples[-1].by_service["supervisor"] if key[0] == name]
    return {
        dict(key[1])["process"]: [each.by_service["supervisor"].get(key, 0.0) for each in samples]
        for key in processes
    }


def slope_per_hour(samples: list[Sample], values: list[float]) -> float:
    """Least squares over all but the warm-up; in units an hour."""
    first = int(len(samples) * WARM_UP_SHARE)
    seconds = [each.at_s for each in samples[first:]]
    return float(np.polyfit(seconds, values[first:], 1)[0]) * 3_600


def mean_age_us(before: Sample, after: Sample, service: str, event: str) -> float | None:
    """Mean age of the events of one kind that a service took in between two samples."""
    key = (("event", event),)
    total, count = (
        after.by_service[service].get((f"sluice_event_age_seconds_{part}", key), 0.0)
        - before.by_service[service].get((f"sluice_event_age_seconds_{part}", key), 0.0)
        for part in ("sum", "count")
    )
    return total / count * 1e6 if count else None


def test_a_long_run_is_flat_and_loses_nothing(system: System) -> None:
    samples: list[Sample] = []
    missed_count = 0
    began_s = time.monotonic()
    while (elapsed_s := time.monotonic() - began_s) < MINUTES * 60:
        try:
            samples.append(Sample(elapsed_s, scraped(system.data_dir)))
        except urllib.error.URLError:  # a process that did not answer in time, as on a full machine
            missed_count += 1
        time.sleep(SAMPLE_EVERY_S)  # the length of the run is what is tested
    report = _report(samples) | {"scrapes_missed": missed_count}
    if file := os.environ.get("SLUICE_SOAK_REPORT"):
        Path(file).write_text(json.dumps(report, indent=1))
    assert report["trading"] == "RUNNING"
    assert report["lost"] == {}
    memory = report["memory_mib"]
    assert isinstance(memory, dict)
    grown = {
        name: row
        for name, row in memory.items()
        if name != CACHING
        and row["slope_per_hour"]
        > max(row["last"] * GROWTH_SHARE_PER_HOUR_MAX, GROWTH_MIB_PER_HOUR_MAX.get(name, 8.0))
    }
    assert grown == {}
    handles = report["file_handles"]
    assert isinstance(handles, dict)
    more = {name: row["last"] - row["first"] for name, row in handles.items()}
    assert {n: count for n, count in more.items() if n != CACHING and count > 2} == {}
    cache = memory[CACHING]
    assert cache["last"] < cache["first"] + CACHE_MIB_MAX
    assert more[CACHING] <= CACHE_FILES_MAX


def _report(samples: list[Sample]) -> dict[str, object]:
    last = samples[-1].by_service
    memory = of_processes(samples, "sluice_process_memory_bytes")
    handles = of_processes(samples, "sluice_process_file_handles")
    fifth = max(1, min(len(samples) // 5, int(300 / SAMPLE_EVERY_S)))
    gauges = last["gate"].items()
    states = {key[1][0][1]: v for key, v in gauges if key[0] == "sluice_trading_state"}
    return {
        "minutes": round(samples[-1].at_s / 60, 1),
        "trading": next(name for name, value in states.items() if value),
        "orders": last["executor"][("sluice_orders_total", ())],
        "ticks_per_s": round(
            sum(v for key, v in last["feed"].items() if key[0] == "sluice_feed_events_total")
            / last["feed"][("sluice_uptime_seconds", ())]
        ),
        "lost": {
            f"{service} {name}": series[(name, ())]
            for service, series in last.items()
            for name in LOST
            if series.get((name, ()))
        },
        "memory_mib": {
            name: {
                "first": round(values[0] / MIB, 1),
                "last": round(values[-1] / MIB, 1),
                "slope_per_hour": round(slope_per_hour(samples, values) / MIB, 1),
            }
            for name, values in memory.items()
        },
        "file_handles": {
            name: {"first": values[0], "last": values[-1]} for name, values in handles.items()
        },
        "mean_age_us": {
            f"{event} at {service}": {
                "first": mean_age_us(samples[0], samples[fifth], service, event),
                "last": mean_age_us(samples[-1 - fifth], samples[-1], service, event),
            }
            for service, event in zip(("strategy", "gate", "executor"), HOPS, strict=True)
        },
    }
