"""Each safeguard of portfolio risk and of moving limits, taken away: the harm it stood against."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from schemas.limits import LimitsChanged
from schemas.orders import OrderApproved, Side, SignalRaised
from services.gate.checks import portfolio
from services.gate.config import GateConfig
from services.gate.config_portfolio import PortfolioLimits
from services.gate.core import GateCore
from services.gate.dynamic_limits import Ladder
from services.gate.portfolio_risk import AccountRisk
from services.gate.table import CHECKS
from services.gate.value_at_risk import Returns
from tests.builders import ALPHA, S_NS, dec
from tests.gate_rig import Rig, book
from tests.limits_rig import DRAWDOWN_STEPS, POSITION, LimitsRig, asked, marked, with_portfolio
from tests.risk_rig import LOAN, PERP, RiskRig, risky, value_at_risk

Scene = Callable[[RiskRig], SignalRaised]
MARGIN = PortfolioLimits(margin_ratio_min=dec("0.2"))
LENDING = PortfolioLimits(health_factor_min=dec("1.2"))


def without(*names: str) -> type[GateCore]:
    class Weakened(GateCore):
        checks = tuple(check for check in CHECKS if check.name not in names)

    return Weakened


def lent_near_liquidation(rig: RiskRig) -> SignalRaised:
    rig.report_health("lend", factor=dec("1.05"))
    return rig.signal(instrument=LOAN, side=Side.SELL)


def with_thin_margin(rig: RiskRig) -> SignalRaised:
    rig.mark("1000")
    return rig.signal(quantity="100", instrument=PERP)


def large(rig: RiskRig) -> SignalRaised:
    return rig.signal(quantity="100000")


SCENES: dict[str, tuple[PortfolioLimits, Scene]] = {
    "health_factor": (LENDING, lent_near_liquidation),
    "margin_ratio": (MARGIN, with_thin_margin),
    "volatility_size": (PortfolioLimits(risk_budget=dec(100)), large),
    "value_at_risk": (value_at_risk(amount_max=dec(400)), large),
}


def test_every_check_of_the_family_has_its_ablation() -> None:
    assert [row.name for row in portfolio.ROWS] == list(SCENES)


@pytest.mark.req("G-03", "G-04", "S-18")
@pytest.mark.parametrize("name", SCENES)
def test_an_order_goes_out_that_its_check_would_have_stopped(name: str) -> None:
    row, scene = SCENES[name]

    def said(kind: type[GateCore]) -> Sequence[Any]:
        rig = RiskRig(risky(row), kind)
        rig.pass_seconds(40)
        return rig.tell(scene(rig))

    assert said(GateCore)[-1].rule == name
    assert isinstance(said(without(name))[-1], OrderApproved)


@pytest.mark.req("G-03")
def test_without_what_rests_an_order_that_fills_later_passes_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rules() -> list[str]:
        rig = RiskRig(risky(value_at_risk(amount_max=dec(400))))
        rig.pass_seconds(40)
        found = []
        for number in range(4):
            found.append(rig.ask(f"s{number}", quantity="150").rule)
            rig.pass_seconds(1)
        return found

    assert rules() == ["all"] + ["value_at_risk"] * 3
    plain = AccountRisk._finish

    def forgetful(risk: AccountRisk, way: Any, returns: Any, held: Any, pending: Decimal) -> None:
        plain(risk, way, returns, held, Decimal(0))

    monkeypatch.setattr(AccountRisk, "_finish", forgetful)
    assert rules() == ["all"] * 4


@pytest.mark.req("G-03")
def test_without_the_rule_for_what_is_missing_unknown_risk_passes_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rule() -> str:
        rig = RiskRig(risky(value_at_risk(amount_max=dec(400))))
        rig.pass_seconds(2)
        return rig.ask("a", quantity="100000").rule

    assert rule() == "value_at_risk"
    monkeypatch.setattr(Returns, "missing", lambda self, instrument: 0)
    monkeypatch.setattr(Returns, "worst", lambda self, instrument: 0.0)
    monkeypatch.setattr(Returns, "volatility", lambda self, instrument: 0.0)
    assert rule() == "all"


@pytest.mark.req("G-03")
def test_without_doubt_after_an_adopted_book_the_old_figure_lets_an_order_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rule() -> str:
        rig = RiskRig(risky(value_at_risk(amount_max=dec(400))))
        rig.pass_seconds(40)
        rig.gate.state.risk.apply(rig.adopted({ALPHA: "500"}), rig.now_ns)
        return rig.ask("a", quantity="1").rule

    assert rule() == "value_at_risk"
    monkeypatch.setattr(AccountRisk, "distrust", lambda self, why: None)
    assert rule() == "all"


@pytest.mark.req("G-12")
def test_without_keeping_changes_a_restart_loosens_what_an_operator_tightened() -> None:
    class Forgetful(GateCore):
        def __init__(self, *made_from: Any) -> None:
            super().__init__(*made_from)
            self.keeps -= {LimitsChanged}

    def rule(kind: type[GateCore]) -> str:
        rig = Rig(kind=kind)
        rig.tell(asked({POSITION: "5"}))
        rig.restart()
        rig.tell(book())
        rig.quote()
        return rig.rule(quantity="10")

    assert rule(GateCore) == "position_quantity"
    assert rule(Forgetful) == "all"


@pytest.mark.req("G-12")
def test_without_starting_at_the_tightest_a_restart_forgets_the_drawdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file: GateConfig = with_portfolio(PortfolioLimits(drawdown_steps=DRAWDOWN_STEPS))
    assert LimitsRig(file).limit("gross_notional_max") == 7_500
    plain = Ladder.__init__

    def hopeful(self: Ladder, *told: Any) -> None:
        plain(self, *told)
        self._level = 0

    monkeypatch.setattr(Ladder, "__init__", hopeful)
    assert LimitsRig(file).limit("gross_notional_max") == 30_000


@pytest.mark.req("G-12")
def test_without_a_share_for_release_limits_flicker_at_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def changes() -> int:
        rig = LimitsRig(with_portfolio(PortfolioLimits(drawdown_steps=DRAWDOWN_STEPS)))
        rig.tell(marked("0"))
        rig.wake(0)
        said = 0
        for second in range(20):
            rig.tell(marked("0.0501" if second % 2 else "0.0499"))
            said += len(rig.wake(second * S_NS))
        return said

    assert changes() == 1
    plain = Ladder.__init__

    def hasty(self: Ladder, steps: Any, release_share: Decimal) -> None:
        plain(self, steps, Decimal(1))

    monkeypatch.setattr(Ladder, "__init__", hasty)
    assert changes() == 19
