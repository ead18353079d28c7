"""A halt of the venue outlasts a restart of the feed, and of the paper exchange."""

import pytest

from schemas.market import InstrumentStatusChanged, PlaybackMarked, Trading
from schemas.orders import OrderType
from services.core import tell
from services.feed.core import FeedCore, FeedPlan
from tests.builders import ALPHA, S_NS, order, quote
from tests.executor_builders import fills_in, placed, say
from tests.feed_builders import read
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


def test_without_it_in_the_mark_the_instrument_opens() -> None:
    mark = mark_after(halted())
    forgetful = PlaybackMarked(at_ns=mark.at_ns, run=mark.run, position_count=mark.position_count)
    assert first_said(forgetful) is Trading.OPEN


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
