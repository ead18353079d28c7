"""The simulation runtime itself: what it promises, and that each fault is what it says."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from schemas.base import NS_PER_MS, NS_PER_S, BootId, Event, InstrumentId
from schemas.control import BookWanted, HaltRequested
from schemas.health import GapSeen, HealthReported, LinkChanged
from schemas.market import QuoteReceived
from schemas.orders import CancelRequested, SignalRaised
from schemas.venue import CancelPlaced, VenueCanceled, VenueLinkChanged
from services.runtime.sim import Simulation
from services.runtime.sim_faults import Faults
from services.runtime.sim_host import Acted, Body, Process
from services.runtime.sim_world import BEGIN_NS, Moment
from tests.builders import ACCOUNT, dec, quote, signal

SURE = 1.0


class Ear:
    """Write down all it is told, and when; say what the test wants it to say."""

    keeps: frozenset[type[Event]] = frozenset({SignalRaised, CancelRequested})
    fsyncs: frozenset[type[Event]] = frozenset({CancelRequested})

    def __init__(self, *kinds: type[Event], answers: Sequence[Event] = ()) -> None:
        self.hears = frozenset(kinds)
        self.answers = answers
        self.wake_at_ns: int | None = None
        self.heard: list[Event] = []
        self.at_ns: list[int] = []
        self.restored: list[Event] = []

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        self.heard.append(event)
        self.at_ns.append(now_ns)
        return self.answers

    def wake(self, now_ns: int) -> Sequence[Event]:
        self.wake_at_ns = None
        self.at_ns.append(now_ns)
        return ()

    def restore(self, event: Event) -> None:
        self.restored.append(event)

    def describe(self, now_ns: int) -> Event:
        return HaltRequested(at_ns=now_ns, reason="I am the report")


def process(name: str, *cores: Ear, **fields: Any) -> Process:
    """Return a process whose cores are made once, so that the test can look into them."""
    fields.setdefault("has_health", False)
    fields.setdefault("is_mortal", False)
    return Process(name=name, make=lambda _: Body(cores=cores), **fields)


def quotes(count: int) -> list[QuoteReceived]:
    return [quote(at_ns=number) for number in range(count)]


def sent(faults: Faults, count: int = 200, *kinds: type[Event]) -> tuple[Ear, Simulation]:
    """Return a listener that was sent so many quotes, one every ms, over a bus with faults."""
    ear = Ear(*(kinds or (QuoteReceived,)))
    simulation = Simulation([process("feed"), process("ear", ear)], faults, seed=1)
    for event in quotes(count):
        simulation.publish("feed", event)
        simulation.run(NS_PER_MS)
    simulation.run(5 * NS_PER_S)
    return ear, simulation


def numbers(ear: Ear) -> list[int]:
    return [event.at_ns for event in ear.heard if isinstance(event, QuoteReceived)]


def test_without_faults_everything_comes_once_in_order_and_later() -> None:
    ear, simulation = sent(Faults())
    assert numbers(ear) == list(range(200))
    assert simulation.counts.fired() == []
    sent_ns = [BEGIN_NS + n * NS_PER_MS for n in range(200)]
    delays = [at - begin for at, begin in zip(ear.at_ns, sent_ns, strict=True)]
    assert min(delays) >= Faults().delay_ns_min
    assert max(delays) <= Faults().delay_ns_max


def test_a_late_message_holds_up_those_behind_it() -> None:
    ear, simulation = sent(Faults(late_probability=0.1, late_ns_max=100 * NS_PER_MS))
    assert numbers(ear) == list(range(200))
    assert simulation.counts.late > 5


def test_reordered_messages_go_their_own_way() -> None:
    ear, simulation = sent(Faults(reorder_probability=0.2, late_ns_max=20 * NS_PER_MS))
    assert numbers(ear) != sorted(numbers(ear))
    assert sorted(numbers(ear)) == list(range(200))
    assert simulation.counts.reordered > 10


def test_lost_messages_are_gone_and_the_hole_is_told() -> None:
    ear, simulation = sent(Faults(loss_probability=0.1), 200, QuoteReceived, GapSeen)
    assert len(numbers(ear)) == 200 - simulation.counts.lost
    gaps = [event for event in ear.heard if isinstance(event, GapSeen)]
    missing = sum(gap.got_seq - gap.expected_seq for gap in gaps)
    unseen = numbers(ear)[0] + (199 - numbers(ear)[-1])  # before the first, and after the last
    assert missing == simulation.counts.lost - unseen
    assert gaps[0].subject == "market.sim.ALPHA.quote"


def test_an_event_of_another_kind_on_a_subject_is_no_hole_for_its_listeners() -> None:
    ear = Ear(SignalRaised, GapSeen)
    simulation = Simulation([process("strategy"), process("ear", ear)], Faults(), seed=1)
    cancel = CancelRequested(
        at_ns=0,
        account=ACCOUNT,
        session=signal().session,
        instrument=InstrumentId("sim:ALPHA"),
        order_id=signal().signal_id,  # type: ignore[arg-type]
    )
    for event in (signal("a"), cancel, signal("b")):
        simulation.publish("strategy", event)
    simulation.run(NS_PER_S)
    assert [type(event) for event in ear.heard] == [SignalRaised, SignalRaised]


def test_repeated_messages_come_twice_with_the_same_number() -> None:
    ear, simulation = sent(Faults(repeat_probability=0.1))
    assert len(ear.heard) == 200 + simulation.counts.repeated
    assert sorted(set(numbers(ear))) == list(range(200))


def test_nobody_hears_itself_but_cores_of_one_process_hear_each_other_at_once() -> None:
    first = Ear(QuoteReceived, answers=[HaltRequested(at_ns=0)])
    second, third = Ear(HaltRequested), Ear(HaltRequested)
    simulation = Simulation(
        [process("feed"), process("pair", first, second), process("other", third)], Faults(), seed=1
    )
    simulation.publish("feed", quote())
    simulation.run(NS_PER_S)
    assert (first.at_ns == second.at_ns, len(second.heard), len(third.heard)) == (True, 1, 1)


def test_an_urgent_event_is_not_held_up_by_others() -> None:
    ear = Ear(QuoteReceived, HaltRequested)
    faults = Faults(late_probability=SURE, late_ns_max=NS_PER_S)
    simulation = Simulation(
        [process("feed"), process("ear", ear, urgent=frozenset({HaltRequested}))], faults, seed=1
    )
    for event in quotes(50):
        simulation.publish("feed", event)
    simulation.publish("feed", HaltRequested(at_ns=0))
    simulation.run(5 * NS_PER_S)
    assert ear.heard.index(HaltRequested(at_ns=0, src="feed-feed-1", seq=1)) < 50


def wired(faults: Faults) -> tuple[Ear, Ear, Simulation]:
    """Return an executor and a venue with a wire between them."""
    executor, venue = Ear(VenueCanceled, VenueLinkChanged), Ear(CancelPlaced)
    notices = {"venue": lambda is_up, now_ns: VenueLinkChanged(at_ns=now_ns, is_up=is_up)}
    everybody = [
        process("executor", executor, notices=notices),
        process("venue", venue, is_mortal=True),
    ]
    return executor, venue, Simulation(everybody, faults, seed=1)


def cancel(number: int) -> CancelPlaced:
    return CancelPlaced(at_ns=number, order_id=signal().signal_id)  # type: ignore[arg-type]


def test_a_wire_keeps_order_and_loses_nothing_while_the_bus_does() -> None:
    faults = Faults(loss_probability=SURE, repeat_probability=SURE, reorder_probability=SURE)
    executor, venue, simulation = wired(faults)
    simulation.run(NS_PER_S)
    executor.answers = [cancel(n) for n in range(50)]
    simulation.tell("executor", VenueCanceled(at_ns=0, order_id=cancel(0).order_id, leaves=dec(0)))
    simulation.run(NS_PER_S)
    assert [event.at_ns for event in venue.heard] == list(range(50))


def test_a_venue_that_dies_is_noticed_and_what_was_under_way_is_lost() -> None:
    executor, venue, simulation = wired(Faults(down_ns_max=NS_PER_S))
    simulation.run(NS_PER_MS)
    executor.answers = [cancel(1)]
    simulation.tell("executor", VenueCanceled(at_ns=0, order_id=cancel(0).order_id, leaves=dec(0)))
    executor.answers = []
    simulation.kill("venue")
    simulation.run(5 * NS_PER_S)
    states = [event.is_up for event in executor.heard if isinstance(event, VenueLinkChanged)]
    assert (states, venue.heard, simulation.counts.lost_by_wire) == ([True, False, True], [], 1)


def test_a_cut_wire_is_told_lost_before_it_is_told_back() -> None:
    executor, _, simulation = wired(Faults(wire_cuts_per_s=2.0, cut_ns_max=10 * NS_PER_MS))
    simulation.run(10 * NS_PER_S)
    assert simulation.counts.wire_cuts == 0, "who is not mortal is spared"
    mortal = [
        process("executor", executor, is_mortal=True, notices={"venue": _venue_link}),
        process("venue", Ear(CancelPlaced)),
    ]
    executor.heard.clear()
    simulation = Simulation(mortal, Faults(wire_cuts_per_s=2.0, cut_ns_max=10 * NS_PER_MS), seed=1)
    simulation.run(10 * NS_PER_S)
    states = [event.is_up for event in executor.heard if isinstance(event, VenueLinkChanged)]
    assert simulation.counts.wire_cuts > 5
    assert states[:5] == [True, False, True, False, True]


def crashing(probability: float, seed: int) -> tuple[Ear, Ear, Simulation]:
    """Return a process that keeps and says three things in one step, and dies in it by chance."""
    mind = Ear(QuoteReceived, answers=[signal("a"), signal("b"), signal("c")])
    ear = Ear(SignalRaised)
    everybody = [
        process("feed"),
        process("mind", mind, is_mortal=True),
        process("ear", ear),
    ]
    simulation = Simulation(everybody, Faults(crash_probability=probability), seed)
    simulation.publish("feed", quote())
    simulation.run(NS_PER_S // 1_000)
    return mind, ear, simulation


def test_a_process_dies_before_its_journal_after_it_or_anywhere_in_what_it_says() -> None:
    seen: dict[tuple[int, int], list[str]] = {}
    for seed in range(40):
        _, ear, simulation = crashing(SURE, seed)
        kept = simulation.journal("mind")
        seen[len(kept), len(ear.heard)] = simulation.counts.fired()
    assert seen == {
        (0, 0): ["crashes_before_journal"],
        (3, 0): ["crashes_after_journal"],
        (3, 1): ["crashes_half_said"],
        (3, 2): ["crashes_half_said"],
        (3, 3): ["crashes_after_saying"],
    }


def test_a_process_that_comes_back_is_given_its_journal() -> None:
    mind, _, simulation = crashing(0.0, 1)
    simulation.kill("mind")
    simulation.run(5 * NS_PER_S)
    assert [type(event) for event in mind.restored] == [SignalRaised] * 3
    assert simulation.counts.kills == 1


@pytest.mark.parametrize("can_lose_tail", [True, False])
def test_the_power_takes_what_was_not_forced_to_the_disk_and_no_more(can_lose_tail: bool) -> None:
    lost: set[int] = set()
    for seed in range(30):
        mind = Ear(SignalRaised, CancelRequested)
        durable = CancelRequested(
            at_ns=0,
            account=ACCOUNT,
            session=signal().session,
            instrument=signal().instrument,
            order_id=cancel(0).order_id,
        )
        everybody = [process("mind", mind, is_mortal=True, can_lose_tail=can_lose_tail)]
        simulation = Simulation(everybody, Faults(tail_loss_probability=SURE), seed)
        for event in (signal("a"), durable, signal("b"), signal("c")):
            simulation.tell("mind", event)
        simulation.kill("mind")
        lost.add(4 - len(simulation.journal("mind")))
    assert lost == ({0, 1, 2} if can_lose_tail else {0})


def test_a_process_that_stands_still_is_told_everything_afterwards_in_order() -> None:
    ear = Ear(QuoteReceived)
    everybody = [process("feed"), process("ear", ear, is_mortal=True)]
    simulation = Simulation(everybody, Faults(pause_ns_max=NS_PER_S), seed=1)
    simulation.pause("ear")
    ear.wake_at_ns = BEGIN_NS + 1
    for event in quotes(10):
        simulation.publish("feed", event)
        simulation.run(NS_PER_MS)
    assert ear.heard == []
    simulation.run(5 * NS_PER_S)
    assert numbers(ear) == list(range(10))
    assert (simulation.counts.pauses, simulation.counts.kept_waiting) == (1, 10)
    assert len(set(ear.at_ns)) == 1, "all at the moment it went on, its own deadline first"


def test_a_process_cut_off_hears_nothing_and_is_told_so_before_it_is_back() -> None:
    ear = Ear(QuoteReceived, LinkChanged)
    everybody = [process("feed"), process("ear", ear, is_mortal=True)]
    faults = Faults(cut_ns_max=NS_PER_MS, notice_ns_max=NS_PER_S)
    simulation = Simulation(everybody, faults, seed=1)
    simulation.cut("ear")
    simulation.publish("feed", quote())
    simulation.run(5 * NS_PER_S)
    assert [getattr(event, "is_up", None) for event in ear.heard] == [False, True]
    assert simulation.counts.lost_by_cut == 1


def test_clocks_differ_by_no_more_than_allowed() -> None:
    names = [f"p{number}" for number in range(20)]
    ears = {name: Ear(QuoteReceived) for name in names}
    everybody = [process(name, ear, is_mortal=True) for name, ear in ears.items()]
    most_ns = 50 * NS_PER_MS
    simulation = Simulation(everybody, Faults(clock_offset_ns_max=most_ns), seed=1)
    for name in names:
        simulation.tell(name, quote())
    offsets = {ear.at_ns[0] - BEGIN_NS for ear in ears.values()}
    assert len(offsets) == simulation.counts.clocks_off == 20
    assert max(map(abs, offsets)) <= most_ns


def test_a_deadline_comes_at_its_time_by_the_clock_of_its_process() -> None:
    ear = Ear(QuoteReceived)
    everybody = [process("ear", ear, is_mortal=True)]
    simulation = Simulation(everybody, Faults(clock_offset_ns_max=NS_PER_S), seed=1)
    ear.wake_at_ns = BEGIN_NS + 10 * NS_PER_S
    simulation.tell("ear", quote())
    simulation.run(20 * NS_PER_S)
    assert ear.at_ns[1] == BEGIN_NS + 10 * NS_PER_S


def test_a_question_is_answered_by_the_report_of_the_process_asked() -> None:
    asking = Ear(QuoteReceived, HaltRequested, answers=[])
    asking.answers = [BookWanted(at_ns=0, account=ACCOUNT)]
    everybody = [
        process("asking", asking, queries={BookWanted: "asked"}),
        process("asked", Ear()),
    ]
    simulation = Simulation(everybody, Faults(), seed=1)
    simulation.tell("asking", quote())
    asking.answers = []
    simulation.run(NS_PER_S)
    [_, answer] = asking.heard
    assert isinstance(answer, HaltRequested)
    assert answer.reason == "I am the report"


def test_an_adapter_acts_at_once_and_what_it_posts_back_is_told_next() -> None:
    mind, venue = Ear(QuoteReceived, LinkChanged), Ear(CancelPlaced)

    def act(event: Event, now_ns: int) -> Acted:
        mind.answers = []
        return (event,), (LinkChanged(at_ns=now_ns, is_up=True),)

    mind.answers = [cancel(1), cancel(2)]
    body = Body(cores=(mind,), act=act)
    everybody = [
        Process(name="mind", make=lambda _: body, is_mortal=False),
        process("venue", venue),
    ]
    simulation = Simulation(everybody, Faults(), seed=1)
    simulation.tell("mind", quote())
    simulation.run(NS_PER_S)
    assert [type(event) for event in mind.heard] == [QuoteReceived, LinkChanged, LinkChanged]
    assert [event.at_ns for event in venue.heard] == [1, 2]


def test_health_comes_each_second_with_the_boot_id_of_the_life_it_is_of() -> None:
    ear = Ear(HealthReported)
    everybody = [
        process("ear", ear),
        process("heart", Ear(), has_health=True, is_mortal=True),
    ]
    simulation = Simulation(everybody, Faults(down_ns_max=1), seed=1)
    simulation.run(2 * NS_PER_S + NS_PER_MS)
    simulation.kill("heart")
    simulation.run(NS_PER_S)
    boots = [event.boot_id for event in ear.heard if isinstance(event, HealthReported)]
    assert boots == [BootId("heart-1")] * 3 + [BootId("heart-2")]


def test_healing_ends_every_trouble_and_lets_none_begin() -> None:
    ear = Ear(QuoteReceived)
    everybody = [process("feed"), process("ear", ear, is_mortal=True)]
    faults = Faults(
        loss_probability=SURE, kills_per_s=5.0, cuts_per_s=5.0, pauses_per_s=5.0, down_ns_max=10**12
    )
    simulation = Simulation(everybody, faults, seed=1)
    simulation.run(NS_PER_S)
    simulation.heal()
    before = (simulation.counts.kills, simulation.counts.cuts, simulation.counts.pauses)
    simulation.publish("feed", quote())
    simulation.run(10 * NS_PER_S)
    assert len(ear.heard) == 1
    assert (simulation.counts.kills, simulation.counts.cuts, simulation.counts.pauses) == before


def test_chance_for_one_purpose_does_not_move_chance_for_another() -> None:
    traces: list[list[tuple[int, str]]] = []
    for repeat_probability in (0.0, 0.5):
        seen: list[tuple[int, str]] = []
        faults = Faults(loss_probability=0.3, repeat_probability=repeat_probability)
        everybody = [process("feed"), process("ear", Ear(QuoteReceived))]
        simulation = Simulation(everybody, faults, seed=1, observers=[partial(_note, seen)])
        for event in quotes(100):
            simulation.publish("feed", event)
            simulation.run(NS_PER_S)
        traces.append(list(dict.fromkeys(seen)))
    assert [number for number, _ in traces[0]] == [number for number, _ in traces[1]]


def _note(seen: list[tuple[int, str]], moment: Moment) -> None:
    if not moment.is_said:
        seen.append((moment.event.at_ns, moment.process))


def _venue_link(is_up: bool, now_ns: int) -> Event:
    return VenueLinkChanged(at_ns=now_ns, is_up=is_up)
