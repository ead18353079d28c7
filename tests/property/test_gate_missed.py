"""Whatever a gate does not hear: once it has the book, compliance knows no less than one that did.

Day trades, losses, purchases and short sales may be more than there were, never fewer.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import OrderId
from schemas.executions import BookReported, OrderStatus, OrderView
from schemas.health import LinkChanged
from schemas.orders import Order, Side
from services.gate.compliance_account import AccountCompliance
from services.gate.compliance_missed import Told
from services.gate.config_compliance import DayTrading, Locate, WashSale
from services.portfolio import Portfolio
from tests.builders import ALPHA, MS_NS, dec
from tests.gate_rig import INSTRUMENTS, book, filled, resting
from tests.rules_rig import RulesRig

RULES: dict[str, Any] = {
    "day_trading": DayTrading.PATTERN_DAY_TRADER,
    "wash_sale": WashSale.BLOCK,
    "short_locate": Locate.REQUIRED,
    "calendar": "XNYS",
}
ORDERS = st.tuples(
    st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 3), st.sampled_from(["90", "100", "110"])
)
STRETCHES = st.lists(
    st.tuples(st.booleans(), st.lists(ORDERS, min_size=1, max_size=3)), min_size=1, max_size=8
)
"""Each heard, or missed until the book comes."""


class Venue:
    """What truly happens, and the executor's book of it."""

    def __init__(self) -> None:
        self.portfolio = Portfolio(INSTRUMENTS, Decimal(0))
        self.done: list[OrderView] = []

    def fill(self, order: Order, price: str, now_ns: int) -> Any:
        """Fill an order at once; return the news of it."""
        told = filled(order, str(order.quantity), f"x{order.order_id}", price=price, at_ns=now_ns)
        self.portfolio.apply(told)
        view = OrderView(
            order=order, status=OrderStatus.FILLED, filled=order.quantity, at_ns=now_ns
        )
        self.done = [*self.done, view][-20:]
        return told

    def book(self, now_ns: int) -> BookReported:
        """Return the book, with the last orders."""
        told = book(recent=tuple(self.done), at_ns=now_ns)
        return BookReported(
            at_ns=now_ns,
            account=told.account,
            is_reconciled=True,
            positions=self.portfolio.views({}),
            recent_orders=told.recent_orders,
        )


class Known(NamedTuple):
    """What compliance counts."""

    day_trades: int
    short: Decimal
    losses: frozenset[tuple[str, bool]]
    opened: dict[tuple[str, bool], Decimal]


def counted(rules: AccountCompliance, now_ns: int) -> Known:
    day_ns = rules.days.day_of(now_ns)
    assert day_ns is not None
    opened = {key: sum((q for _, q in days), dec(0)) for key, days in rules.wash.opened.items()}
    sold = rules.locates.sold(ALPHA, day_ns)
    return Known(rules.counted(day_ns)[0], sold, frozenset(rules.wash.losses), opened)


Stretches = Sequence[tuple[bool, Sequence[tuple[Side, int, str]]]]


def play(stretches: Stretches, *, is_deaf: bool) -> Known:
    """Return what a gate knows in the end that heard all, or did not hear some of it."""
    rig, venue, number = RulesRig(**RULES), Venue(), 0
    rig.on("2026-05-04")
    rig.tell(venue.book(rig.now_ns))
    for is_missed, orders in stretches:
        for side, quantity, price in orders:
            number += 1
            rig.now_ns += MS_NS
            order = resting(str(OrderId(f"o{number}")), side=side, quantity=str(quantity))
            told = venue.fill(order, price, rig.now_ns)
            if not (is_missed and is_deaf):
                rig.tell(told)
        if is_missed and is_deaf:
            rig.now_ns += MS_NS
            rig.tell(LinkChanged(at_ns=rig.now_ns, is_up=False))
            rig.tell(venue.book(rig.now_ns))
    return counted(rig.rules, rig.now_ns)


def assert_knows_no_less(stretches: Stretches) -> None:
    heard, missed = play(stretches, is_deaf=False), play(stretches, is_deaf=True)
    assert missed.day_trades >= heard.day_trades
    assert missed.short >= heard.short
    assert missed.losses >= heard.losses
    assert all(missed.opened.get(key, dec(0)) >= each for key, each in heard.opened.items())


@pytest.mark.req("G-06")
@given(stretches=STRETCHES)
@settings(max_examples=200, deadline=None)
def test_a_gate_that_was_deaf_for_a_while_counts_no_less_than_one_that_heard(
    stretches: Stretches,
) -> None:
    assert_knows_no_less(stretches)


@pytest.mark.req("G-06")
def test_without_catching_up_it_counts_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Told, "missed", lambda *_: {})
    with pytest.raises(AssertionError):
        assert_knows_no_less([(False, [(Side.BUY, 1, "100")]), (True, [(Side.SELL, 1, "90")])])
