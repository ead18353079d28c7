"""Signals that wait for a person: what waits, for how long, and what becomes of it (S-09)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.base import Event, SessionId, SignalId
from schemas.confirmations import (
    AwaitingView,
    ConfirmAsked,
    ConfirmRequest,
    SignalAwaiting,
    SignalConfirmed,
    SignalWithdrawn,
)
from schemas.control import ControlAnswered, EpochEnded, HaltRequested
from schemas.market import QuoteReceived
from schemas.orders import CancelRequested, Side, SignalRaised
from services.strategy.config import ExecutionLimits
from services.strategy.confirmations import ConfirmationTerms
from services.strategy.interface import Parameters, Strategy
from tests.builders import ALPHA, MS_NS, S_NS, quote
from tests.strategy_rig import OWN, StrategyRig, config, every, only

pytestmark = pytest.mark.req("S-09")
TERMS = ConfirmationTerms(expiry_s=60, collar_bps=Decimal(50), quote_age_ms_max=5_000)


class Told(Strategy[Parameters]):
    """Do what each quote's bid size says: buy so many, or sell where the ask size says so."""

    def on_start(self) -> None:
        self.gone: list[SignalWithdrawn] = []

    def on_quote(self, quote: QuoteReceived) -> None:
        if quote.bid_size:
            self.context.buy(quote.instrument, quote.bid_size, why="told")
        if quote.ask_size:
            self.context.sell(quote.instrument, quote.ask_size, why="told")

    def on_withdrawn(self, withdrawn: SignalWithdrawn) -> None:
        self.gone.append(withdrawn)

    def on_stop(self) -> None:
        self.context.close(ALPHA, why="stop")


class TakesBack(Told):
    """Cancel what waits at the next quote."""

    def on_quote(self, quote: QuoteReceived) -> None:
        for order in self.context.open_orders(quote.instrument):
            self.context.cancel(order.order_id)
        super().on_quote(quote)


CLASSES = OWN | {
    name.__name__.lower(): f"tests.unit.test_strategy_confirmations:{name.__name__}"
    for name in (Told, TakesBack)
}


class Desk:
    """A session in a mode, its market, and a person."""

    def __init__(self, mode: str = "MANUAL", strategy: str = "told", **more: Any) -> None:
        self.rig = StrategyRig(config(classes=CLASSES, confirmation=TERMS, **more))
        self.session = self.rig.start(strategy, execution_mode=mode)

    def quote(self, buy: int = 0, sell: int = 0, bid: str = "99.99", ask: str = "100.01",
              after_ns: int = MS_NS) -> list[Event]:  # fmt: skip
        at_ns = self.rig.now_ns + after_ns
        told = quote(bid, ask, at_ns=at_ns, bid_size=str(buy), ask_size=str(sell))
        return self.rig.tell(told, at_ns)

    def hold(self, quantity: int) -> None:
        """Come to hold so many, by a signal that was confirmed and filled."""
        told = self.quote(buy=max(quantity, 0), sell=max(-quantity, 0))
        shown = only(SignalAwaiting, told)
        raised = only(SignalRaised, self.confirm(shown.signal.signal_id))
        self.rig.tell(self.rig.fill(raised))

    def confirm(self, signal: SignalId | str, **more: Any) -> list[Event]:
        fields: dict[str, Any] = {"operator": "kim", "signal": signal} | more
        request = msgspec.convert(fields, ConfirmRequest)
        return self.rig.tell(ConfirmAsked(at_ns=0, request_id="r", request=request))

    def waits(self) -> tuple[AwaitingView, ...]:
        return self.rig.core.describe(self.rig.now_ns).awaiting


def answer(said: Sequence[Event]) -> ControlAnswered:
    assert isinstance(said[-1], ControlAnswered)
    return said[-1]


def found(said: Sequence[Event]) -> str:
    [error] = answer(said).errors
    return f"{error.found}; {error.wanted}"


def test_in_manual_a_signal_waits_and_is_shown_with_its_price_and_expiry() -> None:
    desk = Desk()
    said = desk.quote(buy=3)
    shown = only(SignalAwaiting, said)
    assert every(SignalRaised, said) == []
    assert (shown.signal.quantity, shown.price) == (Decimal(3), Decimal("100.01"))
    assert shown.expires_at_ns == desk.rig.now_ns + 60 * S_NS
    desk.quote(ask="100.05")
    assert desk.waits() == (AwaitingView(awaiting=shown, price_now=Decimal("100.05")),)


def test_in_auto_nothing_waits() -> None:
    said = Desk("AUTO").quote(buy=3)
    assert (len(every(SignalRaised, said)), every(SignalAwaiting, said)) == (1, [])


def test_a_confirmed_signal_is_raised_with_a_new_time_and_its_own_life_anew() -> None:
    desk = Desk()
    shown = only(SignalAwaiting, desk.quote(buy=3))
    desk.quote(after_ns=10 * S_NS, ask="100.02")
    said = desk.confirm(shown.signal.signal_id, reason="looks right")
    now_ns = desk.rig.now_ns
    assert said[0] == SignalConfirmed(
        at_ns=now_ns,
        session=desk.session,
        signal_id=shown.signal.signal_id,
        operator="kim",
        reason="looks right",
        price=Decimal("100.01"),
        price_now=Decimal("100.02"),
    )
    assert said[1] == msgspec.structs.replace(
        shown.signal, at_ns=now_ns, expires_at_ns=now_ns + 2 * S_NS
    )
    assert answer(said).is_ok
    assert desk.waits() == ()


def test_a_confirmation_is_honoured_once_and_a_second_word_is_told_who_was_first() -> None:
    desk = Desk()
    shown = only(SignalAwaiting, desk.quote(buy=3))
    desk.confirm(shown.signal.signal_id)
    desk.rig.now_ns += 5 * S_NS
    again = desk.confirm(shown.signal.signal_id, operator="lee")
    assert every(SignalRaised, again) == []
    assert found(again) == (
        f"{shown.signal.signal_id} was confirmed already, by kim, 5 s ago;"
        " a signal that still waits"
    )


def test_a_refused_signal_never_goes_out_and_its_strategy_hears_of_it() -> None:
    desk = Desk()
    shown = only(SignalAwaiting, desk.quote(buy=3))
    said = desk.confirm(shown.signal.signal_id, is_refused=True, reason="too dear")
    gone = only(SignalWithdrawn, said)
    assert (gone.reason, gone.operator) == ("too dear", "kim")
    assert desk.rig.strategy(desk.session).gone == [gone]
    assert every(SignalRaised, desk.confirm(shown.signal.signal_id)) == []
    assert desk.rig.core.sessions[desk.session].book.orders == {}


def test_what_nobody_confirms_in_time_is_withdrawn_at_its_expiry() -> None:
    desk = Desk()
    shown = only(SignalAwaiting, desk.quote(buy=3))
    assert desk.rig.core.wake_at_ns == shown.expires_at_ns
    said = desk.rig.tell(None, shown.expires_at_ns)
    assert only(SignalWithdrawn, said).reason == "nobody confirmed it in time"
    assert "withdrawn: nobody confirmed it in time" in found(desk.confirm(shown.signal.signal_id))


@pytest.mark.parametrize(("ask", "is_ok"), [("100.51", True), ("100.52", False), ("99.50", False)])
def test_a_price_that_moved_beyond_the_collar_refuses_and_shows_both(ask: str, is_ok: bool) -> None:
    desk = Desk()
    shown = only(SignalAwaiting, desk.quote(buy=3))
    desk.quote(bid="99.40", ask=ask)
    said = desk.confirm(shown.signal.signal_id)
    assert answer(said).is_ok is is_ok
    if not is_ok:
        assert found(said).startswith(f"100.01 when it was raised, {ask} now")
        assert [each.awaiting for each in desk.waits()] == [shown], "it may come back"


def test_an_old_quote_refuses() -> None:
    desk = Desk()
    shown = only(SignalAwaiting, desk.quote(buy=3))
    desk.rig.now_ns += 5_001 * MS_NS
    assert "a quote 5001 ms old" in found(desk.confirm(shown.signal.signal_id))


def test_in_semi_auto_entries_wait_and_exits_and_cancels_do_not() -> None:
    desk = Desk("SEMI_AUTO")
    desk.hold(5)
    assert only(SignalRaised, desk.quote(sell=3)).quantity == Decimal(3)
    assert only(SignalAwaiting, desk.quote(sell=3)).signal.side is Side.SELL, "3 of 2 left"
    assert only(SignalAwaiting, desk.quote(buy=1)).signal.side is Side.BUY


def test_in_semi_auto_a_short_is_covered_by_itself() -> None:
    desk = Desk("SEMI_AUTO")
    desk.hold(-5)
    assert only(SignalRaised, desk.quote(buy=5)).quantity == Decimal(5)


def test_in_semi_auto_a_waiting_entry_keeps_no_exit_from_going() -> None:
    desk = Desk("SEMI_AUTO")
    desk.hold(5)
    only(SignalAwaiting, desk.quote(sell=6))
    assert only(SignalRaised, desk.quote(sell=5)).quantity == Decimal(5)


def test_in_manual_exits_wait_too() -> None:
    desk = Desk()
    desk.hold(5)
    assert only(SignalAwaiting, desk.quote(sell=5)).signal.quantity == Decimal(5)


@pytest.mark.parametrize("how", ["halt", "epoch", "pause", "stop", "restart"])
def test_what_waits_ends_with_a_halt_a_pause_a_stop_and_a_restart(how: str) -> None:
    desk = Desk()
    rig = desk.rig
    shown = only(SignalAwaiting, desk.quote(buy=3))
    if how == "halt":
        rig.tell(HaltRequested(at_ns=0))
    elif how == "epoch":
        rig.tell(EpochEnded(at_ns=0, epoch=rig.epoch, reason="gate restarted"))
    elif how == "restart":
        rig.restart()
    else:
        rig.ask(how)
    rig.tell(None)
    assert only(SignalWithdrawn, rig.said).signal_id == shown.signal.signal_id
    said = [*desk.confirm(shown.signal.signal_id), *desk.quote()]
    assert every(SignalRaised, said) == []
    assert desk.waits() == ()
    assert rig.core.sessions[desk.session].book.orders == {}


def test_a_word_between_a_halt_and_its_end_of_waiting_lets_nothing_go() -> None:
    desk = Desk()
    shown = only(SignalAwaiting, desk.quote(buy=3))
    core, now_ns = desk.rig.core, desk.rig.now_ns
    core.handle(HaltRequested(at_ns=0), now_ns)
    request = ConfirmRequest(operator="kim", signal=shown.signal.signal_id)
    said = core.handle(ConfirmAsked(at_ns=0, request_id="r", request=request), now_ns)
    assert found(said).startswith("its session does not trade")


def test_after_a_restart_a_second_word_is_still_told_of_the_first() -> None:
    desk = Desk()
    shown = only(SignalAwaiting, desk.quote(buy=3))
    raised = only(SignalRaised, desk.confirm(shown.signal.signal_id))
    desk.rig.restart()
    book = desk.rig.core.sessions[desk.session].book
    assert (book.signal_count, [o.is_awaiting for o in book.orders.values()]) == (1, [False])
    assert next(iter(book.orders.values())).expires_at_ns == raised.expires_at_ns
    assert "was confirmed already, by kim" in found(desk.confirm(shown.signal.signal_id))


def test_a_strategy_that_takes_back_what_waits_cancels_nothing_at_the_venue() -> None:
    desk = Desk(strategy="takesback")
    shown = only(SignalAwaiting, desk.quote(buy=3))
    said = desk.quote()
    assert only(SignalWithdrawn, said).signal_id == shown.signal.signal_id
    assert every(CancelRequested, said) == []


def test_the_last_signals_of_a_stopped_session_wait_for_nobody() -> None:
    desk = Desk()
    desk.hold(5)
    said = desk.rig.ask("stop")
    shown = only(SignalAwaiting, said)
    assert only(SignalWithdrawn, said).signal_id == shown.signal.signal_id


def test_a_name_that_waits_for_nobody_is_answered_with_what_does() -> None:
    desk = Desk()
    shown = only(SignalAwaiting, desk.quote(buy=3)).signal.signal_id
    assert found(desk.confirm(f"{shown}0")) == f"'{shown}0'; {shown}; did you mean {shown}?"
    assert found(desk.confirm(shown, operator=" ")) == "nothing; who confirms, for the record"
    nobody = Desk().confirm("other")
    assert found(nobody) == "'other'; the id of a signal that waits; none does"


def test_a_waiting_order_does_not_lapse_while_it_can_be_confirmed() -> None:
    desk = Desk()
    only(SignalAwaiting, desk.quote(buy=3))
    desk.rig.now_ns += 30 * S_NS
    context = desk.rig.core.sessions[desk.session].context
    context.now_ns = desk.rig.now_ns
    assert [order.is_awaiting for order in context.open_orders(ALPHA)] == [True]


def test_what_queued_behind_other_executions_is_shown_to_a_person_before_it_goes() -> None:
    limits = ExecutionLimits(max_concurrent_trades=1)
    desk = Desk(execution=limits)
    first = only(SignalAwaiting, desk.quote(buy=1))
    raised = only(SignalRaised, desk.confirm(first.signal.signal_id))
    assert every(SignalAwaiting, desk.quote(buy=2)) == [], "the first one is at work"
    said = desk.rig.tell(desk.rig.fill(raised))
    assert every(SignalRaised, said) == []
    assert only(SignalAwaiting, said).signal.quantity == Decimal(2)


def test_no_session_but_its_own_is_touched_by_a_word() -> None:
    desk = Desk()
    other = desk.rig.start("told", execution_mode="MANUAL")
    shown = every(SignalAwaiting, desk.quote(buy=3))
    assert [each.session for each in shown] == [desk.session, other]
    desk.confirm(shown[0].signal.signal_id)
    assert [each.awaiting.session for each in desk.waits()] == [SessionId(other)]


def test_a_collar_of_nothing_is_refused_when_the_configuration_is_read() -> None:
    with pytest.raises(ValueError, match="collar_bps is 0: wanted a number above 0"):
        ConfirmationTerms(collar_bps=Decimal(0))
