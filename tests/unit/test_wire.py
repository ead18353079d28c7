"""Bytes become events and events bytes in one place, tolerantly; requests are strict."""

import pytest

from schemas.control import HaltRequested, ResetRequest, StartRequest
from schemas.errors import FieldError, WireError
from schemas.orders import SignalRaised
from schemas.wire import decode, decode_request, encode, encode_frame, halt_from
from tests.builders import quote, signal


def test_an_event_survives_the_wire_unchanged() -> None:
    event = signal(limit="100.10")
    assert decode(encode(event), subject="signal.s1.ALPHA") == (event,)


def test_a_frame_of_several_events_keeps_their_order() -> None:
    events = (quote(at_ns=1), quote(at_ns=2), quote(at_ns=3))
    assert encode_frame(events)[:1] == b"["
    assert decode(encode_frame(events), subject="market.sim.ALPHA.quote") == events


def test_a_frame_of_one_event_is_a_plain_object() -> None:
    assert encode_frame([quote()]) == encode(quote())


def test_decimals_travel_as_strings_to_the_last_digit() -> None:
    data = encode(quote("0.10000000000000000001", "0.2"))
    assert b'"bid":"0.10000000000000000001"' in data
    assert decode(data, subject="s") == (quote("0.10000000000000000001", "0.2"),)


def test_unknown_fields_of_an_event_are_skipped() -> None:
    data = encode(quote()).replace(b'"at_ns":0', b'"at_ns":0,"new_field":{"a":[1]}')
    assert decode(data, subject="s") == (quote(),)


@pytest.mark.parametrize(
    "data",
    [b"", b"junk", b"\xff\xfe", b"{}", b'{"type":"Nonsense"}', b"[1,2]", b"[" * 5_000, b"null"],
)
def test_bytes_that_are_no_event_are_a_wire_error_with_the_subject(data: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode(data, subject="signal.s1.ALPHA")
    assert caught.value.code == "SLU-120"
    assert caught.value.fields["subject"] == "signal.s1.ALPHA"


def test_a_start_with_one_field_too_many_is_refused_with_its_name() -> None:
    answer = decode_request(b'{"operator":"kim","leverage":"100"}', StartRequest)
    assert isinstance(answer, FieldError)
    assert "leverage" in answer.found
    assert answer.path == "$"


def test_a_start_with_a_bad_value_says_where_it_is() -> None:
    answer = decode_request(b'{"operator":"kim","initial_capital":"much"}', StartRequest)
    assert isinstance(answer, FieldError)
    assert answer.path == "$.initial_capital"


def test_a_reset_needs_the_number_of_the_halt() -> None:
    answer = decode_request(b'{"operator":"kim","reason":"looked"}', ResetRequest)
    assert isinstance(answer, FieldError)
    assert "halt" in answer.found


@pytest.mark.req("G-09")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", ""),
        (b"\xff", "�"),
        (b'{"halt": false}', ""),
        (b'{"reason":"fat finger","operator":"kim"}', "fat finger"),
        (b"stop now", "stop now"),
        (b'{"reason": 5}', '{"reason": 5}'),
        (b"\x00" * 1_000_000, ""),
    ],
)
def test_any_bytes_at_all_are_a_halt(data: bytes, reason: str) -> None:
    operator = "kim" if b"kim" in data else ""
    assert halt_from(data, subject="control.halt", at_ns=7) == HaltRequested(
        at_ns=7, reason=reason, operator=operator, scope="all", payload_bytes=len(data)
    )


def test_the_scope_of_a_halt_is_its_subject_when_it_has_one() -> None:
    halt = halt_from(b'{"scope":"all"}', subject="control.halt.symbol.BTC", at_ns=0)
    assert halt.scope == "symbol.BTC"


def test_a_signal_with_defaults_is_short_on_the_wire() -> None:
    assert encode(signal()) == (
        b'{"type":"SignalRaised","at_ns":0,"signal_id":"sig1","account":"paper","session":"s1",'
        b'"instrument":"sim:ALPHA","side":"buy","quantity":"10","expires_at_ns":2000000000}'
    )
    assert isinstance(decode(encode(signal()), subject="s")[0], SignalRaised)
