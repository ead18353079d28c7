"""A short option may lose more than it costs: none is sold short unless its margin is counted."""

from typing import Any

import msgspec
import pytest

from schemas.instruments import AssetClass
from schemas.orders import Side
from services.gate.config_compliance import DayTrading
from tests.builders import ALPHA, dec
from tests.gate_rig import INSTRUMENTS, reading
from tests.rules_rig import RulesRig

SELL = Side.SELL
INTRADAY: dict[str, Any] = {"day_trading": DayTrading.INTRADAY_MARGIN, "calendar": "XNYS"}


@pytest.fixture(autouse=True)
def _option(monkeypatch: pytest.MonkeyPatch) -> None:
    option = msgspec.structs.replace(INSTRUMENTS[ALPHA], asset_class=AssetClass.OPTION)
    monkeypatch.setitem(INSTRUMENTS, ALPHA, option)


def margined(**more: Any) -> RulesRig:
    rig = RulesRig(**(INTRADAY | more))
    rig.on("2026-06-04")
    rig.mark("10000")
    rig.due()
    rig.mark("10000")
    return rig


@pytest.mark.req("G-06")
def test_an_option_is_not_sold_short_where_no_margin_is_counted() -> None:
    rig = RulesRig()
    decided = rig.decide(rig.signal("a", side=SELL))
    read = reading(decided, "short_option")
    assert (decided.rule, read.value, read.limit) == (
        "short_option",
        "no margin is counted for a short option",
        "gate.compliance.paper.day_trading intraday_margin and "
        'gate.compliance.paper.margin_rates."sim:ALPHA"',
    )


@pytest.mark.req("G-06")
def test_a_rate_that_no_rule_counts_does_not_help() -> None:
    assert RulesRig(margin_rates={ALPHA: dec(3)}).rule("a", side=SELL) == "short_option"


@pytest.mark.req("G-06")
def test_with_its_rate_under_the_intraday_rule_it_is_sold_as_far_as_equity_covers_it() -> None:
    rig = margined(margin_rates={ALPHA: dec(3)})  # 300 of margin for a price of 100
    rules = [rig.rule(f"a{quantity}", side=SELL, quantity=quantity) for quantity in ("34", "33")]
    assert rules == ["intraday_margin", "all"]


@pytest.mark.req("G-06")
def test_what_is_held_is_sold_and_nothing_beyond_it() -> None:
    rig = RulesRig()
    rig.buy("in")
    rules = [
        rig.rule("through", side=SELL, quantity="11"),
        rig.rule("out", side=SELL, quantity="10"),
        rig.rule("twice", side=SELL, quantity="1"),
        rig.rule("more", quantity="1"),
    ]
    assert rules == ["short_option", "all", "short_option", "all"]
