"""What a restart leaves: sessions, positions and counters, and no signal id used twice."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import NS_PER_S, BootId, Event, SessionId
from schemas.control import EpochStarted
from schemas.executions import BookReported, OrderStatus, OrderView, PositionView
from schemas.health import AlertRaised, GapSeen, LinkChanged
from schemas.orders import OrderType, SignalRaised
from schemas.sessions import PositionsAdopted, SessionState, SessionStateChanged, StrategyFailed
from services.strategy import heard, holdings
from services.strategy.catalogue import BUILT_IN
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore
from services.strategy.orders import HELD_BEFORE, RESTART_SKIP
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, instrument, order, quote
from tests.strategy_rig import StrategyRig, every, only, request

FIRST = SessionId("buyeachquote-1")


def book(*, request_id: str = "", open_orders: tuple[str, ...] = (), **held: str) -> BookReported:
    """Return the executor's reconciled book; `ALPHA="3"` holds three of it, bought at 100."""
    by_name = {"ALPHA": ALPHA, "BETA": BETA}
    return BookReported(
        at_ns=S_NS,
        account=ACCOUNT,
        request_id=request_id,
        is_reconciled=True,
        positions=tuple(
            PositionView(instrument=by_name[name], quantity=Decimal(n), average_price=Decimal(100))
            for name, n in held.items()
        ),
        open_orders=tuple(
            OrderView(order=order(each), status=OrderStatus.ACCEPTED) for each in open_orders
        ),
    )


@pytest.mark.req("S-13")
def test_a_restart_rebuilds_sessions_positions_and_open_orders() -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    rig.start("idle", symbols=("BETA",))
    rig.ask("pause", SessionId("idle-2"))
    filled, _ = (only(SignalRaised, rig.tell(quote())) for _ in range(2))
    rig.tell(rig.fill(filled))
    before = rig.core.describe(0)
    rig.restart()
    assert rig.core.describe(0) == before
    [running, paused] = before.sessions
    assert (running.state, paused.state) == (SessionState.RUNNING, SessionState.PAUSED)
    assert (running.signal_count, running.open_order_count, running.fill_count) == (2, 1, 1)
    assert running.positions[0].quantity == 1


@pytest.mark.req("S-13", "X-10")
def test_a_signal_id_is_never_used_again_after_a_restart() -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    used = [only(SignalRaised, rig.tell(quote())).signal_id for _ in range(3)]
    rig.restart()
    rig.start(None)
    again = only(SignalRaised, rig.tell(quote())).signal_id
    assert (used[-1], again) == (f"{FIRST}-3", f"{FIRST}-{3 + RESTART_SKIP + 1}")


def test_numbers_the_power_took_from_the_journal_are_not_used_again() -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    used: list[str] = []
    for _ in range(3):
        durable = len(rig.kept)
        used += [only(SignalRaised, rig.tell(quote())).signal_id for _ in range(5)]
        del rig.kept[durable:]
        rig.restart()
        rig.start(None)
    assert len(set(used)) == 15


class Amnesiac(StrategyCore):
    """The core that does not keep its signals."""

    keeps = StrategyCore.keeps - {SignalRaised}


def test_without_kept_signals_and_numbers_left_out_an_id_is_used_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.strategy.session.RESTART_SKIP", 0)
    rig = StrategyRig()
    rig.core = Amnesiac(rig.config, ACCOUNT, {ALPHA: instrument()}, boot_id=BootId("strategy-1"))
    rig.start("buyeachquote")
    used = [only(SignalRaised, rig.tell(quote())).signal_id for _ in range(3)]
    rig.restart()
    rig.start(None)
    assert only(SignalRaised, rig.tell(quote())).signal_id in used


def test_a_restart_is_told_of_every_session_it_brought_back() -> None:
    rig = StrategyRig()
    rig.start("idle")
    paused = rig.start("idle")
    rig.ask("pause", paused)
    rig.restart()
    told = [(e.session, e.state, e.reason) for e in every(SessionStateChanged, rig.tell(None))]
    reason = "the strategy service restarted"
    assert told == [
        ("idle-1", SessionState.RUNNING, reason),
        ("idle-2", SessionState.PAUSED, reason),
    ]


def test_after_a_restart_sessions_go_on_when_quotes_come_and_trade_from_the_next_epoch() -> None:
    rig = StrategyRig()
    session = rig.start()
    rig.restart()
    heard = quote()
    rig.tell(heard)
    assert rig.strategy(session).heard == ["start", heard], "it began anew, then it was told"
    assert not rig.core.is_trading
    rig.start(None)
    assert rig.core.is_trading


def test_a_session_that_had_ended_is_kept_and_does_not_begin_again() -> None:
    rig = StrategyRig()
    session = rig.start()
    rig.ask("stop")
    rig.restart()
    assert rig.tell(quote()) == []
    assert rig.core.sessions[session].strategy is None
    assert [view.state for view in rig.core.describe(0).sessions] == [SessionState.STOPPED]


def test_the_highest_epoch_ever_seen_survives_a_restart() -> None:
    rig = StrategyRig()
    rig.epoch = 41
    rig.start("idle")
    rig.restart()
    answer = rig.prepare(request(None))
    assert (answer.epoch_max, answer.boot_id, answer.halts) == (42, "strategy-2", 0)
    late = EpochStarted(at_ns=0, epoch=42, start_id="", operator="kim", members={})
    rig.tell(late)
    assert not rig.core.is_trading, "an epoch that was seen before starts nothing"


def test_a_session_number_is_never_given_twice() -> None:
    rig = StrategyRig()
    rig.start("idle")
    rig.ask("stop")
    rig.restart()
    assert rig.start("idle") == "idle-2"


@pytest.mark.req("S-02")
def test_a_session_keeps_the_parameters_it_was_made_with() -> None:
    rig = StrategyRig(StrategyConfig(parameters={"ema_cross": {"fast": 3}}))
    session = rig.start("ema_cross")
    rig.config = StrategyConfig(parameters={"ema_cross": {"fast": 9}})
    rig.restart()
    rig.tell(quote())
    assert rig.strategy(session).parameters.fast == 3


def test_a_session_whose_strategy_is_gone_fails_alone() -> None:
    rig = StrategyRig()
    gone, stays = rig.start("idle"), rig.start("ema_cross")
    rig.config = StrategyConfig()
    rig.restart()
    said = rig.tell(quote())
    changed = every(SessionStateChanged, said)[1]
    assert (changed.session, changed.state) == (gone, SessionState.FAILED)
    assert f"found: 'idle', wanted: one of {', '.join(BUILT_IN)}, or" in changed.reason
    assert only(AlertRaised, said).code == "LTS-003"
    assert rig.core.sessions[stays].is_active


def test_a_session_whose_instrument_is_gone_fails_alone() -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    rig.tell(rig.fill(only(SignalRaised, rig.tell(quote()))))
    fresh = StrategyCore(rig.config, ACCOUNT, {BETA: instrument(BETA)}, boot_id=BootId("other"))
    for event in rig.kept:
        fresh.restore(event)
    rig.core = fresh
    said = rig.tell(None)
    changed = every(SessionStateChanged, said)[-1]
    assert (changed.session, changed.state) == (session, SessionState.FAILED)
    assert "not configured any more: sim:ALPHA" in changed.reason
    assert only(StrategyFailed, said).where == "the configuration"


@pytest.mark.req("S-02")
def test_a_new_session_takes_over_what_no_session_accounts_for() -> None:
    rig = StrategyRig()
    first = rig.start("buyeachquote", symbols=("BETA",))
    rig.tell(rig.fill(only(SignalRaised, rig.tell(quote(instrument=BETA)))))
    asked = request("idle", symbols=("ALPHA", "BETA"))
    answer = rig.prepare(asked, "second")
    rig.tell(book(request_id="second", ALPHA="-7", BETA="1"))
    adopted = only(PositionsAdopted, rig.tell(rig.epoch_of(answer, asked)))
    assert (adopted.session, adopted.reason) == (answer.session, "held before the session began")
    assert [(each.instrument, each.quantity) for each in adopted.positions] == [(ALPHA, dec(-7))]
    assert rig.core.sessions[first].context.position(BETA) == 1
    second = rig.core.sessions[adopted.session]
    assert (second.context.position(ALPHA), second.context.position(BETA)) == (dec(-7), dec(0))
    portfolio = second.book.portfolio
    assert portfolio.equity({ALPHA: Decimal(100)}) == 10_000, "what it took over is no profit"


@pytest.mark.req("S-16")
@pytest.mark.parametrize(
    "how", ["restart", "gap", "gap between books", "reconnect", "another executor"]
)
def test_an_execution_that_was_missed_is_taken_over_from_the_executors_book(how: str) -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    rig.tell(rig.fill(only(SignalRaised, rig.tell(quote()))))
    subject = "exec.sim.paper" if how == "gap" else "book.paper"
    gap = GapSeen(at_ns=0, subject=subject, publisher="e", expected_seq=2, got_seq=4)
    if how == "restart":
        rig.restart()
    elif how == "another executor":
        rig.tell(msgspec.structs.replace(book(ALPHA="1"), src="executor-1"))
    else:
        rig.tell(LinkChanged(at_ns=0, is_up=True) if how == "reconnect" else gap)
    newest = msgspec.structs.replace(book(ALPHA="3"), src="executor-2")
    adopted = only(PositionsAdopted, rig.tell(newest))
    assert [(each.quantity, each.average_price) for each in adopted.positions] == [
        (dec(2), dec(100))
    ]
    assert rig.core.sessions[session].context.position(ALPHA) == 3
    rig.restart()
    assert rig.core.sessions[session].context.position(ALPHA) == 3, "it is kept"


def test_the_end_of_an_order_that_was_missed_is_seen_in_the_executors_book() -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    signals = [only(SignalRaised, rig.tell(quote())) for _ in range(3)]
    fills = [rig.fill(signal, "0.5") for signal in signals]
    rig.tell(fills[0])
    rig.tell(fills[1])
    rig.restart()
    rig.tell(book(ALPHA="1", open_orders=(fills[1].order_id,)))
    still = [each.order_id for each in rig.core.sessions[session].context.open_orders(ALPHA)]
    assert still == [fills[1].order_id, fills[2].order_id], "one is open, one may yet be sent"


def test_a_book_is_not_compared_while_nothing_was_missed() -> None:
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    assert rig.tell(book(ALPHA="3")) == []
    other = GapSeen(
        at_ns=0, subject="market.sim.ALPHA.quote", publisher="f", expected_seq=1, got_seq=3
    )
    rig.tell(other)
    assert rig.tell(book(ALPHA="3")) == []
    assert rig.core.sessions[session].context.position(ALPHA) == 0


@pytest.mark.parametrize("wrong", [{"is_reconciled": False}, {"account": "another"}])
def test_a_book_that_is_no_proof_is_not_believed(wrong: dict[str, object]) -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    assert rig.tell(msgspec.structs.replace(book(ALPHA="3"), **wrong)) == []
    assert only(PositionsAdopted, rig.tell(book(ALPHA="3"))).positions[0].quantity == 3


@pytest.mark.req("S-02", "G-11")
def test_what_an_ended_session_left_behind_is_no_others_until_a_new_one_takes_it_over() -> None:
    rig = StrategyRig()
    ended, other = rig.start("buyeachquote"), rig.start("buyeachquote")
    for signal in every(SignalRaised, rig.tell(quote())):
        rig.tell(rig.fill(signal))
    rig.ask("stop", ended)
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    assert rig.tell(book(ALPHA="2")) == [], "one is the other's, one was left behind"
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    missed = only(PositionsAdopted, rig.tell(book(ALPHA="5")))
    assert (missed.session, missed.positions[0].quantity) == (other, dec(3))
    rig.ask("stop", other)
    asked = request("idle")
    answer = rig.prepare(asked, "third")
    rig.tell(book(request_id="third", ALPHA="5"))
    taken = every(PositionsAdopted, rig.tell(rig.epoch_of(answer, asked)))
    assert [(each.reason, each.taken_from, each.positions[0].quantity) for each in taken] == [
        (HELD_BEFORE, ended, dec(1)),
        (HELD_BEFORE, other, dec(4)),
    ]
    third = taken[0].session
    for _ in range(2):
        held = {name: each.book.portfolio for name, each in rig.core.sessions.items()}
        quantities = [folio.quantity(ALPHA) for folio in held.values()]
        assert quantities == [dec(0), dec(0), dec(5)]
        assert all(folio.equity({}) == 10_000 for name, folio in held.items() if name != third)
        rig.restart()
    rig.tell(None)
    assert rig.tell(book(ALPHA="5")) == [], "all of it is accounted for"


def test_without_counting_what_was_left_behind_another_session_takes_it_for_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        holdings,
        "_holders",
        lambda sessions, key: [
            (each, each.book.portfolio.quantity(key)) for each in sessions if each.is_active
        ],
    )
    rig = StrategyRig()
    ended, other = rig.start("buyeachquote"), rig.start("buyeachquote")
    for signal in every(SignalRaised, rig.tell(quote())):
        rig.tell(rig.fill(signal))
    rig.ask("stop", ended)
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    assert only(PositionsAdopted, rig.tell(book(ALPHA="2"))).session == other
    assert rig.core.sessions[other].context.position(ALPHA) == 2, "one of them is not its own"


def test_without_minding_holes_between_books_a_missed_execution_stays_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heard, "MISSED", ("exec.",))
    rig = StrategyRig()
    session = rig.start("buyeachquote")
    rig.tell(
        GapSeen(at_ns=0, subject="book.paper", publisher="e", expected_seq=2, got_seq=4),
    )
    assert rig.tell(book(ALPHA="3")) == []
    assert rig.core.sessions[session].context.position(ALPHA) == 0


def test_sessions_that_share_an_instrument_are_paused_when_executions_were_missed() -> None:
    rig = StrategyRig()
    for strategy in ("buyeachquote", "idle"):
        rig.start(strategy)
    rig.start("buyeachquote", symbols=("BETA",))
    rig.restart()
    rig.start(None)
    said = rig.tell(book(ALPHA="3"))
    paused = [(each.session, each.state) for each in every(SessionStateChanged, said)]
    assert paused == [(FIRST, SessionState.PAUSED), ("idle-2", SessionState.PAUSED)]
    assert [alert.code for alert in every(AlertRaised, said)] == ["SLU-123", "SLU-123"]
    assert rig.tell(quote()) == []
    assert only(SignalRaised, rig.tell(quote(instrument=BETA))).session == "buyeachquote-3"


def test_a_core_restored_from_any_part_of_its_journal_can_be_described() -> None:
    rig = StrategyRig()
    rig.start("buyeachquote")
    rig.tell(rig.fill(only(SignalRaised, rig.tell(quote(at_ns=2 * NS_PER_S), 2 * S_NS))))
    for length in range(len(rig.kept) + 1):
        core = rig._made()
        _restore(core, rig.kept[:length])
        assert len(core.describe(0).sessions) == (length >= 2)
    assert only(SignalRaised, rig.said).order_type is OrderType.MARKET


def _restore(core: StrategyCore, kept: list[Event]) -> None:
    for event in kept:
        core.restore(event)


@pytest.mark.req("S-14", "S-03")
def test_a_failed_session_stays_failed_keeps_its_position_and_is_told_nothing_more() -> None:
    rig = StrategyRig()
    session = rig.start("failsatthird")
    for _ in range(2):
        rig.tell(rig.fill(only(SignalRaised, rig.tell(quote()))))
    assert every(SignalRaised, rig.tell(quote())) == [], "nothing is closed"
    rig.restart()
    rig.tell(None)
    found = rig.core.sessions[session]
    assert (found.state, found.book.portfolio.quantity(ALPHA)) == (
        SessionState.FAILED,
        Decimal(2),
    )
    rig.said.clear()
    rig.start(None)
    rig.tell(quote())
    assert every(SignalRaised, rig.said) == []
    assert every(SessionStateChanged, rig.said) == []
