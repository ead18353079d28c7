"""Orders that ended unseen: what they filled may be hidden in a position that does not show it.

A book shows what traded lately, and no more than so many orders. A gate that was cut off for longer
finds orders gone, and not what became of them. What changed in the position is nobody's; but what
one session bought and another sold does not change it, and would leave both as they were. Such
orders go on counting at their worst, as do those of unknown fate, in what their sessions may hold.
The account's own sums need no such guess: its position is known.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from schemas.base import InstrumentId, OrderId
from schemas.executions import LATELY_NS, TRADED_MAX, BookReported
from schemas.orders import Order, Side
from services.gate.exposure import ZERO, OpenOrder


class _Booked(msgspec.Struct, frozen=True):
    """What was known of the executions there are when a book was taken."""

    teller: str
    at_ns: int
    fill_count: int
    """By the executor."""

    told_count: int
    """By what was told here."""


class Unseen:
    """The orders of one account that ended unseen, and may have traded.

    Attributes:
        orders: each with what of it may have been hidden. They stay until a book shows them.
        found: those among them that the newest book brought.
    """

    def __init__(self) -> None:
        self.orders: dict[OrderId, tuple[Order, Decimal]] = {}
        self.found: list[OrderId] = []
        self._booked: _Booked | None = None  # nothing is sent before the first

    def note(self, book: BookReported, told_count: int) -> None:
        """Take a book for the newest.

        Args:
            book: that tells what is known here, from now on at least.
            told_count: executions that were told so far.
        """
        self._booked = _Booked(book.src, book.at_ns, book.fill_count, told_count)

    def learn(
        self, book: BookReported, gone: Iterable[OpenOrder], missed_count: int, told_count: int
    ) -> None:
        """Learn from a book what ended unseen since the one before, and take it for the newest.

        Args:
            book: that is being adopted.
            gone: orders that were open here, and that it does not show.
            missed_count: orders that it shows with executions that nobody told of.
            told_count: executions that were told so far.
        """
        for view in (*book.recent_orders, *book.open_orders):
            self.orders.pop(view.order.order_id, None)
        self.found = []
        if self._may_hide(book, missed_count, told_count):
            by_instrument: dict[InstrumentId, list[OpenOrder]] = {}
            for entry in gone:
                by_instrument.setdefault(entry.order.instrument, []).append(entry)
            for entries in by_instrument.values():
                self._hide(entries)
        self.note(book, told_count)

    def _may_hide(self, book: BookReported, missed_count: int, told_count: int) -> bool:
        """Return whether executions may have been missed that the book does not show.

        To leave a position as it was takes two of them, beside one of each order that is shown.
        """
        before = self._booked
        if before is None:
            return False
        if before.teller and book.src and before.teller != book.src:
            return True  # the counts of two executors are not of the same executions
        shown_count = sum(1 for view in book.recent_orders if view.filled)
        if shown_count < TRADED_MAX and book.at_ns - before.at_ns < LATELY_NS:
            return False
        untold = book.fill_count - before.fill_count - (told_count - before.told_count)
        return untold < 0 or untold >= missed_count + 2

    def _hide(self, gone: Sequence[OpenOrder]) -> None:
        """Count orders of one instrument as far as the other side's could have undone them."""
        bought, sold = (
            sum((each.leaves for each in gone if each.order.side is side), ZERO) for side in Side
        )
        most = min(bought, sold)
        if most > ZERO:
            for each in gone:
                self.orders[each.order.order_id] = (each.order, min(each.leaves, most))
                self.found.append(each.order.order_id)
