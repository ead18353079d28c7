"""Run the whole system from one seed, and check that every invariant held."""

import hashlib
from collections import Counter

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S
from schemas.market import QuoteReceived, TradeReceived
from schemas.wire import encode
from services.breaker.core import BreakerCore
from services.runtime.sim import Simulation
from services.runtime.sim_faults import FaultCounts, Faults
from services.runtime.sim_world import Moment
from services.simulation.people import Operator
from services.simulation.system import SESSIONS, Parts, processes

CHAOS = Faults(
    late_probability=0.02,
    late_ns_max=300 * NS_PER_MS,
    reorder_probability=0.01,
    loss_probability=0.005,
    repeat_probability=0.02,
    cuts_per_s=0.01,
    cut_ns_max=2 * NS_PER_S,
    wire_cuts_per_s=0.02,
    pauses_per_s=0.01,
    pause_ns_max=2 * NS_PER_S,
    kills_per_s=0.01,
    crash_probability=0.001,
    down_ns_max=NS_PER_S,
    clock_offset_ns_max=20 * NS_PER_MS,
)
HALTS_PER_S = 0.05


class Trace:
    """A hash over everything that happened: equal runs have equal hashes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._hash = hashlib.sha256()

    def __call__(self, moment: Moment) -> None:
        self.counts[type(moment.event).__name__ + (" said" if moment.is_said else "")] += 1
        self._hash.update(f"{moment.true_ns}{moment.process}{moment.is_said}".encode())
        self._hash.update(encode(moment.event))
