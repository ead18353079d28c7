"""What a flatten closes is no session's order: whoever held it hears of it, and holds less."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event, OrderId, SessionId
from schemas.executions import BookReported, OrderFilled, OrderStatus, OrderView, PositionView
from schemas.health import LinkChanged
from schemas.ids import closed_part, flatten_session, is_flatten
from schemas.orders import Side, SignalRaised
from schemas.sessions import PositionsAdopted, SessionStateChanged
from services.strategy.catalogue import slug_of
from services.strategy.holdings import MISSED
from services.strategy.interface import Parameters, Strategy
from tests.builders import ACCOUNT, ALPHA, S_NS, dec, order, quote
from tests.strategy_rig import StrategyRig, config, every, only, request
from tests.unit.test_strategy_restart import book


class Sells(Strategy[Parameters]):
    """Buy ten, note what moves the position, and sell what is held when asked."""

    def on_start(self) -> None:
        self.heard: list[object] = []
        self.context.buy(ALPHA, Decimal(10))

    def on_quote(self, quote: object) -> None:
        held = self.context.position(ALPHA)
        if held:
            self.context.sell(ALPHA, held)

    def on_position(self, event: object) -> None:
        self.heard.append(event)


def rig_with(*, sessions: int = 1) -> tuple[StrategyRig, list[SessionId]]:
    """Return sessions that hold ten each, bought at 100."""
    rig = StrategyRig(config(classes={"sells": "tests.unit.test_strategy_flatten:Sells"}))
    names = []
    for _ in range(sessions):
        names.append(rig.start("sells"))
        rig.tell(rig.fill(every(SignalRaised, rig.said)[-1]))
    return rig, names


def closing(
    rig: StrategyRig, quantity: str, of: SessionId | None = None, price: str = "90"
) -> OrderFilled:
    """Return an execution of a flatten's order."""
    last = rig.fill(every(SignalRaised, rig.said)[0], quantity)
    return msgspec.structs.replace(
        last,
        session=flatten_session(3, of),
        order_id=OrderId("closes"),
        side=Side.SELL,
        price=dec(price),
    )


def taken(said: Sequence[Event]) -> list[tuple[SessionId, Decimal]]:
    return [(e.session, e.positions[0].quantity) for e in every(PositionsAdopted, said)]


@pytest.mark.req("S-02", "G-11")
@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_a_flatten_closes_is_off_the_sessions_position_and_its_strategy_hears(
    is_restarted: bool,
) -> None:
    rig, [session] = rig_with()
    fill = closing(rig, "10")
    adopted = only(PositionsAdopted, rig.tell(fill))
    assert adopted == PositionsAdopted(
        at_ns=adopted.at_ns,
        session=session,
        account=ACCOUNT,
        positions=(PositionView(instrument=ALPHA, quantity=dec(-10), average_price=dec(90)),),
        reason="closed by a flatten",
        taken_from=SessionId("flatten-3"),
        execution_id=fill.execution_id,
    )
    if is_restarted:
        rig.restart()
        rig.tell(None)
    else:
        assert rig.strategy(session).heard == [adopted]
    assert rig.tell(fill) == [], "told again, it is no news"
    portfolio = rig.core.sessions[session].book.portfolio
    assert (portfolio.quantity(ALPHA), portfolio.cash) == (dec(0), dec(9_900))
    rig.tell(quote())
    assert len(every(SignalRaised, rig.said)) == 1, "it sells nothing that it does not hold"


def test_without_it_the_strategy_sells_what_is_gone_and_the_account_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.strategy.holdings.is_flatten", lambda session: False)
    rig, [session] = rig_with()
    rig.tell(closing(rig, "10"))
    sold = only(SignalRaised, rig.tell(quote()))
    assert (sold.session, sold.side, sold.quantity) == (session, Side.SELL, dec(10))


@pytest.mark.req("G-11")
def test_a_flatten_of_one_session_closes_that_ones_and_any_other_the_oldest_first() -> None:
    rig, [first, second] = rig_with(sessions=2)
    assert taken(rig.tell(closing(rig, "4", second))) == [(second, dec(-4))]
    assert taken(rig.tell(closing(rig, "12"))) == [(first, dec(-10)), (second, dec(-2))]
    assert taken(rig.tell(closing(rig, "9", second))) == [(second, dec(-4))], "five were nobody's"
    assert taken(rig.tell(closing(rig, "1"))) == []


def test_an_execution_of_another_account_or_of_no_flatten_is_nobodys() -> None:
    rig, _ = rig_with()
    fill = closing(rig, "10")
    other = msgspec.structs.replace(fill, account="another")
    manual = msgspec.structs.replace(fill, session=SessionId("manual-1"))
    assert [rig.tell(each) for each in (other, manual)] == [[], []]


@pytest.mark.req("S-02")
def test_a_close_that_was_missed_is_neither_profit_nor_loss() -> None:
    """The book of a flat account shows no price: at 0, the session would have lost all."""
    rig, [session] = rig_with()
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    adopted = only(PositionsAdopted, rig.tell(book(ALPHA="0")))
    assert adopted.positions == (
        PositionView(instrument=ALPHA, quantity=dec(-10), average_price=dec(100)),
    )
    assert rig.core.sessions[session].book.portfolio.cash == dec(10_000)


def test_the_names_of_flattens_are_no_sessions() -> None:
    names = [flatten_session(7, None), flatten_session(7, SessionId("ema_cross-2"))]
    assert names == ["flatten-7", "flatten-7-ema_cross-2"]
    assert [closed_part(each) for each in names] == [None, "ema_cross-2"]
    slugs = [slug_of(each) for each in ("Flatten", "mine:Flatten", "flatten-3", "Flattened")]
    assert slugs == ["own_flatten", "own_flatten", "own_flatten-3", "flattened"]
    assert not any(is_flatten(SessionId(f"{each}-1")) for each in slugs)
    assert closed_part(SessionId("ema_cross-2")) is None


@pytest.mark.req("S-02", "G-11")
def test_what_was_taken_over_from_an_ended_session_is_closed_where_it_is_now() -> None:
    rig, [ended] = rig_with()
    rig.ask("stop", ended)
    asked = request("sells")
    answer = rig.prepare(asked, "second")
    rig.tell(book(request_id="second", ALPHA="10"))
    given = only(PositionsAdopted, rig.tell(rig.epoch_of(answer, asked)))
    assert (given.taken_from, given.positions[0].quantity) == (ended, dec(10))
    assert taken(rig.tell(closing(rig, "10"))) == [(given.session, dec(-10))]
    books = [each.book.portfolio for each in rig.core.sessions.values()]
    assert [(each.quantity(ALPHA), each.cash) for each in books] == [
        (dec(0), dec(10_000)),
        (dec(0), dec(9_900)),
    ]


@pytest.mark.req("S-02", "G-11", "S-16")
def test_what_flattens_closed_while_the_service_was_away_is_theirs_who_held_it() -> None:
    """All of it is gone, so nobody has to be asked whose it was."""
    rig, [first, second] = rig_with(sessions=2)
    fill = closing(rig, "20")
    rig.restart()
    rig.tell(None)
    done = msgspec.structs.replace(
        order("closes", side=Side.SELL, quantity="20"), session=fill.session
    )
    shown = OrderView(order=done, status=OrderStatus.FILLED, filled=dec(20))
    report = msgspec.structs.replace(book(ALPHA="0"), recent_orders=(shown,))
    adopted = every(PositionsAdopted, rig.tell(report))
    assert [(e.session, e.taken_from, e.is_told) for e in adopted] == [
        (first, fill.session, False),
        (second, fill.session, False),
    ]
    assert taken(adopted) == [(first, dec(-10)), (second, dec(-10))]
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    assert rig.tell(report) == [], "the same flatten is not taken over twice"


@pytest.mark.req("S-16", "G-11")
def test_a_part_of_what_two_sessions_share_that_was_closed_unheard_pauses_both() -> None:
    rig, [first, second] = rig_with(sessions=2)
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    said = rig.tell(book(ALPHA="15"))
    assert taken(said) == []
    assert {each.session for each in every(SessionStateChanged, said)} == {first, second}


@pytest.mark.req("S-16", "G-11")
@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_a_flatten_closed_of_nobodys_does_not_hide_what_a_session_missed(
    is_restarted: bool,
) -> None:
    """Told as closed by the flatten, gate and figures would count the session's own sale twice."""
    rig, [session] = rig_with()
    fill = closing(rig, "12")
    assert taken(rig.tell(fill)) == [(session, dec(-10))], "two were nobody's"
    again = rig.fill(every(SignalRaised, rig.said)[0])
    rig.tell(again)
    if is_restarted:
        rig.restart()
        rig.tell(None)
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    done = msgspec.structs.replace(
        order("closes", side=Side.SELL, quantity="12"), session=fill.session
    )
    shown = OrderView(order=done, status=OrderStatus.FILLED, filled=dec(12))
    report = msgspec.structs.replace(book(ALPHA="8"), recent_orders=(shown,))
    adopted = only(PositionsAdopted, rig.tell(report))
    assert (adopted.positions[0].quantity, adopted.taken_from) == (dec(-2), None)
    assert (adopted.reason, adopted.is_told) == (MISSED, True)


def flat_book(held: str, flatten: OrderFilled, filled: str, at_ns: int) -> BookReported:
    """Return a book of this time: so much held, and so much of the flatten's order filled."""
    done = msgspec.structs.replace(
        order("closes", side=Side.SELL, quantity="20"), session=flatten.session
    )
    shown = OrderView(order=done, status=OrderStatus.FILLED, filled=dec(filled))
    return msgspec.structs.replace(book(ALPHA=held), recent_orders=(shown,), at_ns=at_ns)


@pytest.mark.req("S-16", "G-11")
@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("is_one_heard", [False, True])
def test_what_a_flatten_closes_again_after_one_told_late_is_the_flattens_own(
    is_restarted: bool, is_one_heard: bool
) -> None:
    """Told as missed by the session itself, its figures would go on holding what was closed."""
    rig, [session] = rig_with()
    first = closing(rig, "1")
    if is_one_heard:
        rig.tell(first)
    heard = 1 if is_one_heard else 0
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    report = flat_book(str(6 - heard), first, str(4 + heard), at_ns=5 * S_NS)
    assert taken(rig.tell(report)) == [(session, dec(-4))]
    late = msgspec.structs.replace(closing(rig, "4"), at_ns=4 * S_NS)
    assert rig.tell(late) == [], "the book held it"
    news = msgspec.structs.replace(closing(rig, "2"), at_ns=6 * S_NS)
    assert taken(rig.tell(news)) == [(session, dec(-2))]
    if is_restarted:
        rig.restart()
        rig.tell(None)
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    report = flat_book("1", first, str(9 + heard), at_ns=9 * S_NS)
    adopted = every(PositionsAdopted, rig.tell(report))
    assert [(e.positions[0].quantity, e.taken_from, e.is_told) for e in adopted] == [
        (dec(heard - 3), first.session, False)
    ]


@pytest.mark.req("S-16", "G-11")
def test_what_a_flatten_closed_unheard_and_tells_after_a_restart_is_taken_over_once() -> None:
    """Twice, reports would go on with it: what the next book makes good is not in the record."""
    rig, [session] = rig_with()
    fill = closing(rig, "4")
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    report = flat_book("6", fill, "4", at_ns=5 * S_NS)
    assert taken(rig.tell(report)) == [(session, dec(-4))]
    rig.restart()
    rig.tell(None)
    assert rig.tell(fill) == []
    assert taken(rig.tell(closing(rig, "2"))) == [(session, dec(-2))], "this one is news"
    assert rig.tell(flat_book("4", fill, "6", at_ns=6 * S_NS)) == []
    assert rig.core.sessions[session].book.portfolio.quantity(ALPHA) == dec(4)
