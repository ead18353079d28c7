"""The checks of portfolio risk, through the whole gate."""

from typing import Any

import empyrical
import msgspec
import numpy as np
import pytest

from schemas.base import InstrumentId
from schemas.limits import PricesSampled
from schemas.orders import Outcome, Side, SignalDecided
from services.gate.config_groups import OnExcess
from services.gate.config_portfolio import Method, PortfolioLimits
from services.gate.core import GateCore
from services.gate.value_at_risk import Returns
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec
from tests.gate_rig import book, reading
from tests.risk_rig import LOAN, PERP, SAMPLING, RiskRig, risky, value_at_risk

ROOMY = value_at_risk(amount_max=dec(10**9))


def figure(rig: RiskRig) -> float:
    found = rig.gate.state.risk.accounts[ACCOUNT].value_at_risk
    assert found is not None
    return float(found)


def needed(decided: SignalDecided) -> tuple[str, str]:
    """Return rule and value of the check that decided."""
    return decided.rule, reading(decided, decided.rule).value


def test_without_a_row_nothing_is_sampled_and_nothing_asked() -> None:
    rig = RiskRig(risky(None))
    rig.pass_seconds(3)
    assert rig.ask("a").rule == "all"
    assert not [each for each in rig.kept if isinstance(each, PricesSampled)]
    assert rig.gate.wake_at_ns is None


@pytest.mark.req("G-03")
def test_while_value_at_risk_is_unknown_orders_are_denied_with_what_is_missing() -> None:
    rig = RiskRig(risky(ROOMY))
    rig.pass_seconds(5)
    assert needed(rig.ask("a")) == ("value_at_risk", "6 samples of sim:ALPHA are missing")
    rig.pass_seconds(5)
    assert needed(rig.ask("b")) == ("value_at_risk", "1 samples of sim:ALPHA are missing")
    rig.pass_seconds(1)
    order = rig.approve("c")
    rig.fill(order, "10", "x1")
    rig.pass_seconds(1)
    said = ("value_at_risk", "9 samples of all that is held are missing")
    assert needed(rig.ask("d")) == said
    rig.pass_seconds(9)
    assert rig.ask("e").rule == "all"


@pytest.mark.req("G-03")
@pytest.mark.parametrize("method", [Method.HISTORICAL, Method.PARAMETRIC])
def test_the_figure_of_what_is_held_is_that_of_the_oracle(method: Method) -> None:
    rig = RiskRig(risky(value_at_risk(amount_max=dec(10**9), method=method)))
    rig.pass_seconds(40)
    rig.fill(rig.approve("a", quantity="70"), "70", "x1")
    rig.fill(rig.approve("b", quantity="30", instrument=BETA, side=Side.SELL), "30", "x2")
    rig.pass_seconds(1)
    profits = 70 * rig.prices[ALPHA] * np.array(rig.moves[ALPHA])
    profits -= 30 * rig.prices[BETA] * np.array(rig.moves[BETA])
    if method is Method.HISTORICAL:
        expected = -empyrical.value_at_risk(profits[1:], cutoff=0.01)
    else:
        weights = 0.94 ** np.arange(len(profits) - 2, -1, -1.0)
        expected = 2.3263478740408408 * np.sqrt((weights * profits[1:] ** 2).sum() / weights.sum())
    assert figure(rig) == pytest.approx(expected, rel=1e-4)


def limited(limit: str, **more: str) -> RiskRig:
    """Return a rig over calm returns, with a limit that 100 of ALPHA are far above."""
    rows = {name: dec(value) for name, value in {"amount_max": limit, **more}.items()}
    rig = RiskRig(risky(value_at_risk(**rows)))
    rig.pass_seconds(40)
    return rig


@pytest.mark.req("G-03")
def test_orders_of_the_same_second_add_up_before_anything_is_valued_anew() -> None:
    rig = limited("400")
    decided = [rig.ask(name, quantity="100").rule for name in "abc"]
    assert decided == ["all", "all", "value_at_risk"]


@pytest.mark.req("G-03")
def test_a_gate_that_forgets_the_orders_of_the_second_passes_the_limit() -> None:
    class ForgetfulGate(GateCore):
        def __init__(self, *made_from: object) -> None:
            super().__init__(*made_from)  # type: ignore[arg-type]
            for risk in self.state.risk.accounts.values():
                risk.approve = lambda order: None  # type: ignore[method-assign]

    rig = RiskRig(risky(value_at_risk(amount_max=dec(400))), ForgetfulGate)
    rig.pass_seconds(40)
    for index in range(5):
        rig.fill(rig.approve(f"s{index}", quantity="100"), "100", f"x{index}")
    rig.pass_time(1)
    assert figure(rig) > 400


@pytest.mark.req("G-03")
def test_an_order_that_rests_counts_in_every_later_second() -> None:
    rig = limited("400")
    assert rig.ask("a", quantity="200").rule == "all"
    rig.pass_seconds(3)
    assert rig.ask("b", quantity="100").rule == "value_at_risk"


@pytest.mark.req("G-03")
def test_what_only_reduces_passes_although_the_limit_is_passed() -> None:
    rig = limited("400")
    rig.fill(rig.approve("a", quantity="200"), "200", "x1")
    rig.pass_seconds(40, share=0.05)
    assert figure(rig) > 400
    assert rig.ask("b", quantity="1").rule == "value_at_risk"
    assert rig.ask("c", quantity="150", side=Side.SELL).rule == "all"


@pytest.mark.req("G-03")
def test_a_limit_by_fraction_needs_an_equity_that_is_known() -> None:
    rig = RiskRig(risky(value_at_risk(fraction_max=dec("0.01"))))
    rig.pass_seconds(40)
    said = ("value_at_risk", "no valuation of the account was heard yet")
    assert needed(rig.ask("a")) == said
    rig.mark("100000")
    rig.pass_time(1)
    assert reading(rig.ask("b"), "value_at_risk").limit == "1000.00"
    rig.mark(unmarked=("sim:BETA",))
    rig.pass_time(1)
    assert needed(rig.ask("c")) == ("value_at_risk", "no price for sim:BETA")
    rig.mark("100000")
    rig.pass_time(1)
    rig.fill(rig.approve("held", quantity="1"), "1", "x1")
    rig.pass_time(12)
    said = ("value_at_risk", "no valuation of the account for more than 10 s")
    assert needed(rig.ask("d")) == said


@pytest.mark.req("G-03")
def test_a_restart_knows_the_returns_again() -> None:
    rig = RiskRig(risky(ROOMY))
    rig.pass_seconds(40)
    rig.fill(rig.approve("a", quantity="70"), "70", "x1")
    rig.pass_time(1)
    before = figure(rig)
    rig.restart()
    rig.now_ns += S_NS
    for key, price in rig.prices.items():
        rig.quote(f"{price:.6f}", f"{price:.6f}", instrument=key)
    rig.tell(book(held={ALPHA: "70"}, at_ns=rig.now_ns))
    rig.pass_time(0.5)
    assert figure(rig) == pytest.approx(before, rel=0.05)
    assert rig.ask("b").rule == "all"


@pytest.mark.req("G-03")
def test_a_book_that_is_adopted_makes_the_figure_unknown_until_it_is_computed_anew() -> None:
    rig = limited("400")
    rig.tell(book(held={ALPHA: "500"}, at_ns=rig.now_ns))
    risk = rig.gate.state.risk.accounts[ACCOUNT]
    assert (risk.value_at_risk, risk.value_unknown) == (None, "the book was adopted anew")
    assert rig.ask("a", quantity="1").rule == "value_at_risk"
    assert figure(rig) > 400


@pytest.mark.req("G-04")
def test_a_position_is_sized_by_the_volatility_of_its_instrument() -> None:
    rig = RiskRig(risky(PortfolioLimits(risk_budget=dec(100), risk_horizon_s=1)))
    rig.pass_seconds(5)
    assert needed(rig.ask("a")) == ("volatility_size", "6 samples of sim:ALPHA are missing")
    rig.pass_seconds(40)
    volatility = rig.gate.state.risk.volatilities[ALPHA]
    allowed = int(dec(100) / (volatility * dec(str(rig.prices[ALPHA]))))
    assert rig.ask("b", quantity=str(allowed + 1)).rule == "volatility_size"
    assert rig.ask("c", quantity=str(allowed)).rule == "all"
    assert rig.ask("d", quantity="1").rule == "volatility_size", "open orders count"


@pytest.mark.req("G-04")
def test_an_instrument_may_have_a_budget_of_its_own() -> None:
    row = PortfolioLimits(risk_budget=dec(100), risk_budgets={BETA: dec(0)}, risk_horizon_s=1)
    rig = RiskRig(risky(row))
    rig.pass_seconds(40)
    assert rig.ask("a", quantity="1").rule == "all"
    assert rig.ask("b", quantity="1", instrument=BETA).rule == "volatility_size"


MARGIN = PortfolioLimits(margin_ratio_min=dec("0.2"))


@pytest.mark.req("S-18")
def test_margin_is_kept_by_equity_against_all_that_is_margined() -> None:
    rig = RiskRig(risky(MARGIN))
    rig.pass_seconds(1, share=0)
    said = ("margin_ratio", "no valuation of the account was heard yet")
    assert needed(rig.ask("a", instrument=PERP)) == said
    assert rig.ask("b", quantity="100000").rule == "all", "shares are not margined"
    rig.mark("20000")
    assert needed(rig.ask("c", quantity="1001", instrument=PERP)) == (
        "margin_ratio",
        "0.1998001998001998001998001998",
    )
    assert rig.ask("d", quantity="600", instrument=PERP).rule == "all"
    assert rig.ask("e", quantity="401", instrument=PERP).rule == "margin_ratio"
    rig.pass_time(1)
    assert rig.ask("f", quantity="401", instrument=PERP).rule == "margin_ratio"
    assert rig.ask("g", quantity="400", instrument=PERP).rule == "all"


@pytest.mark.req("S-18")
def test_an_instrument_counts_by_its_own_margin_rate() -> None:
    row = PortfolioLimits(margin_ratio_min=dec("0.2"), margin_rates={PERP: dec("0.5")})
    rig = RiskRig(risky(row))
    rig.pass_seconds(1, share=0)
    rig.mark("20000")
    assert rig.ask("a", quantity="2001", instrument=PERP).rule == "margin_ratio"
    assert rig.ask("b", quantity="2000", instrument=PERP).rule == "all"


@pytest.mark.req("S-18")
def test_below_the_margin_only_what_reduces_passes() -> None:
    rig = RiskRig(risky(MARGIN))
    rig.pass_seconds(1, share=0)
    rig.mark("20000")
    rig.fill(rig.approve("a", quantity="900", instrument=PERP), "900", "x1")
    rig.mark("1000")
    assert rig.ask("b", quantity="1", instrument=PERP).rule == "margin_ratio"
    assert rig.ask("c", quantity="900", instrument=PERP, side=Side.SELL).rule == "all"


@pytest.mark.req("S-18")
def test_a_venue_that_tells_a_lower_margin_is_believed_and_its_silence_denies() -> None:
    rig = RiskRig(risky(MARGIN))
    rig.pass_seconds(1, share=0)
    rig.mark("20000")
    rig.report_health("sim", ratio=dec("0.19"))
    assert needed(rig.ask("a", instrument=PERP)) == ("margin_ratio", "0.19 told by sim")
    rig.report_health("sim", ratio=dec("0.3"))
    assert rig.ask("b", instrument=PERP).rule == "all"
    for _ in range(61):
        rig.pass_second({})
    rig.mark("20000")
    assert needed(rig.ask("c", instrument=PERP)) == ("margin_ratio", "sim told it 61 s ago")


@pytest.mark.req("S-18")
def test_lending_needs_a_health_factor_that_is_told_and_high_enough() -> None:
    rig = RiskRig(risky(PortfolioLimits(health_factor_min=dec("1.2"))))
    rig.pass_seconds(1, share=0)
    said = ("health_factor", "lend has not told the health factor")
    assert needed(rig.ask("a", instrument=LOAN)) == said
    rig.report_health("lend", factor=dec("1.19"))
    borrowed = rig.ask("b", instrument=LOAN, side=Side.SELL)
    assert needed(borrowed) == ("health_factor", "1.19")
    rig.report_health("lend", factor=dec("1.2"))
    rig.fill(rig.approve("c", instrument=LOAN), "10", "x1")
    for _ in range(61):
        rig.pass_second({})
    said = ("health_factor", "lend told it 61 s ago")
    assert needed(rig.ask("d", instrument=LOAN)) == said
    assert needed(rig.ask("e", instrument=LOAN, side=Side.SELL)) == said
    out = rig.ask("f", instrument=LOAN, side=Side.SELL, is_reduce_only=True)
    assert out.rule == "all", "a person's flatten gets out"


@pytest.mark.req("S-18")
def test_below_the_minimum_more_may_be_supplied_and_nothing_taken_back() -> None:
    rig = RiskRig(risky(PortfolioLimits(health_factor_min=dec("1.2"))))
    rig.pass_seconds(1, share=0)
    rig.report_health("lend", factor=dec("1.3"))
    rig.fill(rig.approve("a", instrument=LOAN), "10", "x1")
    rig.report_health("lend", factor=dec("1.01"))
    taken_back = rig.ask("b", instrument=LOAN, side=Side.SELL)
    assert needed(taken_back) == ("health_factor", "1.01")
    assert rig.ask("c", instrument=LOAN).rule == "all"


@pytest.mark.req("S-18")
def test_lending_without_a_minimum_is_denied_with_what_to_set() -> None:
    rig = RiskRig(risky(None))
    rig.pass_seconds(1)
    decided = rig.ask("a", instrument=LOAN)
    assert (decided.rule, decided.detail) == (
        "limit_missing",
        "no limit health_factor_min: set gate.portfolio.paper.health_factor_min",
    )


@pytest.mark.req("G-12")
def test_the_limit_on_value_at_risk_tightens_with_the_others() -> None:
    steps = ({"at": "0.05", "factor": "0.5"},)
    chosen = {"amount_max": "250", "horizon_s": 1, "samples_min": 20}
    row = msgspec.convert({"value_at_risk": chosen, "drawdown_steps": steps}, PortfolioLimits)
    rig = RiskRig(risky(row))
    rig.pass_seconds(40)
    rig.mark(drawdown="0.06")
    assert reading(rig.ask("a", quantity="1"), "value_at_risk").limit == "125.0"
    rig.mark(drawdown="0")
    assert reading(rig.ask("b", quantity="1"), "value_at_risk").limit == "250"


@pytest.mark.req("G-01", "G-03", "G-04", "S-18")
@pytest.mark.parametrize(
    ("row", "key"),
    [
        (value_at_risk(amount_max=dec(400)), ALPHA),
        (PortfolioLimits(risk_budget=dec(100), risk_horizon_s=1), BETA),
        (MARGIN, PERP),
    ],
    ids=["value at risk", "volatility", "margin"],
)
def test_an_order_that_is_too_large_is_made_to_fit_where_that_is_chosen(
    row: PortfolioLimits, key: InstrumentId
) -> None:
    rig = RiskRig(risky(row, on_excess=OnExcess.REDUCE))
    rig.pass_seconds(40)
    rig.mark("20000")
    decided = rig.ask("a", quantity="100000", instrument=key)
    fitted = decided.approved_quantity
    assert decided.outcome is Outcome.REDUCED
    assert 0 < fitted < 100_000
    again = RiskRig(risky(row))
    again.pass_seconds(40)
    again.mark("20000")
    assert again.ask("b", quantity=str(fitted + 1), instrument=key).rule != "all"
    assert again.ask("c", quantity=str(fitted), instrument=key).rule == "all"


@pytest.mark.req("G-01", "G-03")
def test_what_is_not_known_has_no_room_for_a_smaller_order_either() -> None:
    rig = RiskRig(risky(ROOMY, on_excess=OnExcess.REDUCE))
    rig.pass_seconds(5)
    assert rig.ask("a").rule == "value_at_risk"


@pytest.mark.req("G-03")
def test_a_restart_computes_no_more_samples_than_the_window_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = RiskRig(risky(ROOMY))
    rig.pass_seconds(250)
    before = rig.gate.state.risk.volatilities[ALPHA]
    computed: list[int] = []
    plain = Returns.add

    def counted(self: Returns, prices: Any, at_ns: int) -> None:
        computed.append(at_ns)
        plain(self, prices, at_ns)

    monkeypatch.setattr(Returns, "add", counted)
    rig.restart()
    rig.pass_time(0.5)
    assert len(computed) == SAMPLING.window + 1
    again = rig.gate.state.risk.volatilities[ALPHA]
    assert float(again) == pytest.approx(float(before), rel=0.01)


@pytest.mark.req("G-03")
def test_of_two_limits_on_value_at_risk_the_smaller_one_counts() -> None:
    rig = RiskRig(risky(value_at_risk(amount_max=dec(500), fraction_max=dec("0.01"))))
    rig.pass_seconds(40)
    shown = []
    for number, equity in enumerate(("40000", "90000")):
        rig.mark(equity)
        rig.pass_seconds(1)
        shown.append(reading(rig.ask(f"s{number}", quantity="1"), "value_at_risk").limit)
    assert shown == ["400.00", "500"]


@pytest.mark.req("G-03", "G-12")
def test_after_the_last_fill_an_old_valuation_is_not_believed_for_ever() -> None:
    """Nothing is held any more, but what it was sold for nobody has told yet."""
    rig = RiskRig(risky(MARGIN))
    rig.pass_seconds(1, share=0)
    rig.fill(rig.approve("a", quantity="10"), "10", "x1")
    rig.mark("20000")
    rig.fill(rig.approve("b", quantity="10", side=Side.SELL), "10", "x2")
    risk = rig.gate.state.risk.accounts[ACCOUNT]
    known = []
    for _ in range(12):
        rig.pass_time(1)
        known.append(risk.equity is not None)
    assert known == [True] * 10 + [False] * 2
    rig.mark("20000")
    for _ in range(12):
        rig.pass_time(1)
    assert risk.equity == 20_000
