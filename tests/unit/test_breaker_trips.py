"""A trip silences its level until the reset of what went out with it, and nothing else does."""

from collections.abc import Sequence

import msgspec
import pytest

from schemas.base import Event
from schemas.breakers import BreakerAsked, BreakerRequest, LevelSetting
from schemas.control import BreakerState, BreakerTripped, HighWaterMarkSet, Response
from schemas.health import ArbiterReported, BreakerView, LevelView
from schemas.restrictions import Level, RestrictionRequested, RestrictionsChanged
from services.breaker.breaker import Breaker
from services.breaker.config import BreakerConfig
from services.breaker.panel import Panel
from services.breaker.table import ABOUT
from tests.breaker_rig import levels, only
from tests.builders import S_NS, dec, quote
from tests.control_rig import ControlRig, book, breaker_core, halt, health, own, restriction

FLATTEN = only("drawdown", ("0.06", "flatten"))
REDUCE = only("drawdown", ("0.04", "reduce"))
BOTH = only("drawdown", ("0.04", "reduce"), ("0.10", "halt"))


def halted(config: BreakerConfig) -> ControlRig:
    """Return a rig with an account worth 100,000 and no epoch in force."""
    return ControlRig(breaker_core(config)).ready()


def trading(config: BreakerConfig) -> ControlRig:
    rig = halted(config)
    rig.run()
    return rig


def be_worth(rig: ControlRig, cash: str) -> list[Event]:
    rig.tell(book(cash))
    return rig.wait(S_NS)


def trips(said: Sequence[Event]) -> list[tuple[str, Response]]:
    return [(e.limit, e.response) for e in said if isinstance(e, BreakerTripped)]


def report(rig: ControlRig) -> ArbiterReported:
    return rig.core.describe(rig.now_ns)


def view(rig: ControlRig, name: str = "drawdown") -> BreakerView:
    return next(each for each in report(rig).breakers if each.name == name)


def marks(said: Sequence[Event]) -> list[HighWaterMarkSet]:
    return [each for each in said if isinstance(each, HighWaterMarkSet)]


def change(*steps: tuple[str, str], breaker: str = "drawdown") -> BreakerAsked:
    request = BreakerRequest(
        operator="kim", reason="nerves", breaker=breaker, levels=levels(*steps)
    )
    return BreakerAsked(at_ns=0, request_id="r1", request=request)


def lag(ms: float) -> Event:
    return msgspec.structs.replace(health("gate"), lag_ms=ms)


def guards_after_its_reset() -> bool:
    """A flatten trips while nothing trades, a person resets it, and the equity falls again."""
    rig = halted(FLATTEN)
    be_worth(rig, "94000")
    assert rig.reset(1).is_ok
    rig.wait(S_NS)
    rig.run()
    return bool(trips(be_worth(rig, "20000")))


class Untold(Panel):
    """Breakers that are not told what went out in the place of what they asked for."""

    def correct(self, trip: BreakerTripped, done: BreakerTripped) -> None:
        pass


@pytest.mark.req("B-06", "B-08")
def test_a_flatten_that_tripped_without_an_epoch_guards_again_after_its_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert guards_after_its_reset()
    monkeypatch.setattr(Panel, "correct", Untold.correct)
    assert not guards_after_its_reset(), "no reset ever undoes a flatten that was none"


@pytest.mark.req("B-06")
def test_a_flatten_that_was_a_halt_reads_as_one_before_and_after_a_restart() -> None:
    rig = halted(FLATTEN)
    said = be_worth(rig, "94000")
    assert trips(said) == [("-6.00 %", Response.HALT)]
    steady = view(rig)
    assert (steady.is_tripped, steady.levels[0].since_ns) == (True, 5 * S_NS // 4)
    told = report(rig).rebases
    rig.restart(config=FLATTEN)
    rig.tell(book("94000"))
    assert (view(rig), report(rig).rebases) == (steady, told)


@pytest.mark.req("B-06")
def test_a_halt_of_a_part_sets_no_mark_anew() -> None:
    rig = halted(FLATTEN)
    be_worth(rig, "94000")
    said = [*rig.tell(restriction()), *rig.wait(S_NS)]
    assert marks(said) == []
    assert view(rig).inputs["high-water mark"] == "100000.00"
    assert view(rig).is_tripped


@pytest.mark.req("B-08", "B-12")
@pytest.mark.parametrize(
    ("before", "after"),
    [("reduce", "flatten"), ("reduce", "halt"), ("flatten", "halt")],
)
def test_a_level_whose_response_was_made_stricter_acts_again(before: str, after: str) -> None:
    rig = trading(only("drawdown", ("0.04", before)))
    assert trips(be_worth(rig, "96000")) == [("-4.00 %", Response(before))]
    said = rig.tell(change(("0.04", after)))
    assert trips(said) == [("-4.00 %", Response(after))]
    assert trips(be_worth(rig, "95000")) == []


@pytest.mark.req("B-08", "B-12")
@pytest.mark.parametrize(
    ("before", "after"),
    [("halt", "flatten"), ("halt", "reduce"), ("flatten", "reduce"), ("reduce", "reduce")],
)
def test_a_level_that_did_as_much_already_says_nothing(before: str, after: str) -> None:
    rig = trading(only("drawdown", ("0.04", before)))
    be_worth(rig, "96000")
    assert trips([*rig.tell(change(("0.04", after))), *be_worth(rig, "95000")]) == []


@pytest.mark.req("B-06", "B-12")
def test_a_stricter_response_that_is_configured_acts_after_the_restart() -> None:
    rig = trading(REDUCE)
    be_worth(rig, "96000")
    rig.restart(config=only("drawdown", ("0.04", "halt")))
    assert trips(be_worth(rig, "96000")) == [("-4.00 %", Response.HALT)]


@pytest.mark.req("B-06", "B-12")
def test_each_of_two_trips_of_one_level_is_undone_by_its_own_reset() -> None:
    rig = trading(REDUCE)
    be_worth(rig, "96000")
    rig.tell(change(("0.04", "halt")))
    assert rig.reset(2).is_ok
    assert marks(rig.wait(S_NS))[0].high_water_mark == dec("96000")
    assert view(rig).is_tripped, "the restriction of all is in force, and its trip stands"
    assert rig.reset(1).is_ok
    assert not view(rig).is_tripped
    rig.wait(S_NS)
    assert trips(be_worth(rig, "92160")) == [("-4.00 %", Response.HALT)]


@pytest.mark.req("B-06", "B-08")
def test_a_second_trip_in_the_same_words_has_a_number_of_its_own_at_once() -> None:
    rig = trading(REDUCE)
    be_worth(rig, "96000")
    said = rig.tell(change(("0.04", "flatten")))
    [changed] = [each for each in said if isinstance(each, RestrictionsChanged)]
    assert [each.number for each in changed.restrictions] == [2]
    rig.restart(config=REDUCE)
    assert [each.number for each in report(rig).restrictions] == [2]
    assert rig.reset(2).is_ok, "its record, read by this reset, is no third one"
    found = report(rig)
    assert (found.restrictions, found.breaker_state) == ((), BreakerState.NORMAL)


class Deaf(Breaker):
    """A breaker that takes any trip at a level for all that the level calls for."""

    def _trips_at(self, level: LevelSetting) -> list[BreakerTripped]:
        text = self.about.level_text(level.at)
        return [trip for (limit, _), trip in self.tripped.items() if limit == text]


@pytest.mark.req("B-08")
def test_without_comparing_responses_a_stricter_one_never_acts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Breaker, "_trips_at", Deaf._trips_at)
    rig = trading(REDUCE)
    be_worth(rig, "96000")
    rig.tell(change(("0.04", "halt")))
    assert trips(be_worth(rig, "20000")) == []


@pytest.mark.req("B-08", "B-12")
def test_a_warning_made_a_halt_acts_by_the_breakers_own_alarm() -> None:
    rig = halted(only("stale_data", ("30", "warn"), ("300", "halt")))
    rig.tell(book(ALPHA="10"), quote("100", "100", at_ns=rig.now_ns))
    rig.run()
    rig.wait(31 * S_NS)
    rig.tell(quote("100", "100", at_ns=rig.now_ns), change(("30", "halt"), breaker="stale_data"))
    assert trips(rig.wait(30 * S_NS - 1)) == []
    assert trips(rig.wait(1)) == [("30.0 s", Response.HALT)]


@pytest.mark.req("B-08")
def test_two_levels_that_would_be_rounded_to_one_are_two() -> None:
    rig = trading(only("message_lag", ("0.2", "reduce"), ("0.25", "halt")))
    assert trips(rig.tell(lag(210))) == [("0.2 s", Response.REDUCE)]
    assert trips(rig.tell(lag(249))) == []
    said = rig.tell(lag(250))
    assert trips(said) == [("0.25 s", Response.HALT)]
    [tripped] = [each for each in said if isinstance(each, BreakerTripped)]
    assert (tripped.value, tripped.reason) == (
        "0.25 s",
        "gate: age of messages when handled 0.25 s; the limit is 0.25 s",
    )
    assert view(rig, "message_lag").levels == (
        LevelView(at="0.2 s", response=Response.REDUCE, is_reached=True, since_ns=S_NS),
        LevelView(at="0.25 s", response=Response.HALT, is_reached=True, since_ns=S_NS),
    )


NEIGHBOURS = {
    "drawdown": ("0.02345", "0.02346"),
    "daily_loss": ("0.0234501", "0.02345"),
    "daily_loss_amount": ("5000.001", "5000.002"),
    "order_rate": ("100.25", "100"),
    "stale_data": ("30.01", "30.02"),
    "memory": ("1000000000", "1000000001"),
    "disk": ("268435456", "268435457"),
    "system_memory": ("0.95", "0.950001"),
    "message_lag": ("0.2", "0.25"),
}


@pytest.mark.req("B-08")
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_no_two_levels_read_the_same_and_one_reads_the_same_however_it_is_written(
    name: str,
) -> None:
    about = ABOUT[name]
    one, other = (dec(each) for each in NEIGHBOURS[name])
    assert about.level_text(one) != about.level_text(other)
    again = dec(f"{one:f}" + ("0" if "." in f"{one:f}" else ".0"))
    assert about.level_text(again) == about.level_text(one)


@pytest.mark.req("B-08")
def test_a_level_is_shown_with_all_its_digits_and_no_more_than_are_usual() -> None:
    shown = {
        name: [ABOUT[name].level_text(dec(each)) for each in pair]
        for name, pair in NEIGHBOURS.items()
    }
    assert shown == {
        "drawdown": ["-2.345 %", "-2.346 %"],
        "daily_loss": ["-2.34501 %", "-2.345 %"],
        "daily_loss_amount": ["-5000.001", "-5000.002"],
        "order_rate": ["100.25", "100"],
        "stale_data": ["30.01 s", "30.02 s"],
        "memory": ["953.7 MiB (1000000000 bytes)", "953.7 MiB (1000000001 bytes)"],
        "disk": ["256.0 MiB", "256.0 MiB (268435457 bytes)"],
        "system_memory": ["95.00 %", "95.0001 %"],
        "message_lag": ["0.2 s", "0.25 s"],
    }


@pytest.mark.req("B-06")
def test_the_reset_of_a_persons_halt_names_no_breaker_that_only_reduces() -> None:
    rig = trading(REDUCE)
    be_worth(rig, "96000")
    rig.tell(halt())
    line = "drawdown: the high-water mark, 100000.00, becomes 96000.00 (the equity now)"
    assert report(rig).rebases == (f"{line} (only by `sluice reset --halt 1`)",)
    assert rig.reset(2).message == "halt 2 is cleared. Nothing was started: `sluice start`"
    assert marks(rig.wait(S_NS)) == []
    assert report(rig).rebases == (line,)
    assert rig.reset(1).message == (
        "restriction 1 (reduce of all) is cleared; measured anew from now on: drawdown. "
        "Nothing was started: `sluice start`"
    )
    assert marks(rig.wait(S_NS))[0].high_water_mark == dec("96000")


@pytest.mark.req("B-06")
def test_of_two_trips_each_reset_says_what_it_measures_anew() -> None:
    rig = trading(BOTH)
    be_worth(rig, "96000")
    be_worth(rig, "90000")
    line = "drawdown: the high-water mark, 100000.00, becomes 90000.00 (the equity now)"
    assert report(rig).rebases == (
        f"{line} (only by `sluice reset --halt 2`)",
        f"{line} (only by `sluice reset --halt 1`)",
    )
    assert "measured anew from now on: drawdown" in rig.reset(1).message
    assert report(rig).rebases == (
        "drawdown: the high-water mark, not set, becomes 90000.00 (the equity now)",
    )
    assert "measured anew from now on: drawdown" in rig.reset(2).message
    assert (report(rig).rebases, view(rig).is_tripped) == ((), False)


@pytest.mark.req("B-06")
def test_a_reset_in_an_epoch_says_what_stands_and_what_is_measured_anew() -> None:
    rig = trading(REDUCE)
    be_worth(rig, "96000")
    assert rig.reset(1).message == (
        "restriction 1 (reduce of all) is cleared from the next start on; until then it stands; "
        "measured anew from now on: drawdown. Start again: `sluice start`"
    )


@pytest.mark.req("B-06")
def test_a_trip_that_a_person_took_over_leaves_no_word_behind() -> None:
    rig = trading(REDUCE)
    be_worth(rig, "96000")
    rig.tell(restriction("all", Level.REDUCE))
    assert report(rig).breaker_state is BreakerState.TRIPPED
    assert rig.reset(2).is_ok
    assert report(rig).breaker_state is BreakerState.NORMAL
    assert not view(rig).is_tripped
    rig.restart(config=REDUCE)
    assert report(rig).breaker_state is BreakerState.NORMAL


@pytest.mark.req("B-06")
def test_the_word_stands_while_a_trip_does_that_a_person_took_over() -> None:
    rig = trading(REDUCE)
    be_worth(rig, "96000")
    rig.tell(restriction("all", Level.REDUCE), own(restriction(operator="breaker.gate")))
    answer = rig.reset(3)
    assert answer.message == (
        "restriction 3 (halt of symbol.sim.ALPHA) is cleared from the next start on; until then "
        "it stands. Start again: `sluice start`"
    )
    assert (report(rig).breaker_state, view(rig).is_tripped) == (BreakerState.TRIPPED, True)
    assert rig.reset(2).is_ok
    assert (report(rig).breaker_state, view(rig).is_tripped) == (BreakerState.NORMAL, False)


@pytest.mark.req("B-06")
def test_the_reset_of_a_restriction_leaves_an_open_halt_and_its_trips() -> None:
    rig = trading(BOTH)
    be_worth(rig, "96000")
    be_worth(rig, "90000")
    assert rig.reset(1).is_ok
    assert (report(rig).breaker_state, report(rig).halts) == (BreakerState.TRIPPED, 2)
    assert view(rig).is_tripped
    assert not any(isinstance(e, RestrictionRequested) for e in be_worth(rig, "85000"))
