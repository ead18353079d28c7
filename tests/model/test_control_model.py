"""The control protocol holds in every reachable state; with any one safeguard gone, it does not."""

import pytest

from tests.model.checker import Verdict, check
from tests.model.control_model import Bounds, Protocol, control_model

SMALL = Bounds(clock_max=3, log_max=3, halts_max=2, heard_max=2)
SMALLER = SMALL._replace(heard_max=1)
WHOLE = Bounds(clock_max=4, log_max=4, halts_max=2, heard_max=2)

MUTANTS = {
    "M1 the executor ignores the epoch": (Protocol(checks_epoch=False), "I1"),
    "M2 a start does not count halts": (Protocol(counts_halts=False), "I4"),
    "M3 a lease runs from its receipt": (Protocol(lease_runs_from_asking=False), "I6"),
    "M4 there are no leases": (Protocol(leases=False), "I6"),
    "M5 a start grants the first lease": (Protocol(start_grants_lease=True), "I6"),
    "M6 a start is stored without comparing": (Protocol(compares_sequence=False), "I7"),
    "M13 the arbiter forgets the highest sequence": (
        Protocol(log_may_lose_its_tail=True, remembers_sequence=False),
        "I6",
    ),
}


@pytest.mark.req("B-05")
def test_the_whole_protocol_breaks_no_invariant() -> None:
    verdict = check(control_model(Protocol(), SMALL))
    assert verdict == Verdict("", (), 176_712, True)


def test_the_protocol_survives_a_control_log_that_loses_its_tail() -> None:
    verdict = check(control_model(Protocol(log_may_lose_its_tail=True), SMALLER))
    assert verdict == Verdict("", (), 301_802, True)


@pytest.mark.parametrize(("protocol", "invariant"), MUTANTS.values(), ids=MUTANTS)
def test_a_protocol_without_one_safeguard_is_caught(protocol: Protocol, invariant: str) -> None:
    verdict = check(control_model(protocol, SMALL))
    assert verdict.broken == invariant
    assert verdict.trace, "a violation comes with the way to it"


def test_the_shortest_way_to_harm_without_leases_is_a_halt_nobody_delivers() -> None:
    verdict = check(control_model(Protocol(leases=False), SMALL))
    assert sorted(verdict.trace) == [
        "an order of epoch 1 is sent",
        "look and prepare",
        "somebody halts",
        "start of epoch 1",
        "the executor hears the start of epoch 1",
        "the halt is stored",
        "tick",
        "tick",
    ]


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_the_whole_protocol_breaks_no_invariant_within_wider_bounds() -> None:
    verdict = check(control_model(Protocol(), WHOLE))
    assert (verdict.broken, verdict.is_exhausted) == ("", True)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_the_protocol_survives_a_lost_tail_within_wider_bounds() -> None:
    verdict = check(control_model(Protocol(log_may_lose_its_tail=True), SMALL))
    assert (verdict.broken, verdict.is_exhausted) == ("", True)
