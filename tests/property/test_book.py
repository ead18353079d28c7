"""For all streams of updates: the book equals the plainest possible one, and a hole is seen."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.market import BookChanged, Level
from services.order_book import Applied, OrderBook
from tests.feed_builders import snapshot, update

PRICES = st.integers(1, 30).map(Decimal)
SIZES = st.integers(0, 5).map(Decimal)
SIDE = st.lists(st.tuples(PRICES, SIZES), max_size=6).map(tuple)
CHANGES = st.lists(st.tuples(SIDE, SIDE, st.integers(1, 3)), min_size=1, max_size=20)
START_ID = 100


def chained(
    changes: list[tuple[tuple[Level, ...], tuple[Level, ...], int]], *, is_perpetual: bool
) -> list[BookChanged]:
    made: list[BookChanged] = []
    last_id = START_ID
    for bids, asks, width in changes:
        previous_id = last_id if is_perpetual else -1
        first_id = last_id + (3 if is_perpetual and made else 1)
        last_id = first_id + width - 1
        made.append(update(first_id, last_id, previous_id=previous_id, bids=bids, asks=asks))
    return made


def plain(updates: list[BookChanged]) -> tuple[list[Level], list[Level]]:
    sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
    for each in updates:
        for side, changed in zip(sides, (each.bids, each.asks), strict=True):
            side.update(changed)
    bids, asks = (sorted((p, s) for p, s in side.items() if s) for side in sides)
    return bids, asks


@pytest.mark.req("M-01")
@given(changes=CHANGES, is_perpetual=st.booleans(), early_count=st.integers(0, 20))
def test_the_book_equals_the_plainest_one_wherever_the_snapshot_comes(
    changes: list[tuple[tuple[Level, ...], tuple[Level, ...], int]],
    is_perpetual: bool,
    early_count: int,
) -> None:
    updates = chained(changes, is_perpetual=is_perpetual)
    book = OrderBook()
    for each in updates[:early_count]:
        assert book.apply(each) is Applied.WAITS
    assert book.apply(snapshot(START_ID, (), ())) is Applied.CHANGED
    for each in updates[early_count:]:
        assert book.apply(each) is Applied.CHANGED
    bids, asks = plain(updates)
    assert (book.bids.levels(), book.asks.levels()) == (bids, asks)
    assert book.top == (bids[-1] if bids else None, asks[0] if asks else None)


@pytest.mark.req("M-02")
@given(changes=CHANGES.filter(lambda made: len(made) > 1), data=st.data())
def test_one_lost_update_is_always_seen_at_the_next_one(
    changes: list[tuple[tuple[Level, ...], tuple[Level, ...], int]], data: st.DataObject
) -> None:
    updates = chained(changes, is_perpetual=data.draw(st.booleans()))
    lost = data.draw(st.integers(0, len(updates) - 2))
    book = OrderBook()
    book.apply(snapshot(START_ID, (), ()))
    became = [book.apply(each) for index, each in enumerate(updates) if index != lost]
    assert became[lost] is Applied.HOLE
    assert set(became[lost + 1 :]) <= {Applied.WAITS}
    assert not book.is_whole


@given(changes=CHANGES, is_perpetual=st.booleans())
def test_telling_everything_twice_changes_nothing(
    changes: list[tuple[tuple[Level, ...], tuple[Level, ...], int]], is_perpetual: bool
) -> None:
    updates = chained(changes, is_perpetual=is_perpetual)
    once, twice = OrderBook(), OrderBook()
    for book in (once, twice):
        book.apply(snapshot(START_ID, (), ()))
    for each in updates:
        once.apply(each)
        twice.apply(each)
        assert twice.apply(each) is Applied.OLD
    assert (once.bids.levels(), once.asks.levels()) == (twice.bids.levels(), twice.asks.levels())
