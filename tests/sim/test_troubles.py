"""What may come over simulated processes: that each trouble is what it says, and is counted."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from schemas.base import NS_PER_MS, NS_PER_S, Event
from schemas.control import HaltRequested
from schemas.errors import StateError
from schemas.health import GapSeen, HealthReported, LinkChanged
from schemas.market import QuoteReceived
from schemas.orders import SignalRaised
from schemas.venue import CancelPlaced, OrderQueried, VenueCanceled, VenueLinkChanged
from services.runtime.sim import Simulation
from services.runtime.sim_faults import Faults
from services.runtime.sim_host import Acted, Body, Process
from services.runtime.sim_world import BEGIN_NS
from tests.builders import dec, quote, signal
from tests.sim.test_runtime import SURE, Ear, cancel, numbers, process, quotes

OFTEN = 50.0
"""Troubles a second: soon enough for a short test."""


def heard_through(fault: str, count: int = 200) -> tuple[Ear, Simulation]:
    """Return a listener that suffers one kind of trouble while it is sent quotes."""
    ear = Ear(QuoteReceived, LinkChanged)
    everybody = [process("feed"), process("ear", ear, is_mortal=True)]
    faults = Faults(one_way_cuts_per_s=OFTEN, cut_ns_max=20 * NS_PER_MS, notice_ns_max=NS_PER_MS)
    simulation = Simulation(everybody, faults, seed=1)
    for event in quotes(count):
        simulation.publish("feed", event)
        simulation.publish("ear", HaltRequested(at_ns=event.at_ns))
        simulation.run(NS_PER_MS)
    assert fault in simulation.counts.fired()
    return ear, simulation


def test_a_deaf_process_misses_what_comes_and_is_told_that_it_was_cut_off() -> None:
    ear, simulation = heard_through("deaf")
    links = [event.is_up for event in ear.heard if isinstance(event, LinkChanged)]
    assert len(numbers(ear)) == 200 - simulation.counts.lost_by_cut
    assert links[:4] == [False, True, False, True]


def test_a_mute_process_is_not_heard_and_hears_everything() -> None:
    voice, ear = Ear(QuoteReceived), Ear(HaltRequested)
    everybody = [process("feed"), process("voice", voice, is_mortal=True), process("ear", ear)]
    for seed in range(20):
        voice.heard.clear()
        faults = Faults(one_way_cuts_per_s=OFTEN, cut_ns_max=20 * NS_PER_MS)
        simulation = Simulation(everybody, faults, seed)
        while not simulation.counts.fired():
            simulation.run(NS_PER_MS)
        if not simulation.counts.mute:
            continue
        ear.heard.clear()
        simulation.publish("voice", HaltRequested(at_ns=1))
        simulation.publish("feed", quote(at_ns=1))
        simulation.run(NS_PER_MS)
        assert (ear.heard, numbers(voice)) == ([], [1])
        return
    pytest.fail("nobody was ever mute")


def wired(faults: Faults, **fields: Any) -> tuple[Ear, Ear, Simulation]:
    """Return an executor that watches its wire to a venue."""
    executor, venue = Ear(VenueCanceled, VenueLinkChanged), Ear(CancelPlaced, OrderQueried)
    notices = {"venue": lambda is_up, now_ns: VenueLinkChanged(at_ns=now_ns, is_up=is_up)}
    everybody = [
        process("executor", executor, is_mortal=True, notices=notices),
        process("venue", venue, **fields),
    ]
    return executor, venue, Simulation(everybody, faults, seed=3)


def canceled(number: int) -> VenueCanceled:
    return VenueCanceled(at_ns=number, order_id=cancel(0).order_id, leaves=dec(0))


def test_a_half_open_wire_carries_nothing_one_way_until_it_breaks_as_a_whole() -> None:
    executor, venue, simulation = wired(
        Faults(half_open_wires_per_s=20.0, cut_ns_max=100 * NS_PER_MS)
    )
    for number in range(500):
        executor.answers = [cancel(number)]
        simulation.tell("executor", canceled(-1))
        executor.answers = []
        simulation.run(NS_PER_MS)
    links = [event.is_up for event in executor.heard if isinstance(event, VenueLinkChanged)]
    assert simulation.counts.half_open_wires > 2
    assert links[:3] == [True, False, True], "it broke, and was noticed, and came back"
    lost_count = 500 - len(venue.heard)
    assert 0 < lost_count <= simulation.counts.lost_by_wire


def test_an_unruly_process_reports_late_and_twice_and_its_answers_stay_in_order() -> None:
    faults = Faults(
        report_late_probability=0.3, report_late_ns_max=NS_PER_S, report_repeat_probability=0.3
    )
    executor, venue, simulation = wired(faults, unruly=frozenset({VenueCanceled}))
    simulation.run(NS_PER_MS)
    for number in range(100):
        venue.answers = [canceled(number)]
        simulation.tell("venue", cancel(number))
        simulation.run(NS_PER_MS)
    simulation.run(5 * NS_PER_S)
    came = [event.at_ns for event in executor.heard if isinstance(event, VenueCanceled)]
    assert sorted(set(came)) == list(range(100)), "none is lost"
    assert came != sorted(came)
    assert len(came) == 100 + simulation.counts.repeated_reports
    assert simulation.counts.late_reports > 10


def test_an_answer_goes_to_who_asked_and_to_nobody_else() -> None:
    venue = Ear(OrderQueried, answers=[canceled(7)])
    first, second = Ear(VenueCanceled, QuoteReceived), Ear(VenueCanceled)
    everybody = [
        process("first", first),
        process("second", second),
        process("venue", venue, answers=frozenset({VenueCanceled})),
    ]
    simulation = Simulation(everybody, Faults(), seed=1)
    first.answers = [OrderQueried(at_ns=0, order_id=cancel(0).order_id)]
    simulation.tell("first", quote())
    first.answers = []
    simulation.run(NS_PER_S)
    assert ([type(e) for e in first.heard], second.heard) == ([QuoteReceived, VenueCanceled], [])


def test_a_clock_that_drifts_wakes_its_process_by_its_own_time() -> None:
    for seed in range(10):
        ear = Ear(QuoteReceived)
        faults = Faults(clock_drift_ppm_max=100_000, clock_offset_ns_max=NS_PER_S)
        simulation = Simulation([process("ear", ear, is_mortal=True)], faults, seed)
        ear.wake_at_ns = BEGIN_NS + 10 * NS_PER_S
        simulation.tell("ear", quote())
        simulation.run(30 * NS_PER_S)
        late_ns = ear.at_ns[1] - (BEGIN_NS + 10 * NS_PER_S)
        assert 0 <= late_ns <= 2, "never before its time, and no later than clocks can tell"
        assert simulation.counts.clocks_drifting == 1


def test_a_clock_that_jumps_goes_forward_at_once_and_back_only_with_a_new_start() -> None:
    ear = Ear(QuoteReceived)
    faults = Faults(clock_jumps_per_s=20.0, clock_jump_ns_max=NS_PER_S, down_ns_max=1)
    simulation = Simulation([process("ear", ear, is_mortal=True)], faults, seed=2)
    begun_at: list[int] = []
    for _ in range(100):
        ear.at_ns.clear()
        for _ in range(20):
            simulation.tell("ear", quote())
            simulation.run(NS_PER_MS)
        assert ear.at_ns == sorted(ear.at_ns), "no process sees its own clock go back"
        begun_at.append(ear.at_ns[0] - simulation.now_ns)
        simulation.kill("ear")
        simulation.run(NS_PER_MS)
    assert simulation.counts.clock_jumps > 10
    assert min(begun_at) < 0 < max(begun_at)
    assert max(map(abs, begun_at)) <= NS_PER_S + 30 * NS_PER_MS


def test_on_a_full_disk_a_process_that_must_keep_ends_without_a_word() -> None:
    mind = Ear(QuoteReceived, HaltRequested, answers=[signal("a")])
    ear = Ear(SignalRaised)
    everybody = [process("mind", mind, is_mortal=True), process("ear", ear)]
    faults = Faults(disk_fulls_per_s=OFTEN, disk_full_ns_max=10 * NS_PER_S, down_ns_max=1)
    simulation = Simulation(everybody, faults, seed=1)
    simulation.run(NS_PER_S)
    simulation.tell("mind", quote())
    simulation.run(NS_PER_MS)
    assert (simulation.journal("mind"), ear.heard, simulation.counts.writes_failed) == ([], [], 1)
    simulation.heal()
    simulation.tell("mind", quote())
    simulation.run(NS_PER_MS)
    assert [type(event) for event in ear.heard] == [SignalRaised]


def test_what_needs_no_journal_passes_on_a_full_disk() -> None:
    mind, ear = Ear(QuoteReceived, answers=[HaltRequested(at_ns=0)]), Ear(HaltRequested)
    everybody = [process("mind", mind, is_mortal=True), process("ear", ear)]
    simulation = Simulation(everybody, Faults(disk_fulls_per_s=OFTEN), seed=1)
    simulation.run(NS_PER_S)
    simulation.tell("mind", quote())
    simulation.run(NS_PER_MS)
    assert (len(ear.heard), simulation.counts.disk_fulls > 0) == (1, True)


def test_an_outage_takes_the_bus_from_all_and_a_server_may_lose_its_tail() -> None:
    lost: list[int] = []

    def after_outage(seed: int) -> int:
        lost.append(seed % 2)
        return seed % 2

    ear = Ear(QuoteReceived, LinkChanged)
    everybody = [
        process("feed"),
        process("ear", ear),
        process("server", Ear(), after_outage=after_outage),
    ]
    faults = Faults(outages_per_s=2.0, outage_ns_max=100 * NS_PER_MS, notice_ns_max=1)
    simulation = Simulation(everybody, faults, seed=1)
    for event in quotes(2_000):
        simulation.publish("feed", event)
        simulation.run(NS_PER_MS)
    simulation.heal()
    links = [event.is_up for event in ear.heard if isinstance(event, LinkChanged)]
    assert links[:4] == [False, True, False, True]
    assert len(numbers(ear)) == 2_000 - simulation.counts.lost_by_cut
    assert simulation.counts.outages > 2
    assert simulation.counts.stored_tails_lost == sum(lost) > 0


def test_a_process_that_was_replaced_goes_on_beside_its_successor_and_then_ends() -> None:
    def make(boot_id: str) -> Body:
        ear = Ear(QuoteReceived)
        lives.append((boot_id, ear))
        return Body(cores=(ear,))

    lives: list[tuple[str, Ear]] = []
    double = Process(name="gate", make=make, can_double=True)
    faults = Faults(pause_ns_max=100 * NS_PER_MS, down_ns_max=10 * NS_PER_MS)
    simulation = Simulation([process("feed"), double], faults, seed=1)
    simulation.double("gate")
    for event in quotes(1_000):
        simulation.publish("feed", event)
        simulation.run(NS_PER_MS)
    (first, old), (second, new) = lives
    assert (first, second) == ("gate-1", "gate-2")
    assert simulation.counts.doubles == 1
    assert numbers(new)[-1] == 999
    both = [number for number in numbers(old) if number in numbers(new)]
    assert both, "there was a time when both heard"
    assert numbers(old)[-1] < 300, "and it came to an end"


def test_a_successor_has_a_copy_of_the_journal_as_it_was() -> None:
    minds: list[Ear] = []

    def make(boot_id: str) -> Body:
        minds.append(Ear(SignalRaised))
        return Body(cores=(minds[-1],))

    double = Process(name="gate", make=make, can_double=True, has_health=False)
    simulation = Simulation([double], Faults(pause_ns_max=NS_PER_S, down_ns_max=1), seed=1)
    simulation.tell("gate", signal("a"))
    simulation.double("gate")
    simulation.run(10 * NS_PER_S)
    assert [type(event) for event in minds[1].restored] == [SignalRaised]
    assert len(simulation.journal("gate")) == 1


def test_a_changed_byte_is_looked_for_before_a_process_starts_again() -> None:
    asked: list[int] = []

    def damage(kept: Sequence[Event], seed: int) -> None:
        asked.append(len(kept))
        raise StateError("SLU-140", path="journal", found="damage", wanted="none")

    mind = Ear(SignalRaised)
    everybody = [process("mind", mind, is_mortal=True, damage=damage)]
    simulation = Simulation(everybody, Faults(damage_probability=SURE, down_ns_max=1), seed=1)
    simulation.tell("mind", signal("a"))
    simulation.kill("mind")
    with pytest.raises(StateError):
        simulation.run(NS_PER_S)
    assert (asked, simulation.counts.bytes_changed) == ([1], 1)


def test_a_server_that_stalls_takes_in_afterwards_what_has_waited() -> None:
    ear = Ear(QuoteReceived)
    everybody = [process("feed"), process("server", ear, can_stall=True)]
    faults = Faults(stalls_per_s=20.0, pause_ns_max=100 * NS_PER_MS)
    simulation = Simulation(everybody, faults, seed=1)
    for event in quotes(1_000):
        simulation.publish("feed", event)
        simulation.run(NS_PER_MS)
    simulation.heal()
    simulation.run(NS_PER_MS)
    assert numbers(ear) == list(range(1_000))
    assert simulation.counts.stalls > 3
    assert (simulation.counts.pauses, simulation.counts.kept_waiting > 10) == (0, True)


def test_a_process_hears_only_the_subjects_it_listens_to() -> None:
    ear = Ear(HealthReported)

    def is_for_it(event: Event) -> bool:
        return isinstance(event, HealthReported) and event.service == "a"

    everybody = [
        process("ear", ear, is_for_it=is_for_it),
        process("a", Ear(), has_health=True),
        process("b", Ear(), has_health=True),
    ]
    simulation = Simulation(everybody, Faults(), seed=1)
    simulation.run(2 * NS_PER_S)
    assert {e.service for e in ear.heard if isinstance(e, HealthReported)} == {"a"}


def writer(seed: int) -> Simulation:
    """Return a run of a process that journals, writes to a venue, and may die on the way."""
    mind, venue = Ear(QuoteReceived, LinkChanged), Ear(CancelPlaced)
    mind.answers = [signal("a"), cancel(1)]

    def act(event: Event, now_ns: int) -> Acted:
        mind.answers = []
        return (event,), (LinkChanged(at_ns=now_ns, is_up=True),)

    body = Body(cores=(mind,), act=act)
    everybody = [
        Process(
            name="mind",
            make=lambda _: body,
            writes=frozenset({CancelPlaced}),
            has_health=False,
        ),
        process("venue", venue),
    ]
    simulation = Simulation(everybody, Faults(write_crash_probability=SURE, down_ns_max=1), seed)
    simulation.tell("mind", quote())
    simulation.run(NS_PER_MS)
    outcome_count = sum(isinstance(event, LinkChanged) for event in mind.heard)
    written, fired = len(venue.heard), simulation.counts.fired()
    assert ("crashes_before_write" in fired) is (not written and bool(simulation.journal("mind")))
    assert ("crashes_after_write" in fired) is (written == 1)
    assert outcome_count == 0, "it was gone before it could take in what came of it"
    return simulation


def test_a_process_dies_between_its_journal_and_its_write_and_between_write_and_outcome() -> None:
    fired: dict[str, None] = {}
    for seed in range(40):
        fired |= dict.fromkeys(writer(seed).counts.fired())
    assert {"crashes_before_journal", "crashes_before_write", "crashes_after_write"} <= set(fired)


def test_an_observer_is_shown_what_it_wants_and_nothing_else() -> None:
    class Narrow:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def __call__(self, moment: Any) -> None:
            self.seen.append(moment.process)

        def wants(self, name: str, is_said: bool, kind: type[Event]) -> bool:
            return not is_said and kind is QuoteReceived

    seen: list[str] = []
    narrow, broad = Narrow(), partial(_note, seen)
    everybody = [process("feed"), process("ear", Ear(QuoteReceived))]
    simulation = Simulation(everybody, Faults(), 1, observers=[narrow, broad])
    simulation.publish("feed", quote())
    simulation.run(NS_PER_S)
    assert (narrow.seen, seen) == (["ear"], ["feed", "ear"])


def _note(seen: list[str], moment: Any) -> None:
    seen.append(moment.process)


def test_a_hole_is_told_once_the_way_is_open_again() -> None:
    ear = Ear(QuoteReceived, GapSeen)
    everybody = [process("feed"), process("ear", ear, is_mortal=True)]
    simulation = Simulation(everybody, Faults(cut_ns_max=5 * NS_PER_MS), seed=1)
    for event in quotes(3):
        simulation.publish("feed", event)
        simulation.run(NS_PER_MS)
    simulation.cut("ear")
    for event in quotes(10):
        simulation.publish("feed", event)
        simulation.run(NS_PER_MS)
    [gap] = [event for event in ear.heard if isinstance(event, GapSeen)]
    assert gap.got_seq - gap.expected_seq == simulation.counts.lost_by_cut
