"""What a session is held to in front of the gate: each limit is reached once here."""

from decimal import Decimal
from typing import Any

import pytest

from schemas.base import NS_PER_S, Event, InstrumentId, SessionId
from schemas.executions import OrderFilled
from schemas.health import AlertRaised, Severity
from schemas.market import BarClosed, QuoteReceived
from schemas.orders import CancelRequested, SignalRaised
from schemas.sessions import (
    SessionMarked,
    SessionState,
    SessionStateChanged,
    SignalBlocked,
)
from services.strategy.config import ExecutionLimits, ExtendedHours, RiskLimits, StrategyConfig
from services.strategy.context import Terms, at_limit
from services.strategy.interface import Parameters, Strategy
from tests.builders import ALPHA, BETA, S_NS, instrument, quote
from tests.strategy_rig import INSTRUMENTS, OWN, StrategyRig, every, only

DAY_S = 86_400
LIMITS = RiskLimits(max_drawdown=None, max_position_size=None, max_daily_loss=None)


class Obeys(Strategy[Parameters]):
    """Do what the test says, at the next quote."""

    def on_start(self) -> None:
        self.todo: list[tuple[str, InstrumentId, str, Terms]] = []
        self.told = 0
        self.rung: list[int] = []

    def on_quote(self, quote: QuoteReceived) -> None:
        self.told += 1
        todo, self.todo = self.todo, []
        for action, instrument_id, quantity, terms in todo:
            trade = self.context.buy if action == "buy" else self.context.sell
            trade(instrument_id, Decimal(quantity), terms)

    def on_bar(self, bar: BarClosed) -> None:
        self.told += 1

    def on_timer(self) -> None:
        self.rung.append(self.context.now_ns)


class Rig(StrategyRig):
    """A session of `Obeys` on ALPHA and BETA, held to the limits given."""

    def __init__(self, risk: dict[str, str] | None = None, **fields: Any) -> None:
        limits = RiskLimits(**{key: Decimal(value) for key, value in (risk or {}).items()})
        fields.setdefault("risk_limits", limits if risk else LIMITS)
        execution = ExecutionLimits(**fields)
        classes = OWN | {"obeys": "tests.unit.test_strategy_limits:Obeys"}
        super().__init__(StrategyConfig(classes=classes, execution=execution))

    def begin(self, **asked: Any) -> SessionId:
        asked.setdefault("symbols", ("sim:ALPHA", "sim:BETA"))
        session = self.start("obeys", **asked)
        self.tell(quote("99", "101", instrument=BETA))
        self.tell(quote("99", "101"))
        return session

    def do(self, *todo: Any, price: str = "100") -> list[Event]:
        """Tell a quote around this price, at which the strategy does these things."""
        [strategy] = [each.strategy for each in self.core.sessions.values()]
        assert isinstance(strategy, Obeys)
        strategy.todo = [
            (action, where, quantity, rest[0] if rest else Terms())
            for action, where, quantity, *rest in todo
        ]
        bid, ask = Decimal(price) - 1, Decimal(price) + 1
        return self.tell(quote(str(bid), str(ask)))

    def filled(self, said: list[Event]) -> list[Event]:
        """Fill every signal said, and return what is said to the last fill."""
        answer: list[Event] = []
        for signal in every(SignalRaised, said):
            answer = self.tell(self.fill(signal))
        return answer

    def later(self, seconds: float) -> list[Event]:
        return self.tell(None, self.now_ns + int(seconds * NS_PER_S))


def rules(said: list[Event]) -> list[str]:
    return [blocked.rule for blocked in every(SignalBlocked, said)]


def state(rig: StrategyRig) -> SessionState:
    [view] = rig.core.describe(0).sessions
    return view.state


@pytest.mark.req("S-11")
def test_a_session_whose_time_is_over_ends_as_completed() -> None:
    rig = Rig()
    session = rig.begin()
    [signal] = every(SignalRaised, rig.do(("buy", ALPHA, "1", at_limit(Decimal(90)))))
    assert rig.later(3_590) != []  # an order that takes too long
    assert state(rig) is SessionState.RUNNING
    said = rig.later(11)
    changed = only(SessionStateChanged, said)
    assert (changed.session, changed.state) == (session, SessionState.COMPLETED)
    assert changed.reason == "its time of 3600 s is over"
    assert only(CancelRequested, said).session == signal.session
    assert rig.do(("buy", ALPHA, "1")) == []


@pytest.mark.req("S-11", "S-13")
def test_a_restart_does_not_give_a_session_its_time_again() -> None:
    rig = Rig()
    rig.begin()
    rig.now_ns += 3_000 * NS_PER_S
    rig.restart()
    rig.tell(None)
    said = rig.later(601)
    assert only(SessionStateChanged, said).state is SessionState.COMPLETED


@pytest.mark.req("S-11")
def test_entries_beyond_the_concurrent_executions_wait_for_one_to_end() -> None:
    rig = Rig()
    rig.begin()
    first = rig.do(*(("buy", ALPHA, str(number)) for number in range(1, 6)))
    assert [each.quantity for each in every(SignalRaised, first)] == [1, 2, 3]
    released = rig.tell(rig.fill(every(SignalRaised, first)[0]))
    assert [each.quantity for each in every(SignalRaised, released)] == [4]
    lapsed = rig.later(2)  # the life of a signal: it is not sent late
    assert rules(lapsed) == ["max_concurrent_trades"]
    assert "waited" in only(SignalBlocked, lapsed).reason


@pytest.mark.req("S-11")
def test_exits_and_cancels_wait_for_nothing() -> None:
    rig = Rig(max_concurrent_trades=1)
    rig.begin()
    rig.filled(rig.do(("buy", ALPHA, "5")))
    assert len(every(SignalRaised, rig.do(("buy", BETA, "5")))) == 1
    [exit_] = every(SignalRaised, rig.do(("sell", ALPHA, "5")))
    assert exit_.quantity == 5
    assert every(SignalRaised, rig.do(("sell", ALPHA, "1"))) == []  # it would go short: an entry


@pytest.mark.req("S-11")
def test_what_waits_when_trading_stops_is_never_sent() -> None:
    rig = Rig(max_concurrent_trades=1)
    rig.begin()
    [first] = every(SignalRaised, rig.do(("buy", ALPHA, "1"), ("buy", BETA, "5")))
    rig.ask("pause")
    said = rig.tell(rig.fill(first))
    assert (every(SignalRaised, said), rules(said)) == ([], ["max_concurrent_trades"])


@pytest.mark.req("S-11")
def test_an_execution_that_takes_too_long_is_cancelled_once_and_told() -> None:
    rig = Rig()
    rig.begin()
    [signal] = every(SignalRaised, rig.do(("buy", ALPHA, "1")))
    rig.core.sessions[signal.session].book.apply(rig.fill(signal, "0.5"))
    assert every(CancelRequested, rig.later(29)) == []
    said = rig.later(1)
    assert only(CancelRequested, said).instrument == ALPHA
    alert = only(AlertRaised, said)
    assert (alert.code, alert.severity) == ("LTS-001", Severity.WARNING)
    assert "within 30 s" in alert.message
    assert every(CancelRequested, rig.later(3_000)) == []


@pytest.mark.req("S-11")
def test_an_order_that_rests_is_cancelled_after_the_longer_time() -> None:
    rig = Rig(timeout_seconds=100)
    rig.begin()
    [signal] = every(SignalRaised, rig.do(("buy", ALPHA, "2", at_limit(Decimal(90)))))
    rig.tell(rig.fill(signal, "1"))  # it is at the venue, and rests
    assert rig.later(99) == []
    said = rig.later(1)
    assert only(CancelRequested, said).instrument == ALPHA
    assert "within 100 s" in only(AlertRaised, said).message


@pytest.mark.req("S-08", "S-11")
@pytest.mark.parametrize(
    ("risk", "fields", "quantity", "rule"),
    [
        ({}, {"position_size_limit": Decimal(1_000)}, "11", "position_size_limit"),
        ({"max_position_size": "1000"}, {}, "11", "max_position_size"),
        ({"max_position_size_pct": "10"}, {}, "11", "max_position_size_pct"),
    ],
)
def test_a_position_over_its_size_is_blocked_with_both_numbers(
    risk: dict[str, str], fields: dict[str, Any], quantity: str, rule: str
) -> None:
    rig = Rig(risk, **fields)
    rig.begin()
    said = rig.do(("buy", ALPHA, quantity))
    blocked = only(SignalBlocked, said)
    assert (blocked.rule, blocked.strategy) == (rule, "obeys")
    assert blocked.reason == "a position of 1100 with it, at most 1000"
    assert every(SignalRaised, said) == []
    assert len(every(SignalRaised, rig.do(("buy", ALPHA, "10")))) == 1
    assert rules(rig.do(("buy", ALPHA, "1"))) == [rule]  # what is on its way counts


@pytest.mark.req("S-08")
def test_a_request_names_limits_of_its_own() -> None:
    rig = Rig()
    rig.begin(risk_limits={"max_positions": 1})
    rig.filled(rig.do(("buy", ALPHA, "1")))
    said = rig.do(("buy", BETA, "5"), ("buy", ALPHA, "1"))
    assert rules(said) == ["max_positions"]
    assert only(SignalBlocked, said).reason == "1 positions held or entered, at most 1"
    assert [each.instrument for each in every(SignalRaised, said)] == [ALPHA]


@pytest.mark.req("S-08")
def test_a_size_that_nobody_knows_is_not_sent() -> None:
    rig = Rig()
    rig.start("beats")
    assert rules(rig.later(1)) == ["position_size_limit"]


@pytest.mark.req("S-08", "S-11")
@pytest.mark.parametrize(
    ("risk", "price"),
    [
        ({"max_daily_loss": "500", "max_drawdown": "0.9"}, "94"),
        ({"max_daily_loss_pct": "5", "max_drawdown": "0.9"}, "94"),
        ({"max_drawdown": "0.05"}, "94"),
    ],
)
def test_a_loss_pauses_the_session_and_warns(risk: dict[str, str], price: str) -> None:
    rig = Rig(risk)
    session = rig.begin()
    rig.filled(rig.do(("buy", ALPHA, "100")))
    rig.now_ns += 10 * NS_PER_S
    said = rig.do(price=price)
    changed = only(SessionStateChanged, said)
    assert (changed.session, changed.state) == (session, SessionState.PAUSED)
    alert = only(AlertRaised, said)
    name = next(iter(risk))
    assert (alert.code, alert.severity) == ("SLU-210", Severity.WARNING)
    assert alert.fields["limit"] == name
    assert changed.reason.startswith(name)
    # a person who resumes it has seen it: the same loss does not pause it again
    rig.ask("resume")
    rig.now_ns += 10 * NS_PER_S
    assert every(SessionStateChanged, rig.do(price=price)) == []
    assert state(rig) is SessionState.RUNNING


@pytest.mark.req("S-11")
def test_news_of_an_order_begins_its_time_although_its_strategy_says_nothing() -> None:
    """A decision that comes after all else was done: the service must be woken for it again."""
    rig = Rig(execution_timeout_s=30)
    session = rig.begin()
    [signal] = every(SignalRaised, rig.do(("buy", ALPHA, "2")))
    rig.core.sessions[session].admission.deadline_ns = None
    rig.core._set_alarm()
    rig.tell(rig.fill(signal, "1"))
    assert only(CancelRequested, rig.later(31)).order_id == rig.fill(signal).order_id


@pytest.mark.req("S-11")
def test_a_signal_that_has_expired_when_it_is_raised_does_not_wait_for_others() -> None:
    """Its end would be due already: the service would not get past it."""
    rig = Rig(max_concurrent_trades=1)
    session = rig.begin()
    strategy = rig.strategy(session)
    strategy.on_timer = lambda: [
        strategy.context.buy(ALPHA, Decimal(1), terms) for terms in (Terms(), Terms(expiry_ms=0))
    ]
    strategy.context.set_timer(rig.now_ns + S_NS)
    rig.core._set_alarm()
    said = rig.later(1)
    assert len(every(SignalRaised, said)) == 1
    blocked = only(SignalBlocked, said)
    assert (blocked.rule, blocked.reason) == (
        "max_concurrent_trades",
        "it may not wait: it has expired",
    )


@pytest.mark.req("S-11", "S-13")
@pytest.mark.parametrize("has_news", [False, True])
def test_after_a_restart_an_order_that_takes_too_long_is_still_cancelled(has_news: bool) -> None:
    rig = Rig(execution_timeout_s=30)
    rig.begin()
    [signal] = every(SignalRaised, rig.do(("buy", ALPHA, "2")))
    rig.restart()
    rig.tell(None)
    if has_news:
        rig.tell(rig.fill(signal, "1"))
    said = rig.later(31)
    assert only(CancelRequested, said).order_id == rig.fill(signal).order_id


@pytest.mark.req("S-08")
def test_without_risk_management_a_loss_pauses_nothing() -> None:
    rig = Rig({"max_drawdown": "0.05"}, risk_management_enabled=False)
    rig.begin()
    rig.filled(rig.do(("buy", ALPHA, "100")))
    rig.now_ns += 10 * NS_PER_S
    assert rig.do(price="50") == []


@pytest.mark.req("S-08", "S-13")
def test_a_restart_forgets_neither_the_peak_nor_the_base_of_the_day() -> None:
    rig = Rig({"max_drawdown": "0.05"})
    rig.begin()
    rig.filled(rig.do(("buy", ALPHA, "100")))
    rig.now_ns += 10 * NS_PER_S
    marked = only(SessionMarked, rig.do(price="110"))
    assert (marked.peak_equity, marked.day_equity) == (Decimal(11_000), Decimal(10_000))
    rig.restart()
    rig.tell(None)
    rig.tell(quote("103", "105"))
    assert state(rig) is SessionState.RUNNING, "nothing trades, and what is held is not sure yet"
    rig.start(None)
    rig.tell(quote("103", "105"))
    assert state(rig) is SessionState.PAUSED  # 10,400 is 5.5 % below 11,000


@pytest.mark.req("S-08")
def test_a_new_day_has_a_new_base() -> None:
    rig = Rig({"max_daily_loss": "500", "max_drawdown": "0.9"})
    rig.begin()
    rig.filled(rig.do(("buy", ALPHA, "100")))
    rig.now_ns += 10 * NS_PER_S
    rig.do(price="96")
    rig.core.sessions[SessionId("obeys-1")].ends_ns = 1 << 62
    rig.now_ns += DAY_S * NS_PER_S
    marked = only(SessionMarked, rig.do(price="96"))
    assert (marked.day_equity, marked.day_open_ns) == (Decimal(9_600), DAY_S * NS_PER_S)
    rig.now_ns += 10 * NS_PER_S
    rig.do(price="92")
    assert state(rig) is SessionState.RUNNING  # 400 of this day


@pytest.mark.req("S-08")
@pytest.mark.parametrize("is_silent", [False, True])
def test_what_a_silent_market_opens_lower_by_is_a_loss_of_the_new_day(is_silent: bool) -> None:
    """The account's breaker counts it so too: its base is what was known at the open."""
    rig = Rig({"max_daily_loss": "500", "max_drawdown": "0.9"})
    rig.begin()
    rig.core.sessions[SessionId("obeys-1")].ends_ns = 1 << 62
    rig.filled(rig.do(("buy", ALPHA, "100")))
    rig.now_ns += 10 * NS_PER_S
    rig.do(price="100")
    rig.now_ns += DAY_S * NS_PER_S
    if not is_silent:
        rig.do(price="100")
        rig.now_ns += 10 * NS_PER_S
    rig.do(price="94")
    assert state(rig) is SessionState.PAUSED


HOURS_NS = 1_383_575_400 * NS_PER_S
"""Monday, 4 November 2013, 9:30 in New York."""


class Tradings:
    """A session on an instrument of New York's hours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, extended: ExtendedHours) -> None:
        monkeypatch.setitem(INSTRUMENTS, ALPHA, instrument(ALPHA, calendar="XNYS"))
        rig = Rig()
        rig.config = StrategyConfig(
            classes=rig.config.classes, extended_hours=extended, session_timeout_s=0
        )
        rig.core = rig._made()
        rig.now_ns = HOURS_NS - 3_600 * NS_PER_S
        rig.start("obeys")
        self.rig = rig
        self.strategy = rig.strategy(SessionId("obeys-1"))

    def told_at(self, offset_s: int, event: Event | None = None) -> bool:
        before = self.strategy.told
        self.rig.tell(event or quote("99", "101"), HOURS_NS + offset_s * S_NS)
        return bool(self.strategy.told > before)


@pytest.mark.req("S-07")
def test_outside_an_instruments_hours_its_market_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = Tradings(monkeypatch, ExtendedHours.NONE)
    close_s = 390 * 60
    assert [session.told_at(each) for each in (-1, 0, close_s - 1, close_s, close_s + 60)] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert session.rig.core.sessions[SessionId("obeys-1")].context.quote(ALPHA) is not None


@pytest.mark.req("S-07")
def test_extended_hours_are_told_where_they_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Tradings(monkeypatch, ExtendedHours.PRE)
    assert [session.told_at(each) for each in (-1, 0, 390 * 60)] == [True, True, False]


@pytest.mark.req("S-07")
def test_a_bar_counts_by_its_own_time_however_late_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bar(from_s: int, until_s: int) -> BarClosed:
        price = Decimal(100)
        return BarClosed(
            at_ns=0,
            instrument=ALPHA,
            open=price,
            high=price,
            low=price,
            close=price,
            volume=price,
            open_ns=HOURS_NS + from_s * S_NS,
            close_ns=HOURS_NS + until_s * S_NS,
        )

    session = Tradings(monkeypatch, ExtendedHours.NONE)
    assert session.told_at(390 * 60 + 5, bar(389 * 60, 390 * 60))
    assert not session.told_at(391 * 60, bar(390 * 60, 391 * 60))


@pytest.mark.req("S-07")
def test_a_timer_outside_the_hours_rings_when_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Tradings(monkeypatch, ExtendedHours.NONE)
    session.rig.core.sessions[SessionId("obeys-1")].context.set_timer(HOURS_NS - 60 * S_NS)
    session.rig.core._set_alarm()
    session.rig.tell(None, HOURS_NS - 60 * S_NS)
    assert (session.strategy.rung, session.rig.core.wake_at_ns) == ([], HOURS_NS)
    session.rig.tell(None, HOURS_NS)
    assert session.strategy.rung == [HOURS_NS]


@pytest.mark.req("S-11")
def test_a_fill_that_was_folded_before_frees_no_second_place() -> None:
    rig = Rig(max_concurrent_trades=1)
    rig.begin()
    first = rig.do(("buy", ALPHA, "1"), ("buy", ALPHA, "2"), ("buy", ALPHA, "3"))
    fill: OrderFilled = rig.fill(every(SignalRaised, first)[0])
    assert [each.quantity for each in every(SignalRaised, rig.tell(fill))] == [2]
    assert every(SignalRaised, rig.tell(fill)) == []
