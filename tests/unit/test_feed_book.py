"""The order book is the venue's own, or it says that it is not."""

import pytest

from schemas.market import BookChanged
from services.feed.tops import REMEMBERED_MAX, CheckedBook
from services.order_book import WAITING_UPDATES_MAX, Applied, OrderBook
from tests.builders import dec
from tests.feed_builders import levels, snapshot, ticker, update

START = snapshot(10, levels(("99", "5"), ("98", "7")), levels(("101", "4"), ("102", "6")))


def started() -> OrderBook:
    book = OrderBook()
    assert book.apply(START) is Applied.CHANGED
    return book


def best(book: OrderBook) -> tuple[object, object]:
    return book.top


def test_a_snapshot_shows_its_best_levels() -> None:
    assert best(started()) == ((dec(99), dec(5)), (dec(101), dec(4)))


def test_a_book_before_its_snapshot_is_not_whole() -> None:
    book = OrderBook()
    assert (book.is_whole, book.top) == (False, (None, None))


def test_a_size_of_nothing_takes_the_level_away() -> None:
    book = started()
    book.apply(update(11, 12, bids=levels(("99", "0")), asks=levels(("100", "1"))))
    assert best(book) == ((dec(98), dec(7)), (dec(100), dec(1)))
    assert book.last_id == 12


def test_taking_away_a_level_that_is_not_there_changes_nothing() -> None:
    book = started()
    assert book.apply(update(11, 11, bids=levels(("50", "0")))) is Applied.CHANGED
    assert book.bids.levels() == [(dec(98), dec(7)), (dec(99), dec(5))]


def test_updates_that_came_before_the_snapshot_are_applied_after_it() -> None:
    book = OrderBook()
    assert book.apply(update(8, 9, bids=levels(("99", "1")))) is Applied.WAITS
    assert book.apply(update(10, 12, bids=levels(("99", "2")))) is Applied.WAITS
    assert book.apply(START) is Applied.CHANGED
    assert (book.last_id, book.bids.best) == (12, (dec(99), dec(2)))


@pytest.mark.req("M-02")
def test_a_missing_spot_update_is_a_hole() -> None:
    book = started()
    assert book.apply(update(11, 12)) is Applied.CHANGED
    assert book.apply(update(14, 15)) is Applied.HOLE
    assert not book.is_whole


@pytest.mark.req("M-02")
def test_a_missing_perpetual_update_is_a_hole() -> None:
    book = started()
    assert book.apply(update(8, 20, previous_id=7)) is Applied.CHANGED
    assert book.apply(update(25, 30, previous_id=24)) is Applied.HOLE
    assert not book.is_whole


def test_ids_of_perpetuals_may_jump_where_each_names_the_one_before() -> None:
    book = started()
    assert book.apply(update(8, 20, previous_id=7)) is Applied.CHANGED
    assert book.apply(update(25, 30, previous_id=20)) is Applied.CHANGED


def test_the_first_spot_update_must_hold_the_id_after_the_snapshots() -> None:
    assert started().apply(update(9, 11)) is Applied.CHANGED
    assert started().apply(update(12, 13)) is Applied.HOLE


def test_the_first_perpetual_update_may_end_at_the_snapshots_id() -> None:
    book = started()
    assert book.apply(update(8, 9, previous_id=7)) is Applied.OLD
    assert book.apply(update(9, 10, previous_id=9)) is Applied.CHANGED
    assert book.apply(update(12, 14, previous_id=10)) is Applied.CHANGED


def test_the_first_perpetual_update_may_begin_right_after_the_snapshot() -> None:
    assert started().apply(update(15, 17, previous_id=10)) is Applied.CHANGED
    assert started().apply(update(15, 17, previous_id=12)) is Applied.HOLE


def test_a_repeated_update_changes_nothing() -> None:
    book = started()
    change = update(11, 12, bids=levels(("99", "1")))
    book.apply(change)
    book.apply(update(13, 13, bids=levels(("99", "9"))))
    assert book.apply(change) is Applied.OLD
    assert book.bids.best == (dec(99), dec(9))


def test_a_snapshot_closes_a_hole_with_the_updates_that_waited() -> None:
    book = started()
    book.apply(update(14, 15, asks=levels(("100", "8"))))
    assert not book.is_whole
    later = snapshot(14, levels(("97", "1")), levels(("103", "1")))
    assert book.apply(later) is Applied.CHANGED
    assert best(book) == ((dec(97), dec(1)), (dec(100), dec(8)))


def test_a_snapshot_that_is_too_old_for_what_waited_leaves_the_hole() -> None:
    book = OrderBook()
    book.apply(update(20, 21))
    assert book.apply(START) is Applied.HOLE
    assert not book.is_whole


def test_a_snapshot_older_than_the_book_is_ignored() -> None:
    book = started()
    book.apply(update(11, 15))
    assert book.apply(START) is Applied.OLD
    assert book.last_id == 15


def test_what_waits_for_a_snapshot_is_bounded() -> None:
    book = OrderBook()
    for number in range(WAITING_UPDATES_MAX + 5):
        book.apply(update(number + 11, number + 11))
    assert book.apply(START) is Applied.HOLE, "the first of them were forgotten, and it shows"


class CarelessBook(OrderBook):
    """The book without its look at the chain."""

    __slots__ = ()

    def _chains(self, update: BookChanged) -> bool:
        return True


def test_without_the_chain_a_missing_update_shows_a_wrong_price() -> None:
    lost = update(11, 11, bids=levels(("99", "0")))
    book = CarelessBook()
    book.apply(START)
    assert book.apply(update(12, 12)) is Applied.CHANGED
    assert book.bids.best == (dec(99), dec(5)), f"{lost} was lost, and nobody noticed"


def checked(*quotes: tuple[int, str]) -> CheckedBook:
    book = CheckedBook()
    book.apply(START)
    for update_id, bid_size in quotes:
        book.on_quote(ticker(update_id, "99", bid_size, "101", "4"))
    return book


def test_a_quote_waits_for_the_book_to_reach_its_id() -> None:
    book = checked((11, "6"), (12, "8"), (13, "1"))
    book.apply(update(11, 12, bids=levels(("99", "8"))))
    assert (book.checks_count, book.differs_count, book.is_whole) == (1, 0, True)


def test_a_quote_that_comes_after_the_book_is_compared_at_once() -> None:
    book = checked()
    assert book.on_quote(ticker(10, "99", "5", "101", "4"))
    assert (book.checks_count, book.differs_count) == (1, 0)


@pytest.mark.parametrize(
    "wrong", [("98", "5", "101", "4"), ("99", "6", "101", "4"), ("99", "5", "101", "3")]
)
def test_a_book_that_differs_is_not_trusted_any_more(wrong: tuple[str, str, str, str]) -> None:
    book = checked()
    assert not book.on_quote(ticker(10, *wrong))
    assert (book.checks_count, book.differs_count, book.is_whole) == (1, 1, False)


def test_quotes_between_two_ids_are_not_compared() -> None:
    book = checked((11, "6"))
    book.apply(update(11, 12, bids=levels(("99", "8"))))
    assert book.on_quote(ticker(11, "1", "1", "1", "1"))
    assert book.checks_count == 0


def test_quotes_that_wait_are_bounded() -> None:
    book = checked(*((number + 11, "5") for number in range(REMEMBERED_MAX + 1)))
    book.apply(update(11, 11))
    assert book.checks_count == 0, "the oldest was forgotten"
