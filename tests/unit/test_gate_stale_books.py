"""A book that is older than news from the same executor changes nothing here."""

import pytest

from schemas.orders import Order
from tests.builders import ACCOUNT, ALPHA
from tests.gate_rig import NOW_NS, Rig, book, filled

pytestmark = pytest.mark.req("S-16", "O-04")


def held(rig: Rig) -> int:
    """Return what the account holds by the gate."""
    return int(rig.gate.state.accounts[ACCOUNT].portfolio.quantity(ALPHA))


def bought(rig: Rig, order: Order, name: str, after_ns: int, src: str = "") -> None:
    """Tell of one unit bought."""
    rig.tell(filled(order, "1", name, at_ns=NOW_NS + after_ns, src=src))


def test_a_book_from_before_what_a_successor_told_is_stale_by_the_successors_clock() -> None:
    """The one before it had a clock that was ahead."""
    rig = Rig()
    order = rig.approve("a", quantity="10")
    bought(rig, order, "e1", 100, src="one")
    bought(rig, order, "e2", 5, src="two")
    rig.tell(book(held={ALPHA: "7"}, at_ns=NOW_NS + 3, src="two"))
    assert held(rig) == 2
    rig.tell(book(held={ALPHA: "2"}, at_ns=NOW_NS + 6, src="two"))
    assert held(rig) == 2
    assert rig.gate.state.accounts[ACCOUNT].doubt == ""


def test_a_stale_book_that_agrees_makes_no_other_stale_book_new() -> None:
    rig = Rig()
    order = rig.approve("a", quantity="1")
    bought(rig, order, "e1", 10)
    rig.tell(book(held={ALPHA: "1"}, at_ns=NOW_NS + 5))
    rig.tell(book(held={ALPHA: "7"}, at_ns=NOW_NS + 8))
    assert held(rig) == 1
    rig.tell(book(held={ALPHA: "7"}, at_ns=NOW_NS + 11))
    assert held(rig) == 7
