"""Flatten: entries stopped, orders cancelled, positions closed, and "flat" by the venue's word."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event, InstrumentId, OrderId, SessionId
from schemas.control import ControlAnswered
from schemas.executions import OrderFilled, OrderRefused
from schemas.health import AlertRaised
from schemas.ids import closed_part
from schemas.orders import Order, OrderType, Side, SignalRaised
from schemas.restrictions import (
    FlattenAsked,
    FlattenReported,
    FlattenRequest,
    Level,
    RestrictionRequested,
)
from schemas.venue import VenueBook
from services.executor.config import ExecutorConfig
from services.executor.flatten import HALTED, NO_EPOCH, Flattener
from services.portfolio import Position
from tests.builders import ALPHA, BETA, MS_NS, S_NS, order, quote
from tests.executor_builders import EPOCH, approved, executor, guard, placed, say, start
from tests.executor_pair import Staffed, order_of
from tests.executor_rig import bid, offer, only

GAMMA = InstrumentId("sim:GAMMA")
QUICK = ExecutorConfig(report_every_ms=0, reconcile_every_s=0, flatten_tries_max=5)


def wish(scope: str = "all", request_id: str = "r1", operator: str = "kim") -> FlattenAsked:
    request = FlattenRequest(operator=operator, reason="enough", scope=scope)
    return FlattenAsked(at_ns=1, request_id=request_id, request=request)


def trading(*orders: Order, kind: type[Staffed] = Staffed) -> Staffed:
    pair = kind(config=QUICK)
    pair.link(is_up=True)
    pair.market(quote(), quote(instrument=BETA))
    pair.approve(*orders)
    return pair


def flattened(pair: Staffed, scope: str = "all", seconds: int = 20) -> list[Event]:
    """Return all that is said from the request to well after its end."""
    return [*pair.tell(wish(scope)), *pair.wait(pair.now_ns + seconds * S_NS)]


def ends(said: Sequence[Event]) -> list[FlattenReported]:
    return [each for each in said if isinstance(each, FlattenReported) and each.is_ended]


def held(pair: Staffed) -> dict[InstrumentId, Decimal]:
    return pair.venue_book().positions


@pytest.mark.req("O-05", "B-08")
def test_a_flatten_reduces_then_cancels_then_closes_and_says_flat_after_looking() -> None:
    short = order("short", side=Side.SELL, quantity="7", instrument=BETA)
    pair = trading(order("long"), short, bid(), offer("out", "10"))
    said = flattened(pair)
    kinds = [type(each) for each in said]
    answer, reduction, signal = (
        kinds.index(kind) for kind in (ControlAnswered, RestrictionRequested, SignalRaised)
    )
    assert answer < reduction < signal
    [end] = ends(said)
    assert end == FlattenReported(
        at_ns=end.at_ns,
        request_id="r1",
        scope="all",
        is_flat=True,
        is_ended=True,
        detail="flat: nothing is held or rests; 2 orders were cancelled",
    )
    assert (held(pair), pair.venue_book().open_orders) == ({}, ())
    assert said.index(end) > max(i for i, kind in enumerate(kinds) if kind is OrderFilled)
    assert pair.agrees()
    assert pair.executor.wake_at_ns is None


def test_closing_orders_are_signals_like_any_other_that_may_only_reduce() -> None:
    pair = trading(order("long"))
    pair.gate = lambda signal: None
    signals = [each for each in flattened(pair) if isinstance(each, SignalRaised)]
    first = signals[0]
    assert first == SignalRaised(
        at_ns=first.at_ns,
        signal_id=first.signal_id,
        account=first.account,
        session=SessionId("flatten-1"),
        instrument=ALPHA,
        side=Side.SELL,
        quantity=Decimal(10),
        order_type=OrderType.MARKET,
        time_in_force=first.time_in_force,
        is_reduce_only=True,
        expires_at_ns=first.at_ns + QUICK.flatten_every_ms * MS_NS,
        why="flatten of all by kim",
    )


class Buying(Staffed):
    """A gate that approves a buy of a strategy right before each closing order."""

    count = 0

    def _hear_executor(self, said: Sequence[Event], told: Event | None) -> None:
        if any(isinstance(each, SignalRaised | RestrictionRequested) for each in said):
            Buying.count += 1
            self._queue.append(("executor", self._approval(f"buy-{Buying.count}")))
        super()._hear_executor(said, told)
        if any(isinstance(each, OrderFilled) for each in said):
            Buying.count += 1
            self._queue.append(("executor", self._approval(f"buy-{Buying.count}")))

    def _approval(self, order_id: str) -> Event:
        return approved(order(order_id, quantity="5"), epoch=self.guard.epoch)


@pytest.mark.req("O-05", "G-09")
@pytest.mark.parametrize("has_reduce", [True, False])
def test_buying_goes_on_while_all_is_being_sold_only_without_reduce_first(
    monkeypatch: pytest.MonkeyPatch, has_reduce: bool
) -> None:
    """Field notes, row 2: the flatten and the strategy race."""
    if not has_reduce:
        monkeypatch.setattr(Flattener, "_is_reduced", lambda self, scope: True)
    pair = trading(order("long"), kind=Buying)
    before = len(pair.sent)
    said = flattened(pair)
    bought = [each for each in pair.sent[before:] if each.startswith("buy-")]
    if has_reduce:
        # What was approved before the restriction was heard may still be bought: and is sold.
        refused = [each for each in said if isinstance(each, OrderRefused)]
        assert {each.rule for each in refused} == {"restricted"}
        assert len(bought) <= 1
        assert ends(said)[-1].is_flat
        assert held(pair) == {}
    else:
        assert len(bought) > 1


class Clinging(Staffed):
    """A venue that never cancels: what rests goes on resting."""

    def _hear_executor(self, said: Sequence[Event], told: Event | None) -> None:
        kept = [each for each in said if type(each).__name__ != "CancelPlaced"]
        super()._hear_executor(kept, told)


@pytest.mark.req("O-05")
def test_flat_is_not_said_while_an_order_rests_and_the_list_names_it() -> None:
    """Field notes, row 3: the kill says flat, and resting orders survive."""
    pair = trading(bid("survivor"), kind=Clinging)
    said = flattened(pair)
    [end] = ends(said)
    assert (end.is_flat, end.resting, end.positions) == (False, (OrderId("survivor"),), ())
    assert end.detail == "no progress in 5 tries"
    [alert] = [e for e in only(said, AlertRaised) if isinstance(e, AlertRaised)]
    assert (alert.code, alert.fields) == ("SLU-134", {"order survivor": "rests"})
    assert alert.message == "NOT FLAT in all: no progress in 5 tries"


def blind(self: Flattener, book: VenueBook, now_ns: int) -> list[Event]:
    """Take our own book for the venue's word."""
    return hear(self, msgspec.structs.replace(book, open_orders=()), now_ns)


hear = Flattener.hear


@pytest.mark.req("O-05")
@pytest.mark.parametrize("looks", [True, False])
def test_an_order_that_only_the_venue_knows_of_is_found_by_looking(
    monkeypatch: pytest.MonkeyPatch, looks: bool
) -> None:
    pair = trading()
    pair.restrict("all", Level.REDUCE)
    say(pair.venue, placed(order("stranger", order_type=OrderType.LIMIT, limit="90.00")))
    if not looks:
        monkeypatch.setattr(Flattener, "hear", blind)
    [end] = ends(pair.tell(wish()))
    assert [each.order_id for each in pair.venue_book().open_orders] == ["stranger"]
    assert (end.is_flat, end.resting) == ((False, ("stranger",)) if looks else (True, ()))


def test_a_position_too_large_for_the_gates_limit_is_closed_in_parts() -> None:
    pair = trading(order("long", quantity="100"))
    pair.gate = lambda signal: order_of(signal) if signal.quantity <= 30 else None
    said = flattened(pair)
    assert ends(said)[-1].is_flat
    quantities = [each.quantity for each in said if isinstance(each, SignalRaised)]
    assert quantities[:4] == [100, 50, 25, 18]
    assert held(pair) == {}


def test_a_gate_that_lets_nothing_through_ends_it_with_the_list_and_the_reason() -> None:
    pair = trading(order("long"))
    pair.gate = lambda signal: None
    [end] = ends(flattened(pair))
    assert [(each.instrument, each.quantity) for each in end.positions] == [(ALPHA, Decimal(10))]
    why = "sim:ALPHA: no order came of the signal: see the gate's decisions for flatten-1"
    assert end.detail == f"no progress in 5 tries ({why})"


@pytest.mark.req("G-09")
@pytest.mark.parametrize("scope", ["symbol.sim.ALPHA", "venue.sim", "account.paper"])
def test_a_scope_is_made_flat_and_nothing_else(scope: str) -> None:
    pair = trading(order("a"), order("b", instrument=BETA), bid())
    said = flattened(pair, scope)
    assert ends(said)[-1].is_flat
    assert held(pair) == ({BETA: Decimal(10)} if scope == "symbol.sim.ALPHA" else {})


def test_a_session_is_made_flat_by_what_its_own_orders_hold() -> None:
    pair = trading(order("mine", quantity="4"))
    other = order("theirs", quantity="6")
    pair.approve(_of_session(other, "s2"))
    said = flattened(pair, "session.s1")
    assert ends(said)[-1].is_flat
    assert held(pair) == {ALPHA: Decimal(6)}
    assert pair.executor.orders.shares.held == {SessionId("s2"): {ALPHA: Decimal(6)}}
    pair.restart_executor()
    assert pair.executor.orders.shares.held == {SessionId("s2"): {ALPHA: Decimal(6)}}


@pytest.mark.parametrize(
    ("scope", "signed"),
    [("session.s1", "flatten-1-s1"), ("symbol.sim.ALPHA", "flatten-1"), ("all", "flatten-1")],
)
def test_the_orders_of_a_flatten_of_one_session_name_that_session(scope: str, signed: str) -> None:
    """ADR 26: it is taken from that one, and else from whoever holds it."""
    pair = trading(order("mine", quantity="4"), _of_session(order("theirs", quantity="6"), "s2"))
    said = flattened(pair, scope)
    sessions = {each.session for each in said if isinstance(each, OrderFilled)}
    assert sessions == {SessionId(signed)}
    assert closed_part(SessionId(signed)) == (SessionId("s1") if scope == "session.s1" else None)


def _of_session(one: Order, session: str) -> Order:
    return msgspec.structs.replace(one, session=SessionId(session))


@pytest.mark.parametrize(
    ("scope", "operator", "found"),
    [
        ("everything", "kim", "everything"),
        ("account.other", "kim", "other"),
        ("all", "  ", "operator '  ', reason 'enough'"),
        ("all", "\u200b", "operator '\\u200b', reason 'enough'"),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused_whole(
    scope: str, operator: str, found: str
) -> None:
    pair = trading(order("long"))
    [answer] = pair.tell(wish(scope, operator=operator))
    assert isinstance(answer, ControlAnswered)
    assert (answer.request, answer.is_ok, answer.errors[0].found) == ("flatten", False, found)


@pytest.mark.req("O-05")
def test_while_halted_the_answer_says_what_must_be_done_first() -> None:
    pair = trading(order("long"))
    pair.halt()
    [answer] = pair.tell(wish())
    assert isinstance(answer, ControlAnswered)
    assert (answer.is_ok, answer.message) == (False, f"nothing was done: {HALTED}")
    fresh = executor(made=guard(is_running=False))
    [told] = say(fresh, wish())
    assert isinstance(told, ControlAnswered)
    assert told.message == f"nothing was done: {NO_EPOCH}"


@pytest.mark.req("O-05")
def test_a_halt_ends_a_flatten_and_the_positions_stay() -> None:
    pair = trading(order("long"))
    pair.gate = lambda signal: None
    pair.tell(wish())
    said = pair.halt()
    [end] = ends(said)
    assert end.detail.startswith(HALTED)
    assert held(pair) == {ALPHA: Decimal(10)}


def test_a_restart_in_the_middle_ends_it_not_flat_with_what_the_venue_shows() -> None:
    pair = trading(order("long"))
    pair.gate = lambda signal: None
    pair.tell(wish())
    pair.restart_executor()
    said = pair.link(is_up=True)
    [end] = ends(said)
    assert end.detail == "the executor restarted meanwhile: ask again"
    assert [(each.instrument, each.quantity) for each in end.positions] == [(ALPHA, Decimal(10))]
    start(pair.guard, EPOCH + 1)
    pair.gate = order_of
    [last] = ends([*pair.tell(wish(request_id="r2")), *pair.wait(pair.now_ns + 20 * S_NS)])
    assert last.is_flat
    assert pair.executor.orders.shares.flatten_count == 2
    assert len(set(pair.sent)) == len(pair.sent)


def test_one_of_all_overtakes_one_of_a_part_and_not_the_reverse() -> None:
    pair = trading(order("long"))
    pair.gate = lambda signal: None
    pair.tell(wish("symbol.sim.ALPHA", "r1"))
    said = pair.tell(wish("all", "r2"))
    assert [each.request_id for each in ends(said)] == ["r1"]
    [refused] = pair.tell(wish("venue.sim", "r3"))
    assert isinstance(refused, ControlAnswered)
    assert refused.errors[0].found == "flatten-2 of all goes on, and covers it"


def test_a_link_that_is_down_is_waited_for_and_then_it_goes_on() -> None:
    pair = trading(order("long"))
    pair.link(is_up=False)
    said = pair.tell(wish())
    assert ends(said) == []
    pair.link(is_up=True)
    assert ends(pair.wait(pair.now_ns + 5 * S_NS))[-1].is_flat


def test_an_instrument_that_is_not_configured_is_named_as_not_flat() -> None:
    pair = trading()
    pair.restrict("all", Level.REDUCE)
    pair.venue.ledger.portfolio.positions[GAMMA] = _position(3)
    pair.executor.orders.portfolio.positions[GAMMA] = _position(3)
    [end] = ends(flattened(pair))
    assert [(each.instrument, each.quantity) for each in end.positions] == [(GAMMA, Decimal(3))]


def _position(quantity: int) -> Position:
    made = Position()
    made.quantity = Decimal(quantity)
    return made
