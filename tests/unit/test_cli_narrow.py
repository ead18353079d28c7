"""On a narrow terminal no digit and no verdict is lost: half a number looks like another one."""

import io
import sys
from decimal import Decimal

import pytest
from rich.console import Console

from services.cli.output import Output, table_of

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
