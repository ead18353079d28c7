"""The feed says what it read, and says when it has gone silent, by its own clock alone."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from schemas.base import Event, InstrumentId
from schemas.control import EpochStarted
from schemas.health import AlertRaised, FeedReported, LinkChanged, Severity
from schemas.market import (
    FeedEnded,
    InstrumentStatusChanged,
    PlaybackMarked,
    PlaybackReleased,
    QuoteReceived,
    Trading,
)
from schemas.market_rules import (
    ClosingPricePublished,
    MarketWideHaltDeclared,
    PriceBandPublished,
    ShortSaleRestrictionChanged,
)
from services.core import tell
from services.feed.core import MARK_EVERY_COUNT, NAMED_MAX, FeedCore, FeedPlan
from tests.builders import ALPHA, BETA, MS_NS, S_NS, quote
from tests.feed_builders import levels, read, snapshot, ticker, update

NOW = 1_000 * S_NS
STALE_NS = 5 * S_NS


def core(*, run: str = "r1", is_recording: bool = True) -> FeedCore:
    return FeedCore(
        FeedPlan(source="test", stale_after_ns=STALE_NS, run=run, is_recording=is_recording)
    )


def status(
    trading: Trading, reason: str, at_ns: int = NOW, instrument: InstrumentId = ALPHA
) -> InstrumentStatusChanged:
    return InstrumentStatusChanged(
        at_ns=at_ns, instrument=instrument, trading=trading, reason=reason
    )


def of_kind(said: Sequence[Event], *kinds: type[Event]) -> list[Event]:
    return [event for event in said if isinstance(event, kinds)]


def woken(feed: FeedCore, at_ns: int) -> list[Event]:
    """Let every deadline up to `at_ns` pass, each at its own time."""
    said: list[Event] = []
    while feed.wake_at_ns is not None and feed.wake_at_ns <= at_ns:
        said += tell(feed, None, feed.wake_at_ns)
    return said


def test_what_was_read_is_published_unchanged_and_in_order() -> None:
    feed, first, second = core(), quote(at_ns=NOW), quote("1", "2", at_ns=NOW, instrument=BETA)
    said = tell(feed, read(first, second), NOW)
    assert list(said) == [
        status(Trading.OPEN, "first market data"),
        first,
        status(Trading.OPEN, "first market data", instrument=BETA),
        second,
    ]


def test_an_instrument_is_opened_only_once_while_it_is_fresh() -> None:
    feed = core()
    tell(feed, read(quote()), NOW)
    again = quote("98", "99")
    assert list(tell(feed, read(again, position=2), NOW + 1)) == [again]


@pytest.mark.req("M-02")
def test_silence_by_the_local_clock_makes_an_instrument_stale() -> None:
    feed = core()
    tell(feed, read(quote()), NOW)
    assert woken(feed, NOW + STALE_NS - 1) == []
    reason = "no market data for 5000 ms"
    assert woken(feed, NOW + STALE_NS) == [
        status(Trading.UNKNOWN, reason, NOW + STALE_NS),
        AlertRaised(
            at_ns=NOW + STALE_NS,
            severity=Severity.WARNING,
            component="feed",
            code="SLU-112",
            message=f"{reason}: {ALPHA}",
            fields={"instruments": ALPHA, "source": "test"},
        ),
    ]


@pytest.mark.req("M-02")
@pytest.mark.parametrize("venue_ns", [1, NOW - 3 * S_NS, NOW + 9 * S_NS, NOW * 100])
def test_the_venues_clock_never_makes_an_instrument_stale_or_fresh(venue_ns: int) -> None:
    feed = core()
    strange = QuoteReceived(
        at_ns=NOW,
        instrument=ALPHA,
        bid=quote().bid,
        bid_size=quote().bid_size,
        ask=quote().ask,
        ask_size=quote().ask_size,
        venue_ns=venue_ns,
    )
    tell(feed, read(strange), NOW)
    assert woken(feed, NOW + STALE_NS - 1) == []
    assert len(woken(feed, NOW + STALE_NS)) == 2


def hurried(*, is_paced: bool) -> list[Event]:
    """Return what is said while one instrument is told of for a minute, and two others are not."""
    silent = InstrumentId("opt:illiquid")
    plan = FeedPlan(
        source="test",
        stale_after_ns=STALE_NS,
        instruments=(ALPHA, BETA, silent),
        is_paced=is_paced,
    )
    feed, said = FeedCore(plan), []
    tell(feed, read(quote(instrument=BETA)), NOW)
    for second in range(60):
        said += woken(feed, NOW + second * S_NS)
        said += tell(feed, read(quote(), position=second + 2), NOW + second * S_NS)
    return of_kind(said, AlertRaised, InstrumentStatusChanged)


@pytest.mark.req("M-02", "B-04")
def test_at_max_speed_an_instrument_without_data_is_no_error_of_the_data() -> None:
    assert hurried(is_paced=False) == [status(Trading.OPEN, "first market data")]
    assert len(of_kind(hurried(is_paced=True), AlertRaised)) == 1


@pytest.mark.req("M-02")
def test_at_max_speed_all_are_stale_once_nothing_comes_and_open_with_their_own_data() -> None:
    feed = FeedCore(FeedPlan(source="test", stale_after_ns=STALE_NS, is_paced=False))
    tell(feed, read(quote()), NOW)
    tell(feed, read(quote(instrument=BETA), position=2), NOW + 2 * S_NS)
    assert woken(feed, NOW + 7 * S_NS - 1) == []
    stale_ns, reason = NOW + 7 * S_NS, "no market data for 5000 ms"
    said = woken(feed, stale_ns)
    assert said[:2] == [
        status(Trading.UNKNOWN, reason, stale_ns),
        status(Trading.UNKNOWN, reason, stale_ns, BETA),
    ]
    assert [each.code for each in said[2:] if isinstance(each, AlertRaised)] == ["SLU-112"]
    back_ns = NOW + 9 * S_NS
    said = of_kind(tell(feed, read(quote(), position=3), back_ns), InstrumentStatusChanged)
    assert said == [status(Trading.OPEN, "market data is back", back_ns)]
    assert feed.describe(back_ns).stale == (BETA,)


@pytest.mark.req("M-02")
def test_an_instrument_that_was_never_heard_goes_stale_too_and_opens_with_its_first_data() -> None:
    plan = FeedPlan(source="test", stale_after_ns=STALE_NS, instruments=(ALPHA, BETA))
    feed = FeedCore(plan)
    assert feed.wake_at_ns is None, "nothing is late before there is anything"
    tell(feed, read(quote()), NOW)
    tell(feed, read(quote()), NOW + STALE_NS - 1)
    [unknown, alert] = woken(feed, NOW + STALE_NS)
    reason = "no market data for 5000 ms"
    assert unknown == status(Trading.UNKNOWN, reason, NOW + STALE_NS, BETA)
    assert isinstance(alert, AlertRaised)
    assert (alert.code, alert.message) == ("SLU-112", f"{reason}: {BETA}")
    assert feed.describe(NOW + STALE_NS).stale == (BETA,)
    first = quote(instrument=BETA)
    said = tell(feed, read(first, position=3), NOW + STALE_NS + 1)
    assert list(said) == [
        status(Trading.OPEN, "first market data", NOW + STALE_NS + 1, BETA),
        first,
    ]
    assert feed.describe(NOW + STALE_NS + 1).stale == ()


class VenueClockFeed(FeedCore):
    """The feed that takes the venue's time for the time of receipt."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        said = super().handle(event, now_ns)
        self._heard_ns[ALPHA] = 1
        return said


def test_without_the_local_clock_fresh_data_would_be_stale() -> None:
    feed = VenueClockFeed(FeedPlan(source="test", stale_after_ns=STALE_NS))
    tell(feed, read(quote()), NOW)
    feed._stale_at_ns = feed.wake_at_ns = NOW + 1
    assert of_kind(tell(feed, None, NOW + 1), AlertRaised) != []


def test_data_that_comes_back_opens_the_instrument_first() -> None:
    feed = core()
    tell(feed, read(quote()), NOW)
    woken(feed, NOW + STALE_NS)
    back = quote("98", "99")
    later = NOW + STALE_NS + 7
    assert list(tell(feed, read(back, position=2), later))[:2] == [
        status(Trading.OPEN, "market data is back", later),
        back,
    ]
    assert feed.describe(later).stale == ()


def test_a_stale_instrument_is_told_once_and_watched_again_when_back() -> None:
    feed = core()
    tell(feed, read(quote()), NOW)
    assert len(woken(feed, NOW + 100 * STALE_NS)) == 2
    tell(feed, read(quote(), position=2), NOW + 200 * STALE_NS)
    assert len(woken(feed, NOW + 300 * STALE_NS)) == 2


def test_one_instruments_silence_is_seen_though_others_speak() -> None:
    feed = core()
    tell(feed, read(quote(), quote(instrument=BETA)), NOW)
    said: list[Event] = []
    for tenth in range(1, 61):
        now_ns = NOW + tenth * S_NS // 10
        said += tell(feed, read(quote(instrument=BETA), position=tenth + 2), now_ns)
    changed = of_kind(said, InstrumentStatusChanged)
    assert changed == [status(Trading.UNKNOWN, "no market data for 5000 ms", NOW + STALE_NS)]
    assert feed.describe(NOW + 6 * S_NS).stale == (ALPHA,)


def test_many_instruments_that_fall_silent_make_one_alert() -> None:
    feed = core()
    many = [quote(instrument=InstrumentId(f"sim:S{n}")) for n in range(NAMED_MAX + 5)]
    tell(feed, read(*many), NOW)
    [alert] = of_kind(woken(feed, NOW + STALE_NS), AlertRaised)
    assert isinstance(alert, AlertRaised)
    assert alert.fields["instruments"].endswith("sim:S9 and 5 more")


def test_after_the_end_of_a_recording_nothing_is_late() -> None:
    feed = core()
    tell(feed, read(quote()), NOW)
    ended = FeedEnded(at_ns=NOW, feed="test", counts={"quote": 1, "total": 1})
    assert of_kind(tell(feed, read(ended, position=1), NOW), FeedEnded) == [ended]
    assert woken(feed, NOW + 100 * STALE_NS) == []
    assert feed.describe(NOW).is_ended


@pytest.mark.req("M-02")
def test_a_hole_in_the_updates_raises_one_alert() -> None:
    feed = core()
    start = snapshot(10, levels(("99", "5")), levels(("101", "4")))
    tell(feed, read(start, update(11, 12)), NOW)
    said = tell(feed, read(update(15, 16), update(17, 18), position=4), NOW + 1)
    [alert] = of_kind(said, AlertRaised)
    assert alert == AlertRaised(
        at_ns=NOW + 1,
        severity=Severity.WARNING,
        component="feed",
        code="SLU-111",
        message=f"updates of the order book of {ALPHA} are missing after 12",
        fields={
            "instrument": ALPHA,
            "found": "an update from 15",
            "wanted": "the update after 12",
        },
    )


def test_a_book_that_differs_from_the_venues_own_quote_raises_an_alert() -> None:
    feed = core()
    start = snapshot(10, levels(("99", "5")), levels(("101", "4")))
    said = tell(feed, read(start, ticker(10, "99", "7", "101", "4")), NOW)
    assert [alert.code for alert in said if isinstance(alert, AlertRaised)] == ["SLU-111"]
    report = feed.describe(NOW)
    assert (report.top_checks_count, report.top_differs_count) == (1, 1)


def test_a_quote_that_waits_for_its_update_is_compared_when_it_comes() -> None:
    feed = core()
    start = snapshot(10, levels(("99", "5")), levels(("101", "4")))
    moved = update(11, 12, bids=levels(("100", "1")))
    said = tell(feed, read(start, ticker(12, "100", "2", "101", "4"), moved), NOW)
    assert [alert.code for alert in said if isinstance(alert, AlertRaised)] == ["SLU-111"]


def test_the_first_start_of_trading_releases_a_recording() -> None:
    feed = core()
    started = EpochStarted(at_ns=NOW, epoch=1, start_id="s", operator="kim", members={})
    assert list(tell(feed, started, NOW)) == [PlaybackReleased(at_ns=NOW)]
    assert list(tell(feed, started, NOW)) == []


def test_news_of_the_link_reach_the_player() -> None:
    down = LinkChanged(at_ns=NOW, is_up=False)
    assert list(tell(core(), down, NOW)) == [down]


def test_what_is_kept_is_where_we_were_before_this_step() -> None:
    feed = core()
    assert of_kind(tell(feed, read(quote()), NOW), PlaybackMarked) == []
    said = tell(feed, read(quote(), position=2), NOW + S_NS)
    assert of_kind(said, PlaybackMarked) == [
        PlaybackMarked(at_ns=NOW + S_NS, run="r1", position_count=1, trading={ALPHA: Trading.OPEN})
    ]


def test_the_position_is_kept_after_a_second_or_many_events() -> None:
    feed = core()
    tell(feed, read(quote()), NOW)
    tell(feed, read(quote(), position=2), NOW + S_NS)
    assert of_kind(tell(feed, read(quote(), position=3), NOW + S_NS + 1), PlaybackMarked) == []
    many = MARK_EVERY_COUNT + 10
    tell(feed, read(quote(), position=many), NOW + S_NS + 2)
    [mark] = of_kind(tell(feed, read(quote(), position=many + 1), NOW + S_NS + 3), PlaybackMarked)
    assert mark == PlaybackMarked(
        at_ns=NOW + S_NS + 3, run="r1", position_count=many, trading={ALPHA: Trading.OPEN}
    )


def test_a_simulated_markets_mark_holds_its_prices() -> None:
    feed = core(is_recording=False)
    tell(feed, read(quote("98", "99")), NOW)
    [mark] = of_kind(tell(feed, read(quote(), position=2), NOW + S_NS), PlaybackMarked)
    assert isinstance(mark, PlaybackMarked)
    assert mark.prices == {ALPHA: quote().bid}


def test_a_restart_of_the_same_run_goes_on_from_its_mark() -> None:
    feed = core(run="r1")
    mark = PlaybackMarked(at_ns=NOW, run="r1", position_count=9)
    feed.restore(mark)
    feed.restore(PlaybackMarked(at_ns=NOW + 1, run="r0", position_count=99))
    assert feed.mark == mark


def test_a_source_that_fails_is_told_to_people_and_its_data_goes_stale() -> None:
    feed = core()
    tell(feed, read(quote()), NOW)
    said = tell(feed, read(failure="file.gz:7: torn", position=1), NOW)
    assert list(said) == [
        AlertRaised(
            at_ns=NOW,
            severity=Severity.CRITICAL,
            component="feed",
            code="SLU-110",
            message="file.gz:7: torn",
            fields={"source": "test"},
        )
    ]
    assert of_kind(woken(feed, NOW + STALE_NS), InstrumentStatusChanged) != []
    assert feed.describe(NOW).detail == "file.gz:7: torn"


def test_a_report_shows_counts_rate_and_latest_quotes() -> None:
    feed = core()
    for tenth in range(21):
        now_ns = NOW + tenth * 100 * MS_NS
        tell(feed, read(quote("98", "99"), position=tenth + 1), now_ns)
    assert feed.describe(now_ns) == FeedReported(
        at_ns=now_ns,
        source="test",
        counts={"total": 21},
        rate_per_s=10.0,
        quotes={ALPHA: "98/99"},
    )


def test_the_rate_falls_when_nothing_comes_any_more() -> None:
    feed = core()
    tell(feed, read(*[quote()] * 100), NOW)
    assert feed.describe(NOW + 100 * S_NS).rate_per_s == 1.0


@pytest.mark.req("M-05")
def test_a_halt_outlasts_a_silence_of_the_feed() -> None:
    feed = core()
    halted = status(Trading.HALTED, "news pending")
    tell(feed, read(quote(at_ns=NOW), halted), NOW)
    woken(feed, NOW + 2 * STALE_NS)
    again_ns = NOW + 3 * STALE_NS
    said = tell(feed, read(quote(at_ns=again_ns)), again_ns)
    assert said[0] == status(Trading.HALTED, "market data is back", again_ns)


@pytest.mark.req("M-05")
def test_what_a_market_declares_is_published_as_it_was_read() -> None:
    feed = core()
    halt = MarketWideHaltDeclared(at_ns=NOW, market="XNYS", level=1, resumes_ns=NOW + 900 * S_NS)
    band = PriceBandPublished(at_ns=NOW, instrument=ALPHA, lower=Decimal(95), upper=Decimal(105))
    short = ShortSaleRestrictionChanged(at_ns=NOW, instrument=ALPHA, is_restricted=True)
    closed = ClosingPricePublished(at_ns=NOW, instrument=ALPHA, price=Decimal(100), close_ns=NOW)
    said = tell(feed, read(halt, band, short, closed), NOW)
    assert list(said) == [halt, status(Trading.OPEN, "first market data"), band, short, closed]
