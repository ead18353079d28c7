"""On a narrow terminal no digit and no verdict is lost: half a number looks like another one."""

import contextlib
import io
import sys
from collections.abc import AsyncIterator
from decimal import Decimal

import msgspec
import pytest
from rich.console import Console

from schemas.control import Response
from schemas.health import ArbiterReported, BreakerView, LevelView
from services.cli.breaker_command import show
from services.cli.locate import Place
from services.cli.output import Output, table_of
from services.cli.status import Answers, _print, status_of
from tests.unit.test_cli_output import GATE, arbiter

pytestmark = pytest.mark.req("O-01", "O-05")
COLUMNS = 80
"""Of a terminal as it is everywhere before somebody widens it."""


def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let standard output pass for one, from within a test: pytest changes it before."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_a_table_wider_than_the_terminal_keeps_every_digit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_a_terminal(monkeypatch)
    columns = ("account", "instrument", "limit", "in force", "value", "distance")
    row = ("paper", "sim:ALPHA", "account_period_notional_max", "200000000", "60590.48", "1939409")
    Output(is_json=False).table("", columns, [row])
    lines = [tuple(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert row in lines


def test_a_long_last_column_is_folded_and_takes_no_room_from_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_a_terminal(monkeypatch)
    found = "set `sync_interval: always` in the jetstream section of its configuration, " * 2
    rows = [("anonymous access", "warning", found), ("keys", "ok", "private")]
    Output(is_json=False).table("", ("looked at", "", "found"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= COLUMNS
    assert lines[3].split()[:3] == ["anonymous", "access", "warning"]
    assert " ".join(" ".join(lines[3:-2]).split()).endswith(found.strip())
    assert lines[-2].split() == ["keys", "ok", "private"]


def test_where_lines_cannot_be_wrapped_what_is_cut_is_marked() -> None:
    screen = Console(width=24, file=io.StringIO(), color_system=None)
    screen.print(table_of("", ("instrument", "held", "fees"), [("sim:ALPHA", Decimal(200), "1")]))
    drawn = table_of("", ("in force", "limit"), [("200000000000000000000000000", "x")])
    with screen.capture() as caught:
        screen.print(drawn)
    assert "…" in caught.get()


def test_the_breakers_fit_with_what_lies_ahead_folded_beside_and_no_word_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = (LevelView(at="-5.00 %", response=Response.WARN),)
    drawdown = BreakerView(
        name="drawdown",
        formula="f",
        value="-0.04 %",
        limit="-10.00 %",
        distance="49940.54 (4.96 %) to warn at 956576.45",
        levels=levels,
    )
    rate = BreakerView(
        name="order_rate",
        formula="f",
        value="6000",
        limit="6000",
        distance="0 to halt at 6000",
        levels=levels,
        is_tripped=True,
        since_ns=10**18,
    )
    bare = BreakerView(name="manual", formula="f", value="no halt is open", limit="none may be")

    class Asked:
        async def arbiter(self) -> ArbiterReported:
            return arbiter(breakers=(drawdown, rate, bare))

    @contextlib.asynccontextmanager
    async def at_desk(_place: Place) -> AsyncIterator[Asked]:
        yield Asked()

    at_a_terminal(monkeypatch)
    monkeypatch.setattr("services.cli.breaker_command.at_desk", at_desk)
    show(place=Place())
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [
        "breaker      state     value             distance",
        "drawdown     normal    -0.04 %           49940.54 (4.96 %) to warn at 956576.45;",
        "                                         trips at -10.00 %",
        "order_rate   TRIPPED   6000              since 2001-09-09 01:46:40 UTC; 0 to",
        "                                         halt at 6000",
        "manual       normal    no halt is open   no level; none may be",
    ]


def test_why_the_recording_is_not_durable_is_folded_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    detail = (
        "NOT DURABLE: the server syncs its files every two minutes: set `sync_interval: always`"
    )
    found = status_of(Answers(arbiter(), GATE, None, None, None, None, None))
    found = msgspec.structs.replace(found, durable_detail=detail)
    at_a_terminal(monkeypatch)
    _print(found, Output(is_json=False))
    said = capsys.readouterr().out
    assert (
        "recording: NOT DURABLE: the server syncs its files every two minutes: set\n"
        "           `sync_interval: always`\n"
    ) in said
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    _print(found, Output(is_json=False))
    assert f"recording: {detail}\n" in capsys.readouterr().out, "a program looks for the line"
