"""A limit that makes no sense stops the start, and says where and what was wanted."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.breakers import LevelSetting
from schemas.control import Response
from services.breaker.config import FALLING, FRACTION_LEVELS, BreakerConfig
from services.breaker.profile import ProfileName, profile_named
from services.breaker.table import ABOUT, BREAKERS
from services.calendars.named import NAMES
from tests.breaker_rig import levels


def halts_at(config: BreakerConfig, breaker: str) -> Decimal:
    [limit] = [lv.at for lv in config.levels_now()[breaker] if lv.response is Response.HALT]
    return limit


def refusal(**fields: Any) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(fields, BreakerConfig)
    return str(caught.value)


@pytest.mark.req("B-01", "B-02", "B-03", "B-04", "B-07")
@pytest.mark.parametrize(
    ("profile", "drawdown", "day", "orders", "errors"),
    [
        ("conservative", "0.05", "0.02", "50", "5"),
        ("moderate", "0.10", "0.05", "100", "10"),
        ("aggressive", "0.20", "0.10", "200", "20"),
    ],
)
def test_a_profile_has_the_limits_it_is_known_for(
    profile: str, drawdown: str, day: str, orders: str, errors: str
) -> None:
    config = msgspec.convert({"profile": profile}, BreakerConfig)
    kinds = ("order_errors", "broker_errors", "data_errors")
    found = [halts_at(config, name) for name in ("drawdown", "daily_loss", "order_rate", *kinds)]
    assert found == [Decimal(each) for each in (drawdown, day, orders, errors, errors, errors)]


@pytest.mark.req("B-07")
def test_moderate_is_the_profile_unless_told_otherwise() -> None:
    assert BreakerConfig().profile is ProfileName.MODERATE


@pytest.mark.parametrize("profile", ProfileName)
def test_every_profile_says_the_levels_of_every_breaker_and_no_other(profile: ProfileName) -> None:
    assert list(profile_named(profile).levels) == list(ABOUT)


@pytest.mark.parametrize("profile", ProfileName)
def test_every_profile_would_be_valid_as_a_choice(profile: ProfileName) -> None:
    chosen = profile_named(profile).levels
    assert BreakerConfig(levels=chosen).levels_now() == chosen


@pytest.mark.parametrize(
    ("field", "breaker", "value"),
    [
        ("drawdown_max", "drawdown", "0.07"),
        ("daily_loss_max", "daily_loss", "0.03"),
        ("daily_loss_amount_max", "daily_loss_amount", "5000"),
        ("order_count_max", "order_rate", 120),
        ("error_count_max", "data_errors", 7),
    ],
)
@pytest.mark.req("B-07")
def test_a_single_field_moves_the_level_that_halts(field: str, breaker: str, value: Any) -> None:
    config = msgspec.convert({field: value}, BreakerConfig)
    assert halts_at(config, breaker) == Decimal(value)


def test_a_limit_below_the_warning_of_the_profile_takes_the_warning_away() -> None:
    config = BreakerConfig(drawdown_max=Decimal("0.02"))
    assert config.levels_now()["drawdown"] == levels(("0.02", "halt"))


def test_a_warning_below_the_chosen_limit_stays() -> None:
    config = BreakerConfig(drawdown_max=Decimal("0.30"))
    assert config.levels_now()["drawdown"] == levels(("0.05", "warn"), ("0.30", "halt"))


@pytest.mark.req("B-08")
def test_a_list_of_levels_takes_the_place_of_the_profiles() -> None:
    raw = [{"at": "0.03", "response": "warn"}, {"at": "0.06", "response": "flatten"}]
    config = msgspec.convert({"levels": {"drawdown": raw}}, BreakerConfig)
    assert config.levels_now()["drawdown"] == (
        LevelSetting(at=Decimal("0.03"), response=Response.WARN),
        LevelSetting(at=Decimal("0.06"), response=Response.FLATTEN),
    )


@pytest.mark.req("B-01")
@pytest.mark.parametrize("wrong", ["0", "1", "10", "-0.1", "NaN", "Infinity"])
def test_a_drawdown_limit_that_is_no_fraction_is_refused(wrong: str) -> None:
    assert "wanted a fraction, like 0.10" in refusal(drawdown_max=wrong)


def test_a_misspelt_limit_of_the_breaker_is_refused() -> None:
    assert "drawdown_mx" in refusal(drawdown_mx="0.1")


@pytest.mark.req("B-02")
def test_a_day_of_no_calendar_there_is_is_refused_with_the_names_there_are() -> None:
    said = refusal(day_calendar="XNYC")
    assert said == f"day_calendar is 'XNYC': wanted one of {', '.join(NAMES)}"


def level(at: str, response: str) -> dict[str, str]:
    return {"at": at, "response": response}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"levels": {"drawdown": [level("1.5", "halt")]}},
            "levels: drawdown[0].at: 1.5: wanted a number above 0 and below 1, like 0.10",
        ),
        (
            {"levels": {"order_rate": [level("-1", "halt")]}},
            "levels: order_rate[0].at: -1: wanted a number above 0",
        ),
        (
            {"levels": {"drawdown": [level("0.05", "halt"), level("0.10", "warn")]}},
            "levels: drawdown: halt at 0.05 is reached before warn at 0.10: "
            "wanted milder responses first: warn, reduce, flatten, halt",
        ),
        (
            {"levels": {"disk": [level("100", "warn"), level("200", "halt")]}},
            "levels: disk: halt at 200 is reached before warn at 100: "
            "wanted milder responses first: warn, reduce, flatten, halt",
        ),
        (
            {"levels": {"drawdown": [level("0.1", "warn"), level("0.1", "halt")]}},
            "levels: drawdown: warn and halt both at 0.1: wanted one level for each threshold",
        ),
        (
            {"drawdown_max": "0.1", "levels": {"drawdown": []}},
            "drawdown_max and levels.drawdown are both set: wanted one of them; the list says "
            "every level, the field only the one that halts",
        ),
        (
            {"daily_loss_amount_max": "0"},
            "daily_loss_amount_max is 0: wanted an amount above 0",
        ),
    ],
    ids=["too much", "negative", "halt first", "disk falls", "twice", "both", "no amount"],
)
def test_levels_that_make_no_sense_say_where_what_and_what_was_wanted(
    fields: dict[str, Any], said: str
) -> None:
    assert refusal(**fields) == said


def test_a_breaker_that_there_is_not_is_refused_with_the_names_there_are() -> None:
    said = refusal(levels={"drawdwn": []})
    assert said.startswith("levels: drawdwn: no such breaker: wanted one of drawdown, daily_loss")


def test_fractions_and_falling_values_are_those_of_the_table() -> None:
    assert tuple(n for n, about in ABOUT.items() if about.below is not None) == FRACTION_LEVELS
    assert tuple(n for n, about in ABOUT.items() if about.is_floor) == FALLING


def test_every_breaker_of_the_table_says_all_that_people_need() -> None:
    for row in BREAKERS:
        about = row.about
        assert all((about.title, about.formula, about.unit, about.reads, about.on_reset)), about


@pytest.mark.req("B-07")
def test_the_paper_profile_is_moderate_but_for_the_order_rate() -> None:
    paper, moderate = (profile_named(ProfileName(n)).levels for n in ("paper", "moderate"))
    assert [name for name in ABOUT if paper[name] != moderate[name]] == ["order_rate"]
    assert paper["order_rate"] == levels(("6000", "halt"))
