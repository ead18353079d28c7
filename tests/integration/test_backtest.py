"""Backtests on recordings of real markets: what they find, and what they must never see."""

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from schemas.base import InstrumentId, SessionId, SignalId
from schemas.control import BreakerTripped
from schemas.errors import UserError
from schemas.ids import order_id_of
from schemas.market import BarClosed, MarketEvent, QuoteReceived, TradeReceived
from schemas.market_rules import ClosingPricePublished
from schemas.orders import Side
from schemas.sessions import SignalBlocked, StrategyFailed
from services.backtest import run as backtest
from services.backtest.data import DataTerms, played, source_of, with_hours
from services.backtest.lookahead import LookAheadError, Sealed
from services.backtest.run import run
from services.performance.core import Performance
from services.performance.fold import Terms
from services.system import StartRefusedError
from tests.backtest_rig import day, plan_of
from tests.market_rig import at
from tests.peeking import Peek

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spy(data_dir: Path) -> Path:
    return data_dir / "lean" / "equity" / "usa" / "daily" / "spy.zip"


@pytest.mark.req("S-05", "M-01")
def test_the_open_of_a_day_is_told_when_it_was_and_the_rest_at_its_close(spy: Path) -> None:
    terms = DataTerms(paths=(str(spy),), from_ns=day("2020-03-16"), to_ns=day("2020-03-17"))
    source = source_of(terms)
    known = {each.id: with_hours(each) for each in source.instruments()}
    told = list(played(source, terms, known))
    assert [(type(each), each.at_ns) for each in told] == [
        (TradeReceived, at("2020-03-16 09:30")),
        (QuoteReceived, at("2020-03-16 09:30")),
        (QuoteReceived, at("2020-03-16 16:00")),
        (BarClosed, at("2020-03-16 16:00")),
        (ClosingPricePublished, at("2020-03-16 16:00")),
    ]
    bar = told[3]
    assert isinstance(bar, BarClosed)
    assert [_price(each) for each in told] == [bar.open, bar.open, bar.close, bar.close, bar.close]


@pytest.mark.req("S-05")
def test_the_same_plan_gives_the_same_bytes_under_any_hash_seed(spy: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from services.backtest.run import run;"
        "from tests.backtest_rig import day, plan_of;"
        "print(run(plan_of('ema_cross', Path(sys.argv[1]), from_ns=day('2020-09-01'),"
        " parameters={'source': 'bar'})).journal_hash)"
    )
    plan = plan_of("ema_cross", spy, from_ns=day("2020-09-01"), parameters={"source": "bar"})
    first, second = run(plan), run(plan)
    assert first.figures.fill_count > 2
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    hashes = {first.journal_hash}
    for seed in ("0", "77"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(spy)],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        hashes.add(done.stdout.strip())
    assert len(hashes) == 1


@pytest.mark.req("S-05", "S-10")
@pytest.mark.parametrize("way", ["frames", "heap"])
def test_a_strategy_that_reaches_for_the_feed_ends_there(spy: Path, way: str) -> None:
    outcome = run(plan_of("peek", spy, from_ns=day("2020-01-01"), parameters={"way": way}))
    assert "LookAheadError" in outcome.failure
    assert "tests/peeking.py" in outcome.failure
    assert Peek.found == []


def test_a_feed_that_is_not_sealed_would_be_read_ahead(
    spy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.backtest.run.Sealed", iter)
    outcome = run(plan_of("peek", spy, from_ns=day("2020-01-01")))
    assert outcome.failure == ""
    [stolen] = Peek.found
    assert stolen.at_ns >= Peek.seen_ns[2], "it had what nobody had been told yet"


@pytest.mark.req("S-05", "S-10")
def test_nothing_that_a_strategy_can_reach_from_its_context_is_later_than_now(spy: Path) -> None:
    outcome = run(plan_of("peek", spy, from_ns=day("2020-01-01"), parameters={"way": "context"}))
    assert outcome.failure == ""
    assert Peek.found == [[]]


@pytest.mark.req("S-05", "S-10")
def test_a_bar_is_told_when_it_has_closed_and_never_before(spy: Path) -> None:
    run(plan_of("peek", spy, from_ns=day("2020-01-01"), parameters={"way": "bar"}))
    assert len(Peek.found) > 300
    assert min(delay for delay in Peek.found if delay is not None) >= 0


@pytest.mark.req("S-08")
def test_what_a_sessions_own_limits_block_is_counted_and_kept(spy: Path) -> None:
    plan = plan_of(
        "buy_and_hold",
        spy,
        from_ns=day("2008-01-01"),
        to_ns=day("2008-01-04"),
        capital=10_000_000,
        parameters={"quantity": "10000"},
    )
    outcome = run(plan)
    figures = outcome.figures
    assert (figures.blocked, figures.refusals) == ({"position_size_limit": 2}, {})
    assert (figures.signal_count, figures.order_count, outcome.noted) == (0, 0, ())
    assert outcome.read == {
        "BarClosed": 2,
        "ClosingPricePublished": 2,
        "QuoteReceived": 4,
        "TradeReceived": 2,
    }
    assert len(outcome.blocked) == 2
    session, signal_id = SessionId("buy_and_hold-1"), SignalId("buy_and_hold-1-1")
    assert outcome.blocked[0] == SignalBlocked(
        at_ns=at("2008-01-02 09:30"),
        session=session,
        account=plan.account,
        strategy="buy_and_hold",
        signal_id=signal_id,
        instrument=InstrumentId("usa:SPY"),
        side=Side.BUY,
        quantity=Decimal(10_000),
        order_id=order_id_of(plan.account, session, signal_id, 0),
        rule="position_size_limit",
        reason="a position of 1465350.000 with it, at most 1000000",
    )


@pytest.mark.req("S-08")
def test_signals_that_are_blocked_at_every_quote_hide_no_trip_and_no_failure(
    spy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtest, "NOTED_MAX", 2)
    plan = plan_of(
        "buy_and_hold",
        spy,
        from_ns=day("2008-01-01"),
        to_ns=day("2008-01-31"),
        parameters={"quantity": "10000"},
    )
    outcome = run(plan)
    blocked = outcome.blocked
    assert outcome.figures.blocked["position_size_limit"] > 2
    assert len(blocked) == 2
    performance = Performance(Terms(instruments={}, currency_values={}))
    witness = backtest._Witness(performance)
    tripped = BreakerTripped(at_ns=9, breaker="drawdown", reason="it fell", value="", limit="")
    failed = StrategyFailed(
        at_ns=9, session=SessionId("s"), strategy="peek", error="KeyError", where="mine.py:3"
    )
    for event in (*blocked, *blocked, tripped, tripped, failed):
        witness(event)
    assert (witness.blocked, witness.noted) == ([*blocked], [tripped, tripped])
    assert (witness.noted_count, witness.failed) == (3, failed)


def test_only_the_runtime_is_handed_what_comes_next() -> None:
    with pytest.raises(LookAheadError):
        next(Sealed([]))


def test_dates_between_which_nothing_was_recorded_are_an_error(spy: Path) -> None:
    with pytest.raises(UserError, match="SLU-110"):
        run(plan_of("buy_and_hold", spy, from_ns=day("2025-01-01")))


def test_a_parameter_that_the_strategy_does_not_have_is_an_error(spy: Path) -> None:
    with pytest.raises(StartRefusedError, match=r"SLU-151.*quantty") as caught:
        run(plan_of("buy_and_hold", spy, parameters={"quantty": "5"}))
    [error] = caught.value.errors  # told field by field
    assert error.path == "$.config_overrides.quantty"


def _price(event: MarketEvent) -> object:
    match event:
        case QuoteReceived():
            return event.bid
        case TradeReceived() | ClosingPricePublished():
            return event.price
        case BarClosed():
            return event.close
    raise AssertionError(event)
