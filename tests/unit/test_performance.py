"""How well it did: what each figure says, and what it says when it cannot be known."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import AccountId, ExecutionId, InstrumentId, OrderId, SessionId, SignalId
from schemas.executions import PositionView
from schemas.instruments import AssetClass
from schemas.orders import Outcome, Side, SignalDecided
from schemas.results import Figures
from schemas.sessions import PositionsAdopted, SignalBlocked
from schemas.settlement import PositionSettled, SettlementKind
from services.performance.core import By, Performance, Share, days_per_year
from services.performance.curve import DAY_NS, POINTS_MAX, Curve
from services.performance.fold import Terms
from services.performance.lines import Trip
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, SESSION, dec, instrument
from tests.performance_rig import KNOWN, Rig

pytestmark = pytest.mark.req("R-03", "S-04")
NOON = DAY_NS // 2


def test_before_anything_has_happened_nothing_is_known() -> None:
    told = Performance(Terms(instruments=KNOWN, currency_values={"USD": Decimal(1)}))
    assert told.figures(0) == Figures(initial_capital=dec(0), final_value=dec(0), slippage=dec(0))


def test_a_session_that_never_traded_earned_nothing_and_its_ratios_are_unknown() -> None:
    rig = Rig()
    rig.days("100", "101", "102")
    assert rig.told.figures(4 * DAY_NS) == Figures(
        initial_capital=dec(1000),
        final_value=dec(1000),
        total_return=0.0,
        cagr=0.0,
        volatility=0.0,
        drawdown_max=0.0,
        drawdown_ns_max=0,
        turnover=0.0,
        exposure=0.0,
        slippage=dec(0),
    )


def test_of_one_day_no_ratio_is_known() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("1", "100")
    rig.quote("110", NOON)
    figures = rig.told.figures(NOON)
    assert figures.total_return == pytest.approx(0.01)
    assert (figures.cagr, figures.volatility, figures.sharpe, figures.sortino) == (None,) * 4


def test_returns_that_do_not_differ_have_no_sharpe() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("10", "100")
    rig.quote("110", NOON)
    rig.days("121", "133.1")
    figures = rig.told.figures(0)
    assert figures.sharpe is None
    assert figures.sortino is None
    assert figures.volatility == pytest.approx(0, abs=1e-12)


def test_the_drawdown_is_the_deepest_and_the_longest_that_there_was() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("10", "100")
    rig.days("120", "90", "130", "125", "126", "127")
    figures = rig.told.figures(0)
    assert figures.drawdown_max == pytest.approx(0.25)
    assert figures.drawdown_ns_max == 3 * DAY_NS


def test_a_figure_asked_for_changes_no_later_one() -> None:
    rig, other = Rig(), Rig()
    for each in (rig, other):
        each.quote("100")
        each.fill("10", "100")
        each.days("90", "120")
        if each is rig:
            rig.told.figures(3 * DAY_NS)
            rig.told.figures(9 * DAY_NS)
        each.quote("100", 4 * DAY_NS)
    assert rig.told.figures(5 * DAY_NS) == other.told.figures(5 * DAY_NS)


def test_a_valuation_never_mixes_the_prices_of_two_moments() -> None:
    rig = Rig()
    for key in (ALPHA, BETA):
        rig.quote("100", key=key)
    rig.fill("50", "100")
    rig.fill("-1", "100", key=BETA)  # hedged exactly: 50 x 1 against 1 x 50
    for day in range(1, 4):
        rig.quote(str(100 + 10 * day), day * DAY_NS)
        rig.quote(str(100 + 10 * day), day * DAY_NS, BETA)
    figures = rig.told.figures(4 * DAY_NS)
    assert (figures.drawdown_max, figures.volatility) == (0.0, 0.0)


def test_what_is_held_and_has_no_price_makes_the_value_unknown() -> None:
    rig = Rig()
    rig.fill("10", "100")
    figures = rig.told.figures(DAY_NS)
    assert figures.final_value is None
    assert figures.total_return is None
    assert figures.slippage is None, "nobody knew the market when its signal was raised"


def test_an_instrument_that_nobody_described_makes_the_value_unknown() -> None:
    rig = Rig(known={})
    rig.fill("10", "100")
    assert rig.told.equity() is None


def test_a_currency_of_unknown_worth_makes_value_fees_and_turnover_unknown() -> None:
    told = Performance(Terms(instruments=KNOWN, currency_values={}))
    rig = Rig()
    rig.told = told
    rig.create(SESSION)
    rig.quote("100")
    rig.fill("1", "101", fee="1")
    figures = told.figures(0)
    assert (figures.final_value, figures.fees, figures.slippage) == (None, None, None)
    assert figures.turnover is None


def test_results_kept_in_another_coin_follow_its_price() -> None:
    told = Performance(Terms(instruments=KNOWN, currency_values={}, currency_marks={"USD": BETA}))
    rig = Rig()
    rig.told = told
    rig.create(SESSION, share_class="ETH")
    rig.quote("100")
    rig.quote("2000", key=BETA)
    rig.fill("10", "100")
    rig.quote("300", S_NS)
    assert told.equity() == dec(1001)
    rig.quote("4000", 2 * S_NS, BETA)
    assert told.equity() == dec("1000.5")


def test_an_execution_told_twice_counts_once() -> None:
    rig = Rig()
    rig.quote("100")
    fill = rig.fill("10", "99", fee="2")
    rig.told.update(fill)
    assert rig.told.equity() == dec(1008)
    assert rig.told.figures(0).fill_count == 1


def test_executions_of_other_accounts_and_sessions_do_not_count() -> None:
    terms = Terms(
        instruments=KNOWN,
        currency_values={"USD": Decimal(1)},
        account=ACCOUNT,
        session=SESSION,
    )
    rig = Rig()
    rig.told = Performance(terms)
    rig.create(SESSION)
    rig.quote("100")
    fill = rig.fill("1", "90")
    rig.fill("5", "90", session=SessionId("other"))
    rig.told.update(
        msgspec.structs.replace(fill, account=AccountId("x"), execution_id=ExecutionId("y"))
    )
    assert rig.told.equity() == dec(1010)


def test_round_trips_are_from_flat_to_flat_or_to_the_other_side() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("10", "100", fee="1")
    rig.fill("-15", "104", 1 * S_NS, fee="3")  # closes 10 at a gain of 40, opens 5 short
    rig.fill("5", "106", 2 * S_NS, fee="1")  # a loss of 10
    long, short = rig.told.tally.trips
    assert long == Trip(
        session=SESSION,
        instrument=ALPHA,
        is_long=True,
        opened_ns=0,
        closed_ns=S_NS,
        quantity=dec(10),
        opened_at=dec(100),
        closed_at=dec(104),
        fees=dec(3),
        profit=dec(37),
    )
    assert short == msgspec.structs.replace(
        long,
        is_long=False,
        opened_ns=S_NS,
        closed_ns=2 * S_NS,
        quantity=dec(5),
        opened_at=dec(104),
        closed_at=dec(106),
        fees=dec(2),
        profit=dec(-12),
    )
    figures = rig.told.figures(2 * S_NS)
    assert (figures.trade_count, figures.win_rate) == (2, 0.5)
    assert figures.profit_factor == pytest.approx(37 / 12)


def test_without_a_loss_the_profit_factor_is_unknown() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("10", "100")
    rig.fill("-10", "101", S_NS)
    figures = rig.told.figures(S_NS)
    assert (figures.win_rate, figures.profit_factor) == (1.0, None)


def test_exposure_is_the_share_of_time_in_which_anything_was_held() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("1", "100", 1 * S_NS)
    rig.fill("-1", "100", 4 * S_NS)
    rig.quote("100", 10 * S_NS)
    assert rig.told.figures(10 * S_NS).exposure == pytest.approx(0.3)


def test_turnover_is_what_was_traded_over_the_mean_value() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("10", "100", 1 * S_NS)
    rig.fill("-10", "100", 2 * S_NS)
    rig.quote("100", 10 * S_NS)
    assert rig.told.figures(10 * S_NS).turnover == pytest.approx(2.0)


def test_profit_is_divided_into_price_slippage_fees_and_funding() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("10", "101", fee="2")
    rig.told.update(settled(payment="-0.5"))
    rig.quote("105", S_NS)
    share = Share(
        price=dec(50), slippage=dec(10), fees=dec(2), funding=dec(-5), profit=dec(33),
        traded=dec(1010),
    )  # fmt: skip
    assert rig.told.attribution(By.SYMBOL) == {ALPHA: share}
    assert rig.told.equity() == dec(1033)


def test_profit_is_divided_by_session_strategy_symbol_and_share_class() -> None:
    rig = Rig()
    other = SessionId("s2")
    rig.create(other, strategy="other", share_class="ETH")
    for key in (ALPHA, BETA):
        rig.quote("100", key=key)
    rig.fill("1", "90")
    rig.fill("1", "90", key=BETA, session=other)
    found = {
        by: {name: share.profit for name, share in rig.told.attribution(by).items()} for by in By
    }
    assert found == {
        By.SESSION: {"s1": dec(10), "s2": dec(500)},
        By.STRATEGY: {"idea": dec(10), "other": dec(500)},
        By.SYMBOL: {ALPHA: dec(10), BETA: dec(500)},
        By.SHARE_CLASS: {"ETH": dec(500), "USDT": dec(10)},
    }


def test_capital_that_is_paid_in_is_no_profit() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("10", "100")
    rig.days("110")
    rig.create(SessionId("s2"), DAY_NS + NOON + S_NS)
    rig.quote("110", 2 * DAY_NS)
    figures = rig.told.figures(2 * DAY_NS)
    assert figures.initial_capital == dec(2000)
    assert figures.final_value == dec(2100)
    assert figures.total_return == pytest.approx(0.05), "100 on the 2,000 of that day"


def test_an_expired_contract_is_closed_at_its_settlement_price() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("10", "100")
    expiry = settled(closes_at="107", kind=SettlementKind.EXPIRY)
    rig.told.update(expiry)
    rig.told.update(expiry)
    assert rig.told.equity() == dec(1070)
    assert rig.told.lines[SESSION, ALPHA].held == 0
    assert [trip.profit for trip in rig.told.tally.trips] == [70]
    assert rig.told.tally.traded == dec(1000), "nobody traded the expiry"


def test_what_a_session_took_over_counts_from_its_average_price() -> None:
    rig = Rig()
    view = PositionView(instrument=ALPHA, quantity=dec(5), average_price=dec(90))
    rig.quote("100")
    for _ in range(2):  # told again, it is no news
        rig.told.update(PositionsAdopted(at_ns=0, session=SESSION, positions=(view,)))
    assert rig.told.equity() == dec(1050)


def test_refusals_of_the_gate_are_counted_by_rule() -> None:
    rig = Rig()
    for number, rule in enumerate(("rate", "hours", "rate")):
        rig.told.update(
            SignalDecided(
                at_ns=0,
                signal_id=SignalId(f"x{number}"),
                account=ACCOUNT,
                session=SESSION,
                instrument=ALPHA,
                outcome=Outcome.REJECTED,
                order_id=OrderId(f"o{number}"),
                rule=rule,
                epoch=1,
                side=Side.BUY,
                quantity=dec(1),
            )
        )
    assert rig.told.figures(0).refusals == {"hours": 1, "rate": 2}


@pytest.mark.req("S-08")
def test_signals_that_own_limits_kept_from_the_gate_are_counted_by_limit() -> None:
    rig = Rig()
    other = SessionId("other")
    told = (
        ("max_positions", SESSION),
        ("max_position_size", SESSION),
        ("max_positions", SESSION),
        ("max_positions", other),
    )
    for number, (rule, session) in enumerate(told):
        rig.told.update(blocked(rule, session, number))
    only = Performance(Terms(instruments=KNOWN, currency_values={"USD": Decimal(1)}, session=other))
    for number, (rule, session) in enumerate(told):
        only.update(blocked(rule, session, number))
    assert rig.told.figures(0) == Figures(
        initial_capital=dec(1_000),
        final_value=dec(1_000),
        drawdown_max=0.0,
        drawdown_ns_max=0,
        turnover=0.0,
        slippage=dec(0),
        total_return=0.0,
        blocked={"max_position_size": 1, "max_positions": 3},
    )
    assert only.figures(0).blocked == {"max_positions": 1}


def blocked(rule: str, session: SessionId, number: int) -> SignalBlocked:
    return SignalBlocked(
        at_ns=0,
        session=session,
        account=ACCOUNT,
        strategy="idea",
        signal_id=SignalId(f"b{number}"),
        instrument=ALPHA,
        side=Side.BUY,
        quantity=dec(1),
        rule=rule,
        reason="too much",
    )


def test_after_ruin_no_return_is_known() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("100", "100")
    rig.days("80", "200")
    figures = rig.told.figures(0)
    assert figures.drawdown_max == pytest.approx(2.0), "1,000 became -1,000"
    assert (figures.final_value, figures.total_return, figures.sharpe) == (dec(11_000), None, None)


def test_points_to_draw_stay_few_and_keep_first_and_last() -> None:
    curve = Curve()
    curve.pay_in(dec(1000), 0)
    for second in range(1, 3 * POINTS_MAX):
        curve.note(dec(1000 + second), second * S_NS)
    points = curve.ended(None, 0).points
    assert POINTS_MAX // 2 <= len(points) <= POINTS_MAX + 1
    assert (points[0].at_ns, points[-1].at_ns) == (0, (3 * POINTS_MAX - 1) * S_NS)


def test_a_year_has_as_many_days_as_its_markets_are_open() -> None:
    coin = instrument(asset_class=AssetClass.SPOT)
    pair = instrument(asset_class=AssetClass.FX)
    assert days_per_year({}) == 365
    assert days_per_year({ALPHA: coin}) == 365
    assert days_per_year({ALPHA: coin, BETA: pair}) == 260
    assert days_per_year(KNOWN) == 252


def settled(
    *,
    payment: str = "0",
    closes_at: str | None = None,
    kind: SettlementKind = SettlementKind.FUNDING,
    key: InstrumentId = ALPHA,
) -> PositionSettled:
    return PositionSettled(
        at_ns=0,
        account=ACCOUNT,
        instrument=key,
        settlement_id=f"{kind}-{key}",
        kind=kind,
        payment=dec(payment),
        closes_at=None if closes_at is None else dec(closes_at),
    )
