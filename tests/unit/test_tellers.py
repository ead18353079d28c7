"""Of two executors, only the one that the epoch names is listened to.

The other one was taken for dead and replaced: it woke up, tells its book of then, and refuses what
its successor has sent long ago.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest

from schemas.base import BootId, Event, OrderId, SessionId
from schemas.control import BookWanted, EpochStarted, HaltRequested, LeaseAnswered, Member
from schemas.executions import OrderRefused
from schemas.orders import Order, SignalRaised
from services.breaker.core import BreakerCore
from services.control import ControlGuard
from services.gate.account import Account
from services.tellers import Executors, teller_of
from tests.builders import ACCOUNT, ALPHA, quote
from tests.control_rig import ControlRig, boot
from tests.control_rig import book as account_book
from tests.gate_rig import NOW_NS, Rig, book, canceled, filled, refused, submitted
from tests.strategy_rig import StrategyRig, every

OLD, NEW = teller_of("executor", "6"), teller_of("executor", "7")
pytestmark = pytest.mark.req("G-09", "O-04")


def signed(event: Event, teller: str, at_ns: int = NOW_NS) -> Event:
    return msgspec.structs.replace(event, src=teller, at_ns=at_ns)


def epoch_of(executor: str, epoch: int = 1) -> EpochStarted:
    members = {"executor": Member(boot_id=BootId(executor), halts=0)}
    return EpochStarted(at_ns=0, epoch=epoch, start_id="s", operator="kim", members=members)


def refusal_of(session: SessionId, order_id: OrderId) -> OrderRefused:
    return OrderRefused(
        at_ns=0,
        account=ACCOUNT,
        session=session,
        instrument=ALPHA,
        order_id=order_id,
        rule="halted",
    )


class Known(Rig):
    """A gate with an order of its own."""

    order: Order


def gate() -> Known:
    """Return a gate in an epoch of executor 7, whose book holds 50, and 30 on their way."""
    rig = Known()
    rig.guard.executors.name(epoch_of("7"))
    rig.tell(signed(book(held={ALPHA: "50"}), NEW))
    order = rig.approve("a", quantity="30")
    rig.tell(signed(submitted(order), NEW, NOW_NS + 1))
    rig.order = order
    return rig


def worst(rig: Rig) -> tuple[int, int]:
    """Return what is held, and what is held once all has filled."""
    lane = rig.gate.state.accounts[ACCOUNT].lanes[ALPHA]
    return int(lane.position), int(lane.position + lane.buys)


SAID: dict[str, Callable[[Known], Event]] = {
    "its book": lambda rig: book(held={ALPHA: "20"}),
    "a refusal": lambda rig: refused(rig.order),
    "a cancel": lambda rig: canceled(rig.order, "30"),
    "a fill it was told late": lambda rig: filled(rig.order, "30", "e9"),
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_what_a_replaced_executor_says_gives_no_exposure_back(
    said: Callable[[Known], Event],
) -> None:
    rig = gate()
    assert worst(rig) == (50, 80)
    rig.tell(signed(said(rig), OLD, NOW_NS + 9))
    assert worst(rig) == (50, 80)
    assert rig.gate.state.accounts[ACCOUNT].doubt == ""
    rig.tell(signed(filled(rig.order, "30", "e1"), NEW, NOW_NS + 2))
    assert worst(rig) == (80, 80)


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_without_the_rule_it_does(
    said: Callable[[Known], Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControlGuard, "is_stranger", lambda *_: False)
    monkeypatch.setattr(Account, "compare_teller", lambda *_: False)
    rig = gate()
    rig.tell(signed(said(rig), OLD, NOW_NS + 9))
    assert worst(rig) != (50, 80)


def restarted_after_a_foreign_book() -> Known:
    """Return the gate in an epoch of executor 7, to whom another told its book while halted."""
    rig = gate()
    rig.guard.halt()
    rig.tell(signed(book(held={ALPHA: "20"}), OLD, NOW_NS + 9))
    assert worst(rig) == (20, 20)  # nothing can be sent, and it may be the next one
    rig.guard.epoch = 2
    rig.guard.lease_until_ns = 1 << 62
    rig.guard.executors.name(epoch_of("7", 2))
    return rig


def test_a_book_that_another_executor_told_while_halted_is_doubted_when_the_epoch_begins() -> None:
    rig = restarted_after_a_foreign_book()
    assert rig.rule("b") == "exposure_known"
    assert rig.gate.wake_at_ns == rig.now_ns
    assert rig.gate.wake(rig.now_ns) == [BookWanted(at_ns=rig.now_ns, account=ACCOUNT)]
    rig.tell(signed(book(held={ALPHA: "80"}), NEW, NOW_NS + 10))
    assert rig.rule("c") == "all"
    assert worst(rig)[0] == 80


def test_without_comparing_who_told_it_orders_follow_the_book_of_another_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Account, "compare_teller", lambda *_: False)
    assert restarted_after_a_foreign_book().rule("b") == "all"


def test_the_same_book_of_a_new_executor_is_known_for_its_own() -> None:
    rig = Rig()
    rig.tell(signed(book(held={ALPHA: "50"}), OLD))
    rig.guard.halt()
    said = rig.tell(signed(book(held={ALPHA: "50"}), NEW, NOW_NS + 1))
    assert said == []
    rig.guard.epoch = 2
    rig.guard.lease_until_ns = 1 << 62
    rig.guard.executors.name(epoch_of("7", 2))
    assert rig.rule("b") == "all"


def test_an_epoch_heard_late_names_nobody() -> None:
    rig = gate()
    rig.guard.executors.name(epoch_of("9", 2))
    rig.guard.executors.name(epoch_of("7", 1))
    assert rig.guard.executors.named == teller_of("executor", "9")


def test_a_guard_counts_the_word_of_the_executor_that_its_epoch_names() -> None:
    guard = ControlGuard("gate", BootId("1"))
    epoch = epoch_of("7")
    members = {**epoch.members, "gate": Member(boot_id=BootId("1"), halts=0)}
    guard.handle(msgspec.structs.replace(epoch, members=members), 0)
    assert not guard.is_stranger(OLD, 0)  # without a lease any may be the next
    yes = LeaseAnswered(
        at_ns=0, component="gate", boot_id=BootId("1"), epoch=1, asked_ns=0, is_granted=True
    )
    guard.handle(yes, 0)
    assert [guard.is_stranger(teller, 0) for teller in (OLD, NEW)] == [True, False]


def test_without_the_rule_a_session_forgets_an_order_that_the_venue_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Executors, "is_stranger", lambda *_, **__: False)
    rig = StrategyRig()
    asked_for = rig.start("buyeachquote")
    rig.core._executors.name(epoch_of("7", 9))
    [signal] = every(SignalRaised, rig.tell(quote("99", "101")))
    rig.tell(signed(refusal_of(asked_for, rig.fill(signal).order_id), OLD))
    assert rig.core.sessions[asked_for].book.orders == {}


def test_a_session_keeps_its_orders_and_holdings_whatever_a_replaced_executor_says() -> None:
    rig = StrategyRig()
    asked_for = rig.start("buyeachquote")
    rig.core._executors.name(epoch_of("7", 9))
    [signal] = every(SignalRaised, rig.tell(quote("99", "101")))
    fill = rig.fill(signal)
    session = rig.core.sessions[asked_for].book
    rig.tell(signed(refusal_of(asked_for, fill.order_id), OLD))
    assert list(session.orders) == [fill.order_id]
    rig.tell(signed(fill, NEW))
    rig.tell(signed(account_book(ALPHA="0"), OLD))
    assert session.portfolio.quantity(ALPHA) == 1
    rig.tell(HaltRequested(at_ns=0))
    rig.tell(signed(account_book(ALPHA="1"), NEW))
    assert session.portfolio.quantity(ALPHA) == 1


def test_the_breakers_value_the_account_by_the_book_of_the_epochs_executor() -> None:
    rig = ControlRig().ready()
    mine = teller_of("executor", boot("executor"))
    rig.tell(signed(account_book(cash="99000"), mine))
    rig.run()
    assert rig.core.describe(rig.now_ns).equity == Decimal(99_000)
    rig.tell(signed(account_book(cash="10"), OLD))
    assert rig.core.describe(rig.now_ns).equity == Decimal(99_000)
    rig.tell(signed(account_book(cash="98000"), mine))
    assert rig.core.describe(rig.now_ns).equity == Decimal(98_000)


def test_without_the_rule_the_breakers_value_the_book_of_a_replaced_executor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BreakerCore, "_is_stranger", lambda *_: False)
    rig = ControlRig().ready()
    rig.tell(signed(account_book(cash="99000"), teller_of("executor", boot("executor"))))
    rig.run()
    rig.tell(signed(account_book(cash="10"), OLD))
    assert rig.core.describe(rig.now_ns).equity == Decimal(10)


def test_a_book_of_another_executor_than_the_new_epochs_is_worth_nothing() -> None:
    rig = ControlRig().ready()
    rig.tell(signed(account_book(cash="99000"), OLD))
    rig.run()
    assert rig.core.describe(rig.now_ns).equity is None
