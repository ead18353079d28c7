"""Several gates and locks hold in every reachable state; with any one safeguard gone, not."""

import pytest

from tests.model.checker import check
from tests.model.standby_model import Bounds, Protocol, standby_model

SMALL = Bounds(epoch_max=3, locks_max=1, restarts_max=1)
WHOLE = Bounds(epoch_max=4, locks_max=2, restarts_max=2)

MUTANTS = {
    "M20 an epoch names no gate": (Protocol(names_one_gate=False), "A1"),
    "M21 the executor does not check the token": (Protocol(executor_checks_token=False), "I5"),
    "M22 the executor forgets its token": (Protocol(executor_keeps_token=False), "I5"),
    "M23 the arbiter forgets its epoch": (Protocol(arbiter_keeps_epoch=False), "I12"),
    "M24 a lock does not refuse a start": (Protocol(lock_refuses_start=False), "L1"),
    "M25 an unlock names nothing": (Protocol(unlock_names_the_newest=False), "L2"),
}


@pytest.mark.req("S-16", "O-04")
def test_several_gates_and_locks_hold_in_every_reachable_state() -> None:
    verdict = check(standby_model(Protocol(), SMALL))
    assert (verdict.broken, verdict.is_exhausted) == ("", True)
    assert verdict.state_count > 5_000, "a model this small has left something out"


@pytest.mark.parametrize(("protocol", "invariant"), MUTANTS.values(), ids=MUTANTS)
def test_several_gates_without_one_safeguard_are_caught(protocol: Protocol, invariant: str) -> None:
    verdict = check(standby_model(protocol, SMALL))
    assert verdict.broken == invariant
    assert verdict.trace, "a violation comes with the way to it"


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_several_gates_and_locks_hold_within_wider_bounds() -> None:
    verdict = check(standby_model(Protocol(), WHOLE))
    assert (verdict.broken, verdict.is_exhausted) == ("", True)
