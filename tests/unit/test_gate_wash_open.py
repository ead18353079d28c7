"""Wash sales that open orders would make: each may fill, and nobody knows which first."""

from typing import Any

import pytest

from schemas.base import SessionId
from schemas.health import AlertRaised
from schemas.orders import OrderType, Side, TimeInForce
from services.gate.compliance_wash_open import OpenOrders
from services.gate.config_compliance import WashSale
from tests.builders import ALPHA, BETA, SESSION, dec
from tests.gate_rig import book as reported
from tests.gate_rig import only, reading, resting, view
from tests.rules_rig import RulesRig, known

SELL, BUY = Side.SELL, Side.BUY
OLD, DAY = "2026-03-02", "2026-06-30"


def limit(price: str, side: Side = BUY, quantity: str = "10", **more: Any) -> dict[str, Any]:
    return {
        "order_type": OrderType.LIMIT,
        "limit": price,
        "side": side,
        "quantity": quantity,
        **more,
    }


def stop(price: str, side: Side = SELL, quantity: str = "10") -> dict[str, Any]:
    return {"order_type": OrderType.STOP, "stop": price, "side": side, "quantity": quantity}


def washed(mode: WashSale = WashSale.BLOCK, **more: Any) -> RulesRig:
    """Return a gate on a day on which nothing was traded for months."""
    rig = RulesRig(wash_sale=mode, calendar="XNYS", **more)
    rig.on(DAY)
    rig.quote(instrument=BETA)
    return rig


def holding(price: str, mode: WashSale = WashSale.BLOCK, **more: Any) -> RulesRig:
    """Return a gate whose account has held 10 for months, bought at this price."""
    rig = RulesRig(wash_sale=mode, calendar="XNYS", **more)
    rig.on(OLD)
    rig.buy("old", price=price)
    rig.on(DAY)
    rig.quote(instrument=BETA)
    return rig


def found(rig: RulesRig, name: str, **more: Any) -> tuple[str, str]:
    """Return the rule that decides, and what the check of wash sales found."""
    decided = rig.decide(rig.signal(name, **more))
    return decided.rule, reading(decided, "wash_sale").value


@pytest.mark.req("G-06")
def test_a_loss_is_not_taken_while_an_order_rests_that_would_buy_again() -> None:
    rig = holding("110")
    bid = rig.approve("bid", **limit("95.00", quantity="4"))
    said = ("wash_sale", "open orders may open 4 within 30 days")
    assert found(rig, "loss", side=SELL) == said
    assert found(rig, "gain", **limit("111.00", SELL)) == ("all", "")
    rig.cancelled(bid, "4")
    assert found(rig, "after", side=SELL, quantity="5") == ("all", "")


@pytest.mark.req("G-06", "G-01")
def test_what_only_gets_out_passes_beside_what_rests_and_a_flatten_always() -> None:
    rig = holding("110")
    rig.session(SESSION)
    rig.approve("bid", **limit("95.00", quantity="4"))
    out: dict[str, Any] = {"side": SELL, "quantity": "5", "is_reduce_only": True}
    assert found(rig, "exit", **out) == ("all", "")
    rig = holding("110")
    rig.session(SESSION)
    rig.buy("new", quantity="3", price="110")
    said = "3 opened within 30 days stay held"
    assert found(rig, "loss", **(out | {"quantity": "1"})) == ("wash_sale", said)
    assert (
        found(rig, "all", session=SessionId("flatten-1"), **(out | {"quantity": "1"}))[0] == "all"
    )


@pytest.mark.req("G-06")
def test_nothing_is_bought_while_an_order_is_open_that_may_close_at_a_loss() -> None:
    rig = holding("110")
    out = rig.approve("out", **stop("90.00"))
    assert found(rig, "more") == ("wash_sale", f"open order {out.order_id} may take a loss")
    rig.cancelled(out, "10")
    rig.approve("gain", **limit("112.00", SELL))
    assert found(rig, "again") == ("all", "")


@pytest.mark.req("G-06")
def test_the_order_that_loses_most_is_looked_at() -> None:
    rig = holding("110")
    rig.approve("gain", **limit("112.00", SELL, "5"))
    out = rig.approve("loss", **limit("105.00", SELL, "5"))
    assert found(rig, "more") == ("wash_sale", f"open order {out.order_id} may take a loss")


@pytest.mark.req("G-06")
def test_an_order_on_its_way_counts_and_one_that_the_executor_tells_of_too() -> None:
    rig = holding("110")
    rig.approve("on its way", time_in_force=TimeInForce.IOC)
    assert found(rig, "loss", side=SELL)[0] == "wash_sale"
    told = holding("110")
    told.tell(reported(view(resting("theirs")), held={ALPHA: "10"}, at_ns=told.now_ns))
    assert found(told, "loss", side=SELL)[0] == "wash_sale"


@pytest.mark.req("G-06")
def test_an_entry_and_its_protection_wash_nothing_and_a_second_entry_may() -> None:
    rig = washed()
    rig.approve("entry", **limit("99.00"))
    out = rig.approve("protection", **stop("95.00"))
    said = ("wash_sale", f"open order {out.order_id} may take a loss")
    assert found(rig, "second entry", **limit("98.00")) == said


@pytest.mark.req("G-06")
@pytest.mark.parametrize(("price", "rule"), [("96.66", "wash_sale"), ("96.67", "all")])
def test_what_gains_now_may_lose_once_what_is_open_has_made_it_dearer(
    price: str, rule: str
) -> None:
    rig = holding("90")
    rig.approve("more", quantity="20")  # on its way, at 100: 30 at 96.666...
    assert rig.rule("out", **stop(price, quantity="5")) == rule


@pytest.mark.req("G-06")
def test_quotes_on_both_sides_that_gain_wash_nothing() -> None:
    rig = washed()
    rig.approve("bid", **limit("99.00"))
    rig.approve("ask", **limit("101.00", SELL))
    assert [found(rig, "b", **limit("98.00")), found(rig, "a", **limit("102.00", SELL))] == [
        ("all", ""),
        ("all", ""),
    ]


@pytest.mark.req("G-06")
def test_short_positions_count_alike() -> None:
    rig = washed()
    rig.on(OLD)
    rig.sell("short", price="90")
    rig.on(DAY)
    cover = rig.approve("cover", **stop("105.00", BUY))
    said = ("wash_sale", f"open order {cover.order_id} may take a loss")
    assert found(rig, "more", side=SELL) == said
    rig.cancelled(cover, "10")
    rig.approve("ask", **limit("101.00", SELL))
    assert found(rig, "loss") == ("wash_sale", "open orders may open 10 within 30 days")


@pytest.mark.req("G-06")
def test_what_is_substantially_identical_counts_and_nothing_else() -> None:
    group: dict[str, Any] = {"identical": {"the same company": (ALPHA, BETA)}}
    rules = []
    for rig in (holding("110", **group), holding("110")):
        rig.approve("bid", **limit("95.00", instrument=BETA))
        rules.append(rig.rule("loss", side=SELL))
    for rig in (holding("110", **group), holding("110")):
        rig.approve("out", **stop("90.00"))
        rules.append(rig.rule("more", instrument=BETA))
    assert rules == ["wash_sale", "all"] * 2


@pytest.mark.req("G-06")
def test_a_warning_says_what_an_open_order_may_do() -> None:
    rig = holding("110", WashSale.WARN)
    rig.approve("bid", **limit("95.00"))
    said = rig.tell(rig.signal("loss", side=SELL))
    assert "open orders may open 10" in only(AlertRaised, said).message


@pytest.mark.req("G-06")
def test_a_restart_brings_open_orders_back() -> None:
    rig = holding("110")
    out = rig.approve("out", **stop("90.00"))
    before = known(rig)
    rig.restart()
    assert known(rig) == before
    view_of = view(out)
    rig.tell(reported(view_of, held={ALPHA: "10"}, at_ns=rig.now_ns))
    rig.quote()
    assert found(rig, "more") == ("wash_sale", f"open order {out.order_id} may take a loss")


@pytest.mark.req("G-06")
def test_without_seeing_open_orders_both_wash_sales_go_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OpenOrders, "opening", lambda *_: dec(0))
    monkeypatch.setattr(OpenOrders, "losing", lambda *_: None)
    bidding, stopping = holding("110"), holding("110")
    bidding.approve("bid", **limit("95.00"))
    stopping.approve("out", **stop("90.00"))
    assert [bidding.rule("loss", side=SELL), stopping.rule("more")] == ["all", "all"]
