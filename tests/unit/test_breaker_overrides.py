"""A person may put other levels in the place of a breaker's own: with a reason, on record."""

from pathlib import Path

import pytest

from schemas.base import Event
from schemas.breakers import BreakerAsked, BreakerLevelsChanged, BreakerRequest
from schemas.control import BreakerTripped, ControlAnswered, HaltRequested
from schemas.health import AlertRaised
from services.breaker.manual import BEGIN, END, drawn
from tests.breaker_rig import levels, only, submitted
from tests.builders import S_NS
from tests.control_rig import ControlRig, breaker_core, kinds
from tests.control_rig import only as the

pytestmark = pytest.mark.req("B-12", "O-06")
RUNBOOK = Path(__file__).parents[2] / "ops" / "runbooks" / "breaker-tripped.md"


def rig(limit: str = "3") -> ControlRig:
    return ControlRig(breaker_core(only("order_rate", (limit, "halt"))))


def ask(
    *steps: tuple[str, str],
    breaker: str = "order_rate",
    operator: str = "kim",
    reason: str = "a busy open",
) -> BreakerAsked:
    request = BreakerRequest(
        operator=operator, reason=reason, breaker=breaker, levels=levels(*steps)
    )
    return BreakerAsked(at_ns=0, request_id="r1", request=request)


def limit_of(found: ControlRig) -> str:
    views = found.core.describe(found.now_ns).breakers
    return next(each.limit for each in views if each.name == "order_rate")


def halts(said: list[Event]) -> int:
    return sum(isinstance(each, HaltRequested) for each in said)


def test_a_change_is_kept_answered_and_alerted_with_who_and_why() -> None:
    said = rig().tell(ask(("4", "warn"), ("5", "halt")))
    assert kinds(said) == ["BreakerLevelsChanged", "ControlAnswered", "AlertRaised"]
    assert the(BreakerLevelsChanged, said) == BreakerLevelsChanged(
        at_ns=S_NS,
        breaker="order_rate",
        levels=levels(("4", "warn"), ("5", "halt")),
        previous=levels(("3", "halt")),
        operator="kim",
        reason="a busy open",
    )
    assert the(ControlAnswered, said) == ControlAnswered(
        at_ns=S_NS,
        request_id="r1",
        request="breaker",
        is_ok=True,
        message="breaker order_rate: warn at 4, halt at 5; before: halt at 3",
    )
    assert the(AlertRaised, said).code == "SLU-191"


def test_the_new_level_holds_at_once_and_after_a_restart() -> None:
    found = rig()
    found.tell(ask(("5", "halt")))
    found.restart(config=only("order_rate", ("3", "halt")))
    assert limit_of(found) == "5"
    assert halts(found.tell(*(submitted(each) for each in "abcd"))) == 0
    assert halts(found.tell(submitted("e"))) == 1


def test_a_value_that_is_past_the_new_level_trips_in_the_same_step() -> None:
    found = rig("10")
    found.tell(*(submitted(each) for each in "abc"))
    said = found.tell(ask(("3", "halt")))
    assert the(BreakerTripped, said).limit == "3"
    assert halts(said) == 1


def test_a_change_clears_no_trip() -> None:
    found = rig()
    found.tell(*(submitted(each) for each in "abc"))
    found.tell(ask(("50", "halt")))
    views = {each.name: each for each in found.core.describe(found.now_ns).breakers}
    assert views["order_rate"].is_tripped
    assert found.core.describe(found.now_ns).halts == 1


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        (ask(("5", "halt"), operator=" "), "$.operator"),
        (ask(("5", "halt"), reason=""), "$.reason"),
        (ask(("5", "halt"), breaker="order_rte"), "$.breaker"),
        (ask(("0", "halt")), "$.levels[0].at"),
        (ask(("5", "halt"), ("6", "warn")), "$.levels"),
        (ask(("1.5", "halt"), breaker="drawdown"), "$.levels[0].at"),
    ],
    ids=["nobody", "no reason", "no such breaker", "zero", "wrong order", "no fraction"],
)
def test_a_change_that_is_not_right_changes_nothing_and_says_what(
    asked: BreakerAsked, path: str
) -> None:
    found = rig()
    said = found.tell(asked)
    assert kinds(said) == ["ControlAnswered"]
    answer = the(ControlAnswered, said)
    assert (answer.is_ok, answer.errors[0].path) == (False, path)
    assert all(each.wanted for each in answer.errors)
    assert limit_of(found) == "3"


def test_the_runbook_says_what_the_table_says(request: pytest.FixtureRequest) -> None:
    text = RUNBOOK.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    wanted = f"{before}{drawn()}{after}"
    if request.config.getoption("--rewrite"):
        RUNBOOK.write_text(wanted)
    else:
        assert text == wanted
