"""A request that no event repeats is an event to those who follow the record."""

import msgspec
import pytest

from schemas.restrictions import FlattenAsked, FlattenRequest
from schemas.subjects import FLATTEN
from services.recorder.chain import GENESIS, Record
from services.recorder.queries.events import Recorded, recorded_events

pytestmark = pytest.mark.req("R-05", "G-09")


def recorded(payload: bytes) -> list[Recorded]:
    raw = msgspec.Raw(payload)
    return [*recorded_events([Record(4, GENESIS, 7, FLATTEN, "AUDIT", 1, 5, payload=raw)])]


def test_who_asked_for_a_flatten_and_why_is_read_from_the_request_itself() -> None:
    request = FlattenRequest(operator="kim", reason="get out", scope="venue.sim")
    asked = FlattenAsked(at_ns=7, request_id="", request=request)
    assert recorded(msgspec.json.encode(request)) == [Recorded(4, 0, asked, 5)]


@pytest.mark.parametrize("payload", [b"", b'"x"', b'{"operator":"kim","reason":"x","scop":"all"}'])
def test_a_flatten_that_nobody_could_read_is_none(payload: bytes) -> None:
    assert recorded(payload) == []
