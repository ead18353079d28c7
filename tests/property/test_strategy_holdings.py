"""Whatever order executions, holes and books come in, sessions hold what the account does."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import ExecutionId, OrderId, SessionId
from schemas.executions import (
    BookReported,
    Liquidity,
    OrderFilled,
    OrderStatus,
    OrderView,
    PositionView,
)
from schemas.health import GapSeen
from schemas.ids import flatten_session
from schemas.orders import Side
from services.strategy.compared import Compared, Heard
from tests.builders import ACCOUNT, ALPHA, S_NS, order
from tests.strategy_rig import StrategyRig

ENDED, ACTIVE = SessionId("idle-1"), SessionId("idle-2")
FLATTEN = flatten_session(3, None)
RECENT_MAX = 2
"""Closed orders that a book shows: so few that most executions are of none of them."""

Step = tuple[str, int]
WHAT = (
    *("buy", "buy", "sell", "flatten", "hear", "hear", "lose"),
    *("book", "book", "late-book", "executor", "restart"),
)
STEPS = st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 5)), max_size=40)


class World:
    """An executor with a clock of its own, a bus that mixes up, and the strategy service.

    Attributes:
        rig: the service; two sessions on one instrument, of which one has ended.
        known: executions that the service was told of, itself or by a book that it compared.
    """

    def __init__(self) -> None:
        self.rig = StrategyRig()
        for _ in range(2):
            self.rig.start("idle")
        self.rig.ask("stop", ENDED)
        self.boot, self.clock_ns = 1, 50 * S_NS
        self.made: list[OrderFilled] = []
        self.known: set[str] = set()
        self.orders: dict[OrderId, OrderView] = {}
        self.pipe: list[OrderFilled] = []
        self.books: list[tuple[BookReported, set[str]]] = []
        self.is_whole = True

    def step(self, what: str, number: int) -> None:
        match what:
            case "buy" | "sell":
                self._fill(Side(what), ENDED if number == 5 else ACTIVE, number)
            case "flatten" if total := self._sum({each.execution_id for each in self.made}):
                self._fill(Side.SELL if total > 0 else Side.BUY, FLATTEN, abs(total) - 1)
            case "hear" | "lose" if self.pipe:
                at = number % len(self.pipe)
                fill = self.pipe.pop(at)
                if what == "hear":
                    self._hear(fill, is_next=at == 0 and self.is_whole)
                self.is_whole = what == "hear"
            case "book":
                self.clock_ns += number % 2
                self.books.append(self._book())
                self._hear_book(*self.books[-1])
            case "late-book" if self.books:
                self._hear_book(*self.books.pop(number % len(self.books)))
            case "executor":
                self.boot += 1
                self.clock_ns = (100 - number) * S_NS  # another clock
                self.books.clear()
            case "restart":
                self.books.clear()  # nobody is told what was said before it listened
                before = self.rig.core.describe(0)
                self.rig.restart()
                assert self.rig.core.describe(0) == before
                self.rig.tell(None)

    def check(self) -> None:
        """Sessions hold what is known, unless the service itself waits for a book."""
        if not self.rig.core._holdings.is_behind:
            assert self.held() == self._sum(self.known)

    def settle(self) -> None:
        """Let all be told that is on its way, and then a book."""
        for fill in [*self.pipe]:
            self._hear(fill, is_next=False)
        self.rig.tell(_gap())
        self._hear_book(*self._book())
        assert self.held() == self._sum({each.execution_id for each in self.made})

    def held(self) -> Decimal:
        every = self.rig.core.sessions.values()
        return sum((each.book.portfolio.quantity(ALPHA) for each in every), Decimal(0))

    def _sum(self, known: set[str]) -> int:
        return sum(
            int(each.quantity) * (1 if each.side is Side.BUY else -1)
            for each in self.made
            if each.execution_id in known
        )

    def _fill(self, side: Side, session: SessionId, number: int) -> None:
        """Execute one of an order of two that is open, or all of a new one."""
        self.clock_ns += 1
        open_ = [
            each
            for each in self.orders.values()
            if each.status is OrderStatus.PARTIALLY_FILLED
            and (each.order.side, each.order.session) == (side, session)
        ]
        is_flatten = session == FLATTEN
        if open_ and not is_flatten:
            view = msgspec.structs.replace(open_[0], filled=Decimal(2), status=OrderStatus.FILLED)
            del self.orders[view.order.order_id]
            quantity = Decimal(1)
        else:
            quantity = Decimal(number + 1 if is_flatten else 1)
            whole = quantity if is_flatten else Decimal(1 + number % 2)
            made = order(f"o{len(self.made)}", side=side, quantity=str(whole))
            made = msgspec.structs.replace(made, session=session)
            is_done = whole == quantity
            status = OrderStatus.FILLED if is_done else OrderStatus.PARTIALLY_FILLED
            view = OrderView(order=made, filled=quantity, status=status)
        self.orders[view.order.order_id] = view
        fill = OrderFilled(
            at_ns=self.clock_ns,
            src=f"executor-{self.boot}",
            account=ACCOUNT,
            session=session,
            instrument=ALPHA,
            order_id=view.order.order_id,
            execution_id=ExecutionId(f"x{len(self.made)}"),
            side=side,
            price=Decimal(100 + number),
            quantity=quantity,
            leaves=view.order.quantity - view.filled,
            fee=Decimal(0),
            liquidity=Liquidity.TAKER,
            status=view.status,
        )
        self.made.append(fill)
        self.pipe.append(fill)

    def _hear(self, fill: OrderFilled, *, is_next: bool) -> None:
        if not is_next:
            self.rig.tell(_gap())
        self.rig.tell(fill)
        self.known.add(fill.execution_id)

    def _book(self) -> tuple[BookReported, set[str]]:
        """Return the book as the executor has it now, at the time of its newest execution."""
        every = [*self.orders.values()]
        closed = [each for each in every if each.status is OrderStatus.FILLED]
        within: set[str] = {each.execution_id for each in self.made}
        held = PositionView(
            instrument=ALPHA, quantity=Decimal(self._sum(within)), average_price=Decimal(101)
        )
        book = BookReported(
            at_ns=self.clock_ns,
            src=f"executor-{self.boot}",
            account=ACCOUNT,
            is_reconciled=True,
            positions=(held,),
            open_orders=tuple(e for e in every if e.status is OrderStatus.PARTIALLY_FILLED),
            recent_orders=tuple(closed[-RECENT_MAX:]),
        )
        return book, within

    def _hear_book(self, book: BookReported, within: set[str]) -> None:
        before = self.rig.core._holdings.compared
        self.rig.tell(book)
        if self.rig.core._holdings.compared is not before:
            self.known |= within


def _gap() -> GapSeen:
    return GapSeen(
        at_ns=0, subject="exec.sim.paper", publisher="executor", expected_seq=2, got_seq=4
    )


def run(steps: list[Step]) -> None:
    world = World()
    for what, number in steps:
        world.step(what, number)
        world.check()
    world.settle()


@pytest.mark.req("S-16", "I11")
@settings(max_examples=300, deadline=None)
@given(steps=STEPS)
def test_sessions_together_hold_what_the_book_does(steps: list[Step]) -> None:
    run(steps)


ALONE = st.lists(
    st.tuples(
        st.sampled_from(("buy", "buy", "sell", "hear", "hear", "book", "late-book")),
        st.integers(0, 4),
    ),
    max_size=40,
)


@pytest.mark.req("S-16", "I11")
@settings(max_examples=300, deadline=None)
@given(steps=ALONE)
def test_what_is_all_told_at_last_comes_to_the_same_money(steps: list[Step]) -> None:
    """However many books came in between, each took over at a price of its own and gave it back."""
    world = World()
    for what, number in steps:
        world.step(what, number)
    world.settle()
    session = world.rig.core.sessions[ACTIVE]
    spent = sum((each.signed_quantity * each.price for each in world.made), Decimal(0))
    expected = session.terms.capital - spent
    assert abs(session.book.portfolio.cash - expected) < Decimal("1e-20"), "but for rounding"


LATE = [("buy", 0), ("restart", 0), ("book", 0), ("hear", 0)]
STALE = [("buy", 0), ("book", 0), ("buy", 0), ("buy", 0), ("hear", 0), ("hear", 1)]


def test_without_knowing_what_the_book_held_an_execution_counts_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(LATE)
    monkeypatch.setattr(Compared, "holds", lambda self, fill: False)
    with pytest.raises(AssertionError):
        run(LATE)


def test_without_knowing_that_a_book_is_old_an_execution_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = [*STALE, ("late-book", 0)]
    run(steps)
    monkeypatch.setattr(Heard, "is_stale", lambda self, report: False)
    with pytest.raises(AssertionError):
        run(steps)
