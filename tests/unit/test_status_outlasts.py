"""A halt of the venue outlasts a restart of the feed, and of the paper exchange."""

import pytest

from schemas.base import Event
from schemas.control import EpochStarted
from schemas.health import AlertRaised, Severity
from schemas.market import (
    InstrumentStatusChanged,
    MarketEvent,
    MarketRead,
    PlaybackMarked,
    PlaybackReleased,
    PlaybackShut,
    QuoteReceived,
    StatesTold,
    Trading,
)
from schemas.market_rules import MarketWideHaltDeclared
from schemas.orders import OrderType
from services.core import tell
from services.feed.core import FeedCore, FeedPlan
from tests.builders import ALPHA, BETA, S_NS, order, quote
from tests.executor_builders import fills_in, placed, say
from tests.feed_builders import read
from tests.gate_rig import Rig
from tests.unit.test_venue_restart import Kept

pytestmark = pytest.mark.req("G-05")

NOW = 1_000 * S_NS


def feed(run: str = "r1") -> FeedCore:
    return FeedCore(FeedPlan(source="test", stale_after_ns=5 * S_NS, run=run, is_recording=True))


def halted(trading: Trading = Trading.HALTED) -> InstrumentStatusChanged:
    return InstrumentStatusChanged(at_ns=NOW, instrument=ALPHA, trading=trading, reason="news")


def first_said(mark: PlaybackMarked, run: str = "r1") -> Trading:
    """Return what a feed that was started anew says first of ALPHA."""
    again = feed(run)
    again.restore(mark)
    said = tell(again, read(quote(), position=4), NOW + 3 * S_NS)
    [status] = [each for each in said if isinstance(each, InstrumentStatusChanged)]
    return status.trading


def mark_after(*events: InstrumentStatusChanged) -> PlaybackMarked:
    before = feed()
    tell(before, read(quote(), *events, position=2), NOW)
    said = tell(before, read(quote(), position=3), NOW + 2 * S_NS)
    [mark] = [each for each in said if isinstance(each, PlaybackMarked)]
    return mark


def test_a_feed_that_restarts_says_what_the_venue_said_last() -> None:
    assert first_said(mark_after(halted())) is Trading.HALTED
    assert first_said(mark_after(halted(), halted(Trading.OPEN))) is Trading.OPEN
    assert first_said(mark_after(halted()), run="r2") is Trading.OPEN, "another run begins anew"


def blinded(mark: PlaybackMarked) -> FeedCore:
    """Return a feed that goes on from a mark of an earlier version, which noted no status."""
    again = feed()
    again.restore(
        PlaybackMarked(at_ns=mark.at_ns, run=mark.run, position_count=mark.position_count)
    )
    return again


def test_without_it_in_the_mark_nothing_is_said_of_the_instrument() -> None:
    """Who heard of the halt goes on knowing it: a feed that does not know opens nothing."""
    again = blinded(mark_after(halted()))
    said = list(tell(again, read(quote(), position=4), NOW + 3 * S_NS))
    message = (
        f"what the venue said last of {ALPHA} is not known, nor of what else is stale though it "
        "has data, so the feed does not say that it is open: a new run says it anew"
    )
    assert said == [
        AlertRaised(
            at_ns=NOW + 3 * S_NS,
            severity=Severity.WARNING,
            component="feed",
            code="SLU-112",
            message=message,
            fields={"instruments": ALPHA, "source": "test"},
        ),
        quote(),
    ]
    opened = halted(Trading.OPEN)
    assert list(tell(again, read(opened, position=5), NOW + 3 * S_NS)) == [opened]


def test_what_is_not_known_is_shown_as_stale_until_the_venue_says_it() -> None:
    again = blinded(mark_after(halted()))
    both = read(quote(), quote(instrument=BETA), position=5)
    said = tell(again, both, NOW + 3 * S_NS)
    assert [type(each) for each in said] == [AlertRaised, QuoteReceived, QuoteReceived]
    assert again.describe(NOW + 3 * S_NS).stale == (ALPHA, BETA)
    tell(again, read(halted(), position=6), NOW + 4 * S_NS)
    assert again.describe(NOW + 4 * S_NS).stale == (BETA,)
    silent = [each for each in tell(again, None, NOW + 9 * S_NS) if isinstance(each, AlertRaised)]
    assert [each.fields["instruments"] for each in silent] == [f"{ALPHA}, {BETA}"]
    said = tell(again, read(quote(instrument=BETA), position=7), NOW + 10 * S_NS)
    kinds = [type(each) for each in said]
    assert kinds == [QuoteReceived, PlaybackMarked, StatesTold], "it is told only once"
    assert again.describe(NOW + 10 * S_NS).stale == (ALPHA, BETA)


def test_that_the_rest_is_not_known_outlasts_the_next_restart_too() -> None:
    before = blinded(mark_after(halted()))
    tell(before, read(halted(), position=5), NOW + 3 * S_NS)
    said = tell(before, read(quote(), position=6), NOW + 5 * S_NS)
    [mark] = [each for each in said if isinstance(each, PlaybackMarked)]
    assert mark == PlaybackMarked(
        at_ns=NOW + 5 * S_NS,
        run="r1",
        position_count=5,
        trading={ALPHA: Trading.HALTED},
        is_blind=True,
    )
    assert statuses(restarted([mark]), quote(), quote(instrument=BETA)) == [Trading.HALTED]


def test_a_feed_that_has_heard_of_no_instrument_leaves_no_mark_to_be_taken_for_an_old_one() -> None:
    core = feed()
    halt = MarketWideHaltDeclared(at_ns=NOW, market="XNYS", level=1)
    tell(core, read(halt, position=1), NOW)
    said = tell(core, read(halt, position=2), NOW + 2 * S_NS)
    assert [type(each) for each in said] == [MarketWideHaltDeclared, StatesTold]
    said = tell(core, read(quote(), position=3), NOW + 4 * S_NS)
    wanted = [InstrumentStatusChanged, QuoteReceived, PlaybackMarked, StatesTold]
    assert [type(each) for each in said] == wanted


def killed_after(core: FeedCore, *steps: MarketRead) -> list[Event]:
    """Return what is kept of these steps, which are quick: the last of them is never published."""
    kept: list[Event] = []
    for step in steps:
        kept += [each for each in tell(core, step, NOW) if type(each) in core.keeps]
    return kept


def restarted(kept: list[Event]) -> FeedCore:
    again = feed()
    for each in kept:
        again.restore(each)
    return again


def statuses(core: FeedCore, *events: MarketEvent) -> list[Trading]:
    said = tell(core, read(*events, position=9), NOW + S_NS)
    return [each.trading for each in said if isinstance(each, InstrumentStatusChanged)]


STEPS = (read(quote(), position=1), read(quote(), halted(), position=3))


def test_a_feed_that_is_killed_right_after_a_halt_does_not_open_again() -> None:
    kept = killed_after(feed(), *STEPS)
    assert kept[-1] == PlaybackShut(
        at_ns=NOW, run="r1", position_count=1, trading={ALPHA: Trading.HALTED}
    ), "and the row of the halt is read again"
    assert statuses(restarted(kept), quote()) == [Trading.HALTED]


def test_a_feed_that_is_killed_at_once_reads_again_where_the_venue_opened() -> None:
    kept = killed_after(feed(), *STEPS, read(quote(), halted(Trading.OPEN), position=5))
    again = restarted(kept)
    assert statuses(again, quote(), halted(Trading.OPEN)) == [Trading.HALTED, Trading.OPEN]


def test_a_mark_of_the_step_that_opens_an_instrument_is_of_before_it() -> None:
    core = feed()
    kept = killed_after(core, *STEPS)
    opening = read(quote(), halted(Trading.OPEN), position=5)
    said = tell(core, opening, NOW + 2 * S_NS)
    [mark] = [each for each in said if isinstance(each, PlaybackMarked)]
    assert (mark.position_count, mark.trading) == (3, {ALPHA: Trading.HALTED})
    assert statuses(restarted([*kept, mark]), quote()) == [Trading.HALTED]


def test_a_halt_in_the_first_step_after_a_restart_keeps_the_place() -> None:
    again = restarted(killed_after(feed(), *STEPS))
    [mark] = killed_after(again, read(quote(), halted(Trading.CLOSED), position=3))[-1:]
    assert mark == PlaybackShut(
        at_ns=NOW, run="r1", position_count=1, trading={ALPHA: Trading.CLOSED}
    )


def test_that_an_instrument_is_shut_is_on_the_disk_before_it_is_told() -> None:
    assert FeedCore.fsyncs == {PlaybackShut}
    assert FeedCore.fsyncs < FeedCore.keeps


def test_neither_a_silence_nor_an_opening_is_forced_to_the_disk() -> None:
    """Of three hundred instruments that trade now and then, some go stale each moment."""
    core = feed()
    tell(core, read(quote(), position=1), NOW)
    said = [
        *tell(core, None, NOW + 5 * S_NS),
        *tell(core, read(quote(), position=2), NOW + 6 * S_NS),
        *tell(core, read(halted(Trading.OPEN), position=3), NOW + 6 * S_NS),
    ]
    trading = [each.trading for each in said if isinstance(each, InstrumentStatusChanged)]
    assert trading == [Trading.UNKNOWN, Trading.OPEN, Trading.OPEN]
    assert [each for each in said if type(each) in core.keeps] == [
        PlaybackMarked(
            at_ns=NOW + 6 * S_NS, run="r1", position_count=1, trading={ALPHA: Trading.OPEN}
        )
    ]


def test_the_statuses_that_a_version_before_kept_are_read_over() -> None:
    kept = killed_after(feed(), *STEPS)
    assert statuses(restarted([halted(Trading.OPEN), *kept, halted()]), quote()) == [Trading.HALTED]


class MarksByTheClock(FeedCore):
    """The feed that keeps its place each second, whatever the venue said."""

    def _on_status(self, event: InstrumentStatusChanged) -> None:
        super()._on_status(event)
        self._is_shut = False


def test_without_a_mark_at_once_the_halt_is_forgotten() -> None:
    core = MarksByTheClock(FeedPlan(source="test", stale_after_ns=5 * S_NS, run="r1"))
    assert statuses(restarted(killed_after(core, *STEPS)), quote()) == [Trading.OPEN]


def test_what_rests_in_a_halted_instrument_does_not_fill_after_a_restart_of_the_exchange() -> None:
    kept = Kept()
    kept.say(quote())
    kept.say(placed(order("o1", quantity="5", order_type=OrderType.LIMIT, limit="99.00")))
    kept.say(halted())
    again = kept.restarted()
    assert fills_in(say(again, quote("98.00", "98.50"))) == []
    say(again, halted(Trading.OPEN))
    said = say(again, quote("97.00", "97.50"))
    assert [each[0] for each in fills_in(said)] == ["o1-1"]


def test_without_its_word_it_fills() -> None:
    kept = Kept()
    kept.say(quote())
    kept.say(placed(order("o1", quantity="5", order_type=OrderType.LIMIT, limit="99.00")))
    kept.say(halted())
    kept.journal = [e for e in kept.journal if not isinstance(e, InstrumentStatusChanged)]
    again = kept.restarted()
    assert fills_in(say(again, quote("98.00", "98.50"))) != []


def test_a_gate_that_was_not_there_for_a_halt_hears_of_it_with_the_next_start() -> None:
    core, gate = feed(), Rig()
    tell(core, read(quote(), quote(instrument=BETA), halted(), position=3), NOW)
    assert gate.rule("missed") == "all"
    started = EpochStarted(at_ns=NOW, epoch=1, start_id="s", operator="kim", members={})
    said = list(tell(core, started, NOW + S_NS))
    assert said == [
        PlaybackReleased(at_ns=NOW + S_NS),
        StatesTold(
            at_ns=NOW + S_NS,
            source="test",
            since_ns=NOW,
            trading={ALPHA: Trading.HALTED, BETA: Trading.OPEN},
            lows_since_ns=NOW,
        ),
        InstrumentStatusChanged(
            at_ns=NOW + S_NS,
            instrument=ALPHA,
            trading=Trading.HALTED,
            reason="as it was told before",
        ),
    ]
    for event in said[1:]:
        gate.tell(event)
    assert gate.rule("heard") == "instrument_open"
    tell(core, read(halted(Trading.OPEN), position=4), NOW + 2 * S_NS)
    [states] = tell(core, started, NOW + 3 * S_NS)
    assert isinstance(states, StatesTold)
    assert states.trading == {ALPHA: Trading.OPEN, BETA: Trading.OPEN}
