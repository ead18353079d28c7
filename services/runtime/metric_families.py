"""What every process exposes, whatever its work: counts, levels and times of its runtime."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from schemas.base import NS_PER_S
from services.runtime.meter import LATENCY_BOUNDS_S, Latencies, Meter

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PREFIX = "sluice_"

COUNTS: dict[str, str] = {
    "messages_received": "Messages taken from the bus",
    "dead_letters": "Messages that nobody could read, parked on dead.letters",
    "sequence_gaps": "Holes seen in what others publish",
    "events_lost": "Events that could not be published",
    "halts_heard": "Halts heard by the control guard of this process",
}
"""Counters, since the start of the process: name -> help."""

LEVELS: dict[str, str] = {
    "ready": "1 while the service does its work: connected, rights checked, state rebuilt",
    "uptime_seconds": "Time since the process started",
    "queue_steps": "Steps that are read and wait to be told to the core",
    "unsent_bytes": "Bytes written for the bus and not read by it yet",
    "lease_age_seconds": "Time since the lease in force was asked for; absent without one, and once"
    " it lapsed",
    "epoch": "Epoch that the control guard of this process has accepted",
}
"""Gauges: name -> help."""


def info_family(service: str, boot_id: str) -> Iterator["Metric"]:
    """Return who this is: a new boot id is a restart."""
    from prometheus_client.core import InfoMetricFamily

    yield InfoMetricFamily(
        PREFIX + "service", "Which process this is", {"name": service, "boot_id": boot_id}
    )


def process_families(
    counts: Mapping[str, int], levels: Mapping[str, float], meter: Meter
) -> Iterator["Metric"]:
    """Return the metrics of one process; names and units as Prometheus recommends."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    for name, value in counts.items():
        yield CounterMetricFamily(PREFIX + name, COUNTS[name], value=value)
    for name, level in levels.items():
        yield GaugeMetricFamily(PREFIX + name, LEVELS[name], value=level)
    said = CounterMetricFamily(
        PREFIX + "events_published", "Events handed to the bus's socket", labels=["event"]
    )
    for kind, count in meter.said.copy().items():
        said.add_metric([kind.__name__], count)
    yield said
    alerts = CounterMetricFamily(
        PREFIX + "alerts", "Alerts raised, by code of the registry", labels=["severity", "code"]
    )
    for key, count in meter.alerts.copy().items():
        alerts.add_metric(list(key), count)
    yield alerts
    refused = CounterMetricFamily(
        PREFIX + "refusals",
        "Signals, orders and requests of people refused, by the check or the field that did",
        labels=["what", "code"],
    )
    for key, count in meter.refusals.copy().items():
        refused.add_metric(list(key), count)
    yield refused
    yield from _times(meter)


def _times(meter: Meter) -> Iterator["Metric"]:
    ages = {kind.__name__: found for kind, found in meter.ages.copy().items()}
    yield _histogram(
        "event_age_seconds", "From the maker's stamp until it was taken in here", "event", ages
    )
    once = (
        (
            "step_seconds",
            "One step in sixteen of the core, until all it said was sent",
            meter.steps,
        ),
        ("journal_sync_seconds", "A write to the journal that waited for the disk", meter.syncs),
        ("decision_seconds", "A decision of the gate on one signal", meter.decisions),
        (
            "venue_accept_seconds",
            "From an order's being sent until the venue's word that it has it",
            meter.accepts,
        ),
        (
            "collector_pause_seconds",
            "A collection of Python's, in which nothing else runs",
            meter.pauses,
        ),
    )
    for name, told, found in once:
        if sum(found.counts):
            yield _histogram(name, told, None, {"": found})


def _histogram(name: str, told: str, label: str | None, found: Mapping[str, Latencies]) -> "Metric":
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(PREFIX + name, told, labels=None if label is None else [label])
    for value, latencies in found.items():
        total, buckets = 0, []
        for bound, count in zip((*LATENCY_BOUNDS_S, "+Inf"), latencies.counts.copy(), strict=True):
            total += count
            buckets.append((str(bound), float(total)))
        family.add_metric([] if label is None else [value], buckets, latencies.sum_ns / NS_PER_S)
    return family
