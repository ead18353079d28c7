"""Readings that nobody has looked at: the same bytes, and the same to whoever looks."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import AccountId, InstrumentId, OrderId, SessionId, SignalId
from schemas.orders import Outcome, Reading, Side, SignalDecided
from schemas.readings import Form, Written
from schemas.wire import decode, encode

FORM = Form([("known", None), ("large", "1000"), ('odd "name"', 'up to "5"\n'), ("last", None)])
MADE = (
    Reading("known", True),
    Reading("large", True, "12.50", "1000"),
    Reading('odd "name"', True, "3", 'up to "5"\n'),
    Reading("last", True),
)


def written() -> Written:
    return Written(FORM, (Decimal("12.50"), 3))


def decided(readings: tuple[Reading, ...]) -> SignalDecided:
    return SignalDecided(
        at_ns=1,
        signal_id=SignalId("g"),
        account=AccountId("a"),
        session=SessionId("s"),
        instrument=InstrumentId("sim:A"),
        outcome=Outcome.APPROVED,
        order_id=OrderId("o"),
        rule="all",
        epoch=1,
        side=Side.BUY,
        quantity=Decimal(1),
        readings=readings,
    )


@pytest.mark.req("G-08")
def test_they_are_the_bytes_of_the_readings_that_they_stand_for() -> None:
    event = msgspec.structs.replace(decided(()), readings=written())
    assert encode(event) == encode(decided(MADE))
    assert decode(encode(event), subject="x") == (decided(MADE),)
    assert event == decided(MADE)


def test_who_looks_finds_the_readings() -> None:
    found = written()
    assert found == MADE
    assert (list(found), len(found)) == (list(MADE), 4)
    assert (found[-1], found[1:3]) == (MADE[-1], MADE[1:3])
    assert found == written()
    assert found != MADE[1:]
    assert (hash(found), repr(found)) == (hash(MADE), repr(MADE))


def test_a_form_of_checks_that_measure_nothing_has_no_gaps() -> None:
    form = Form([("known", None)])
    assert bytes(form.raw(())) == msgspec.json.encode([Reading("known", True)])


def test_nothing_else_that_is_no_event_gets_on_the_wire() -> None:
    event = msgspec.structs.replace(decided(()), readings=object())
    with pytest.raises(NotImplementedError, match="object has no place on the wire"):
        encode(event)
