"""What the executor does not send, whoever approved it."""

from typing import Any

import msgspec
import pytest

from schemas.base import AccountId, InstrumentId, OrderId
from schemas.executions import (
    IntentRecorded,
    OrderRefused,
    OrderStatus,
)
from schemas.orders import Order, OrderApproved
from schemas.venue import (
    OrderPlaced,
    VenueBook,
    VenueLinkChanged,
)
from tests.builders import dec, order
from tests.executor_builders import CASH, EPOCH, approved, executor, guard, say, start
from tests.executor_rig import outcome, refused, status


def late(one: Order) -> OrderApproved:
    return approved(one, at_ns=one.expires_at_ns)


@pytest.mark.req("X-01")
@pytest.mark.parametrize(
    ("approval", "rule", "detail"),
    [
        (approved(order(), epoch=6), "epoch", "approved in 6, and it is 7"),
        (approved(order(), gate_token=2), "gate token", "2, and the gate's is 3"),
        (late(order()), "expired", "it was to be sent before 10000000000"),
        (approved(order(quantity="0")), "quantity", "0 is not positive"),
    ],
)
def test_an_order_that_may_not_go_is_refused_before_anything_is_written(
    approval: OrderApproved, rule: str, detail: str
) -> None:
    assert say(executor(), approval) == [refused(rule, detail, at_ns=approval.at_ns)]


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"instrument": InstrumentId("sim:GAMMA")}, "paper and sim:GAMMA"),
        ({"account": AccountId("other")}, "other and sim:ALPHA"),
    ],
)
def test_an_order_of_another_account_or_instrument_is_refused(
    fields: dict[str, Any], what: str
) -> None:
    [fact] = say(executor(), approved(msgspec.structs.replace(order(), **fields)))
    assert isinstance(fact, OrderRefused)
    assert (fact.rule, fact.detail) == ("scope", f"{what} are not traded here")


@pytest.mark.req("O-05")
def test_nothing_is_sent_while_halted() -> None:
    assert say(executor(made=guard(is_running=False)), approved(order())) == [refused("halted")]


def test_nothing_is_sent_while_the_venue_cannot_be_reached_or_was_not_compared() -> None:
    core = executor(is_linked=False)
    assert say(core, approved(order("a"))) == [refused("venue link down", "", OrderId("a"))]
    say(core, VenueLinkChanged(at_ns=1, is_up=True))
    why = refused("not reconciled", "the venue's book comes first", OrderId("b"))
    assert say(core, approved(order("b"))) == [why]


@pytest.mark.req("X-10")
def test_a_link_that_came_back_is_not_sent_over_before_the_books_were_compared() -> None:
    core = executor()
    say(core, VenueLinkChanged(at_ns=1, is_up=False))
    say(core, VenueLinkChanged(at_ns=1, is_up=True))
    [fact] = say(core, approved(order()))
    assert fact == refused("not reconciled", "the venue's book comes first")
    agreed = VenueBook(at_ns=1, request_id="round-1", cash=CASH, fees=dec(0), positions={})
    say(core, agreed)
    assert [type(each) for each in say(core, approved(order("o2")))] == [
        IntentRecorded,
        OrderPlaced,
    ]


@pytest.mark.req("O-05")
@pytest.mark.parametrize("moment", ["halt", "epoch", "expiry", "link"])
def test_the_last_check_sees_what_changed_after_the_approval(moment: str) -> None:
    made = guard()
    core, one, now_ns = executor(made=made), order(), 2
    say(core, approved(one))
    if moment == "halt":
        made.halt()
    elif moment == "epoch":
        start(made, EPOCH + 1)
    elif moment == "link":
        say(core, VenueLinkChanged(at_ns=1, is_up=False))
    else:
        now_ns = one.expires_at_ns
    wanted = {
        "halt": "halted",
        "epoch": "epoch: approved in 7, and it is 8",
        "expiry": "expired: it was to be sent before 10000000000",
        "link": "venue link down",
    }
    assert core.may_send(one, now_ns) == wanted[moment]


def test_the_last_check_wants_the_very_order_that_was_approved() -> None:
    core = executor()
    say(core, approved(order()))
    why = "approval: the gate has not approved this very order"
    assert core.may_send(order(quantity="11"), 1) == why
    assert core.may_send(order("zz"), 1) == why


def test_an_order_that_was_not_written_is_refused_with_the_reason() -> None:
    core = executor()
    say(core, approved(order()))
    said = say(core, outcome(is_sent=False, detail="halted"))
    assert said == [refused("halted")]
    assert status(core) is OrderStatus.REFUSED
    assert say(core, outcome()) == []


def test_it_says_why_it_is_not_ready() -> None:
    core = executor(is_linked=False)
    found = [core.why_not_ready()]
    say(core, VenueLinkChanged(at_ns=1, is_up=True))
    found.append(core.why_not_ready())
    say(core, VenueBook(at_ns=1, request_id="round-1", cash=CASH, fees=dec(0), positions={}))
    assert [*found, core.why_not_ready()] == [
        "the venue cannot be reached",
        "our book and the venue's are not known to agree",
        "",
    ]
