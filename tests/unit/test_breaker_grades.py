"""Graded response (B-08): warn, reduce, flatten, halt; and what users of other systems suffered."""

import pytest

from schemas.base import Event
from schemas.control import (
    BreakerTripped,
    BreakerWarned,
    HaltRequested,
    Response,
)
from schemas.health import AlertRaised, BreakerView
from schemas.restrictions import ALL, FlattenAsked, FlattenRequest, Level, RestrictionRequested
from services.breaker.config import BreakerConfig
from tests.breaker_rig import fill, levels, only
from tests.builders import S_NS, quote
from tests.control_rig import ControlRig, book, breaker_core
from tests.control_rig import only as the

GRADED = only(
    "drawdown", ("0.02", "warn"), ("0.04", "reduce"), ("0.06", "flatten"), ("0.10", "halt")
)


def trading(config: BreakerConfig = GRADED) -> ControlRig:
    """Return a rig with an epoch in force and an account worth 100,000."""
    rig = ControlRig(breaker_core(config)).ready()
    rig.run()
    return rig


def be_worth(rig: ControlRig, cash: str) -> list[Event]:
    rig.tell(book(cash))
    return rig.wait(S_NS)


def responses(said: list[Event]) -> list[str]:
    """Return what was done, in order, by what is said to the system and to people."""
    found: list[str] = []
    for each in said:
        match each:
            case HaltRequested():
                found.append("halt")
            case RestrictionRequested(level=Level.REDUCE, scope=scope):
                found.append(f"reduce {scope}")
            case FlattenAsked():
                found.append("flatten")
            case BreakerTripped(response=response):
                found.append(f"tripped: {response}")
            case BreakerWarned():
                found.append("warned")
            case AlertRaised(severity=severity):
                found.append(f"alert: {severity}")
    return found


def view(rig: ControlRig, name: str = "drawdown") -> BreakerView:
    return next(b for b in rig.core.describe(rig.now_ns).breakers if b.name == name)


@pytest.mark.req("B-08")
def test_each_level_does_its_own_and_the_restriction_or_halt_goes_first() -> None:
    rig = trading()
    assert responses(be_worth(rig, "98000")) == ["warned", "alert: warning"]
    assert responses(be_worth(rig, "96000")) == [
        "reduce all",
        "tripped: reduce",
        "alert: critical",
    ]
    assert responses(be_worth(rig, "94000")) == [
        "reduce all",
        "tripped: flatten",
        "alert: critical",
        "flatten",
    ]
    assert responses(be_worth(rig, "90000"))[:2] == ["halt", "tripped: halt"]


@pytest.mark.req("B-08")
def test_of_several_levels_passed_at_once_the_strictest_alone_is_done() -> None:
    assert responses(be_worth(trading(), "89000"))[:2] == ["halt", "tripped: halt"]


@pytest.mark.req("B-08")
def test_a_flatten_says_who_why_and_what() -> None:
    rig = trading()
    asked = the(FlattenAsked, be_worth(rig, "94000"))
    reason = "equity 94000.00 is -6.00 % from its high of 100000.00; the limit is -6.00 %"
    assert asked.request == FlattenRequest(operator="breaker.drawdown", reason=reason, scope=ALL)


@pytest.mark.req("B-08")
def test_a_flatten_where_nothing_trades_is_a_halt() -> None:
    rig = ControlRig(breaker_core(GRADED)).ready()
    said = be_worth(rig, "94000")
    assert responses(said)[:2] == ["halt", "tripped: halt"]


@pytest.mark.req("B-08")
def test_a_level_that_only_reduces_ends_no_epoch() -> None:
    rig = trading()
    be_worth(rig, "96000")
    found = rig.core.describe(rig.now_ns)
    assert rig.ask().is_granted
    assert not any(isinstance(each, HaltRequested) for each in rig.said)
    assert view(rig).is_tripped
    assert found.epoch == 1


@pytest.mark.req("B-08")
def test_no_level_speaks_twice_however_the_value_jumps_about() -> None:
    """Field note 20: a flood of alerts is as bad as none."""
    rig = trading()
    said: list[Event] = []
    for cash in ("96000", "99000", "95500", "97000", "95900", "98000", "96000"):
        said += be_worth(rig, cash)
    assert responses(said) == ["reduce all", "tripped: reduce", "alert: critical"]


@pytest.mark.req("B-06")
def test_a_restart_keeps_which_level_has_tripped() -> None:
    """Field note 4: a trip that is forgotten at a restart."""
    rig = trading()
    be_worth(rig, "96000")
    rig.restart(config=GRADED)
    assert responses(be_worth(rig, "95000")) == []
    assert [each.since_ns > 0 for each in view(rig).levels] == [False, True, False, False]


@pytest.mark.req("B-06", "B-12")
def test_a_reset_of_the_restriction_measures_anew() -> None:
    """Field note 5: a breaker that cannot be reset, or trips again at once."""
    rig = trading()
    be_worth(rig, "96000")
    assert rig.core.rebases(rig.now_ns) == (
        "drawdown: the high-water mark, 100000.00, becomes 96000.00 (the equity now)",
    )
    number = rig.core.describe(rig.now_ns).halts
    assert rig.reset(number).is_ok
    assert responses(be_worth(rig, "96000")) == []
    assert view(rig).value == "0.00 %"
    assert not view(rig).is_tripped
    assert responses(be_worth(rig, "92160")) == ["reduce all", "tripped: reduce", "alert: critical"]


@pytest.mark.req("B-01", "B-02")
def test_losses_are_of_the_whole_account_unrealised_included_with_a_distance() -> None:
    """Field note 8: a loss limit that means something else than its reader thought."""
    config = BreakerConfig(
        levels={
            "drawdown": levels(("0.10", "halt")),
            "daily_loss": levels(("0.05", "halt")),
        }
    )
    rig = trading(config)
    rig.tell(quote("100", "100"), fill("e1", quantity="100", price="100"))
    rig.wait(S_NS)
    rig.tell(quote("90", "90", at_ns=rig.now_ns))
    rig.wait(S_NS)
    assert view(rig).distance == "9000.00 (9.00 %) to halt at 90000.00"
    assert view(rig, "daily_loss").distance == "4000.00 (4.00 %) to halt at -5.00 %"
    assert view(rig).formula.startswith(
        "equity / high-water mark - 1; equity = cash + what is held"
    )


@pytest.mark.req("B-06")
def test_before_a_reset_each_breaker_says_with_numbers_what_it_will_do() -> None:
    """Field note 6: a reset prompt that nobody understands in a panic."""
    config = BreakerConfig(
        levels={
            "drawdown": levels(("0.05", "halt")),
            "daily_loss": levels(("0.05", "halt")),
        }
    )
    rig = trading(config)
    assert rig.core.rebases(rig.now_ns) == ()
    be_worth(rig, "94000")
    assert rig.core.rebases(rig.now_ns) == (
        "drawdown: the high-water mark, 100000.00, becomes 94000.00 (the equity now)",
        "daily_loss: the day's base, 100000.00, stays; the loss so far (6000.00) is acknowledged, "
        "and what follows counts anew",
    )


@pytest.mark.req("B-06")
def test_while_the_equity_is_unknown_the_prompt_says_so() -> None:
    rig = trading(only("drawdown", ("0.05", "halt")))
    be_worth(rig, "94000")
    rig.restart(config=only("drawdown", ("0.05", "halt")))
    assert rig.core.rebases(rig.now_ns) == (
        "drawdown: the high-water mark, 100000.00, becomes the next known equity",
    )
    assert view(rig).value == "unknown"


@pytest.mark.req("B-08")
def test_a_warning_while_tripped_is_not_said() -> None:
    rig = trading()
    be_worth(rig, "90000")
    assert responses(be_worth(rig, "97000")) == []


def test_responses_are_ordered_mildest_first_on_the_view() -> None:
    found = [each.response for each in view(trading()).levels]
    assert found == [Response.WARN, Response.REDUCE, Response.FLATTEN, Response.HALT]
