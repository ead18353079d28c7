"""The market of a session, read from the running system's stream: that, and no more (S-05)."""

import asyncio
import base64
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from schemas.base import NS_PER_S
from schemas.errors import BusError
from schemas.market_rules import MarketWideHaltDeclared
from services.cli.desk import Desk
from services.cli.parity import AT_ONCE, STREAM_INFO, _streamed
from services.parity.tape import Noted, wanted
from tests.parity_rig import SESSION, lived, messages, taped

pytestmark = pytest.mark.req("S-05")
SUBJECTS = ("market.sim.ALPHA.>", "market.sim.BETA.>")
KINDS = ("ALPHA.quote", "BETA.quote", "GAMMA.quote", "GAMMA.trade", "DELTA.quote")


class Stream:
    """A server with a stream from number 11 on; counts what is asked of it."""

    def __init__(self, count: int, refusal: dict[str, Any] | None = None) -> None:
        self.kept = [
            (11 + n, Noted(f"market.sim.{KINDS[n % 5]}", (n + 1) * NS_PER_S + n, b"%d" % n))
            for n in range(count)
        ]
        self.asked: list[dict[str, Any]] = []
        self.at_once = self.at_once_max = 0
        self._refusal = refusal

    async def request(self, subject: str, data: bytes, **_: object) -> Any:
        body = msgspec.json.decode(data)
        if subject == STREAM_INFO:
            state = {"first_seq": 11, "last_seq": 10 + len(self.kept)}
            return SimpleNamespace(data=msgspec.json.encode({"state": state}))
        self.asked.append(body)
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return SimpleNamespace(data=msgspec.json.encode(self._answer(body)))

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._refusal is not None:
            return {"error": self._refusal}
        wish = body["next_by_subj"].replace(">", "*")
        for number, each in self.kept:
            if number >= body["seq"] and fnmatchcase(each.subject, wish):
                seconds, ns = divmod(each.stored_ns, NS_PER_S)
                moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
                fraction = f".{ns:09}".rstrip("0") if ns else ""
                data = base64.b64encode(each.data).decode()
                time = f"{moment}{fraction}Z"
                found = {"subject": each.subject, "seq": number, "data": data, "time": time}
                return {"message": found}
        return {"error": {"code": 404, "description": "no message found"}}

    def read(self, until_ns: int) -> list[Noted]:
        desk = cast("Desk", SimpleNamespace(connection=self))
        return asyncio.run(_streamed(desk, SUBJECTS, until_ns))


@pytest.mark.parametrize("count", [0, 1, 4, 1_003])
def test_what_is_read_is_all_of_those_subjects_in_their_order_and_when_it_was_stored(
    count: int,
) -> None:
    stream = Stream(count)
    own = [
        each for _, each in stream.kept if each.subject in {f"market.sim.{k}" for k in KINDS[:2]}
    ]
    assert stream.read(10_000 * NS_PER_S) == own
    assert stream.at_once_max <= AT_ONCE


def test_what_is_of_other_instruments_is_not_asked_for() -> None:
    stream = Stream(1_000)
    stream.read(10_000 * NS_PER_S)
    assert len(stream.asked) <= 400 + 2 * AT_ONCE  # one at the end of each part


def test_what_was_stored_after_the_end_is_not_asked_for() -> None:
    stream = Stream(1_000)
    found = stream.read(100 * NS_PER_S)
    early = [each for _, each in stream.kept if each.stored_ns <= 100 * NS_PER_S]
    assert found == [e for e in early if e.subject.endswith(("ALPHA.quote", "BETA.quote"))]
    assert len(stream.asked) <= len(found) + AT_ONCE


def test_a_stream_that_cannot_be_read_is_no_empty_market() -> None:
    with pytest.raises(BusError) as error:
        Stream(10, {"code": 503, "description": "insufficient resources"}).read(10_000 * NS_PER_S)
    assert "insufficient resources" in str(error.value.fields["found"])


def test_what_is_asked_for_is_of_all_that_the_tape_keeps() -> None:
    events = lived(0)[:200]
    subjects, until_ns = wanted(SESSION, messages(events))
    tape = taped(events)
    kept = {
        f"market.{getattr(each.event, 'instrument', '').replace(':', '.')}.>"
        for each in tape.market
    }
    assert (set(subjects), until_ns) == ({*kept, "market.*.all.halt"}, tape.until_ns)


def test_a_halt_of_the_whole_market_is_on_the_tape_in_its_place() -> None:
    events = lived(0)[:200]
    middle_ns = events[100].at_ns
    halt = MarketWideHaltDeclared(at_ns=middle_ns + 1, market="XNYS", level=1)
    tape = taped([*events, halt])
    times = [each.arrived_ns for each in tape.market]
    assert times == sorted(times)
    assert [each.event for each in tape.market if each.arrived_ns == middle_ns + 1] == [halt]
