"""The strategies that come with the system: when they trade, how much, and how patiently."""

from decimal import Decimal
from typing import Any

import pytest

from schemas.market import BarClosed, QuoteReceived
from schemas.orders import Outcome, Side, SignalRaised
from schemas.sessions import StrategyFailed
from services.strategy.library.ema import FlatEmas
from services.strategy.library.ema_cross import EmaCross
from tests.builders import ALPHA, BETA, S_NS, quote
from tests.strategy_rig import StrategyRig, decision, every, only

QUICK = {"fast": 2, "slow": 3, "quantity": "10"}
FALL_AND_RISE = (10, 9, 8, 12, 16)
"""The fast average starts below the slow one, and crosses it at the fourth input."""

NAMES = [("ema_cross", QUICK), ("buy_and_hold", {"quantity": "10"})]


def at(price: int, at_ns: int = 0) -> QuoteReceived:
    return quote(str(price - 1), str(price + 1), at_ns=at_ns)


def traded(rig: StrategyRig, *prices: int) -> list[tuple[Side, Decimal]]:
    """Return what is signalled at these prices, one a second; each order is filled whole."""
    found: list[tuple[Side, Decimal]] = []
    for price in prices:
        now_ns = rig.now_ns + S_NS
        for signal in every(SignalRaised, rig.tell(at(price, now_ns), now_ns)):
            found.append((signal.side, signal.quantity))
            rig.tell(decision(signal, Outcome.APPROVED))
            rig.tell(rig.fill(signal))
    return found


def started(strategy: str, overrides: dict[str, Any], **fields: Any) -> StrategyRig:
    rig = StrategyRig()
    rig.start(strategy, config_overrides=overrides, **fields)
    return rig


@pytest.mark.req("S-17")
def test_ema_cross_buys_when_fast_rises_above_slow_and_turns_over_when_it_falls() -> None:
    rig = started("ema_cross", QUICK)
    assert traded(rig, *FALL_AND_RISE) == [(Side.BUY, Decimal(10))]
    assert traded(rig, 16, 10, 4, 3) == [(Side.SELL, Decimal(20))]
    assert traded(rig, 4, 10, 16, 16) == [(Side.BUY, Decimal(20))]


def test_ema_cross_says_what_crossed() -> None:
    rig = started("ema_cross", QUICK)
    traded(rig, *FALL_AND_RISE)
    assert only(SignalRaised, rig.said).why == "ema 2 crossed above ema 3"


def test_where_the_averages_stand_at_first_is_no_cross() -> None:
    assert traded(started("ema_cross", QUICK), 10, 11, 12, 13, 14, 15) == []


def test_without_short_selling_it_only_goes_flat() -> None:
    rig = started("ema_cross", QUICK | {"can_short": False})
    assert traded(rig, *FALL_AND_RISE, 16, 10, 4) == [
        (Side.BUY, Decimal(10)),
        (Side.SELL, Decimal(10)),
    ]
    assert traded(started("ema_cross", QUICK | {"can_short": False}), 8, 9, 10, 6, 2) == []


def test_a_market_with_one_side_only_is_no_price() -> None:
    rig = started("ema_cross", QUICK)
    traded(rig, *FALL_AND_RISE[:3])
    for bid, ask in (("0", "99"), ("1", "0")):
        assert rig.tell(quote(bid, ask)) == []
    assert traded(rig, *FALL_AND_RISE[3:]) == [(Side.BUY, Decimal(10))]


def test_one_order_is_in_flight_at_a_time() -> None:
    rig = started("ema_cross", QUICK)
    for n, price in enumerate((*FALL_AND_RISE, 20, 24, 28)):
        rig.tell(at(price), S_NS + n)
    assert only(SignalRaised, rig.said).quantity == 10


@pytest.mark.parametrize("session", [{}, {"symbols": ("ALPHA", "BETA")}])
def test_a_position_without_quantity_is_a_share_of_the_capital_in_whole_lots(
    session: dict[str, Any],
) -> None:
    rig = started("ema_cross", {"fast": 2, "slow": 3, "capital_share": "0.25"}, **session)
    [(_, quantity)] = traded(rig, *FALL_AND_RISE)
    count = 2 if session else 1
    assert quantity == 2_500 // count // 12


def test_capital_that_buys_no_lot_ends_the_session_and_says_why() -> None:
    rig = started("ema_cross", {"fast": 2, "slow": 3}, initial_capital=Decimal(50))
    traded(rig, *FALL_AND_RISE)
    error = only(StrategyFailed, rig.said).error
    assert "0.1 of the initial capital 50, for each of 1 instruments, buys less than one" in error
    assert error.endswith("raise initial_capital, capital_share, or set quantity")


@pytest.mark.parametrize(("strategy", "overrides"), NAMES)
def test_what_the_gate_rejects_is_asked_again_only_after_a_while(
    strategy: str, overrides: dict[str, Any]
) -> None:
    rig = started(strategy, overrides)
    for n, price in enumerate(FALL_AND_RISE):
        said = rig.tell(at(price), S_NS + n)
        for signal in every(SignalRaised, said):
            rig.tell(decision(signal, Outcome.REJECTED))
            rejected_ns = rig.now_ns
    assert len(every(SignalRaised, rig.said)) == 1
    assert rig.tell(at(16), rejected_ns + S_NS - 1) == []
    assert len(every(SignalRaised, rig.tell(at(16), rejected_ns + S_NS))) == 1


@pytest.mark.parametrize(("strategy", "overrides"), NAMES)
def test_what_a_partial_fill_left_is_bought_once_the_rest_is_gone(
    strategy: str, overrides: dict[str, Any]
) -> None:
    rig = started(strategy, overrides)
    for n, price in enumerate(FALL_AND_RISE):
        rig.tell(at(price), S_NS + n)
    signal = only(SignalRaised, rig.said)
    rig.tell(rig.fill(signal, "4"))
    assert rig.tell(at(17)) == [], "six are still open"
    expired_ns = rig.now_ns
    rig.tell(_canceled(rig, signal))
    assert rig.tell(at(17), expired_ns + S_NS - 1) == []
    assert only(SignalRaised, rig.tell(at(17), expired_ns + S_NS)).quantity == 6


def test_what_a_halt_prevented_is_done_at_the_next_epoch() -> None:
    rig = started("ema_cross", QUICK)
    traded(rig, *FALL_AND_RISE[:3])
    rig.ask("pause")
    assert traded(rig, *FALL_AND_RISE[3:]) == []
    rig.ask("resume")
    assert traded(rig, 16) == [(Side.BUY, Decimal(10))]


def test_bars_are_averaged_by_their_close_where_bars_are_asked_for() -> None:
    rig = started("ema_cross", QUICK | {"source": "bar"})
    assert traded(rig, *FALL_AND_RISE) == [], "quotes are not"
    for price in FALL_AND_RISE:
        rig.tell(_bar(price))
    assert only(SignalRaised, rig.said).side is Side.BUY


@pytest.mark.req("S-10")
def test_the_latest_quote_is_averaged_at_every_tick_where_ticks_are_asked_for() -> None:
    rig = started("ema_cross", QUICK | {"source": "tick", "tick_ms": 500})
    for price in FALL_AND_RISE:
        for between in (1, price):
            rig.tell(at(between))
        rig.tell(None, rig.now_ns + S_NS // 2)
    assert only(SignalRaised, rig.said).side is Side.BUY


def test_two_instruments_of_a_session_are_averaged_apart() -> None:
    rig = started("ema_cross", QUICK, symbols=("ALPHA", "BETA"))
    for price in FALL_AND_RISE:
        rig.tell(quote("4", "6", instrument=BETA))
        rig.tell(at(price))
    assert [each.instrument for each in every(SignalRaised, rig.said)] == [ALPHA]


def test_memory_stays_flat_however_many_quotes_come() -> None:
    rig = started("ema_cross", QUICK)
    strategy = rig.strategy(next(iter(rig.core.sessions)))
    assert isinstance(strategy, EmaCross)
    averages = strategy._lines[ALPHA].averages
    for n in range(1_000):
        rig.tell(at(100 + n % 2))
    assert isinstance(averages, FlatEmas)
    assert len(averages._warming_slow.input_values) == QUICK["slow"]


@pytest.mark.req("S-17")
def test_buy_and_hold_buys_once_at_the_first_price() -> None:
    rig = started("buy_and_hold", {"capital_share": "0.5"})
    assert rig.tell(quote("0", "99")) == []
    assert traded(rig, 100, 90, 80, 200) == [(Side.BUY, Decimal(50))]


def test_buy_and_hold_does_not_buy_again_after_a_restart() -> None:
    rig = started("buy_and_hold", {"quantity": "10"})
    assert traded(rig, 100) == [(Side.BUY, Decimal(10))]
    rig.restart()
    rig.start(None)
    assert traded(rig, 100, 101) == []


@pytest.mark.parametrize(("strategy", "overrides"), NAMES)
def test_an_order_that_survived_a_restart_is_waited_for(
    strategy: str, overrides: dict[str, Any]
) -> None:
    rig = started(strategy, overrides)
    for n, price in enumerate(FALL_AND_RISE):
        rig.tell(at(price), S_NS + n)
    signal = only(SignalRaised, rig.said)
    rig.restart()
    rig.start(None)
    assert rig.tell(at(16)) == []
    rig.tell(rig.fill(signal))
    assert traded(rig, 16, 16) == []


def _bar(price: int) -> BarClosed:
    one = Decimal(price)
    return BarClosed(
        at_ns=0,
        instrument=ALPHA,
        open=one,
        high=one,
        low=one,
        close=one,
        volume=Decimal(1),
        open_ns=0,
        close_ns=S_NS,
    )


def _canceled(rig: StrategyRig, signal: SignalRaised) -> Any:
    from schemas.executions import OrderCanceled

    done = rig.fill(signal)
    return OrderCanceled(
        at_ns=0,
        account=done.account,
        session=done.session,
        instrument=done.instrument,
        order_id=done.order_id,
        leaves=Decimal(6),
    )
