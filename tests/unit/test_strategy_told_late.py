"""An execution that is told after the book that held it already is its session's once."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event, OrderId, SessionId
from schemas.executions import BookReported, OrderFilled, OrderStatus, OrderView, PositionView
from schemas.health import GapSeen
from schemas.ids import flatten_session
from schemas.orders import Side, SignalRaised
from schemas.sessions import PositionsAdopted, SessionMarked
from services.performance.fold import Fold, Terms
from services.strategy.compared import Compared
from services.strategy.config import ExecutionLimits
from services.strategy.holdings import MISSED, TOLD_LATE
from services.strategy.interface import Parameters, Strategy
from tests.builders import ACCOUNT, ALPHA, S_NS, dec, order, quote
from tests.strategy_rig import INSTRUMENTS, StrategyRig, config, every, only, request

EXECUTOR = "executor-1"
BOOK_NS = 5 * S_NS
GAP = GapSeen(at_ns=0, subject="exec.sim.paper", publisher=EXECUTOR, expected_seq=2, got_seq=4)


class Buys(Strategy[Parameters]):
    """Buy two at each quote, and note what it is told beside the market."""

    def on_start(self) -> None:
        self.heard: list[tuple[str, Decimal]] = []

    def on_quote(self, quote: object) -> None:
        self.context.buy(ALPHA, Decimal(2))

    def on_execution(self, event: object) -> None:
        self.heard.append(("execution", self.context.position(ALPHA)))

    def on_position(self, event: object) -> None:
        self.heard.append(("position", self.context.position(ALPHA)))


def rig_with(*, sessions: int = 1) -> tuple[StrategyRig, list[SessionId]]:
    settings = config(classes={"buys": "tests.unit.test_strategy_told_late:Buys"})
    rig = StrategyRig(settings)
    return rig, [rig.start("buys") for _ in range(sessions)]


def bought(rig: StrategyRig, session: SessionId, **fields: object) -> OrderFilled:
    """Return an execution of a new order of two at 90, for a fee of 1; it is not told yet."""
    signals = every(SignalRaised, rig.tell(quote()))
    fill = rig.fill(next(each for each in signals if each.session == session))
    given = {"src": EXECUTOR, "at_ns": BOOK_NS - 1, "price": dec(90), "fee": dec(1)}
    return msgspec.structs.replace(fill, **given | fields)


def book(held: str, *shown: OrderView, **fields: object) -> BookReported:
    """Return the executor's book: so many held at 100 on average."""
    report = BookReported(
        at_ns=BOOK_NS,
        src=EXECUTOR,
        account=ACCOUNT,
        is_reconciled=True,
        positions=(PositionView(instrument=ALPHA, quantity=dec(held), average_price=dec(100)),),
        open_orders=shown,
    )
    return msgspec.structs.replace(report, **fields)


def shown_of(fill: OrderFilled, quantity: str, filled: str) -> OrderView:
    """Return its order as a book shows it."""
    made = msgspec.structs.replace(order(fill.order_id, quantity=quantity), session=fill.session)
    return OrderView(order=made, status=OrderStatus.PARTIALLY_FILLED, filled=dec(filled))


def held(rig: StrategyRig) -> list[Decimal]:
    return [each.book.portfolio.quantity(ALPHA) for each in rig.core.sessions.values()]


def taken(said: Sequence[Event]) -> list[tuple[SessionId, Decimal, str]]:
    found = every(PositionsAdopted, said)
    return [(each.session, each.positions[0].quantity, each.reason) for each in found]


@pytest.mark.req("S-16", "I11")
@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_execution_that_the_book_held_already_counts_once_at_its_own_price_and_fee(
    is_restarted: bool,
) -> None:
    rig, [session] = rig_with()
    fill = bought(rig, session)
    rig.tell(GAP)
    assert taken(rig.tell(book("2"))) == [(session, dec(2), MISSED)]
    late = rig.tell(fill)
    assert taken(late) == [(session, dec(-2), TOLD_LATE)]
    assert only(PositionsAdopted, late).is_told, "gate and executor know it by the execution"
    if is_restarted:
        rig.restart()
    else:
        told = [("position", dec(2)), ("execution", dec(2)), ("position", dec(2))]
        assert rig.strategy(session).heard == told
    portfolio = rig.core.sessions[session].book.portfolio
    found = (portfolio.quantity(ALPHA), portfolio.cash, portfolio.fees, portfolio.fill_count)
    assert found == (dec(2), dec(10_000 - 2 * 90 - 1), dec(1), 1)
    assert rig.core.sessions[session].book.orders == {}, "the order is closed"


@pytest.mark.req("S-16")
def test_without_it_the_session_believes_in_twice_what_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Compared, "holds", lambda self, fill: False)
    rig, [session] = rig_with()
    fill = bought(rig, session)
    rig.tell(GAP)
    rig.tell(book("2"))
    rig.tell(fill)
    assert held(rig) == [dec(4)]


@pytest.mark.req("S-16")
def test_an_execution_after_the_book_is_news() -> None:
    rig, [session] = rig_with()
    rig.tell(GAP)
    rig.tell(book("0"))
    fill = bought(rig, session, at_ns=BOOK_NS + 1)
    assert taken(rig.tell(fill)) == []
    assert held(rig) == [dec(2)]


@pytest.mark.req("S-16")
@pytest.mark.parametrize(
    "told",
    [
        {"at_ns": BOOK_NS},
        {"at_ns": BOOK_NS * 9, "src": "executor-0"},
        {"at_ns": 0, "src": "executor-0"},
    ],
    ids=["same instant", "clock ahead", "clock behind"],
)
@pytest.mark.parametrize(("filled", "expected"), [("2", "2"), ("0", "2")])
def test_what_no_clock_can_tell_is_told_by_how_much_of_the_order_had_filled(
    told: dict[str, object], filled: str, expected: str
) -> None:
    rig, [session] = rig_with()
    fill = bought(rig, session, **told)
    rig.tell(GAP)
    rig.tell(book(filled, shown_of(fill, "2", filled)))
    rig.tell(fill)
    assert held(rig) == [dec(expected)]


@pytest.mark.req("S-16")
def test_one_of_another_executor_that_nothing_shows_is_settled_by_the_next_book() -> None:
    rig, [session] = rig_with()
    fill = bought(rig, session, src="executor-0")
    rig.tell(GAP)
    rig.tell(book("2"))
    rig.tell(fill)
    assert taken(rig.tell(book("2", at_ns=BOOK_NS + 1))) == [(session, dec(-2), MISSED)]
    assert held(rig) == [dec(2)]


@pytest.mark.req("S-16")
def test_who_took_over_what_was_anothers_gives_it_back() -> None:
    """An order of a session that has ended fills unheard: the only other one takes it over."""
    rig, [ended, other] = rig_with(sessions=2)
    fill = bought(rig, ended)
    rig.ask("stop", ended)
    rig.tell(GAP)
    assert taken(rig.tell(book("2"))) == [(other, dec(2), MISSED)]
    assert taken(rig.tell(fill)) == [(other, dec(-2), TOLD_LATE)]
    assert held(rig) == [dec(2), dec(0)]
    rig.restart()
    assert held(rig) == [dec(2), dec(0)]


@pytest.mark.req("S-16")
def test_what_was_missed_with_its_opposite_is_told_late_without_a_change() -> None:
    rig, [session] = rig_with()
    first, last = bought(rig, session), bought(rig, session, side=Side.SELL)
    rig.tell(GAP)
    assert taken(rig.tell(book("0"))) == []
    rig.tell(first)
    assert held(rig) == [dec(0)]
    rig.tell(last)
    assert held(rig) == [dec(0)]
    assert rig.core.sessions[session].book.portfolio.fees == dec(2)


@pytest.mark.req("S-16")
def test_shares_that_nobody_could_tell_are_told_by_late_executions() -> None:
    rig, [first, second] = rig_with(sessions=2)
    fills = [bought(rig, session) for session in (first, second)]
    rig.tell(GAP)
    assert taken(rig.tell(book("4"))) == [], "both are paused"
    for fill in fills:
        rig.tell(fill)
    assert held(rig) == [dec(2), dec(2)]


@pytest.mark.req("S-16", "G-11")
def test_a_flattens_execution_that_the_book_held_already_closes_nothing_more() -> None:
    rig, [session] = rig_with()
    for _ in range(2):
        rig.tell(bought(rig, session))
    closes = msgspec.structs.replace(
        bought(rig, session),
        session=flatten_session(3, session),
        order_id=OrderId("closes"),
        side=Side.SELL,
    )
    rig.tell(GAP)
    rig.tell(book("2"))
    assert held(rig) == [dec(2)]
    assert taken(rig.tell(closes)) == []
    assert held(rig) == [dec(2)]


@pytest.mark.req("S-16")
def test_a_book_from_before_what_was_heard_is_not_compared_and_the_next_one_is() -> None:
    rig, [session] = rig_with()
    rig.tell(bought(rig, session, at_ns=BOOK_NS + 1))
    rig.tell(GAP)
    assert rig.tell(book("0")) == []
    assert held(rig) == [dec(2)]
    assert taken(rig.tell(book("4", at_ns=BOOK_NS + 2))) == [(session, dec(2), MISSED)]
    rig.tell(GAP)
    assert rig.tell(book("2", at_ns=BOOK_NS + 1)) == [], "nor one from before what was compared"
    assert held(rig) == [dec(4)]


@pytest.mark.req("S-02", "S-16")
def test_a_starts_book_that_is_old_is_made_good_by_the_next() -> None:
    rig, [session] = rig_with()
    rig.tell(bought(rig, session, at_ns=BOOK_NS + 1))
    assert rig.tell(book("0", request_id="second")) == []
    assert taken(rig.tell(book("4", at_ns=BOOK_NS + 2))) == [(session, dec(2), MISSED)]


@pytest.mark.req("S-02", "S-16")
@pytest.mark.parametrize("told_ns", [BOOK_NS - 1, BOOK_NS + 2])
def test_a_start_with_an_old_book_takes_over_what_an_ended_session_holds(told_ns: int) -> None:
    """News of another order came before the book; nothing could make it good later."""
    rig, [ended] = rig_with()
    rig.tell(bought(rig, ended))
    fill, news = bought(rig, ended, at_ns=told_ns), bought(rig, ended, at_ns=BOOK_NS + 1)
    rig.tell(news)
    rig.ask("stop", ended)
    asked = request("buys")
    answer = rig.prepare(asked, "second")
    rig.tell(book("4", request_id="second"))
    rig.tell(fill)
    rig.now_ns += 1
    adopted = only(PositionsAdopted, rig.tell(rig.epoch_of(answer, asked)))
    assert (adopted.taken_from, adopted.positions[0].quantity) == (ended, dec(6))
    rig.tell(book("7", at_ns=BOOK_NS + 3))
    assert held(rig) == [dec(0), dec(7)], "what was nobody's comes with the next book"


@pytest.mark.req("S-16", "I11")
def test_what_is_told_late_at_several_prices_comes_to_the_same_money() -> None:
    """Two buys and a sell of both are told after the book that shows nothing held."""
    rig, [session] = rig_with()
    first, second = bought(rig, session, price=dec(100)), bought(rig, session, price=dec(102))
    sold = bought(rig, session, price=dec(110), side=Side.SELL, quantity=dec(4))
    rig.tell(GAP)
    rig.tell(book("0"))
    for fill in (first, second, sold):
        rig.tell(fill)
        assert held(rig) == [dec(0)]
    found = rig.core.sessions[session].book.portfolio
    assert found.cash == 10_000 - 2 * 100 - 2 * 102 + 4 * 110 - 3


@pytest.mark.req("S-16", "R-03")
def test_what_is_given_back_for_one_execution_at_one_price_is_no_repeat_of_itself() -> None:
    """Half was taken over at the book's price, half with its opposite: both count."""
    rig, [session] = rig_with()
    first = bought(rig, session, price=dec(100))
    last = bought(rig, session, price=dec(101), side=Side.SELL, quantity=dec(1))
    rig.tell(GAP)
    said = [*rig.tell(book("1"))]
    for fill in (first, last):
        said += [fill, *rig.tell(fill)]
    values = {INSTRUMENTS[ALPHA].currency: dec(1)}
    folded = Fold(Terms(instruments=INSTRUMENTS, currency_values=values, session=session))
    for each in (rig.core.sessions[session].terms, *said, quote("199", "201")):
        folded.update(each)
    assert held(rig) == [dec(1)]
    # 10,000, less 2 at 100 and 1 back at 101, less both fees: and one is held at 200.
    assert folded.equity() == 10_000 - 200 + 101 - 2 + 200


@pytest.mark.req("S-16", "I11")
@pytest.mark.parametrize("is_bound_up", [False, True])
def test_what_is_told_after_a_second_book_is_given_back_at_the_price_of_the_first(
    is_bound_up: bool,
) -> None:
    """The second shows it again, and may show what was missed since: that has its own price."""
    rig, [session] = rig_with()
    fill, later = bought(rig, session), bought(rig, session, at_ns=BOOK_NS + 1, price=dec(120))
    rig.tell(GAP)
    rig.tell(book("2"))
    rig.tell(GAP)
    total = "4" if is_bound_up else "2"
    rig.tell(book(total, at_ns=BOOK_NS + 2))
    told = [fill, later] if is_bound_up else [fill]
    for each in told:
        rig.tell(each)
    found = rig.core.sessions[session].book.portfolio
    spent = sum((each.quantity * each.price + each.fee for each in told), dec(0))
    assert (found.quantity(ALPHA), found.cash) == (dec(total), 10_000 - spent)


@pytest.mark.req("S-16")
def test_what_a_contested_second_book_shows_again_counts_once() -> None:
    """Alone the first session took it over; with a second there nobody could tell whose."""
    rig, [first] = rig_with()
    fill = bought(rig, first)
    rig.tell(GAP)
    rig.tell(book("2"))
    rig.start("buys")
    rig.tell(GAP)
    assert taken(rig.tell(book("3", at_ns=BOOK_NS + 2))) == [], "both are paused"
    rig.tell(fill)
    assert held(rig) == [dec(2), dec(0)]


@pytest.mark.req("S-08", "S-16")
def test_what_is_told_again_before_the_first_book_of_a_restart_makes_no_peak() -> None:
    """Until that book the session seems to hold twice as much, and nothing trades."""
    settings = config(
        classes={"buys": "tests.unit.test_strategy_told_late:Buys"}, execution=ExecutionLimits()
    )
    rig = StrategyRig(settings)
    session = rig.start("buys")
    fill = bought(rig, session)
    rig.tell(GAP)
    rig.tell(book("2"))
    rig.restart()
    rig.tell(None)
    rig.tell(fill)
    assert held(rig) == [dec(4)]
    rig.now_ns += 10 * S_NS
    assert every(SessionMarked, rig.tell(quote("199", "201"))) == []
    rig.tell(book("2", at_ns=BOOK_NS + 1))
    assert held(rig) == [dec(2)]
    [marked] = every(SessionMarked, rig.tell(quote("199", "201")))
    assert marked.peak_equity < 10_000 + 4 * 100, "of two, that cost some 100 each"


@pytest.mark.req("S-02", "S-16")
def test_what_another_took_over_from_an_ended_session_stays_with_it() -> None:
    """An order of the ended one fills unheard: the other has that as well, and keeps it."""
    rig, [ended] = rig_with()
    rig.tell(bought(rig, ended))
    fill = bought(rig, ended)
    rig.ask("stop", ended)
    asked = request("buys")
    answer = rig.prepare(asked, "second")
    rig.tell(book("2", request_id="second"))
    rig.now_ns += 1
    rig.tell(rig.epoch_of(answer, asked))
    rig.tell(GAP)
    rig.tell(book("4", at_ns=BOOK_NS + 9))
    assert held(rig) == [dec(0), dec(4)]
    rig.tell(fill)
    assert held(rig) == [dec(0), dec(4)]
    rig.restart()
    assert held(rig) == [dec(0), dec(4)]


@pytest.mark.req("S-02", "S-16")
@pytest.mark.parametrize("is_late", [False, True])
def test_what_fills_between_a_starts_book_and_its_epoch_is_taken_over_once(is_late: bool) -> None:
    rig, [ended] = rig_with()
    fill = bought(rig, ended, at_ns=BOOK_NS - 1 if is_late else BOOK_NS + 1)
    rig.ask("stop", ended)
    asked = request("buys")
    answer = rig.prepare(asked, "second")
    rig.tell(book("2" if is_late else "0", request_id="second"))
    rig.tell(fill)
    adopted = only(PositionsAdopted, rig.tell(rig.epoch_of(answer, asked)))
    assert (adopted.taken_from, adopted.positions[0].quantity) == (ended, dec(2))
    assert held(rig) == [dec(0), dec(2)]


@pytest.mark.req("S-02", "G-11")
def test_what_a_flatten_closes_between_a_starts_book_and_its_epoch_is_not_taken_over() -> None:
    rig, [ended] = rig_with()
    rig.tell(bought(rig, ended))
    rig.ask("stop", ended)
    asked = request("buys")
    answer = rig.prepare(asked, "second")
    rig.tell(book("2", request_id="second"))
    closes = msgspec.structs.replace(
        bought_before(rig), session=flatten_session(3, None), side=Side.SELL, at_ns=BOOK_NS + 1
    )
    rig.tell(closes)
    assert every(PositionsAdopted, rig.tell(rig.epoch_of(answer, asked))) == []
    assert held(rig) == [dec(0), dec(0)]


def bought_before(rig: StrategyRig) -> OrderFilled:
    """Return another execution like the first that was told."""
    [told] = [each for each in rig.kept if isinstance(each, OrderFilled)]
    return msgspec.structs.replace(told, execution_id="another", order_id=OrderId("closes"))


@pytest.mark.req("S-08", "S-16")
def test_an_order_whose_news_was_missed_is_as_the_book_shows_it() -> None:
    """One rests and has filled in part, unheard; one was never heard of at the venue, and ended."""
    rig, [session] = rig_with()
    rests, ended = bought(rig, session), bought(rig, session)
    rig.tell(GAP)
    over = msgspec.structs.replace(shown_of(ended, "2", "2"), status=OrderStatus.FILLED)
    rig.tell(book("3", shown_of(rests, "2", "1"), recent_orders=(over,)))
    [entry] = rig.core.sessions[session].book.orders.values()
    assert (entry.order_id, entry.is_sent, entry.leaves) == (rests.order_id, True, dec(1))
    earlier = msgspec.structs.replace(
        rests, quantity=dec("0.5"), leaves=dec("1.5"), status=OrderStatus.PARTIALLY_FILLED
    )
    rig.tell(earlier)
    assert entry.leaves == 1, "what is told late gives nothing back that has filled since"
