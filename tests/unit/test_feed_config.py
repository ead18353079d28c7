"""The feed's configuration is strict, and silence is judged by what the recording is."""

import msgspec
import pytest

from schemas.base import NS_PER_MS, NS_PER_S
from services.feed.__main__ import plan_of, stale_after_ns
from services.feed.config import FeedConfig
from services.feed.source import Recording


class Bars(Recording):
    """A recording of bars of some length."""

    def __init__(self, length_s: int) -> None:
        super().__init__("bars", [])
        self.silence_ns = length_s * NS_PER_S


@pytest.mark.parametrize(("speed", "factor"), [("1x", 1.0), ("10x", 10.0), ("2.5x", 2.5)])
def test_a_speed_is_a_number_of_times(speed: str, factor: float) -> None:
    assert FeedConfig(speed=speed).factor == factor


def test_max_speed_has_no_factor() -> None:
    assert FeedConfig(speed="max").factor is None


@pytest.mark.parametrize("speed", ["fast", "0x", "0.0x", "x", "-1x", "10", "1e3x", ""])
def test_a_speed_that_is_none_is_refused_with_what_was_wanted(speed: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="wanted max, or a number and x"):
        msgspec.convert({"speed": speed}, FeedConfig)


@pytest.mark.parametrize("field", ["frame_max", "sync_every", "stale_after_ms", "quotes_per_s"])
def test_a_count_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.convert({field: 0}, FeedConfig)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="sped"):
        msgspec.convert({"sped": "1x"}, FeedConfig)


@pytest.mark.req("M-02")
@pytest.mark.parametrize(("speed", "is_paced"), [("1x", True), ("100x", True), ("max", False)])
def test_only_max_speed_has_no_pace_that_silence_could_be_judged_by(
    speed: str, is_paced: bool
) -> None:
    plan = plan_of(FeedConfig(speed=speed), Bars(0), "r1")
    assert (plan.is_paced, plan.is_recording, plan.run) == (is_paced, True, "r1")


@pytest.mark.req("M-02")
@pytest.mark.parametrize(
    ("speed", "bar_s", "stale_ms"),
    [
        ("1x", 0, 5_000),  # ticks: as configured
        ("1x", 1, 5_000),
        ("1x", 60, 180_000),  # three bars
        ("10x", 60, 18_000),
        ("60x", 60, 5_000),
        ("max", 60, 5_000),
        ("1x", 86_400, 360_000),  # nights are cut to `silence_s_max`
    ],
)
def test_bars_may_be_silent_for_three_of_their_lengths(
    speed: str, bar_s: int, stale_ms: int
) -> None:
    config = FeedConfig(speed=speed)
    assert stale_after_ns(config, Bars(bar_s)) == stale_ms * NS_PER_MS
