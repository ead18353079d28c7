"""Outside liquidity: only what is displayed, and never what we took already."""

import pytest

from schemas.market import Level
from schemas.orders import Side
from services.executor.venues.outside import Outside
from tests.builders import dec, quote
from tests.executor_builders import book

BUY, SELL = Side.BUY, Side.SELL


def levels(*pairs: tuple[str, str]) -> list[Level]:
    return [(dec(price), dec(size)) for price, size in pairs]


def deep() -> Outside:
    """Bids 99.99 x 5, 99.97 x 6; asks 100.01 x 4, 100.03 x 7; last update 10."""
    outside = Outside()
    bids, asks = [("99.99", "5"), ("99.97", "6")], [("100.01", "4"), ("100.03", "7")]
    outside.change(book(bids, asks, is_snapshot=True, last_id=10))
    return outside


def test_nothing_can_be_reached_before_anything_was_displayed() -> None:
    outside = Outside()
    assert outside.reach(BUY, None, dec(1)) == []
    assert outside.ahead_of(BUY, dec(1)) is None


def test_a_side_that_nobody_quotes_offers_nothing() -> None:
    outside = Outside()
    outside.quote = quote(ask="0", ask_size="0")
    assert outside.reach(BUY, None, dec(1)) == []
    assert outside.reach(SELL, None, dec(1)) == levels(("99.99", "1"))
    assert outside.ahead_of(SELL, dec(100)) == 0


@pytest.mark.parametrize(
    ("side", "limit", "wanted"),
    [
        (BUY, None, [("100.01", "4"), ("100.03", "6")]),
        (BUY, "100.02", [("100.01", "4")]),
        (BUY, "100.00", []),
        (SELL, None, [("99.99", "5"), ("99.97", "5")]),
        (SELL, "99.98", [("99.99", "5")]),
    ],
)
def test_an_order_reaches_levels_best_first_up_to_its_limit(
    side: Side, limit: str | None, wanted: list[tuple[str, str]]
) -> None:
    price = None if limit is None else dec(limit)
    assert deep().reach(side, price, dec(10)) == levels(*wanted)


def test_levels_before_a_newer_quote_are_stale_and_not_reached() -> None:
    outside = deep()
    outside.quote = quote(bid="100.01", ask="100.02", ask_size="1")
    assert outside.reach(BUY, None, dec(10)) == levels(("100.02", "1"), ("100.03", "7"))


def test_negative_prices_are_prices_like_others() -> None:
    outside = Outside()
    bids = [("-37.63", "5"), ("-38.00", "6")]
    outside.change(book(bids, [("-37.00", "1")], is_snapshot=True))
    assert outside.reach(SELL, None, dec(8)) == levels(("-37.63", "5"), ("-38.00", "3"))


def test_updates_change_levels_and_remove_those_of_size_zero() -> None:
    outside = deep()
    outside.change(book([], [("100.01", "0"), ("100.02", "3")], first_id=11, last_id=12))
    assert outside.reach(BUY, None, dec(10)) == levels(("100.02", "3"), ("100.03", "7"))


def test_an_update_older_than_the_snapshot_changes_nothing() -> None:
    outside = deep()
    outside.change(book([], [("100.01", "99")], first_id=8, last_id=10))
    assert outside.reach(BUY, None, dec(1)) == levels(("100.01", "1"))
    assert outside.reach(BUY, dec("100.01"), dec(9)) == levels(("100.01", "4"))


@pytest.mark.parametrize(
    ("first_id", "previous_id", "is_deep"),
    [(9, -1, True), (11, -1, True), (13, -1, False), (90, 10, True), (90, 60, False)],
)
def test_a_hole_in_the_updates_ends_the_depth_until_the_next_snapshot(
    first_id: int, previous_id: int, is_deep: bool
) -> None:
    outside = deep()
    outside.change(
        book([], [("100.02", "3")], first_id=first_id, last_id=95, previous_id=previous_id)
    )
    assert outside.is_deep is is_deep
    outside.change(book([("1", "1")], [("2", "1")], is_snapshot=True, last_id=200))
    assert outside.reach(BUY, None, dec(9)) == levels(("2", "1"))


def test_what_was_taken_behind_the_touch_stays_taken_while_it_is_displayed() -> None:
    outside = deep()
    outside.take(BUY, outside.reach(BUY, None, dec(10)))
    outside.quote = quote(ask="100.01", ask_size="4")
    outside.refresh()
    assert outside.reach(BUY, None, dec(10)) == levels(("100.03", "1"))
    outside.change(book([], [("100.03", "0")], first_id=11, last_id=11))
    outside.change(book([], [("100.03", "7")], first_id=12, last_id=12))
    assert outside.reach(BUY, None, dec(10)) == levels(("100.03", "7"))


def test_a_level_that_shrinks_below_what_was_taken_holds_nothing_for_us() -> None:
    outside = deep()
    outside.take(SELL, levels(("99.99", "3"), ("99.97", "5")))
    outside.change(book([("99.99", "1"), ("99.97", "2")], first_id=11, last_id=11))
    assert outside.reach(SELL, None, dec(10)) == []
    outside.change(book([("99.99", "2"), ("99.97", "2")], first_id=12, last_id=12))
    assert outside.reach(SELL, None, dec(10)) == levels(("99.99", "1"))


def test_losing_sight_forgets_quote_depth_and_what_was_taken() -> None:
    outside = deep()
    outside.quote = quote()
    outside.take(BUY, levels(("100.01", "1")))
    outside.lose_sight()
    assert outside.quote is None
    assert (outside.is_deep, outside.has_been_taken) == (False, False)


class Inventive(Outside):
    """Liquidity that forgets what was taken of it."""

    def take(self, side: Side, levels: list[Level]) -> None:
        """Forget it at once."""


def test_without_its_memory_one_displayed_lot_could_be_bought_again_and_again() -> None:
    bought = []
    for kind in (Outside, Inventive):
        outside = kind()
        outside.quote = quote(ask_size="1")
        got = 0
        for _ in range(5):
            found = outside.reach(BUY, None, dec(1))
            outside.take(BUY, found)
            got += len(found)
        bought.append(got)
    assert bought == [1, 5]
