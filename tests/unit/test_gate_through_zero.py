"""An order that goes through zero opens the other side: it is judged, however much was held."""

from typing import Any

import pytest

from schemas.orders import Side
from services.gate.checks import compliance, portfolio
from services.gate.config_compliance import DayTrading
from services.gate.config_portfolio import Method, PortfolioLimits
from tests.builders import ALPHA, BETA, dec
from tests.gate_rig import book
from tests.risk_rig import PERP, RiskRig, risky, value_at_risk
from tests.rules_rig import RulesRig

SELL = Side.SELL
INTRADAY: dict[str, Any] = {"day_trading": DayTrading.INTRADAY_MARGIN, "calendar": "XNYS"}


def long_100(equity: str, **rules: Any) -> RulesRig:
    """Return a rig whose account holds 100 of ALPHA at 100."""
    rig = RulesRig(**INTRADAY, **rules)
    rig.tell(book(held={ALPHA: "100"}, at_ns=rig.now_ns + 1))
    rig.on("2026-11-02")
    rig.mark(equity)
    rig.due()
    rig.due()
    rig.quote()
    rig.mark(equity)
    return rig


@pytest.mark.req("G-06")
@pytest.mark.parametrize(
    ("quantity", "rule"), [("100", "all"), ("101", "intraday_margin"), ("200", "intraday_margin")]
)
def test_a_frozen_account_may_close_and_not_turn_over(quantity: str, rule: str) -> None:
    rig = long_100("1000000", frozen_until="2026-12-31")
    assert rig.rule("a", side=SELL, quantity=quantity) == rule


@pytest.mark.req("G-06")
@pytest.mark.parametrize(("equity", "rule"), [("2900", "intraday_margin"), ("3100", "all")])
def test_the_short_side_needs_its_own_margin(equity: str, rule: str) -> None:
    assert long_100(equity).rule("a", side=SELL, quantity="200") == rule  # 2,500 long, 3,000 short


@pytest.mark.req("G-03")
def test_value_at_risk_is_measured_where_a_hedge_is_turned_over() -> None:
    rig = RiskRig(risky(value_at_risk(amount_max=dec(100), method=Method.PARAMETRIC)))
    for second in range(40):
        rig.pass_second(dict.fromkeys(rig.prices, 0.01 if second % 2 else -0.01))
    rig.tell(book(held={ALPHA: "100", BETA: "-50"}, at_ns=rig.now_ns))  # BETA counts twice
    rig.mark()
    rig.pass_second(dict.fromkeys(rig.prices, 0.01))
    rig.mark()
    assert rig.ask("a", "100", side=SELL).rule == "all", "getting out"
    rig = _again(rig)
    assert rig.ask("b", "200", side=SELL).rule == "value_at_risk"


def _again(rig: RiskRig) -> RiskRig:
    rig.tell(book(held={ALPHA: "100", BETA: "-50"}, at_ns=rig.now_ns + 1))
    rig.now_ns += 10_000_000_000
    for _ in range(2):
        rig.pass_second(dict.fromkeys(rig.prices, 0.01))
        rig.mark()
    return rig


@pytest.mark.req("S-18")
@pytest.mark.parametrize(("equity", "rule"), [("1000", "margin_ratio"), ("2500", "all")])
def test_the_margin_ratio_is_asked_where_a_position_is_turned_over(equity: str, rule: str) -> None:
    rig = RiskRig(risky(PortfolioLimits(margin_ratio_min=dec("0.2"))))
    rig.pass_seconds(1, share=0)
    rig.tell(book(held={PERP: "100"}, at_ns=rig.now_ns))
    rig.pass_seconds(1, share=0)
    rig.mark(equity)
    assert rig.ask("a", "200", instrument=PERP, side=SELL).rule == rule


@pytest.mark.req("G-03", "G-06")
def test_without_it_a_frozen_account_turns_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (compliance, portfolio):
        monkeypatch.setattr(module, "ZERO", dec(1_000_000))  # whatever it reaches: it closes
    rig = long_100("1000000", frozen_until="2026-12-31")
    assert rig.rule("a", side=SELL, quantity="200") == "all"
