"""The help of a command tells what it does, and a word too many is told as one."""

import re
import sys
from typing import Any

import pytest

from services.cli import control
from services.cli.app import COMMANDS, make_app
from services.cli.exits import Exit
from tests.unit.test_cli_commands import runner

pytestmark = pytest.mark.req("O-05", "S-14")


@pytest.fixture
def sluice(capsys: pytest.CaptureFixture[str]) -> Any:
    return runner(capsys)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("up", "It boots HALTED; then a start is issued for the demo session"),
        ("venue-kill", "It does not halt: what still runs may send new orders."),
        ("start", "All errors come back at once, and then nothing was started."),
        ("stop", "The system itself runs on: that ends where sluice up was started"),
    ],
)
def test_the_help_of_a_command_is_all_that_is_said_of_it(
    sluice: Any, command: str, told: str
) -> None:
    assert told in " ".join(sluice(command, "--help").out.split())


def test_among_the_others_a_command_has_its_line(sluice: Any) -> None:
    page = " ".join(re.sub("[│╭╮╰╯─]", " ", sluice("--help").out).split())
    assert [about for _, _, about in COMMANDS if about not in page] == []


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_where_a_command_looks_is_only_told_by_name(name: str) -> None:
    for each in _commands(make_app(name)[name]):
        positional = [
            argument.names[0]
            for argument in each.assemble_argument_collection()
            if argument.index is not None
        ]
        assert not {"--json", "--data-dir", "--nats-url", "--keys-dir"} & {*positional}


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_no_word_of_a_help_is_taken_for_markup_and_left_out(name: str) -> None:
    for each in _commands(make_app(name)[name]):
        texts = [argument.parameter.help or "" for argument in each.assemble_argument_collection()]
        assert [text for text in texts if "<" in text] == []


def _commands(app: Any) -> list[Any]:
    """Return the command, or those under it."""
    if app.default_command is not None:
        return [app]
    return [each for name in app if name[0] != "-" for each in _commands(app[name])]


def test_a_word_too_many_is_told_in_words_of_people(sluice: Any) -> None:
    said = sluice("status", "now")
    assert (said.code, said.out) == (Exit.BAD_INPUT, "")
    assert said.err.splitlines() == [
        "sluice: SLU-103 found 'now', wanted no further argument",
        "  next step: sluice status --help",
    ]


def test_every_session_is_stopped_for_good_only_once_a_person_has_said_so(
    sluice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return ""

    monkeypatch.setattr(control, "_session", lambda *_: Exit.OK)
    assert sluice("stop").code == Exit.OK  # a script has said what it wants
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    said = sluice("stop")
    assert (said.code, said.out) == (Exit.REFUSED, "nothing was stopped\n")
    assert asked == ["Stop every session for good? The system runs on. [y/N] "]
    assert [sluice(*words).code for words in (("stop", "a-1"), ("stop", "--yes"))] == [Exit.OK] * 2
    assert len(asked) == 1
