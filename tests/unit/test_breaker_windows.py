"""Counting breakers: what is distinct counts, for exactly as long as the window, over restarts."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.base import Event
from schemas.breakers import BreakerCounted
from schemas.control import BreakerTripped, BreakerWarned, HaltRequested
from schemas.health import AlertRaised, BreakerView, Severity
from schemas.restrictions import LockRequested
from services.breaker import counting
from services.breaker.config import BreakerConfig
from services.breaker.counting import Counting
from tests.breaker_rig import alert, only, rejected, submitted, unanswered, unreadable
from tests.builders import MS_NS, S_NS
from tests.control_rig import ControlRig, breaker_core, halt, kinds
from tests.control_rig import only as the

MINUTE_NS = 60 * S_NS


def rig_of(config: BreakerConfig) -> ControlRig:
    return ControlRig(breaker_core(config))


def order_rate(limit: int = 3) -> ControlRig:
    return rig_of(only("order_rate", (str(limit), "halt")))


def view(rig: ControlRig, name: str = "order_rate") -> BreakerView:
    return next(b for b in rig.core.describe(rig.now_ns).breakers if b.name == name)


def halts(said: list[Event]) -> list[HaltRequested]:
    return [each for each in said if isinstance(each, HaltRequested)]


@pytest.mark.req("B-03")
def test_the_order_that_reaches_the_limit_halts_everything() -> None:
    rig = order_rate()
    assert kinds(rig.tell(submitted("a"), submitted("b"))) == ["BreakerCounted"] * 2
    said = rig.tell(submitted("c"))
    assert kinds(said)[:3] == ["BreakerCounted", "HaltRequested", "BreakerTripped"]
    assert halts(said)[0].operator == "breaker.order_rate"
    assert halts(said)[0].reason == (
        "3 orders sent in 60 s, newest: buy 10 sim:ALPHA of s1; the limit is 3"
    )


@pytest.mark.req("B-03")
def test_an_order_told_twice_counts_once() -> None:
    rig = order_rate()
    assert halts(rig.tell(*(submitted("a") for _ in range(10)))) == []
    assert view(rig).value == "1"


@pytest.mark.req("B-03")
@pytest.mark.parametrize(
    ("age_ns", "is_inside"), [(MINUTE_NS - 1, True), (MINUTE_NS, False), (MINUTE_NS + 1, False)]
)
def test_an_entry_leaves_the_window_at_the_nanosecond(age_ns: int, is_inside: bool) -> None:
    rig = order_rate()
    rig.tell(submitted("a"), submitted("b"))
    rig.now_ns += age_ns
    assert view(rig).value == ("2" if is_inside else "0")
    assert bool(halts(rig.tell(submitted("c")))) is is_inside


@pytest.mark.req("B-03")
def test_a_repeat_does_not_keep_an_order_in_the_window_for_longer() -> None:
    rig = order_rate()
    rig.tell(submitted("a"))
    rig.now_ns += MINUTE_NS // 2
    assert rig.tell(submitted("a")) == []
    rig.now_ns += MINUTE_NS // 2
    assert view(rig).value == "0"


@pytest.mark.req("B-03", "B-06")
def test_a_restart_counts_for_each_breaker_only_what_was_its_own() -> None:
    config = BreakerConfig(error_count_max=3)
    rig = rig_of(config)
    rig.tell(submitted("a"), submitted("b"), rejected("a"))
    rig.restart(config=config)
    assert [view(rig, name).value for name in ("order_rate", "order_errors")] == ["2", "1"]


def test_a_window_holds_no_more_than_its_most_and_lets_the_oldest_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counting, "KEPT_MAX", 3)
    rig = rig_of(only("order_rate"))
    rig.tell(*(submitted(each) for each in "abcde"))
    breaker = rig.core._panel.breakers["order_rate"]
    assert isinstance(breaker, Counting)
    assert list(breaker.entries) == ["c", "d", "e"]


@pytest.mark.req("B-03")
def test_the_same_order_told_again_after_the_window_counts_again() -> None:
    rig = order_rate()
    rig.tell(submitted("a"))
    rig.now_ns += MINUTE_NS
    rig.tell(submitted("a"))
    assert view(rig).value == "1"


@pytest.mark.req("B-03")
def test_an_order_that_counts_again_is_the_newest() -> None:
    rig = order_rate()
    for name in "aba":
        rig.tell(submitted(name))
        rig.now_ns += MINUTE_NS // 2
    assert view(rig).value == "1"


@pytest.mark.req("B-03")
def test_a_trip_is_one_halt_however_many_orders_follow() -> None:
    rig = order_rate()
    said = rig.tell(*(submitted(f"o{number}") for number in range(50)))
    assert len(halts(said)) == 1


@pytest.mark.req("B-03")
def test_time_alone_clears_no_trip() -> None:
    rig = order_rate()
    rig.tell(*(submitted(each) for each in "abc"))
    rig.wait(10 * MINUTE_NS)
    found = rig.core.describe(rig.now_ns)
    assert (view(rig).value, view(rig).is_tripped, found.halts) == ("0", True, 1)


@pytest.mark.req("B-03")
def test_the_window_can_be_another() -> None:
    rig = rig_of(only("order_rate", ("2", "halt"), order_window_s=1))
    rig.tell(submitted("a"))
    rig.now_ns += 1 * S_NS
    assert halts(rig.tell(submitted("b"))) == []


@pytest.mark.req("B-03", "B-06")
@pytest.mark.parametrize("cut", range(4))
def test_a_restart_keeps_the_window_and_time_goes_on_in_it(cut: int) -> None:
    config = only("order_rate", ("4", "halt"))
    rig = rig_of(config)
    for at, name in enumerate("abc"):
        if at == cut:
            rig.restart(config=config)
        rig.tell(submitted(name))
        rig.now_ns += 10 * S_NS
    if cut == 3:
        rig.restart(config=config)
    assert view(rig).value == "3"
    rig.now_ns = S_NS + MINUTE_NS  # the first one is out, the others are not
    assert view(rig).value == "2"
    assert halts(rig.tell(submitted("d"))) == []
    assert len(halts(rig.tell(submitted("e")))) == 1


@pytest.mark.req("B-06")
def test_a_window_that_is_long_over_does_not_trip_again_after_a_restart() -> None:
    config = only("order_rate", ("3", "halt"))
    rig = rig_of(config)
    rig.tell(submitted("a"), submitted("b"))
    rig.now_ns += 3_600 * S_NS
    rig.restart(config=config)
    assert halts(rig.tell(submitted("c"))) == []


@pytest.mark.req("B-04", "B-06")
def test_a_reset_after_a_trip_empties_the_window_and_says_so_before() -> None:
    rig = order_rate()
    rig.tell(*(submitted(each) for each in "abc"))
    assert view(rig).on_reset == "the window is emptied: counting begins anew"
    assert rig.reset(1).is_ok
    assert (view(rig).value, view(rig).is_tripped) == ("0", False)
    assert halts(rig.tell(submitted("d"), submitted("e"))) == []
    assert len(halts(rig.tell(submitted("f")))) == 1


@pytest.mark.req("B-06")
def test_a_reset_of_another_halt_leaves_the_window() -> None:
    rig = order_rate()
    rig.tell(submitted("a"), submitted("b"), halt())
    rig.reset(1)
    assert view(rig).value == "2"


@pytest.mark.req("B-04")
@pytest.mark.parametrize(
    ("breaker", "events"),
    [
        ("order_errors", [rejected("a"), rejected("b")]),
        ("broker_errors", [unanswered("a"), alert("SLU-130", "executor")]),
        ("data_errors", [alert("SLU-110"), alert("SLU-112")]),
        ("data_errors", [unreadable("gate", at_ns=1), unreadable("gate", at_ns=2)]),
        ("reconciliation", [alert("SLU-131", "executor"), alert("SLU-131", "executor", at_ns=9)]),
    ],
    ids=["orders", "broker", "data alerts", "unreadable data", "mismatches"],
)
def test_errors_of_each_kind_trip_their_own_breaker(breaker: str, events: list[Event]) -> None:
    rig = rig_of(only(breaker, ("2", "halt")))
    assert halts(rig.tell(events[0])) == []
    [said] = halts(rig.tell(events[1]))
    assert said.operator == f"breaker.{breaker}"


@pytest.mark.req("B-04")
def test_of_what_it_counts_the_newest_is_named() -> None:
    rig = rig_of(only("order_errors", ("3", "halt")))
    said = rig.tell(*(rejected(name, f"no {name}") for name in "abc"))
    assert halts(said)[0].reason == (
        "3 orders rejected by the venue in 60 s, newest: sim:ALPHA: no c; the limit is 3"
    )
    assert view(rig, "order_errors").inputs["newest"] == "sim:ALPHA: no c"


@pytest.mark.req("B-04")
def test_errors_of_one_kind_count_for_no_other() -> None:
    rig = rig_of(BreakerConfig(error_count_max=3))
    events: list[Event] = []
    for name in "ab":
        events += [rejected(name), unanswered(name), alert("SLU-112", at_ns=ord(name))]
    assert halts(rig.tell(*events)) == []
    values = [view(rig, f"{kind}_errors").value for kind in ("order", "broker", "data")]
    assert values == ["2", "2", "2"]


@pytest.mark.req("B-04")
def test_an_alert_repeated_by_the_bus_counts_once() -> None:
    rig = rig_of(only("data_errors", ("2", "halt")))
    once = alert("SLU-112", seq=7)
    assert halts(rig.tell(once, once, once)) == []


@pytest.mark.req("B-04")
def test_one_unreadable_message_reported_by_every_reader_counts_once() -> None:
    rig = rig_of(only("data_errors", ("2", "halt")))
    readers = ("gate", "strategy", "breaker", "executor")
    assert halts(rig.tell(*(unreadable(name, at_ns=1) for name in readers))) == []
    assert view(rig, "data_errors").value == "1"


@pytest.mark.req("B-04")
@pytest.mark.parametrize("place", [0, 3])
def test_unreadable_messages_count_by_the_reader_that_saw_most_beside_the_alerts(
    place: int,
) -> None:
    rig = rig_of(only("data_errors", ("9", "halt")))
    seen = [("gate", 1), ("gate", 2), ("strategy", 2)]
    told: list[Event] = [unreadable(name, at_ns=at_ns) for name, at_ns in seen]
    told.insert(place, alert("SLU-112"))
    rig.tell(*told)
    assert view(rig, "data_errors").value == "3"
    rig.now_ns += MINUTE_NS
    assert view(rig, "data_errors").value == "0"


ALERT = alert("SLU-131", "executor")
LOCK = LockRequested(at_ns=0, component="executor", code="SLU-131", reason="cash differs")
UNREADABLE = unreadable("gate", at_ns=1)


@pytest.mark.req("B-04")
@pytest.mark.parametrize(
    ("breaker", "event", "fields"),
    [
        ("reconciliation", ALERT, {"message": "cash differs"}),
        ("reconciliation", ALERT, {"component": "console"}),
        ("reconciliation", ALERT, {"src": "executor-2"}),
        ("reconciliation", alert("SLU-131", "executor", seq=1), {"seq": 2}),
        ("reconciliation", LOCK, {"component": "console"}),
        ("reconciliation", LOCK, {"src": "executor-2"}),
        ("data_errors", UNREADABLE, {"src": "gate-2"}),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else None,
)
def test_two_that_differ_in_one_thing_are_two(
    breaker: str, event: Event, fields: dict[str, Any]
) -> None:
    rig = rig_of(only(breaker, ("9", "halt")))
    rig.tell(event, msgspec.structs.replace(event, **fields), event)
    assert view(rig, breaker).value == "2"


@pytest.mark.req("B-04")
def test_unreadable_messages_that_are_no_market_data_are_no_data_errors() -> None:
    rig = rig_of(only("data_errors", ("1", "halt")))
    assert halts(rig.tell(unreadable("gate", at_ns=1, subject="signal.s1.ALPHA"))) == []


@pytest.mark.req("B-04", "S-16")
def test_a_lock_for_a_mismatch_is_a_mismatch_even_if_its_alert_was_lost() -> None:
    rig = rig_of(only("reconciliation", ("1", "halt")))
    lock = LockRequested(at_ns=0, component="executor", code="SLU-131", reason="cash differs")
    rig.tell(halt("books differ", "executor"))
    assert len(halts(rig.tell(lock))) == 1


@pytest.mark.req("B-08")
def test_a_warning_says_so_once_an_hour_and_halts_nothing() -> None:
    rig = rig_of(only("order_rate", ("2", "warn"), ("100", "halt"), order_window_s=7_200))
    said = rig.tell(submitted("a"), submitted("b"), submitted("c"), submitted("d"))
    assert kinds(said) == [
        *["BreakerCounted"] * 2,
        "BreakerWarned",
        "AlertRaised",
        *["BreakerCounted"] * 2,
    ]
    assert the(BreakerWarned, said) == BreakerWarned(
        at_ns=S_NS,
        breaker="order_rate",
        reason="2 orders sent in 7200 s, newest: buy 10 sim:ALPHA of s1; the limit is 2",
        value="2",
        limit="2",
    )
    assert the(AlertRaised, said).code == "SLU-190"
    rig.now_ns += 3_600 * S_NS - 1
    assert kinds(rig.tell(submitted("e"))) == ["BreakerCounted"]
    rig.now_ns += 1
    assert kinds(rig.tell(submitted("f")))[1:] == ["BreakerWarned", "AlertRaised"]


@pytest.mark.req("B-08")
def test_a_restart_does_not_warn_again() -> None:
    config = only("order_rate", ("1", "warn"))
    rig = rig_of(config)
    rig.tell(submitted("a"))
    rig.restart(config=config)
    assert kinds(rig.tell(submitted("b"))) == ["BreakerCounted"]


@pytest.mark.req("B-03")
def test_the_view_shows_window_newest_distance_and_when_the_oldest_leaves() -> None:
    rig = order_rate(5)
    rig.tell(submitted("a"))
    rig.now_ns += 500 * MS_NS
    rig.tell(submitted("b"))
    found = view(rig)
    assert (found.value, found.limit, found.unit) == ("2", "5", "orders in order_window_s")
    assert found.distance == "3 to halt at 5"
    assert found.inputs == {
        "window": "60 s",
        "newest": "buy 10 sim:ALPHA of s1",
        "oldest leaves in": "59.5 s",
    }


@pytest.mark.req("B-03")
def test_a_breaker_without_a_level_counts_and_does_nothing() -> None:
    rig = rig_of(only("order_rate"))
    assert halts(rig.tell(*(submitted(f"o{n}") for n in range(500)))) == []
    assert (view(rig).value, view(rig).limit) == (
        "500",
        "none is set: it watches and does nothing",
    )


def test_what_left_the_window_is_let_go_of() -> None:
    rig = rig_of(only("order_rate"))
    for number in range(100):
        rig.tell(submitted(f"o{number}"))
        rig.now_ns += 2 * S_NS
    breaker = rig.core._panel.breakers["order_rate"]
    assert isinstance(breaker, Counting)
    assert len(breaker.entries) <= 31


@pytest.mark.req("B-06")
def test_without_kept_entries_a_restart_widens_the_limit() -> None:
    """Ablation: the harm of field note 4, seen when the entries are left out of the journal."""
    config = only("order_rate", ("3", "halt"))
    rig = rig_of(config)
    rig.tell(submitted("a"), submitted("b"))
    rig.kept = [each for each in rig.kept if not isinstance(each, BreakerCounted)]
    rig.restart(config=config)
    assert halts(rig.tell(submitted("c"))) == []


@pytest.mark.req("B-04")
def test_a_trip_says_which_breaker_value_and_limit() -> None:
    rig = rig_of(only("order_errors", ("2", "halt")))
    said = rig.tell(rejected("a"), rejected("b", reason="price band"))
    tripped = the(BreakerTripped, said)
    assert (tripped.breaker, tripped.value, tripped.limit) == ("order_errors", "2", "2")
    assert "sim:ALPHA: price band" in tripped.reason
    raised = the(AlertRaised, said)
    assert (raised.code, raised.severity) == ("SLU-150", Severity.CRITICAL)
    assert Decimal(raised.fields["value"]) == 2
