"""Sessions measured: figures, heartbeat, uptime, days on paper; after a restart the same (S-04)."""

from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest

from schemas.base import AccountId, BootId
from schemas.control import EpochEnded, EpochStarted, HaltRequested
from schemas.executions import BookReported
from schemas.health import SessionsReported
from schemas.market import TradeReceived
from schemas.measures import PaperDayNoted, RiskStatus, SessionMeasure, SessionValued, Share
from schemas.orders import Outcome, SignalDecided, SignalRaised
from schemas.reconciliation import Difference, DifferenceKind
from schemas.restrictions import Level, RestrictionRequested
from schemas.results import PaperDay
from schemas.sessions import SessionState
from schemas.settlement import PositionSettled, SettlementKind
from services.cli.session_command import HEARTBEAT_TIMEOUT_S, health_of
from services.strategy.config import ExecutionLimits, RiskLimits, StrategyConfig
from services.strategy.core import StrategyCore
from services.strategy.held import NOT_STARTED
from services.strategy.measured import TICK_NS, Measured, MeasureTerms
from services.strategy.measures import _day_of
from tests.builders import ACCOUNT, ALPHA, S_NS, quote
from tests.strategy_rig import (
    INSTRUMENTS,
    OWN,
    StrategyRig,
    config,
    decision,
    every,
    only,
    request,
)

pytestmark = pytest.mark.req("S-04", "R-03")
DAY_NS = 86_400 * S_NS
WATCHING = "tests.strategy_rig:Watching"
PAID = Decimal(-2)


class MeasuredRig(StrategyRig):
    """A measured strategy service with one session that buys one at every quote."""

    def __init__(self, strategy: str = "buyeachquote", settings: StrategyConfig | None = None):
        super().__init__(settings)
        self.session = self.start(strategy)

    def _made(self) -> StrategyCore:
        values = {"USD": Decimal(1)}
        terms = MeasureTerms(instruments=INSTRUMENTS, currency_values=values, is_paper=True)
        return cast(StrategyCore, Measured(super()._made(), terms))

    def pass_time(self, time_ns: int) -> None:
        """Let time pass, with every deadline in it."""
        until_ns = self.now_ns + time_ns
        while (due_ns := self.core.wake_at_ns) is not None and due_ns <= until_ns:
            self.tell(None, max(due_ns, self.now_ns))
        self.now_ns = until_ns

    def trade(self, bid: str, ask: str) -> None:
        """Move the market; what the strategy buys is decided, and fills at 100."""
        said = self.tell(quote(bid, ask, at_ns=self.now_ns))
        for raised in every(SignalRaised, said):
            self.tell(self.decided(raised, bid, ask))
            self.tell(self.fill(raised))

    def decided(self, raised: SignalRaised, bid: str, ask: str) -> SignalDecided:
        plain = decision(raised, Outcome.APPROVED)
        return msgspec.structs.replace(plain, bid=Decimal(bid), ask=Decimal(ask))

    def report(self) -> SessionsReported:
        return self.core.describe(self.now_ns)

    def measure(self) -> SessionMeasure:
        [found] = self.report().measures
        return found


def test_a_session_that_has_done_nothing_is_worth_its_capital() -> None:
    rig = MeasuredRig("idle")
    rig.pass_time(TICK_NS)
    found = rig.measure()
    assert (found.engine_status, found.is_final) == (SessionState.RUNNING, False)
    assert (found.initial_capital, found.current_value, found.total_pnl, found.return_pct) == (
        Decimal(10_000),
        Decimal(10_000),
        Decimal(0),
        Decimal(0),
    )
    assert found.risk is RiskStatus.WITHIN_LIMITS
    assert found.heartbeat_ns is not None


def test_profit_is_price_less_slippage_and_fees_by_every_part() -> None:
    rig = MeasuredRig()
    rig.trade("99.90", "99.98")  # bought at 100 while the middle was 99.94
    rig.tell(HaltRequested(at_ns=0))
    rig.tell(quote("100.90", "101.10", at_ns=rig.now_ns))
    rig.pass_time(TICK_NS)
    found = rig.measure()
    assert (found.total_pnl, found.return_pct) == (Decimal(1), Decimal("0.01"))
    whole = Share(
        price=Decimal("1.06"),
        slippage=Decimal("0.06"),
        fees=Decimal(0),
        funding=Decimal(0),
        profit=Decimal(1),
        traded=Decimal(100),
    )
    assert found.shares == {"sim:ALPHA": whole}
    parts = {"session": rig.session, "strategy": "buyeachquote"}
    parts |= {"symbol": "sim:ALPHA", "share_class": "USDT"}
    assert rig.report().attribution == {by: {name: whole} for by, name in parts.items()}
    assert (found.figures.signal_count, found.figures.fill_count) == (1, 1)


def test_what_has_no_price_is_unknown_and_never_nothing() -> None:
    rig = MeasuredRig()
    rig.trade("99.00", "99.00")
    assert rig.measure().total_pnl == Decimal(-1)
    values: dict[str, Decimal] = {}
    terms = MeasureTerms(instruments=INSTRUMENTS, currency_values=values, is_paper=True)
    blind = Measured(StrategyRig._made(rig), terms)
    for event in rig.kept:
        blind.restore(event)
    [found] = blind.describe(rig.now_ns).measures
    assert (found.current_value, found.total_pnl, found.return_pct, found.drawdown) == (
        None,
        None,
        None,
        None,
    )
    assert found.risk is RiskStatus.UNKNOWN


def test_after_a_restart_every_figure_is_what_it_was() -> None:
    rig = MeasuredRig()
    for price in ("99.90", "101.00", "98.00"):
        rig.trade(price, price)
        rig.pass_time(3 * TICK_NS)
    before = rig.report()
    rig.restart()
    after = rig.report()
    assert after.measures == before.measures
    assert after.attribution == before.attribution
    assert before.measures[0].figures.drawdown_max, "a loss was in it"


def test_a_limit_that_is_reached_is_a_breach_and_says_by_how_much() -> None:
    limits = RiskLimits(max_position_size=Decimal(50), max_daily_loss=None, max_drawdown=None)
    execution = ExecutionLimits(risk_limits=limits, risk_management_enabled=False)
    rig = MeasuredRig(settings=config(classes=OWN, execution=execution))
    rig.trade("100.00", "100.00")
    rig.pass_time(TICK_NS)
    found = rig.measure()
    assert found.risk is RiskStatus.BREACH_DETECTED
    [breach] = found.breaches
    assert (breach.limit_name, breach.limit, breach.current, breach.over_pct) == (
        "max_position_size",
        Decimal(50),
        Decimal(100),
        Decimal(100),
    )


@pytest.mark.req("S-08")
def test_a_signal_that_its_own_limits_blocked_is_told_by_limit() -> None:
    limits = RiskLimits(max_position_size=Decimal(250), max_daily_loss=None, max_drawdown=None)
    settings = config(classes=OWN, execution=ExecutionLimits(risk_limits=limits))
    rig = MeasuredRig(settings=settings)
    for _ in range(4):
        rig.trade("100.00", "100.00")
    figures = rig.measure().figures
    counts = (figures.signal_count, figures.fill_count, figures.refusals, figures.blocked)
    assert counts == (2, 2, {}, {"max_position_size": 2})
    rig.restart()
    assert rig.measure().figures.blocked == {"max_position_size": 2}


@pytest.mark.req("R-03", "S-13")
def test_a_settlement_counts_for_every_session_that_holds_of_it() -> None:
    rig = MeasuredRig()
    rig.trade("100.00", "100.00")
    settled = PositionSettled(
        at_ns=rig.now_ns,
        account=ACCOUNT,
        instrument=ALPHA,
        settlement_id="f1",
        kind=SettlementKind.FUNDING,
        payment=Decimal(-2),
    )
    rig.tell(settled)
    foreign = msgspec.structs.replace(settled, account=AccountId("other"), settlement_id="f2")
    rig.tell(foreign)
    for _ in range(2):
        assert (rig.measure().total_pnl, rig.measure().figures.funding) == (PAID, PAID)
        assert rig.report().attribution["session"][rig.session].funding == PAID
        rig.restart()


# days on paper


def newest_day(rig: MeasuredRig) -> PaperDay:
    return every(PaperDayNoted, rig.said)[-1].day


def book(rig: MeasuredRig, **fields: Any) -> BookReported:
    whole: dict[str, Any] = {"at_ns": rig.now_ns, "account": ACCOUNT, "is_reconciled": True}
    return BookReported(**whole | fields)


def test_a_day_on_paper_says_how_long_it_ran_and_that_it_was_reconciled() -> None:
    rig = MeasuredRig("idle")
    rig.tell(book(rig))
    rig.pass_time(3_600 * S_NS)
    day = newest_day(rig)
    assert (day.session, day.day, day.difference_count) == (rig.session, "1970-01-01", 0)
    assert 3_500 * S_NS < day.up_ns <= 3_600 * S_NS
    assert day.reconciled_count > 0
    assert len(every(PaperDayNoted, rig.said)) <= 60, "once a minute is enough"


def test_where_nobody_said_that_the_books_agree_they_do_not() -> None:
    rig = MeasuredRig("idle")
    rig.pass_time(600 * S_NS)
    assert newest_day(rig).reconciled_count == 0


def test_a_difference_is_remembered_for_its_day() -> None:
    rig = MeasuredRig("idle")
    differs = Difference(
        id="d", kind=DifferenceKind.POSITION, what="sim:ALPHA", ours="1", theirs="2"
    )
    rig.tell(book(rig, is_reconciled=False, differences=(differs,)))
    rig.pass_time(120 * S_NS)
    rig.tell(book(rig))
    rig.pass_time(120 * S_NS)
    assert newest_day(rig).difference_count > 0


@pytest.mark.parametrize("how", ["pause", "halt", "away", "stuck"])
def test_paused_halted_or_away_is_not_up(how: str) -> None:
    rig = MeasuredRig("idle")
    rig.pass_time(600 * S_NS)
    before_ns = rig.measure().uptime_ns
    if how == "pause":
        rig.ask("pause")
    elif how == "halt":
        rig.tell(HaltRequested(at_ns=0))
    else:
        if how == "away":
            rig.restart()
        rig.now_ns += 1_200 * S_NS
    rig.pass_time(60 * S_NS)
    assert rig.measure().uptime_ns <= before_ns + 8 * TICK_NS


def test_a_restart_forgets_nothing_of_the_day() -> None:
    rig = MeasuredRig("idle")
    rig.tell(book(rig))
    rig.pass_time(1_200 * S_NS)
    before = newest_day(rig)
    rig.restart()
    rig.pass_time(60 * S_NS)
    after = newest_day(rig)
    assert after.up_ns >= before.up_ns
    assert after.reconciled_count >= before.reconciled_count
    assert after.from_ns == before.from_ns


def test_midnight_begins_another_day() -> None:
    rig = MeasuredRig("idle")
    rig.now_ns = DAY_NS - 300 * S_NS
    rig.pass_time(600 * S_NS)
    days = {each.day.day for each in every(PaperDayNoted, rig.said)}
    assert days == {"1970-01-01", "1970-01-02"}


@pytest.mark.parametrize(
    ("at_ns", "day"),
    [
        (0, "1970-01-01"),
        (951_782_400 * S_NS, "2000-02-29"),
        (1_583_971_199 * S_NS, "2020-03-11"),
        (1_795_737_600 * S_NS, "2026-11-27"),
        (4_107_542_400 * S_NS, "2100-03-01"),
    ],
)
def test_days_are_those_of_the_calendar(at_ns: int, day: str) -> None:
    assert _day_of(at_ns) == day


def test_a_session_that_is_over_is_final_and_beats_no_more() -> None:
    rig = MeasuredRig("idle")
    rig.pass_time(60 * S_NS)
    rig.ask("stop")
    count = len(every(SessionValued, rig.said))
    rig.pass_time(60 * S_NS)
    assert len(every(SessionValued, rig.said)) == count
    assert (rig.measure().is_final, rig.measure().engine_status) == (True, SessionState.STOPPED)


def test_what_trades_is_told_and_says_the_same_with_or_without_being_measured() -> None:
    measured, plain = MeasuredRig(), StrategyRig()
    plain.start("buyeachquote")
    for rig in (measured, plain):
        rig.now_ns += S_NS
        rig.tell(quote("99", "101", at_ns=rig.now_ns))
    wanted = [e for e in plain.said if isinstance(e, SignalRaised)]
    assert every(SignalRaised, measured.said) == wanted
    assert only(SignalRaised, plain.said).quantity == Decimal(1)


@pytest.mark.req("S-04", "G-09")
def test_a_session_that_runs_says_what_holds_it() -> None:
    rig = MeasuredRig("idle")
    assert [view.held for view in rig.report().sessions] == [""]
    for scope, level in (("symbol.sim.ALPHA", Level.REDUCE), (f"account.{ACCOUNT}", Level.HALT)):
        rig.tell(RestrictionRequested(at_ns=0, scope=scope, level=level, operator="ann"))
    rig.tell(RestrictionRequested(at_ns=0, scope="venue.other", level=Level.HALT))
    parts = [
        f"account.{ACCOUNT} is halted: no reason given, by ann",
        "symbol.sim.ALPHA may only reduce: no reason given, by ann",
    ]
    assert [view.held for view in rig.report().sessions] == ["; ".join(parts)]
    rig.tell(HaltRequested(at_ns=0, reason="too hot", operator="bob"))
    halted = "; ".join(["halted: too hot, by bob", *parts])
    assert [view.held for view in rig.report().sessions] == [halted]
    rig.tell(EpochEnded(at_ns=0, epoch=1, reason="the gate began anew"))
    ended = "; ".join(["epoch 1 has ended: the gate began anew", *parts])
    assert [view.held for view in rig.report().sessions] == [ended]


@pytest.mark.req("S-04", "G-09")
def test_an_epoch_that_is_over_or_was_heard_before_changes_nothing_of_what_holds_it() -> None:
    rig = MeasuredRig("idle")
    scope = f"account.{ACCOUNT}"
    rig.tell(RestrictionRequested(at_ns=0, scope=scope, level=Level.HALT, operator="ann"))
    held = [f"account.{ACCOUNT} is halted: no reason given, by ann"]
    rig.tell(EpochStarted(at_ns=0, epoch=1, start_id="start", operator="kim", members={}))
    assert [view.held for view in rig.report().sessions] == held
    rig.tell(EpochEnded(at_ns=0, epoch=0, reason="of long ago"))
    assert [view.held for view in rig.report().sessions] == held


def test_what_only_trades_is_valued_by_its_trades() -> None:
    rig = MeasuredRig("watching", config(classes=OWN | {"watching": WATCHING}))
    rig.tell(
        TradeReceived(at_ns=rig.now_ns, instrument=ALPHA, price=Decimal(7), quantity=Decimal(1))
    )
    rig.pass_time(TICK_NS)
    assert every(SessionValued, rig.said)[-1].marks == {ALPHA: Decimal(7)}


@pytest.mark.req("S-18")
def test_a_share_class_is_worth_what_its_unit_is() -> None:
    values = {"USD": Decimal(1), "ETH": Decimal(2_000)}
    rig = StrategyRig()
    rig.core = StrategyCore(
        rig.config, ACCOUNT, INSTRUMENTS, boot_id=BootId("b"), currency_values=values
    )
    session = rig.start(
        "buy_and_hold",
        share_class="ETH",
        config_overrides={"capital_share": "0.5"},
        initial_capital=Decimal(10),
    )
    made = rig.core.sessions[session]
    assert (made.terms.initial_capital, made.terms.capital) == (Decimal(10), Decimal(20_000))
    assert made.context.equity() == made.watch.equity() == made.context.capital == Decimal(20_000)
    assert only(SignalRaised, rig.tell(quote("99", "101"))).quantity == Decimal(100)


@pytest.mark.req("S-18")
def test_without_its_value_a_capital_of_another_class_counts_as_so_many_dollars(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.strategy.starts.unit_of", lambda *_: Decimal(1))
    rig = StrategyRig()
    rig.core = StrategyCore(
        rig.config, ACCOUNT, INSTRUMENTS, boot_id=BootId("b"), currency_values={"USD": Decimal(1)}
    )
    session = rig.start("idle", share_class="ETH", initial_capital=Decimal(10))
    assert rig.core.sessions[session].terms.capital == Decimal(10)


@pytest.mark.req("S-18", "S-01")
def test_a_share_class_without_a_value_starts_nothing() -> None:
    rig = StrategyRig()
    rig.core = StrategyCore(
        rig.config, ACCOUNT, INSTRUMENTS, boot_id=BootId("b"), currency_values={"USD": Decimal(1)}
    )
    [error] = rig.prepare(request(share_class="ETH")).errors
    assert (error.path, error.found, error.wanted) == (
        "$.share_class",
        "ETH, of which no value in the account's currency is known",
        f"gate.accounts.{ACCOUNT}.currency_values.ETH, or another class",
    )
    assert rig.prepare(request(share_class="USDT")).errors == ()  # dollars
    rig.core = StrategyCore(
        rig.config, ACCOUNT, INSTRUMENTS, boot_id=BootId("b"), currency_values={"EUR": Decimal(1)}
    )
    session = rig.start("idle")  # the default, on an account of euros: they are meant
    assert rig.core.sessions[session].terms.capital == Decimal(10_000)


@pytest.mark.req("S-04", "S-13")
def test_after_a_restart_a_session_is_held_until_a_start() -> None:
    rig = MeasuredRig("idle")
    rig.restart()
    assert [view.held for view in rig.report().sessions] == [NOT_STARTED]
    rig.tell(EpochStarted(at_ns=0, epoch=9, start_id="s9", operator="ann", members={}))
    assert [view.held for view in rig.report().sessions] == [""]


@pytest.mark.parametrize(
    ("age_ns", "word"),
    [(0, "healthy"), (300 * S_NS, "healthy"), (300 * S_NS + 1, "unhealthy"), (None, "unhealthy")],
)
def test_a_session_without_a_heartbeat_for_its_timeout_is_unhealthy(
    age_ns: int | None, word: str
) -> None:
    now_ns = 1_000 * S_NS
    heartbeat_ns = None if age_ns is None else now_ns - age_ns
    measure = msgspec.structs.replace(MeasuredRig("idle").measure(), heartbeat_ns=heartbeat_ns)
    age_s = None if age_ns is None else age_ns / S_NS
    assert health_of(measure, now_ns, HEARTBEAT_TIMEOUT_S) == (word, age_s)
