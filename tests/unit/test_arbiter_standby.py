"""Several gates, one epoch: the arbiter takes one, the others never arm, tokens only grow."""

import pytest

from schemas.base import BootId
from schemas.control import EpochEnded, EpochStarted, Prepared
from schemas.errors import FieldError
from services.breaker.preparations import Preparations
from services.control import LEASE_NS, ControlGuard
from tests.builders import S_NS
from tests.control_rig import ControlRig, boot, health, only, prepared, start

pytestmark = pytest.mark.req("S-16", "O-04")


def started(*gates: Prepared, rig: ControlRig | None = None) -> EpochStarted:
    """Start, with these gates answering in this order and all others once."""
    rig = rig or ControlRig().ready()
    rig.are_members_up = False
    rig.start_count += 1
    start_id = f"start-{rig.start_count}"
    rig.tell(start(start_id), prepared("strategy", start_id), *gates)
    return only(EpochStarted, rig.tell(prepared("executor", start_id)))


def gate(generation: int, start_id: str = "start-1", *errors: FieldError) -> Prepared:
    return prepared("gate", start_id, generation=generation, errors=errors)


def test_of_two_gates_the_first_to_answer_is_named_in_the_epoch() -> None:
    assert started(gate(2), gate(1)).members["gate"].boot_id == boot("gate", 2)


def test_the_gate_that_is_not_named_never_arms() -> None:
    epoch = started(gate(1), gate(2))
    named, standby = [ControlGuard("gate", boot("gate", n)) for n in (1, 2)]
    said = [each.handle(epoch, 0) for each in (named, standby)]
    assert [len(each) for each in said] == [1, 0], "only who is named asks for a lease"
    assert (named.epoch, standby.epoch, standby.epoch_max) == (1, 0, 1)
    assert standby.permits(1) == "halted"


def test_a_gate_that_cannot_start_yields_to_one_that_can() -> None:
    broken = FieldError(path="gate", found="no book", wanted="a book")
    assert started(gate(1, "start-1", broken), gate(2)).members["gate"].boot_id == boot("gate", 2)


def test_the_same_gate_may_answer_again_with_what_it_knows_now() -> None:
    again = prepared("gate", halts=0, epoch_max=7)
    assert started(gate(1), again).epoch == 8


def test_a_standby_that_tells_its_health_does_not_end_the_epoch() -> None:
    rig = ControlRig().ready()
    started(gate(1), gate(2), rig=rig)
    rig.ask("gate")
    assert rig.tell(health("gate", generation=2)) == []


def test_another_executor_ends_the_epoch_also_while_its_own_goes_on() -> None:
    rig = ControlRig().ready()
    started(gate(1), rig=rig)
    rig.ask("executor")
    said = rig.tell(health("executor", generation=2))
    assert only(EpochEnded, said).reason == "executor restarted"


def test_after_the_gate_died_its_standbys_health_ends_the_epoch() -> None:
    rig = ControlRig().ready()
    started(gate(1), gate(2), rig=rig)
    rig.ask("gate")
    rig.now_ns += LEASE_NS
    assert only(EpochEnded, rig.tell(health("gate", generation=2))).reason == "gate restarted"


def test_a_start_after_the_gate_died_takes_the_standby_with_a_higher_token() -> None:
    rig = ControlRig().ready()
    first = started(gate(1), gate(2), rig=rig)
    rig.now_ns += S_NS
    second = started(gate(2, "start-2"), rig=rig)
    assert second.members["gate"].boot_id == boot("gate", 2)
    assert second.gate_token > first.gate_token


def test_tokens_grow_over_a_restart_of_the_arbiter() -> None:
    rig = ControlRig().ready()
    first = started(gate(1), rig=rig)
    rig.restart()
    rig.ready()
    assert started(gate(2, "start-2"), rig=rig).gate_token > first.gate_token


class TakesTheLast(Preparations):
    """An arbiter that overwrites one gate's answer with another's."""

    def take(self, answer: Prepared) -> bool:
        self._answers.pop(answer.component, None)
        return super().take(answer)


def test_without_the_first_winning_two_answers_of_two_gates_are_mixed_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def named() -> BootId:
        return started(gate(1), gate(2)).members["gate"].boot_id

    assert named() == boot("gate", 1)
    monkeypatch.setattr("services.breaker.starts.Preparations", TakesTheLast)
    assert named() == boot("gate", 2)
