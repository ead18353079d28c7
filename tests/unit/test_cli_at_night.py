"""What a tired person types or reads leads on: no traceback, no wait, no word that says nothing."""

import asyncio
import contextlib
import errno
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError

from schemas.control import Response
from schemas.errors import BusError
from schemas.health import (
    ArbiterReported,
    BreakerView,
    LevelView,
    ServiceView,
    SessionsReported,
)
from schemas.wire import encode
from services.cli import desk, parity
from services.cli.app import COMMANDS
from services.cli.breaker_command import _distance, _print
from services.cli.exits import Exit, SilentError, exit_of
from services.cli.locate import Place
from services.cli.logs import logs
from services.cli.output import PIPE_COLUMNS, Output, error_text
from services.cli.parity import parity as parity_command
from services.cli.session_command import PARTS
from services.cli.status import Answers, _next, status_of
from services.cli.up_start import noted
from services.cli.up_view import readiness, summary_of
from services.parity.tape import Noted
from services.runtime.config import BusConfig
from services.runtime.settings import Settings
from services.runtime.supervisor_server import free_port
from services.strategy.config import StrategyConfig
from tests.report_rig import Recorded, a_day, created, terms
from tests.unit.test_cli_commands import leave_home, runner
from tests.unit.test_cli_output import arbiter
from tests.unit.test_cli_unknown import watch

pytestmark = pytest.mark.req("S-14")
NOBODY = Answers(None, None, None, None, None, None, None)


@pytest.fixture(autouse=True)
def _nobody_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_home(tmp_path, monkeypatch)


@pytest.fixture
def sluice(capsys: pytest.CaptureFixture[str]) -> Any:
    return runner(capsys)


@pytest.mark.parametrize(
    "subject", ["", "exec fills", "exec..x", ".exec", "exec.>.x", "ex>", "a\nb"]
)
def test_a_subject_that_is_none_is_told_and_no_fault_of_ours(sluice: Any, subject: str) -> None:
    said = sluice("watch", subject)
    assert (said.code, said.out) == (2, "")
    assert f"found: {subject!r}" in said.err
    assert "wanted: words between single dots" in said.err


@pytest.mark.parametrize("subject", ["exec.>", "market.*.*.quote", ">", "control.halt"])
def test_a_subject_with_wildcards_is_one(sluice: Any, subject: str) -> None:
    assert sluice("watch", subject).code == 3  # no system runs here: that far it came


def test_the_help_shows_the_stars_of_a_subject(sluice: Any) -> None:
    assert "market.*.*.quote" in sluice("watch", "--help").out


def test_after_a_command_that_is_none_comes_the_help_that_there_is(sluice: Any) -> None:
    assert "next step: sluice --help" in sluice("stauts").err
    assert "next step: sluice status --help" in sluice("status", "--nonsense").err


@pytest.mark.req("G-09", "O-05")
@pytest.mark.parametrize("words", [("halt",), ("halt", "--scope", "session.a"), ("reduce",)])
def test_a_halt_that_did_not_get_out_says_that_nothing_stopped_and_what_is_left(
    sluice: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(desk, "CONNECT_TIMEOUT_S", 0.1)
    url = f"nats://127.0.0.1:{free_port('127.0.0.1', 0)}"
    said = sluice(*words, "--nats-url", url)
    assert (said.code, said.out) == (3, "")
    assert "stopped: nothing, as far as is known" in said.err
    assert "`sluice venue-kill` cancels at the venue" in said.err


@pytest.mark.req("G-09")
def test_a_bus_that_dies_under_a_halt_is_told_as_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextlib.asynccontextmanager
    async def at_desk(_place: Place, _bus: BusConfig | None = None) -> AsyncIterator[object]:
        yield object()

    async def stop() -> None:
        async with desk.at_desk_to_stop(Place()):
            raise NatsTimeoutError

    monkeypatch.setattr(desk, "at_desk", at_desk)
    with pytest.raises(BusError, match="SLU-122") as caught:
        asyncio.run(stop())
    assert caught.value.fields == {
        "found": "nats: timeout",
        "wanted": "a bus that takes it",
        "stopped": desk.NOTHING_STOPPED,
    }


@pytest.mark.req("O-05")
def test_nobody_is_sent_to_a_breaker_that_does_not_answer() -> None:
    assert _next(status_of(NOBODY), is_running=False) == ("sluice doctor", 'sluice halt "why"')


def breaker(**given: Any) -> BreakerView:
    return BreakerView(
        **{"name": "disk", "formula": "free", "value": "9.0 MiB", "limit": "8"} | given
    )


@pytest.mark.req("B-05", "B-06")
def test_a_breaker_without_levels_is_not_at_an_unknown_distance() -> None:
    level = LevelView(at="8.0 MiB", response=Response.HALT)
    assert _distance(breaker(levels=(level,), distance="1.0 MiB to halt")) == "1.0 MiB to halt"
    assert _distance(breaker(levels=(level,))) == "unknown"
    assert _distance(breaker()) == "no level"


@pytest.mark.req("B-06")
def test_a_value_is_shown_with_one_unit_and_levels_with_theirs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _print(breaker(unit="bytes"), Output(is_json=False))
    assert capsys.readouterr().out.splitlines()[3:5] == [
        "  value     9.0 MiB   distance no level",
        "  levels    are set in: bytes",
    ]


@pytest.mark.req("O-01")
def test_a_run_without_a_fill_says_so() -> None:
    found = watch()
    assert summary_of(found)[0].endswith(" s; no fill")
    found.first_fill_s = 2.5
    assert summary_of(found)[0].endswith(" s; first fill after 2.5 s")


@pytest.mark.req("O-05")
def test_the_page_of_up_keeps_what_to_do_after_a_start_that_was_none() -> None:
    halted = ["HALTED since noon", "Nothing is started over a halt:", "  sluice reset"]
    refused = ["the start was REFUSED", "  a", "  b", "  c", "Next: sluice status"]
    assert noted(halted) == halted
    assert noted(refused) == refused
    refused.insert(4, "  d")
    assert noted(refused) == [*refused[:3], "  and 2 more", "Next: sluice status"]
    assert noted(["started"]) == ["started"]


@pytest.mark.req("R-04")
def test_a_record_wider_than_the_page_is_shown_whole_field_by_field(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wide = "x" * (PIPE_COLUMNS - 3)
    Output(is_json=False).records(("id", "instrument"), [("1", "a"), ("2", wide)])
    assert capsys.readouterr().out.splitlines() == [
        *("row 1", "  id           1", "  instrument   a"),
        *("row 2", "  id           2", f"  instrument   {wide}"),
    ]
    Output(is_json=False).records(("id", "instrument"), [("1", "a")])
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert (["id", "instrument"] in table, ["1", "a"] in table) == (True, True)
    Output(is_json=True).records(("id",), [("1",)])
    assert capsys.readouterr().out == ""


@pytest.mark.req("R-01", "O-03")
def test_logs_say_that_there_is_nothing_and_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").mkdir()
    said = {"service": "gate", "level": "info", "event": "slow", "at": "2023-11-14T22:13:21Z"}
    line = msgspec.json.encode(said) + b"\n"
    (tmp_path / "log" / "gate.log").write_bytes(line * 3)
    found = []
    for given in ({"grep": "absent"}, {"lines": 2}, {"lines": 3}, {"lines": 0}):
        logs(place=Place(data_dir=tmp_path), **given)
        out, err = capsys.readouterr()
        found.append((len(out.splitlines()), err))
    assert found == [
        (0, "no line so far is like that\n"),
        (2, "the last 2 of 3 lines; --lines 0 shows all\n"),
        (3, ""),
        (3, ""),
    ]


@pytest.mark.req("S-05")
def test_a_session_that_is_none_is_told_before_the_market_is_read(
    monkeypatch: pytest.MonkeyPatch, sluice: Any
) -> None:
    def at_desk(_place: Place) -> None:
        raise AssertionError("the market was asked for")

    event = created()
    message = Noted(f"session.{event.session}.created", 0, encode(event))
    for name, answer in (
        ("load_settings", None),
        ("require_record", Path()),
        ("noted", [message]),
        ("running_system", object()),
    ):
        monkeypatch.setattr(parity, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(parity, "at_desk", at_desk)
    said = sluice("parity", "absent")
    assert (said.code, said.out) == (2, "")
    assert f"wanted: one of {event.session}" in said.err
    with pytest.raises(AssertionError, match="the market was asked for"):
        parity_command(event.session, place=Place())


@pytest.mark.req("R-07")
def test_a_backup_is_verified_from_any_folder(sluice: Any, tmp_path: Path) -> None:
    Recorded(tmp_path / "var").add(terms(), created(), *a_day())
    folder = tmp_path / "my backups"
    folder.mkdir()
    said = sluice("backup", "create", str(folder / "b.tar.gz"))
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == f"Next: sluice backup verify '{folder}/b.tar.gz'"


@pytest.mark.req("R-02")
def test_a_disk_that_is_read_only_is_told_with_the_file_that_was_wanted(
    sluice: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)
    Recorded(tmp_path / "var").add(terms(), created(), *a_day())
    monkeypatch.setattr("services.cli.encrypting.os.open", refuse)
    said = [
        sluice("export", "events", "--csv", "events.csv"),
        sluice("backtest", "ema_cross", "--hours", "0.01", "--html", "page.html"),
    ]
    assert [each.code for each in said] == [2, 2]
    for each, name in zip(said, ("events.csv", "page.html"), strict=True):
        assert "SLU-102" in each.err
        assert f"{name}\n  found: Read-only file system" in each.err


@pytest.mark.req("O-05")
def test_services_that_are_not_ready_are_not_called_so() -> None:
    ready, slow = (
        ServiceView(name=name, state=state, pid=1, uptime_s=1.0, restarts=0)
        for name, state in (("gate", "running"), ("recorder", "starting"))
    )
    assert readiness(2.0, (ready,)) == "all services are ready after 2.0 s; HALTED, as always"
    assert readiness(31.5, (ready, slow)) == (
        "NOT ready after 31.5 s: recorder starting; HALTED, as always"
    )


@pytest.mark.req("R-03", "S-05")
def test_a_backtest_names_its_currency_and_its_page_can_be_read_without_a_mouse(
    sluice: Any, tmp_path: Path
) -> None:
    said = sluice(
        *("backtest", "ema_cross", "--hours", "0.02", "--symbols", "ALPHA"), "--html", "page.html"
    )
    assert said.code == 0, said.err
    assert said.out.splitlines()[0].endswith("; amounts in USD")
    page = (tmp_path / "page.html").read_text()
    assert "amounts in USD</p>" in page
    titles = re.findall('<div class="scroll" tabindex="0" role="region" aria-label="(.+?)">', page)
    assert titles == ["Where the profit came from", "Round trips", "What it was made from"]
    assert set(re.findall(r"<th\b( \w+)?", page)) == {" scope"}


@pytest.mark.parametrize(
    ("error", "refusals", "kind", "exit_code", "code", "found"),
    [
        (NoRespondersError(), [], SilentError, Exit.SILENT, "SLU-125", "nobody listens"),
        (NatsTimeoutError(), [], SilentError, Exit.SILENT, "SLU-125", "no answer in 2 s: it may"),
        (NatsTimeoutError(), ["no right"], BusError, Exit.UNREACHABLE, "SLU-121", "no right"),
        (ConnectionClosedError(), [], BusError, Exit.UNREACHABLE, "SLU-122", "nats: connection"),
    ],
)
def test_a_component_that_is_silent_is_not_called_a_bus_that_is_gone(
    error: NatsError,
    refusals: list[str],
    kind: type[BusError],
    exit_code: Exit,
    code: str,
    found: str,
) -> None:
    said = desk.unanswered("control.reset", "breaker", error, refusals, 2)
    assert (type(said), exit_of(said), said.code) == (kind, exit_code, code)
    assert said.fields["found"].startswith(found)


def test_what_is_said_of_a_silent_component_names_it_and_leaves_the_bus_alone() -> None:
    assert error_text(desk.no_answer("query.breaker", "breaker")).splitlines() == [
        "sluice: SLU-125 the bus is there, a component does not answer",
        "  component: breaker",
        "  subject: query.breaker",
        "  found: no answer",
        "  wanted: an answer of the breaker service",
        "  next step: see `sluice status`, its log",
    ]


@pytest.mark.req("S-04")
@pytest.mark.parametrize("command", ["status", "performance", "risk"])
def test_a_session_nobody_knows_is_an_error_for_programs_too(
    sluice: Any, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    class Answering:
        async def arbiter(self) -> ArbiterReported:
            return arbiter()

        async def sessions(self) -> SessionsReported:
            return SessionsReported(at_ns=0, sessions=())

    @contextlib.asynccontextmanager
    async def at_desk(_place: Place) -> AsyncIterator[Answering]:
        yield Answering()

    monkeypatch.setattr("services.cli.session_command.at_desk", at_desk)
    said = sluice("session", command, "absent", "--json")
    assert (said.code, said.out) == (2, "")
    fields = {"path": "SESSION", "found": "absent", "wanted": "one of none"}
    assert msgspec.json.decode(said.err)["error"]["fields"] == fields


@pytest.mark.req("S-04", "S-05")
def test_what_a_command_does_not_know_is_json_under_json(
    sluice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    by = sluice("session", "performance", "--by", "colour", "--json")
    assert (by.code, by.out) == (2, "")
    fields = {"path": "--by", "found": "colour", "wanted": f"one of {', '.join(PARTS)}"}
    assert msgspec.json.decode(by.err)["error"]["fields"] == fields
    settings = Settings.__new__(Settings)
    monkeypatch.setattr(Settings, "section", lambda *_: StrategyConfig())
    monkeypatch.setattr("services.cli.prerequisites.load_settings", lambda _: settings)
    strategy = sluice("prerequisites", "ema_crss", "--json")
    assert (strategy.code, strategy.out) == (2, "")
    error = msgspec.json.decode(strategy.err)["error"]
    assert (error["code"], error["fields"]["found"]) == ("SLU-103", "'ema_crss'")


def test_every_command_under_another_says_what_it_is_for(sluice: Any) -> None:
    names = [name for name, where, _ in COMMANDS if where.endswith("_app")]
    assert len(names) > 5
    silent = {name: re.findall("│ ([a-z-]+) +│", sluice(name, "--help").out) for name in names}
    assert silent == {name: [] for name in names}
