"""Before real money: every check with what was found and what is needed; unknown is a no (S-05)."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.base import AccountId, InstrumentId, SessionId
from schemas.control import PrepareAsked, Prepared, StartRequest
from schemas.errors import FieldError
from schemas.prerequisites import Check, PrerequisitesRead, PrerequisitesWanted
from schemas.results import BacktestResult, Figures, PaperDay, StrategyTerms
from schemas.sessions import SessionCreated
from services.prerequisites.checks import Facts, judged
from services.prerequisites.config import LiveConfig, Mode
from services.prerequisites.real_money import RealMoney
from services.strategy.core import StrategyCore
from tests.builders import ACCOUNT, S_NS
from tests.strategy_rig import StrategyRig, config, every, only, request

pytestmark = pytest.mark.req("S-05")
LIVE = LiveConfig(mode=Mode.LIVE, account=ACCOUNT)
VERSION = "0123456789abcdef"
NS_PER_H = 3_600 * S_NS


def terms(version: str = VERSION) -> StrategyTerms:
    return StrategyTerms(
        strategy="recording",
        strategy_version=version,
        parameters={},
        instruments=(InstrumentId("sim:ALPHA"),),
    )


def backtest(sharpe: float | None, recorded_ns: int = 1, version: str = VERSION) -> BacktestResult:
    return BacktestResult(
        terms=terms(version),
        data_hash=str(recorded_ns),
        from_ns=0,
        to_ns=1,
        figures=Figures(initial_capital=Decimal(1_000), sharpe=sharpe),
        recorded_ns=recorded_ns,
    )


def day(number: int, **fields: Any) -> PaperDay:
    whole: dict[str, Any] = {
        "terms": terms(),
        "session": SessionId("recording-1"),
        "account": ACCOUNT,
        "day": f"2026-11-{number:02}",
        "from_ns": 0,
        "to_ns": 8 * NS_PER_H,
        "up_ns": 8 * NS_PER_H,
        "reconciled_count": 1,
    }
    return PaperDay(**whole | fields)


GOOD = Facts(
    strategy="recording",
    version=VERSION,
    backtests=(backtest(1.5),),
    days=tuple(day(number) for number in range(1, 6)),
    limits_missing=(),
    broker=(True, ""),
    durable=(True, "every write is on the disk before it counts"),
    profile="moderate",
)


def failing(**changes: Any) -> dict[str, str]:
    """Return what was found by each check that does not stand, after these changes."""
    rows = judged(msgspec.structs.replace(GOOD, **changes), LIVE)
    assert len(rows) == 7, "every check is in the result, whatever it found"
    return {row.name: row.found for row in rows if not row.is_ok}


def test_with_all_of_it_nothing_is_missing() -> None:
    assert failing() == {}


@pytest.mark.parametrize(
    ("changes", "name", "found"),
    [
        ({"backtests": (backtest(1.0),)}, "backtest_sharpe", "1.00 in"),
        ({"backtests": (backtest(None),)}, "backtest_sharpe", "not known"),
        ({"backtests": (backtest(2.0), backtest(0.4, 2))}, "backtest_sharpe", "0.40 in"),
        ({"backtests": (backtest(9.0, 1, "old"),)}, "backtest_sharpe", "none of it, 1 of other"),
        ({"backtests": ()}, "backtest_sharpe", "none"),
        ({"backtests": None}, "backtest_sharpe", "not known"),
        ({"days": GOOD.days[1:] if GOOD.days else ()}, "paper_days", "4 that count, of 4"),
        ({"days": None}, "paper_days", "not known"),
        ({"limits_missing": ("gate.default.x",)}, "risk_limits", "not chosen: gate.default.x"),
        ({"limits_missing": None}, "risk_limits", "not known"),
        ({"broker": (False, "a position differs")}, "broker_connected", "a position differs"),
        ({"broker": None}, "broker_connected", "not known"),
        ({"durable": (False, "not synced")}, "durable_bus", "not synced"),
        ({"durable": None}, "durable_bus", "not known"),
        ({"profile": "paper"}, "breaker_profile", "paper"),
        ({"profile": ""}, "breaker_profile", "not known"),
    ],
)
def test_each_check_fails_by_itself_and_says_what_was_found(
    changes: dict[str, Any], name: str, found: str
) -> None:
    missing = failing(**changes)
    assert list(missing) == [name]
    assert missing[name].startswith(found)


@pytest.mark.parametrize(
    "change",
    [
        {"up_ns": NS_PER_H},
        {"reconciled_count": 0},
        {"difference_count": 1},
        {"terms": terms("old")},
        {"day": "2026-11-01", "session": SessionId("recording-2")},
    ],
)
def test_a_paper_day_counts_only_if_it_ran_was_reconciled_and_is_of_this_version(
    change: dict[str, Any],
) -> None:
    days = (*(day(number) for number in range(1, 5)), day(5, **change))
    assert failing(days=days)["paper_days"].startswith("4 that count")


def test_code_that_cannot_be_read_has_no_results() -> None:
    assert list(failing(version="")) == ["strategy_version", "backtest_sharpe", "paper_days"]


# a start


def start(live: LiveConfig, environment: str = "prod", **fields: Any) -> set[str]:
    """Return the places that speak against a start, before any check."""
    guard = RealMoney(live, environment, ACCOUNT)
    asked = request(**{"live_account": ACCOUNT} | fields)
    return {each.path for each in guard.disagreements(asked)}


@pytest.mark.parametrize(
    ("live", "environment", "fields", "wrong"),
    [
        (LIVE, "prod", {}, set()),
        (LIVE, "dev", {}, {"system.environment"}),
        (LIVE, "prod", {"live_account": None}, {"$.live_account"}),
        (LIVE, "prod", {"live_account": "other"}, {"$.live_account"}),
        (LiveConfig(mode=Mode.LIVE), "prod", {}, {"live.account"}),
        (LiveConfig(account=ACCOUNT), "prod", {}, {"live.mode"}),
    ],
)
def test_no_single_word_turns_paper_into_real_money(
    live: LiveConfig, environment: str, fields: dict[str, Any], wrong: set[str]
) -> None:
    assert start(live, environment, **fields) == wrong


def test_a_paper_system_refuses_a_start_that_means_real_money() -> None:
    guard = RealMoney(LiveConfig(), "prod", ACCOUNT)
    [error] = guard.errors(request(live_account=ACCOUNT), "start")
    assert (error.path, error.found) == ("$.live_account", ACCOUNT)


class LiveRig(StrategyRig):
    """A strategy core of a system with real money, and a shell that finds what the test says."""

    def __init__(self, *checks: Check) -> None:
        self.checks = checks
        super().__init__(config())

    def _made(self) -> StrategyCore:
        made = super()._made()
        guard = RealMoney(LIVE, "prod", AccountId(ACCOUNT))
        made._real_money = guard
        return made

    def prepare(self, asked: StartRequest, start_id: str = "start") -> Prepared:
        said = self.tell(PrepareAsked(at_ns=0, start_id=start_id, request=asked))
        wanted = only(PrerequisitesWanted, said)
        assert every(Prepared, said) == [], "no answer before the shell has looked"
        read = PrerequisitesRead(at_ns=0, start_id=wanted.start_id, checks=self.checks)
        return only(Prepared, self.tell(read))


STANDS = Check(name="stands", is_ok=True, found="it does", needed="that it does")
FAILS = Check(name="paper_days", is_ok=False, found="4", needed="at least 5")


def test_a_start_whose_checks_all_stand_makes_its_session() -> None:
    rig = LiveRig(STANDS)
    rig.start(live_account=ACCOUNT)
    assert len(every(SessionCreated, rig.said)) == 1


def test_a_failed_check_refuses_names_itself_and_creates_nothing() -> None:
    rig = LiveRig(STANDS, FAILS)
    answer = rig.prepare(request(live_account=ACCOUNT))
    [error] = answer.errors
    assert (error.path, error.found, error.wanted) == (
        "$.prerequisites.paper_days",
        "4",
        "at least 5",
    )
    assert (answer.session, rig.core.sessions) == (None, {})


def test_an_epoch_with_real_money_that_was_never_checked_makes_no_session() -> None:
    rig = LiveRig(STANDS)
    asked = request(live_account=ACCOUNT)
    answer = rig.prepare(asked)
    unchecked = msgspec.structs.replace(answer, start_id="another start")
    rig.tell(rig.epoch_of(unchecked, asked))
    assert (every(SessionCreated, rig.said), rig.core.sessions) == ([], {})


def test_without_the_guard_the_same_start_would_trade() -> None:
    class Open(RealMoney):
        def errors(self, request: StartRequest, start_id: str) -> list[FieldError]:
            return []

    rig = LiveRig(FAILS)
    rig.core._real_money = Open(LIVE, "prod", ACCOUNT)
    rig.start(live_account=ACCOUNT)
    assert len(every(SessionCreated, rig.said)) == 1


# the very parameters and instruments of the start


def run_with(number: int, *instruments: str, **parameters: Any) -> BacktestResult:
    made = backtest(1.5, number)
    symbols = tuple(map(InstrumentId, instruments or ("sim:ALPHA",)))
    changed = msgspec.structs.replace(terms(), parameters=parameters, instruments=symbols)
    return msgspec.structs.replace(made, terms=changed)


STARTED = msgspec.structs.replace(terms(), parameters={"fast": 12, "share": "0.1"})


def sharpe_of(*backtests: BacktestResult) -> Check:
    facts = msgspec.structs.replace(GOOD, backtests=backtests, terms=STARTED)
    [row] = [row for row in judged(facts, LIVE) if row.name == "backtest_sharpe"]
    return row


def test_a_backtest_of_the_starts_own_parameters_and_instruments_counts() -> None:
    own = run_with(1, fast=12, share="0.1")
    assert sharpe_of(own).is_ok
    assert sharpe_of(own, run_with(2, fast=3, share="0.1")).found == f"1.50 in {own.id}"


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        (run_with(1, fast=10, share="0.1"), "fast 10, not 12"),
        (run_with(1, share="0.1"), "fast unset, not 12"),
        (run_with(1, fast="12", share="0.1"), 'fast "12", not 12'),
        (run_with(1, fast=12, share="0.1", slow=30), "slow 30, not unset"),
        (run_with(1, "sim:BETA", fast=12, share="0.1"), "instruments sim:BETA, not sim:ALPHA"),
        (
            run_with(1, "sim:ALPHA", "sim:BETA", fast=12, share="0.2"),
            'instruments sim:ALPHA, sim:BETA, not sim:ALPHA; share "0.2", not "0.1"',
        ),
    ],
)
def test_a_backtest_of_other_parameters_or_instruments_does_not(
    other: BacktestResult, differs: str
) -> None:
    row = sharpe_of(other, backtest(9.0, 2, "old"))
    assert (row.is_ok, row.found) == (
        False,
        f"1 of this version, the latest ({other.id}) with {differs}",
    )
    assert row.needed == (
        "latest backtest of this version, with the parameters and instruments of the start,"
        " with a Sharpe above 1"
    )
