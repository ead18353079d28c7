"""Restrictions hold in every reachable state; with any one safeguard gone, they do not."""

import pytest

from tests.model.checker import check
from tests.model.restrictions_model import Bounds, Protocol, restrictions_model

SMALL = Bounds(clock_max=2, log_max=3, restrictions_max=2, heard_max=1)
WHOLE = Bounds(clock_max=3, log_max=3, restrictions_max=2, heard_max=2)

MUTANTS = {
    "M14 an epoch carries no restrictions": (Protocol(epoch_carries=False), "R2"),
    "M15 a lease carries no restrictions": (Protocol(lease_carries=False), "R6"),
    "M16 a lease takes a restriction away": (Protocol(lease_only_adds=False), "R1"),
    "M17 what was heard after preparing is lost": (Protocol(keeps_heard=False), "R4"),
    "M18 leases are given without reading on": (Protocol(follows_records=False), "R6"),
    "M19 a reset does not look first": (Protocol(reset_reads=False), "R7"),
}


@pytest.mark.req("G-09", "O-05")
def test_restrictions_hold_in_every_reachable_state() -> None:
    verdict = check(restrictions_model(Protocol(), SMALL))
    assert (verdict.broken, verdict.is_exhausted) == ("", True)
    assert verdict.state_count > 5_000, "a model this small has left something out"


@pytest.mark.parametrize(("protocol", "invariant"), MUTANTS.values(), ids=MUTANTS)
def test_restrictions_without_one_safeguard_are_caught(protocol: Protocol, invariant: str) -> None:
    verdict = check(restrictions_model(protocol, SMALL))
    assert verdict.broken == invariant
    assert verdict.trace, "a violation comes with the way to it"


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_restrictions_hold_within_wider_bounds() -> None:
    verdict = check(restrictions_model(Protocol(), WHOLE), state_count_max=8_000_000)
    assert (verdict.broken, verdict.is_exhausted) == ("", True)
