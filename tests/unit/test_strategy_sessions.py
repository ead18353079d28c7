"""Sessions: made by an epoch, told what they listen to, ended one by one."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import BootId, Event, SessionId
from schemas.control import (
    ControlAnswered,
    EpochEnded,
    HaltAcknowledged,
    HaltRequested,
    Member,
)
from schemas.health import AlertRaised, Severity
from schemas.orders import CancelRequested, Outcome, Side, SignalRaised
from schemas.restrictions import Level, Restriction, RestrictionRequested
from schemas.sessions import SessionCreated, SessionState, SessionStateChanged, StrategyFailed
from services.core import NOTHING
from services.strategy.core import StrategyCore
from services.strategy.session import Session
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, quote
from tests.strategy_rig import INSTRUMENTS, StrategyRig, config, decision, every, only, request

FIRST = SessionId("buyeachquote-1")


def states(rig: StrategyRig) -> dict[str, SessionState]:
    return {view.session: view.state for view in rig.core.describe(0).sessions}


@pytest.mark.req("S-01", "S-02")
def test_an_epoch_makes_the_session_that_was_promised() -> None:
    rig = StrategyRig()
    asked = request("recording", reason="demo")
    answer = rig.prepare(asked)
    said = rig.tell(rig.epoch_of(answer, asked))
    created = only(SessionCreated, said)
    assert (created.session, created.strategy, created.start_id) == (
        "recording-1",
        "recording",
        "start",
    )
    assert (created.instruments, created.initial_capital) == ((ALPHA,), Decimal(10_000))
    running = only(SessionStateChanged, said)
    assert (running.state, running.operator, running.reason) == (
        SessionState.RUNNING,
        "kim",
        "demo",
    )
    assert rig.strategy(created.session).heard == ["start"]


def test_an_epoch_that_comes_twice_makes_one_session() -> None:
    rig = StrategyRig()
    asked = request()
    epoch = rig.epoch_of(rig.prepare(asked), asked)
    assert rig.tell(epoch) != []
    assert rig.tell(epoch) == []
    assert list(rig.core.sessions) == ["recording-1"]


def test_an_epoch_for_another_process_makes_no_session() -> None:
    rig = StrategyRig()
    asked = request()
    epoch = rig.epoch_of(rig.prepare(asked), asked)
    other = {"strategy": Member(boot_id=BootId("strategy-0"), halts=0)}
    assert rig.tell(msgspec.structs.replace(epoch, members=other)) == []
    assert (rig.core.sessions, rig.core.is_trading) == ({}, False)


def test_a_session_that_was_promised_but_cannot_be_made_raises_an_alert() -> None:
    rig = StrategyRig()
    asked = request("idle")
    first, second = rig.prepare(asked, "a"), rig.prepare(asked, "b")
    rig.tell(rig.epoch_of(first, asked))
    alert = only(AlertRaised, rig.tell(rig.epoch_of(second, asked)))
    assert (alert.code, alert.severity) == ("LT-003", Severity.CRITICAL)
    assert alert.fields == {"start_id": "b"}
    assert list(rig.core.sessions) == ["idle-1"]


def test_a_quote_reaches_only_the_sessions_that_trade_its_instrument() -> None:
    rig = StrategyRig()
    alpha, both = rig.start(symbols=("ALPHA",)), rig.start(symbols=("ALPHA", "BETA"))
    first, second = quote(), quote(instrument=BETA)
    rig.tell(first)
    rig.tell(second)
    assert rig.strategy(alpha).heard == ["start", first]
    assert rig.strategy(both).heard == ["start", first, second]


def test_a_quote_that_concerns_nobody_is_answered_with_the_shared_nothing() -> None:
    rig = StrategyRig()
    rig.start("idle")
    assert rig.core.handle(quote(), S_NS) is NOTHING
    assert rig.core.handle(quote(instrument=BETA), S_NS) is NOTHING


def test_signals_are_numbered_by_their_session() -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    signals = [only(SignalRaised, rig.tell(quote(at_ns=S_NS + n), S_NS + n)) for n in range(2)]
    assert [each.signal_id for each in signals] == ["buyeachquote-1-1", "buyeachquote-1-2"]
    first = signals[0]
    assert (first.side, first.quantity, first.why) == (Side.BUY, Decimal(1), "a quote")
    assert first.expires_at_ns - first.at_ns == 2 * S_NS


def test_a_signal_lives_as_long_as_configured() -> None:
    rig = StrategyRig(config(signal_expiry_ms=250))
    rig.start("buyeachquote")
    signal = only(SignalRaised, rig.tell(quote()))
    assert signal.expires_at_ns - signal.at_ns == S_NS // 4


@pytest.mark.req("S-03")
def test_a_paused_session_hears_quotes_and_raises_nothing_until_resumed() -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    said = rig.ask("pause", session)
    assert only(SessionStateChanged, said).state is SessionState.PAUSED
    assert only(ControlAnswered, said).message == f"{FIRST} is paused"
    assert rig.tell(quote()) == []
    rig.ask("resume", session)
    assert only(SignalRaised, rig.tell(quote())).signal_id == f"{FIRST}-1"


@pytest.mark.req("S-03")
def test_a_stopped_session_cancels_its_orders_says_its_last_and_hears_no_more() -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    done, open_ = (only(SignalRaised, rig.tell(quote())) for _ in range(2))
    rig.tell(rig.fill(done))
    said = rig.ask("stop")
    assert [type(each).__name__ for each in said] == [
        "CancelRequested",
        "SignalRaised",
        "SessionStateChanged",
        "ControlAnswered",
    ]
    assert only(CancelRequested, said).order_id == rig.fill(open_).order_id
    last = only(SignalRaised, said)
    assert (last.side, last.quantity, last.is_reduce_only) == (Side.SELL, Decimal(1), True)
    assert only(ControlAnswered, said).message == f"{session} is stopped"
    assert rig.tell(quote()) == []


def test_an_execution_after_the_stop_is_still_counted() -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    signal = only(SignalRaised, rig.tell(quote()))
    rig.ask("stop")
    rig.tell(rig.fill(signal))
    assert rig.core.sessions[session].book.portfolio.quantity(ALPHA) == 1


@pytest.mark.req("S-03")
@pytest.mark.parametrize(
    ("action", "message"),
    [("pause", "nothing to pause: it is so already"), ("resume", f"{FIRST} is running")],
)
def test_asking_for_what_is_so_already_does_nothing(action: str, message: str) -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    rig.ask("pause", session)
    said = only(ControlAnswered, rig.ask(action, session))
    assert (said.is_ok, said.message) == (True, message)


@pytest.mark.req("S-03")
def test_an_action_on_a_session_that_cannot_take_it_is_refused_with_its_state() -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    rig.ask("stop", session)
    said = only(ControlAnswered, rig.ask("resume", session))
    assert (said.is_ok, said.request, said.request_id) == (False, "resume", "r1")
    [error] = said.errors
    assert error.found == f"{session} is stopped"
    assert error.wanted == "one that is created or paused: `sluice sessions` shows them"


def test_a_session_id_that_is_mistyped_is_answered_with_the_one_meant() -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    [error] = only(ControlAnswered, rig.ask("stop", SessionId("buyeachqoute-1"))).errors
    assert error.path == "$.session"
    assert error.wanted == f"{FIRST}; did you mean {FIRST}?"
    assert states(rig) == {FIRST: SessionState.RUNNING}


@pytest.mark.req("G-09", "O-05")
def test_a_halt_silences_every_session_until_the_next_epoch() -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    said = only(HaltAcknowledged, rig.tell(HaltRequested(at_ns=0)))
    assert (said.component, said.halts, said.fence) == ("strategy", 1, 1)
    assert rig.tell(quote()) == []
    assert states(rig) == {FIRST: SessionState.RUNNING}, "a halt keeps sessions as they are"
    rig.start(None)
    assert only(SignalRaised, rig.tell(quote())).signal_id == f"{FIRST}-1"


def emergency(session: SessionId, level: Level = Level.HALT) -> RestrictionRequested:
    return RestrictionRequested(
        at_ns=0, level=level, scope=f"session.{session}", reason="gone mad", operator="lee"
    )


@pytest.mark.req("S-03", "G-11")
def test_a_halt_of_one_session_ends_it_at_once_and_leaves_the_others_alone() -> None:
    rig = StrategyRig()
    first = rig.start("buyeachquote")
    second = rig.start("buyeachquote")
    signal = rig.tell(quote())[0]
    assert isinstance(signal, SignalRaised)
    said = rig.tell(emergency(first))
    assert [type(each).__name__ for each in said] == ["CancelRequested", "SessionStateChanged"]
    changed = only(SessionStateChanged, said)
    assert (changed.session, changed.state) == (first, SessionState.STOPPED)
    assert (changed.reason, changed.operator) == ("emergency stop: gone mad", "lee")
    assert [each.session for each in every(SignalRaised, rig.tell(quote()))] == [second]
    assert rig.tell(emergency(first)) == [], "it is over"
    rig.restart()
    rig.tell(None)
    assert states(rig) == {first: SessionState.STOPPED, second: SessionState.RUNNING}
    answer = only(ControlAnswered, rig.ask("resume", first))
    assert not answer.is_ok, "it is started anew, or not at all"


@pytest.mark.req("S-03")
def test_an_emergency_stop_that_was_missed_comes_with_the_next_epoch() -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    asked = request(None)
    halt = Restriction(scope=f"session.{session}", level=Level.HALT, reason="gone mad")
    epoch = rig.epoch_of(rig.prepare(asked), asked)
    rig.tell(msgspec.structs.replace(epoch, restrictions=(halt,)))
    assert states(rig) == {session: SessionState.STOPPED}


@pytest.mark.parametrize("scope", ["account.paper", "venue.sim", "symbol.sim.ALPHA", "session.no"])
def test_a_halt_of_anything_else_leaves_a_session_to_go_on_when_it_is_reset(scope: str) -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    halt = RestrictionRequested(at_ns=0, level=Level.HALT, scope=scope)
    assert rig.tell(halt) == rig.tell(emergency(session, Level.REDUCE)) == []
    assert states(rig) == {session: SessionState.RUNNING}


def test_a_halt_between_answer_and_epoch_keeps_the_new_session_silent() -> None:
    rig = StrategyRig()
    asked = request("buyeachquote")
    epoch = rig.epoch_of(rig.prepare(asked), asked)
    rig.tell(HaltRequested(at_ns=0))
    assert only(SessionCreated, rig.tell(epoch)).session == FIRST
    assert rig.tell(quote()) == []


def test_the_end_of_the_epoch_silences_every_session() -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    rig.tell(EpochEnded(at_ns=0, epoch=99, reason="another one"))
    assert rig.tell(quote()) != []
    rig.tell(EpochEnded(at_ns=0, epoch=1, reason="gate restarted"))
    assert rig.tell(quote()) == []


@pytest.mark.req("S-14")
def test_an_exception_ends_its_session_with_alert_and_place_and_cancels() -> None:
    rig = StrategyRig()
    session = rig.start("failsatthird")
    raised = [only(SignalRaised, rig.tell(quote())) for _ in range(2)]
    said = rig.tell(quote())
    ids = [rig.fill(each).order_id for each in raised]
    assert [each.order_id for each in every(CancelRequested, said)] == ids
    assert every(SignalRaised, said) == [], "what it said while it failed is not said"
    failed = only(StrategyFailed, said)
    place = failed.where.rpartition("/")[2]
    assert (failed.session, failed.error) == (session, "ZeroDivisionError: third quote")
    assert place.startswith("strategy_rig.py:")
    changed = only(SessionStateChanged, said)
    assert (changed.state, failed.where in changed.reason) == (SessionState.FAILED, True)
    alert = only(AlertRaised, said)
    assert (alert.code, alert.severity, alert.component) == (
        "LT-004",
        Severity.CRITICAL,
        "strategy",
    )
    assert rig.tell(quote()) == [], "it is told no more"


def test_the_place_of_a_failure_is_the_line_that_raised() -> None:
    rig = StrategyRig()
    rig.start("failsatthird")
    for _ in range(3):
        said = rig.tell(quote())
    file, _, line = only(StrategyFailed, said).where.rpartition(":")
    with open(file) as source:
        assert "the line that must be named" in source.read().splitlines()[int(line) - 1]


def test_another_session_goes_on_as_if_none_had_failed() -> None:
    alone, beside = StrategyRig(), StrategyRig()
    healthy = [rig.start("buyeachquote") for rig in (alone, beside)]
    beside.start("failsatthird")
    for n in range(6):
        heard = quote(at_ns=S_NS + n)
        said = beside.tell(heard, heard.at_ns)
        own = [e for e in said if isinstance(e, SignalRaised) and e.session == healthy[1]]
        assert own == alone.tell(heard, heard.at_ns)
    assert states(beside)["failsatthird-2"] is SessionState.FAILED


class UnguardedCore(StrategyCore):
    """The core without the wall around each strategy."""

    def _fail(
        self, session: Session, error: BaseException, now_ns: int, code: str = ""
    ) -> list[Event]:
        raise error


def test_without_the_wall_a_failure_takes_every_session_down() -> None:
    rig = StrategyRig()
    rig.core = UnguardedCore(rig.config, ACCOUNT, INSTRUMENTS, boot_id=BootId("strategy-1"))
    rig.start("buyeachquote")
    rig.start("failsatthird")
    rig.tell(quote())
    rig.tell(quote())
    with pytest.raises(ZeroDivisionError):
        rig.tell(quote())


def test_a_strategy_that_leaves_the_process_ends_only_its_session() -> None:
    rig = StrategyRig()
    rig.start("exits")
    failed = only(StrategyFailed, rig.tell(quote()))
    assert failed.error == "SystemExit: 1"


@pytest.mark.req("S-14")
def test_a_strategy_that_fails_to_start_fails_its_session() -> None:
    rig = StrategyRig()
    session = rig.start("failstostart")
    assert states(rig) == {session: SessionState.FAILED}
    assert only(AlertRaised, rig.said).code == "LT-004"


def test_a_strategy_is_told_of_decisions_and_of_each_execution_once() -> None:
    rig = StrategyRig()
    session = rig.start()
    signal = only(SignalRaised, _submit(rig, session))
    word, fill = decision(signal, Outcome.APPROVED), rig.fill(signal)
    for event in (word, fill, fill):
        rig.tell(event)
    assert rig.strategy(session).heard == ["start", word, fill]


def test_an_execution_of_another_session_is_no_concern() -> None:
    rig = StrategyRig()
    session = rig.start()
    signal = only(SignalRaised, _submit(rig, session))
    other = msgspec.structs.replace(rig.fill(signal), session=SessionId("manual"))
    assert rig.tell(other) == []
    assert rig.strategy(session).heard == ["start"]


def test_timers_come_at_their_time_and_stop_with_the_session() -> None:
    rig = StrategyRig()
    rig.start("beats")
    assert rig.core.wake_at_ns == 2 * S_NS
    assert rig.tell(None, 2 * S_NS - 1) == []
    assert only(SignalRaised, rig.tell(None, 2 * S_NS)).at_ns == 2 * S_NS
    assert rig.core.wake_at_ns == 3 * S_NS
    rig.ask("stop")
    assert rig.core.wake_at_ns is None


def _submit(rig: StrategyRig, session: SessionId) -> list[Event]:
    """Have the session's strategy buy one, as if it had chosen to; return what was said."""
    made = rig.core.sessions[session]
    made.context.buy(ALPHA, Decimal(1))
    return made.collect()
