"""Executions that the gate never heard of count for compliance once the executor's book shows them.

A restart misses what happens meanwhile, and so does a lost link: the position comes back with the
book, and so must day trades, losses, purchases and what was sold short.
"""

from typing import Any

import msgspec
import pytest

from schemas.base import InstrumentId
from schemas.executions import BookReported, OrderStatus, OrderView
from schemas.health import LinkChanged
from schemas.instruments import AssetClass
from schemas.orders import Order, Side
from services.gate.compliance_days import date_ns
from services.gate.config_compliance import DayTrading, Locate, WashSale
from tests.builders import ALPHA, MS_NS, S_NS, dec
from tests.gate_rig import INSTRUMENTS, book, reading, resting
from tests.rules_rig import OPEN_NS, RulesRig, known

SELL = Side.SELL
DAY = "2026-05-04"
PATTERN: dict[str, Any] = {"day_trading": DayTrading.PATTERN_DAY_TRADER, "calendar": "XNYS"}
WASH: dict[str, Any] = {"wash_sale": WashSale.BLOCK, "calendar": "XNYS"}


def on_the_day(**rules: Any) -> RulesRig:
    rig = RulesRig(**rules)
    rig.on(DAY)
    rig.mark("50000")
    return rig


def shown(order: Order, rig: RulesRig, filled: str | None = None) -> OrderView:
    """Return an order as the book shows it that has filled, whole or in part."""
    quantity = order.quantity if filled is None else dec(filled)
    return OrderView(order=order, status=OrderStatus.FILLED, filled=quantity, at_ns=rig.now_ns)


def reported(
    rig: RulesRig,
    *recent: OrderView,
    held: str = "0",
    realised: str = "0",
    still_open: tuple[OrderView, ...] = (),
) -> BookReported:
    """Return the executor's book, some time later."""
    rig.at(rig.now_ns + S_NS)
    told = book(*still_open, held={ALPHA: held}, recent=recent, at_ns=rig.now_ns)
    [position] = told.positions
    position = msgspec.structs.replace(position, realized=dec(realised), average_price=dec(100))
    return msgspec.structs.replace(told, positions=(position,))


def lose(rig: RulesRig, how: str) -> None:
    """Restart the gate, or lose its link."""
    if how == "restart":
        rig.restart()
        rig.quote()
    else:
        rig.tell(LinkChanged(at_ns=rig.now_ns, is_up=False))


def traded(rig: RulesRig) -> tuple[int, int]:
    """Return day trades and trades of the five days."""
    day_ns = rig.rules.days.day_of(rig.now_ns)
    assert day_ns is not None
    return rig.rules.counted(day_ns)


@pytest.mark.req("G-06")
@pytest.mark.parametrize("how", ["restart", "link"])
def test_a_sale_that_nobody_told_of_makes_the_day_trade_that_it_is(how: str) -> None:
    rig = on_the_day(**PATTERN)
    for number in range(3):
        rig.buy(f"in {number}")
        rig.sell(f"out {number}")
    rig.buy("in")
    sale = rig.approve("out", side=SELL)
    lose(rig, how)
    rig.tell(reported(rig, shown(sale, rig)))
    assert (traded(rig), rig.rules.designated) == (
        (4, 8),
        "4 day trades of 8 trades in 5 business days",
    )


@pytest.mark.req("G-06")
def test_what_was_missed_counts_once_and_a_restart_brings_it_back() -> None:
    rig = on_the_day(**PATTERN, wash_sale=WashSale.BLOCK, short_locate=Locate.REQUIRED)
    rig.buy("in")
    sale = rig.approve("out", side=SELL, quantity="10")
    lose(rig, "link")
    rig.tell(reported(rig, held="6", still_open=(shown(sale, rig, "4"),), realised="-40"))
    assert traded(rig) == (1, 2)
    rig.filled(sale, "3", "90")  # heard, and of the same order
    lose(rig, "link")
    rig.tell(reported(rig, shown(sale, rig), realised="-100"))
    assert traded(rig) == (1, 2)
    before = known(rig)
    rig.restart()
    assert known(rig) == before


@pytest.mark.req("G-06")
def test_orders_of_both_sides_are_taken_for_as_many_day_trades_as_they_could_be() -> None:
    rig = on_the_day(**PATTERN)
    orders = [rig.approve("a"), rig.approve("b"), rig.approve("c", side=SELL)]
    orders.append(rig.approve("d", side=SELL))
    lose(rig, "restart")
    rig.tell(reported(rig, *(shown(each, rig) for each in orders)))
    assert traded(rig) == (2, 4)


@pytest.mark.req("G-06")
def test_a_sale_of_another_day_is_no_day_trade_of_this_one() -> None:
    rig = on_the_day(**PATTERN)
    rig.buy("in")
    sale = rig.approve("out", side=SELL)
    view = shown(sale, rig)
    rig.now_ns = date_ns("2026-05-05") + OPEN_NS
    lose(rig, "restart")
    rig.tell(reported(rig, msgspec.structs.replace(view, at_ns=rig.now_ns)))
    assert traded(rig) == (0, 2)


@pytest.mark.req("G-06")
@pytest.mark.parametrize(
    ("realised", "found"),
    [("-100", "a loss of 100 was taken 0 days ago"), ("100", "")],
    ids=["loss", "gain"],
)
def test_a_loss_that_nobody_told_of_is_washed_by_buying_back(realised: str, found: str) -> None:
    rig = on_the_day(**WASH)
    rig.buy("in")
    sale = rig.approve("out", side=SELL)
    lose(rig, "restart")
    rig.tell(reported(rig, shown(sale, rig), realised=realised))
    decided = rig.decide(rig.signal("back"))
    rule = "wash_sale" if found else "all"
    assert (decided.rule, reading(decided, "wash_sale").value) == (rule, found)


@pytest.mark.req("G-06")
def test_of_several_sales_that_were_missed_each_may_have_been_a_loss() -> None:
    rig = on_the_day(**WASH)
    rig.buy("in", quantity="20")
    rig.quote("110.00", "110.10")
    orders = [rig.approve(name, side=SELL) for name in ("a", "b")]
    lose(rig, "restart")
    rig.tell(reported(rig, *(shown(each, rig) for each in orders), realised="10"))
    decided = rig.decide(rig.signal("back"))
    assert (decided.rule, reading(decided, "wash_sale").value) == (
        "wash_sale",
        "a loss may have been taken 0 days ago, nobody told at what price",
    )


@pytest.mark.req("G-06")
def test_a_purchase_that_nobody_told_of_washes_a_loss() -> None:
    rig = on_the_day(**WASH)
    rig.buy("old", price="110")
    rig.on("2026-07-06")
    missed = rig.approve("new")
    lose(rig, "restart")
    rig.tell(reported(rig, shown(missed, rig), held="20"))
    rig.quote("89.90", "90.00")
    assert rig.rule("out", side=SELL) == "wash_sale"


@pytest.mark.req("G-06")
def test_what_was_sold_short_unheard_uses_its_locate_up() -> None:
    rig = on_the_day(short_locate=Locate.REQUIRED, calendar="XNYS")
    rig.locate("l1", "10")
    sale = rig.approve("short", side=SELL)
    lose(rig, "restart")
    rig.tell(reported(rig, shown(sale, rig), held="-10"))
    cover = rig.buy("cover")
    assert cover.quantity == dec(10)
    decided = rig.decide(rig.signal("again", side=SELL, quantity="1"))
    assert (decided.rule, reading(decided, "short_locate").value) == ("short_locate", "11")


@pytest.mark.req("G-06")
@pytest.mark.parametrize(
    ("kind", "wanted"), [(AssetClass.EQUITY, (1, 1)), (AssetClass.OPTION, (0, 1))]
)
def test_a_position_that_went_without_an_order_to_show_for_it_was_traded_unless_it_expired(
    kind: AssetClass, wanted: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    known_as = msgspec.structs.replace(INSTRUMENTS[ALPHA], asset_class=kind)
    monkeypatch.setitem(INSTRUMENTS, ALPHA, known_as)
    rig = on_the_day(**PATTERN)
    rig.buy("in")
    lose(rig, "restart")
    rig.tell(reported(rig))
    assert traded(rig) == wanted


@pytest.mark.req("G-06")
def test_what_a_gate_finds_held_when_it_first_starts_was_not_traded_then() -> None:
    rig = RulesRig(**PATTERN)
    rig.now_ns = date_ns(DAY) + OPEN_NS
    rig.tell(book(held={ALPHA: "10"}, at_ns=rig.now_ns))
    assert traded(rig) == (0, 0)


@pytest.mark.req("G-06")
def test_orders_in_what_is_not_configured_are_passed_over() -> None:
    rig = on_the_day(**PATTERN)
    lose(rig, "restart")
    strange = resting("strange", key=InstrumentId("sim:NONE"))
    rig.tell(reported(rig, shown(strange, rig)))
    assert (traded(rig), rig.now_ns % MS_NS) == ((0, 0), 0)
