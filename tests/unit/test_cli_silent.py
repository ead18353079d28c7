"""Who is silent is told as that at once, and what is offered next fits what is not known."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.errors import ConnectionClosedError
from rich.console import Console

from schemas.control import ControlAnswered
from schemas.errors import BusError, UserError
from schemas.executions import BookReported, OrderStatus, OrderView
from schemas.restrictions import FlattenReported, Level
from services.cli import asking, books, control, desk, flatten, halt, restrict, status
from services.cli.asking import print_answer
from services.cli.exits import Exit, SilentError, exit_of
from services.cli.locate import Place, RunningSystem, currency_of, system_file
from services.cli.output import Output
from services.cli.status import Answers, _next, status_of
from services.cli.up_view import document_of, line_of, page_of
from services.runtime.config import BusConfig
from services.runtime.supervisor_server import free_port
from tests.builders import order
from tests.unit.test_cli_output import BOOK, GATE, HALTED, arbiter
from tests.unit.test_cli_unknown import Last, watch

pytestmark = pytest.mark.req("O-05", "S-14")


class Desk:
    """A person's, at a bus where some answer."""

    def __init__(self, arbiter: Any = None, book: BookReported | None = None) -> None:
        self._arbiter, self._book = arbiter, book
        self.asked: list[msgspec.Struct] = []

    async def arbiter(self) -> Any:
        return self._arbiter

    async def book(self) -> BookReported | None:
        return self._book

    async def feed(self) -> None:
        return None

    async def request(self, _subject: str, request: msgspec.Struct, owner: str) -> ControlAnswered:
        self.asked.append(request)
        return ControlAnswered(
            at_ns=0, request_id="r", request=owner, is_ok=False, message=f"{owner} refused: no"
        )


def sit_at(monkeypatch: pytest.MonkeyPatch, module: Any, at: Desk) -> None:
    @contextlib.asynccontextmanager
    async def at_desk(_place: Place) -> AsyncIterator[Desk]:
        yield at

    monkeypatch.setattr(module, "at_desk", at_desk)


def system(data_dir: Path, url: str) -> RunningSystem:
    """Write that a system of this process runs on the data folder."""
    config = data_dir / "run" / "config.json"
    made = RunningSystem(
        nats_url=url,
        keys_dir=data_dir / "keys",
        monitor_url="",
        data_dir=data_dir,
        supervisor_pid=os.getpid(),
        started_ns=1,
        config=config,
    )
    config.parent.mkdir()
    config.write_bytes(b'{"account": {"id": "paper", "currency": "USD"}}')
    system_file(data_dir).write_bytes(msgspec.json.encode(made, enc_hook=str))
    return made


def test_a_bus_of_a_system_that_runs_here_is_not_to_be_started_but_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "CONNECT_TIMEOUT_S", 0.1)
    url = f"nats://127.0.0.1:{free_port('127.0.0.1', 0)}"
    system(tmp_path, url)

    async def look(place: Place) -> None:
        async with desk.at_desk(place):
            raise AssertionError("nobody is there")

    with pytest.raises(BusError, match="SLU-122") as caught:
        asyncio.run(look(Place(data_dir=tmp_path)))
    assert caught.value.fields["here"] == (
        f"`sluice up` runs as process {os.getpid()}, and its bus does not answer: look at "
        f"{tmp_path}/log/nats.log; Ctrl-C there, or `kill {os.getpid()}`, ends all of it"
    )
    other = f"nats://127.0.0.1:{free_port('127.0.0.1', 0)}"
    with pytest.raises(BusError, match="SLU-122") as caught:
        asyncio.run(look(Place(data_dir=tmp_path, nats_url=other)))
    assert "here" not in caught.value.fields


@pytest.mark.req("G-09")
@pytest.mark.parametrize("command", [halt.halt, restrict.reduce])
def test_a_halt_of_a_system_that_is_not_here_says_that_nothing_was_stopped(
    tmp_path: Path, command: Any
) -> None:
    with pytest.raises(UserError, match="SLU-104") as caught:
        command("why", place=Place(data_dir=tmp_path))
    assert (caught.value.fields["stopped"], exit_of(caught.value)) == (
        desk.NOBODY_TOLD,
        Exit.UNREACHABLE,
    )


def test_a_bus_that_goes_away_in_the_middle_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Connection:
        is_closed = False

        async def close(self) -> None:
            self.is_closed = True

    connection = Connection()

    async def connect(*_: object, **__: object) -> Connection:
        return connection

    async def lose() -> None:
        async with desk.at_desk(Place(), BusConfig(url="nats://there:1")):
            raise ConnectionClosedError

    monkeypatch.setattr(desk, "connect", connect)
    with pytest.raises(BusError, match=r"SLU-122.*nats: connection closed.*a bus that stays"):
        asyncio.run(lose())
    assert connection.is_closed


@pytest.mark.parametrize("silent", ["executor", "gate", "breaker"])
def test_nobody_is_sent_to_start_what_is_silent(silent: str) -> None:
    said = {"breaker": arbiter(), "gate": GATE, "executor": BOOK} | {silent: None}
    answers = Answers(said["breaker"], said["gate"], said["executor"], None, None, None, None)  # type: ignore[arg-type]
    found = status_of(answers)
    assert _next(found, is_running=False) == ("sluice doctor", 'sluice halt "why"')


@pytest.mark.req("G-09")
@pytest.mark.parametrize(
    ("is_halted", "after"), [(True, 'reset --reason "why"'), (False, "venue-kill")]
)
def test_a_reset_is_not_what_follows_a_halt_that_is_not_certain(
    capsys: pytest.CaptureFixture[str], is_halted: bool, after: str
) -> None:
    result = halt.HaltResult(
        is_halted=is_halted,
        acknowledged=[],
        silent=[] if is_halted else ["executor"],
        absent=[],
        resting_count=None,
        cancelled_count=None,
    )
    halt._print(result, Output(is_json=False))
    assert capsys.readouterr().out.splitlines()[-1] == f"Next: sluice status   sluice {after}"


@pytest.mark.req("G-09")
@pytest.mark.parametrize(
    ("is_in_force", "after"), [(True, 'reset --reason "why"'), (False, 'halt "why"')]
)
def test_a_halt_is_what_follows_a_restriction_that_is_not_certain(
    capsys: pytest.CaptureFixture[str], is_in_force: bool, after: str
) -> None:
    result = restrict.RestrictionResult(
        scope="all",
        level=Level.REDUCE,
        is_in_force=is_in_force,
        acknowledged={},
        silent=[] if is_in_force else ["executor"],
        absent=[],
        cancelled_count=None,
        resting_count=None,
    )
    restrict._print(result, Output(is_json=False))
    assert capsys.readouterr().out.splitlines()[-1] == f"Next: sluice status   sluice {after}"


@pytest.mark.req("B-05")
def test_a_reset_says_what_it_asks_for_and_not_what_it_has_not_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sit_at(monkeypatch, control, Desk(HALTED))
    assert control.reset(reason="seen", halt=99, yes=True, place=Place()) is Exit.REFUSED
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["asks to clear number 99", "breaker REFUSED: no", "Next: sluice status"]


@pytest.mark.req("B-05")
def test_nobody_waits_for_an_unlock_by_a_breaker_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = Desk(None)
    sit_at(monkeypatch, control, at)
    with pytest.raises(SilentError, match=r"SLU-125.*component: breaker"):
        control.unlock(reason="seen", yes=True, place=Place())
    assert at.asked == []


def test_an_answer_says_once_that_it_is_a_no(capsys: pytest.CaptureFixture[str]) -> None:
    for message in ("start refused: breaker: a halt is open", "nothing was done: why"):
        answer = ControlAnswered(
            at_ns=0, request_id="r", request="start", is_ok=False, message=message
        )
        print_answer(answer, Output(is_json=False))
    assert capsys.readouterr().out.splitlines() == [
        "start REFUSED: breaker: a halt is open",
        "start REFUSED: nothing was done: why",
    ]


@pytest.mark.req("G-09")
def test_a_flatten_takes_its_reason_either_way_and_says_that_nobody_knows_what_is_held(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Listening:
        def __init__(self, *_: object) -> None:
            return

        async def begin(self, *_: type[FlattenReported]) -> None:
            return

    at = Desk(arbiter())
    sit_at(monkeypatch, flatten, at)
    monkeypatch.setattr(flatten, "Listening", Listening)
    code = flatten.flatten("too", "large", reason="by far", operator="kim", yes=True, place=Place())
    assert (code, [each.reason for each in at.asked]) == (Exit.REFUSED, ["too large by far"])  # type: ignore[attr-defined]
    assert capsys.readouterr().out.splitlines()[:2] == [
        "the executor does not answer: what is held is not known",
        "executor REFUSED: no",
    ]


def test_amounts_are_shown_with_the_currency_that_is_known_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    system(tmp_path, "nats://here:1")
    here, elsewhere = Place(data_dir=tmp_path), Place(data_dir=tmp_path, nats_url="nats://b:1")
    assert (currency_of(here), currency_of(elsewhere)) == ("USD", "")
    found = status_of(Answers(arbiter(equity=Decimal(1_000)), GATE, BOOK, None, None, None, None))
    found = msgspec.structs.replace(found, currency=currency_of(here))
    status._print(found, Output(is_json=False))
    assert "account paper, in USD   equity 1,000   " in capsys.readouterr().out
    sit_at(
        monkeypatch, books, Desk(arbiter(), msgspec.structs.replace(BOOK, cash=Decimal("12345")))
    )
    books.positions(place=here)
    books.positions(place=elsewhere)
    titles = [each for each in capsys.readouterr().out.splitlines() if each[:7] == "account"]
    assert [each.strip() for each in titles] == [
        "account paper, in USD   cash 12,345",
        "account paper, currency unknown   cash 12,345",
    ]
    status._print(msgspec.structs.replace(found, currency=None), Output(is_json=False))
    assert "account paper, currency unknown   equity 1,000   " in capsys.readouterr().out


def test_an_order_is_shown_with_its_day(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_ns = 1_795_887_963_000_000_000
    view = OrderView(order=order("a"), status=OrderStatus.FILLED, at_ns=at_ns)
    book = msgspec.structs.replace(BOOK, recent_orders=(view,))
    sit_at(monkeypatch, books, Desk(arbiter(), book))
    books.orders(place=Place())
    out = capsys.readouterr().out
    assert ("when, UTC" in out, "2026-11-28 17:46:03" in out) == (True, True)


def test_while_nobody_answers_nothing_that_was_heard_before_is_shown_as_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = Last("")
    found = watch()
    found._desk = at
    asyncio.run(found.refresh())
    assert "feed 0/s" in line_of(found, ())

    async def nobody() -> None:
        return None

    for name in ("arbiter", "gate", "feed", "book"):
        monkeypatch.setattr(at, name, nobody)
    asyncio.run(found.refresh())
    line, document = line_of(found, ()), document_of(found, ())
    assert [each in line for each in ("positions unknown", "feed unknown")] == [True, True]
    assert (document["positions"], document["rates"]["market_per_s"]) == (None, None)
    screen = Console(width=80, height=24, color_system=None)
    with screen.capture() as caught:
        screen.print(page_of(found, (), "sluice up", (80, 24)))
    assert caught.get().startswith("STATE UNKNOWN: the breaker service does not answer.")
    monkeypatch.setattr(at, "book", Last("").book)
    asyncio.run(found.close())
    assert document_of(found, ())["positions"] == {}


@pytest.mark.parametrize("is_slow", [False, True])
def test_a_slow_answer_is_waited_for_aloud(monkeypatch: pytest.MonkeyPatch, is_slow: bool) -> None:
    said = asyncio.Event()

    class Hung(Desk):
        async def request(
            self, _subject: str, _request: msgspec.Struct, owner: str
        ) -> ControlAnswered:
            if is_slow:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(said.wait(), 5)
            return ControlAnswered(
                at_ns=0, request_id="r", request="start", is_ok=True, message=f"by {owner}"
            )

    lines: list[str] = []

    def line(_self: Output, text: str = "") -> None:
        said.set()
        lines.append(text)

    monkeypatch.setattr(asking, "SLOW_S", 0.01 if is_slow else 60.0)
    monkeypatch.setattr(Output, "line", line)
    sit_at(monkeypatch, control, Hung())
    assert control.start(place=Place()) is Exit.OK
    waiting = ["waiting for the answer of the breaker service, 10 s at the most"]
    assert lines[:-1] == [*(waiting if is_slow else []), "start done: by breaker"]


def test_programs_are_told_what_amounts_are_in_where_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @contextlib.asynccontextmanager
    async def at_desk(_place: Place) -> AsyncIterator[None]:
        yield None

    async def answers(_desk: object) -> Answers:
        return Answers(arbiter(), GATE, BOOK, None, None, None, None)

    monkeypatch.setattr(status, "at_desk", at_desk)
    monkeypatch.setattr(status, "ask_all", answers)
    found = []
    for currency in ("USD", ""):
        monkeypatch.setattr(status, "currency_of", lambda _, it=currency: it)
        status.status(place=Place(as_json=True))
        found.append(msgspec.json.decode(capsys.readouterr().out)["currency"])
    assert found == ["USD", None]
