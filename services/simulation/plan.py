"""What one seed is about: which faults, how often, how busy a market, how nervous the people."""

from random import Random

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S
from services.runtime.sim_faults import Faults

CHAOS = Faults(
    late_probability=0.02,
    late_ns_max=300 * NS_PER_MS,
    loss_probability=0.005,
    repeat_probability=0.02,
    cuts_per_s=0.01,
    one_way_cuts_per_s=0.006,
    cut_ns_max=2 * NS_PER_S,
    wire_cuts_per_s=0.03,
    half_open_wires_per_s=0.02,
    report_late_probability=0.02,
    report_repeat_probability=0.03,
    pauses_per_s=0.01,
    pause_ns_max=2 * NS_PER_S,
    stalls_per_s=0.02,
    kills_per_s=0.01,
    doubles_per_s=0.002,
    crash_probability=0.001,
    write_crash_probability=0.004,
    damage_probability=0.02,
    down_ns_max=NS_PER_S,
    clock_offset_ns_max=20 * NS_PER_MS,
    clock_drift_ppm_max=200,
    clock_jumps_per_s=0.005,
    clock_jump_ns_max=200 * NS_PER_MS,
    disk_fulls_per_s=0.005,
    outages_per_s=0.008,
)
"""Everything at once, and often; but a publisher's events keep their order, as on the real bus."""

DISORDER = msgspec.structs.replace(CHAOS, reorder_probability=0.01)
"""The same, and not even that. A session's holdings may then be counted wrong for a while."""

SECONDS = 100.0
HALTS_PER_S = 0.03
RESTRICTIONS_PER_S = 0.02
FLATTENS_PER_S = 0.004
TRADING_HALTS_PER_S = 0.03
QUOTE_EVERY_NS = NS_PER_S
FACTORS = (0.0, 0.5, 1.0, 1.0, 2.0, 4.0)
PACES_NS = (200 * NS_PER_MS, 500 * NS_PER_MS, NS_PER_S, NS_PER_S, 2 * NS_PER_S)
NERVES = (0.0, 0.5, 1.0, 1.0, 2.0, 6.0)
SWARMED = (
    "late_probability",
    "loss_probability",
    "repeat_probability",
    "cuts_per_s",
    "one_way_cuts_per_s",
    "wire_cuts_per_s",
    "half_open_wires_per_s",
    "report_late_probability",
    "report_repeat_probability",
    "pauses_per_s",
    "stalls_per_s",
    "kills_per_s",
    "doubles_per_s",
    "crash_probability",
    "write_crash_probability",
    "clock_jumps_per_s",
    "disk_fulls_per_s",
    "outages_per_s",
)
"""Whose rate is another one for each seed: none at all in some, four times as much in others."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a run but its seed."""

    faults: Faults = CHAOS
    seconds: float = SECONDS
    """How long the faults last, in simulated seconds; then comes the rest."""

    quote_every_ns: int = QUOTE_EVERY_NS
    """Mean time between two quotes of an instrument, in ns."""

    halts_per_s: float = HALTS_PER_S
    """How often somebody halts everything, on average."""

    restrictions_per_s: float = RESTRICTIONS_PER_S
    """How often somebody halts a part, or lets exposure only become less."""

    flattens_per_s: float = FLATTENS_PER_S
    """How often somebody wants every position of a scope closed."""

    trading_halts_per_s: float = 0.0
    """How often the venue halts each instrument, on average. At 0 the feed is one that never says
    what is open, as some are."""

    has_standby: bool = False
    """Whether a second gate stands by from the beginning."""


def plan_of(seed: int) -> Plan:
    """Return the plan of a seed.

    Not every seed has every fault: what one fault makes impossible (a process that is always being
    killed never gets to its second order) another seed goes through undisturbed.
    """
    chance = Random(f"{seed}:plan")
    changes: dict[str, float | int] = {
        name: getattr(CHAOS, name) * chance.choice(FACTORS) for name in SWARMED
    }
    changes["reorder_probability"] = 0.01 if chance.random() < 0.2 else 0.0
    changes["tail_loss_probability"] = 0.7 if chance.random() < 0.3 else 0.0
    if chance.random() < 0.2:  # so slow that halts come in the middle of starts
        changes["delay_ns_min"], changes["delay_ns_max"] = NS_PER_MS, 250 * NS_PER_MS
    return Plan(
        faults=msgspec.structs.replace(CHAOS, **changes),
        quote_every_ns=chance.choice(PACES_NS),
        halts_per_s=HALTS_PER_S * chance.choice(NERVES),
        restrictions_per_s=RESTRICTIONS_PER_S * chance.choice(NERVES),
        flattens_per_s=FLATTENS_PER_S * chance.choice(NERVES),
        has_standby=chance.random() < 0.4,
        trading_halts_per_s=TRADING_HALTS_PER_S * chance.choice((0.0, 0.5, 1.0, 2.0)),
    )
