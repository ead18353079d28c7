"""Two approvals: two different people, the same start, in time, with nothing halted between."""

import pytest

from schemas.control import EpochStarted, StartRequest
from schemas.errors import FieldError
from services.breaker.approvals import Approvals
from services.breaker.config import BreakerConfig
from tests.builders import S_NS
from tests.control_rig import ControlRig, breaker_core, halt, health, start

pytestmark = pytest.mark.req("B-12", "O-06")


def rig_of_two() -> ControlRig:
    return ControlRig(breaker_core(BreakerConfig(start_approvals=2))).ready()


def is_started(rig: ControlRig, start_id: str, operator: str, **fields: str) -> bool:
    return rig.answer_of(rig.tell(start(start_id, operator, **fields))).is_ok


def test_the_second_approval_is_answered_with_both_names() -> None:
    rig = rig_of_two()
    assert not is_started(rig, "start-1", "kim")
    answer = rig.answer_of(rig.tell(start("start-2", "lee")))
    assert answer.message == "epoch 1 is in force: trading started, asked for by kim and lee"


@pytest.mark.parametrize("spelling", ["Kim", " kim ", "KIM"])
def test_one_person_under_another_spelling_is_still_one(spelling: str) -> None:
    rig = rig_of_two()
    assert not is_started(rig, "start-1", "kim")
    assert not is_started(rig, "start-2", spelling)


def test_the_reasons_of_the_two_may_differ() -> None:
    rig = rig_of_two()
    assert not is_started(rig, "start-1", "kim", reason="open")
    assert is_started(rig, "start-2", "lee", reason="I agree")


def test_an_approval_is_good_just_short_of_its_window() -> None:
    rig = rig_of_two()
    rig.tell(start("start-1", "kim"))
    rig.now_ns += 300 * S_NS - 1
    rig.tell(health("recorder"))
    assert is_started(rig, "start-2", "lee")


def test_two_approvals_start_once_and_a_third_person_begins_anew() -> None:
    rig = rig_of_two()
    rig.tell(start("start-1", "kim"), start("start-2", "lee"))
    assert not is_started(rig, "start-3", "max")
    assert len([e for e in rig.said if isinstance(e, EpochStarted)]) == 1


def approved_over_a_halt() -> bool:
    """The first approves, everything is halted and reset by somebody else, the second approves."""
    rig = rig_of_two()
    rig.tell(start("start-1", "kim"), halt())
    assert rig.reset(1).is_ok
    return is_started(rig, "start-2", "lee")


class Forgiving(Approvals):
    """Approvals that outlive a halt."""

    def complaint(self, request: StartRequest, halts: int, now_ns: int) -> FieldError | None:
        return super().complaint(request, 0, now_ns)


def test_without_the_number_of_the_halt_an_approval_outlives_what_its_giver_never_saw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not approved_over_a_halt()
    monkeypatch.setattr("services.breaker.starts.Approvals", Forgiving)
    assert approved_over_a_halt()


def test_after_a_restart_of_the_arbiter_both_must_ask_again() -> None:
    rig = rig_of_two()
    rig.tell(start("start-1", "kim"))
    rig.restart(config=BreakerConfig(start_approvals=2))
    rig.ready()
    assert not is_started(rig, "start-2", "lee")
