"""`sluice flatten` tells of its own flatten, whatever is said of another one meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest

from schemas import wire
from schemas.base import OrderId
from schemas.control import ControlAnswered
from schemas.restrictions import FlattenReported
from schemas.subjects import SUBJECTS
from services.cli import flatten as command
from services.cli.exits import Exit
from services.cli.flatten import FlattenResult, flatten
from services.cli.locate import Place

REPORTED = SUBJECTS[FlattenReported]


def report(
    request_id: str, *, is_flat: bool = False, is_ended: bool = True, detail: str = ""
) -> FlattenReported:
    return FlattenReported(
        at_ns=1,
        request_id=request_id,
        scope="all",
        is_flat=is_flat,
        is_ended=is_ended,
        detail=detail,
        resting=() if is_flat else (OrderId("o1"),),
    )


OURS = report("ours", is_flat=True, detail="flat")
THEIRS = report("theirs", is_flat=True, detail="flat")
CLOSING = report("ours", is_ended=False, detail="closing")
OVERTAKEN = report("ours", detail="overtaken by one of all")


class Desk:
    """A bus on which reports come before the answer, and after it.

    Args:
        before: what is said before the answer.
        after: what is said after it.
        is_ok: whether the executor began.
    """

    def __init__(
        self, before: Sequence[FlattenReported], after: Sequence[FlattenReported], is_ok: bool
    ) -> None:
        self._before, self._after, self._is_ok = before, after, is_ok
        self._take: Callable[[str, bytes, str], None] | None = None
        self.connection = self

    async def take(self, subject: str, take: Callable[[str, bytes, str], None]) -> None:
        assert subject == REPORTED
        self._take = take

    async def flush(self, timeout_s: float) -> None:
        self._say(())

    async def arbiter(self) -> None:
        return None

    async def book(self) -> None:
        return None

    async def request(self, subject: str, request: msgspec.Struct, owner: str) -> ControlAnswered:
        self._say(self._before)
        asyncio.get_running_loop().call_soon(self._say, self._after)
        return ControlAnswered(
            at_ns=1, request_id="ours", request="flatten", is_ok=self._is_ok, message="flatten-2"
        )

    def _say(self, reports: Sequence[FlattenReported]) -> None:
        assert self._take is not None, "it listens before it asks"
        for each in reports:
            self._take(REPORTED, wire.encode(each), "")


class Bus(NamedTuple):
    """What is heard while the command runs."""

    before: tuple[FlattenReported, ...] = ()
    after: tuple[FlattenReported, ...] = ()
    is_ok: bool = True
    patience_s: float = 5.0


def run(monkeypatch: pytest.MonkeyPatch, bus: Bus, *, as_json: bool) -> Exit:
    @asynccontextmanager
    async def at_desk(place: Place) -> AsyncIterator[Any]:
        yield Desk(bus.before, bus.after, bus.is_ok)

    monkeypatch.setattr(command, "at_desk", at_desk)
    monkeypatch.setattr(command, "FLAT_TIMEOUT_S", bus.patience_s)
    return flatten("enough", yes=True, operator="kim", place=Place(as_json=as_json))


@pytest.mark.req("O-05")
@pytest.mark.parametrize(
    ("bus", "code", "shown"),
    [
        pytest.param(Bus(after=(OURS,)), Exit.OK, OURS, id="ours"),
        pytest.param(Bus(before=(OURS,)), Exit.OK, OURS, id="ours, before the answer"),
        pytest.param(Bus((THEIRS,), (OURS,)), Exit.OK, OURS, id="theirs, and then ours"),
        pytest.param(
            Bus(after=(CLOSING, THEIRS, OURS)), Exit.OK, OURS, id="theirs while ours goes on"
        ),
        pytest.param(
            Bus(after=(OVERTAKEN, THEIRS)), Exit.NOT_FLAT, OVERTAKEN, id="ours was overtaken"
        ),
        pytest.param(
            Bus((OVERTAKEN, THEIRS)), Exit.NOT_FLAT, OVERTAKEN, id="overtaken before the answer"
        ),
        pytest.param(Bus((THEIRS,), patience_s=0), Exit.NOT_FLAT, None, id="only theirs"),
        pytest.param(
            Bus((CLOSING, THEIRS), patience_s=0), Exit.NOT_FLAT, CLOSING, id="ours takes long"
        ),
        pytest.param(Bus((THEIRS,), is_ok=False), Exit.REFUSED, None, id="ours was refused"),
    ],
)
def test_a_flatten_is_what_is_said_of_it_and_not_of_another(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    bus: Bus,
    code: Exit,
    shown: FlattenReported | None,
) -> None:
    assert run(monkeypatch, bus, as_json=True) == code
    result = msgspec.json.decode(capsys.readouterr().out, type=FlattenResult)
    assert result == FlattenResult(is_begun=bus.is_ok, message="flatten-2", report=shown)


@pytest.mark.req("O-05")
def test_one_that_was_overtaken_is_said_to_be_not_flat(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, Bus(after=(OVERTAKEN, THEIRS)), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert "NOT FLAT in all: overtaken by one of all" in lines
    assert "  rests: o1" in lines
    assert not [line for line in lines if line.startswith("FLAT")]
