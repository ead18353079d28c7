"""In whatever order executions and books come, the breakers value what the account holds."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.executions import BookReported, OrderFilled, PositionView
from schemas.orders import Side
from services.breaker import valuation
from services.breaker.valuation import Valuation
from tests.breaker_rig import fill
from tests.builders import ACCOUNT, ALPHA, dec, quote
from tests.control_rig import TERMS

TELLER = "executor-1"
STEPS = st.lists(st.sampled_from(["buy", "sell", "book"]), max_size=12)


def told(steps: list[str]) -> tuple[list[OrderFilled | BookReported], Decimal]:
    """Return what an executor tells in its own order, and what the account is worth at 110."""
    said: list[OrderFilled | BookReported] = []
    held, cash = Decimal(0), TERMS.initial_cash
    for at_ns, step in enumerate(steps, start=1):
        if step == "book":
            said.append(book_of(held, cash, at_ns))
            continue
        price = dec(100 + at_ns)
        made = fill(f"x{at_ns}", side=Side(step), price=str(price), fee="1")
        made = msgspec.structs.replace(made, at_ns=at_ns, src=TELLER)
        held, cash = held + made.signed_quantity, cash - made.signed_quantity * price - 1
        said.append(made)
    return said, cash + held * 110


def book_of(held: Decimal, cash: Decimal, at_ns: int) -> BookReported:
    view = PositionView(instrument=ALPHA, quantity=held)
    return BookReported(at_ns=at_ns, src=TELLER, account=ACCOUNT, cash=cash, positions=(view,))


def worth(events: list[OrderFilled | BookReported]) -> Decimal | None:
    """Return what it is valued at once all of this was heard, after a first book."""
    found = Valuation(TERMS)
    found.on_book(book_of(Decimal(0), TERMS.initial_cash, 0))
    found.quotes[ALPHA] = quote("110", "110")
    for event in events:
        if isinstance(event, OrderFilled):
            found.on_fill(event)
        else:
            found.on_book(event)
    return found.equity()


@pytest.mark.req("B-01", "B-02")
@settings(max_examples=300, deadline=None)
@given(steps=STEPS, data=st.data())
def test_executions_and_books_come_to_the_same_worth_in_any_order(
    steps: list[str], data: st.DataObject
) -> None:
    said, expected = told(steps)
    mixed = data.draw(st.permutations(said))
    assert worth([*mixed, *mixed]) == expected


@pytest.mark.req("B-01")
def test_without_the_times_of_their_teller_a_fill_counts_twice_and_one_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (bought, book), expected = told(["buy", "book"])
    (early, late), after = told(["book", "buy"])
    assert [worth([book, bought]), worth([late, early])] == [expected, after]
    monkeypatch.setattr(valuation, "_is_same", lambda teller, other: False)
    monkeypatch.setattr(Valuation, "forget_book", lambda self: None)
    doubled, lost = worth([book, bought]), worth([late, early])
    assert doubled is not None
    assert doubled - expected == 10 * (110 - 101) - 1
    assert lost == TERMS.initial_cash, "the book from before it has put it aside"


@pytest.mark.req("B-01", "B-02")
def test_what_another_executor_tells_leaves_the_worth_unknown_until_its_book() -> None:
    """The one before folded a buy of ten in that it never came to tell; this sells them."""
    sold = fill("e2", side=Side.SELL, price="90", fee="0")
    sold = msgspec.structs.replace(sold, src="executor-2", at_ns=1)
    found = Valuation(TERMS)
    found.on_book(book_of(Decimal(0), TERMS.initial_cash, 1_000))
    found.quotes[ALPHA] = quote("110", "110")
    assert found.on_fill(sold), "no clock of the first says that its book holds it"
    assert found.equity() is None, "ten short, which nobody is"
    cash = TERMS.initial_cash - 10 * 100 + 10 * 90
    theirs = msgspec.structs.replace(book_of(Decimal(0), cash, 2), src="executor-2")
    assert found.on_book(theirs)
    assert found.equity() == cash
