"""What speaks against a request is told once, a line each."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.control import ControlAnswered
from schemas.errors import FieldError
from services.breaker.answers import refused
from services.cli import up_start
from services.cli.asking import print_answer, said_of
from services.cli.control import _suggest
from services.cli.output import Output
from tests.unit.test_cli_output import arbiter

pytestmark = pytest.mark.req("S-14")

STRATEGY = FieldError(path="$.strategy", found="'nope'", wanted="one of ema_cross")
CAPITAL = FieldError(path="$.initial_capital", found="nothing", wanted="a number above 0")
GATE = FieldError(path="gate", found="no answer", wanted="an answer of the gate")
TOLD = [
    "  $.strategy: found 'nope'; wanted one of ema_cross",
    "  $.initial_capital: found nothing; wanted a number above 0",
]


def told(request: str, message: str, *errors: FieldError) -> ControlAnswered:
    return ControlAnswered(
        at_ns=0, request_id="r", request=request, is_ok=False, message=message, errors=errors
    )


def test_a_refusal_by_the_breaker_service_tells_each_reason_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_answer(refused("start", "r", [STRATEGY, CAPITAL], 0), Output(is_json=False))
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()) == ("start REFUSED\n", TOLD)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (told("flatten", "nothing was done: 'nope'", STRATEGY), "nothing was done"),
        (told("flatten", "nothing was done: 'nope'"), "nothing was done: 'nope'"),
        (told("breaker", "refused: nothing was changed", CAPITAL), "nothing was changed"),
        (told("stop", "not done: stop of 'a-9'", STRATEGY), "not done: stop of 'a-9'"),
        (told("start", "start refused: $.strategy: in other words", STRATEGY, CAPITAL),
         "$.strategy: in other words"),
    ],
)  # fmt: skip
def test_what_no_other_line_tells_is_never_left_out(answer: ControlAnswered, said: str) -> None:
    assert said_of(answer) == said


@pytest.mark.parametrize(
    ("errors", "after"),
    [
        ([STRATEGY, CAPITAL], "sluice start --help   sluice status"),
        ([STRATEGY, GATE], "sluice status   sluice doctor"),
        ([], "sluice status   sluice doctor"),
    ],
)
def test_who_mistyped_a_request_is_sent_to_its_help_and_not_to_the_doctor(
    errors: list[FieldError], after: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _suggest(told("start", "start refused: why", *errors), arbiter(), Output(is_json=False))
    assert capsys.readouterr().out == f"Next: {after}\n"


@pytest.mark.req("O-01")
def test_up_tells_each_reason_of_a_refused_start_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(*_: object) -> tuple[Any, str]:
        return None, "ema_cross over sim:ALPHA"

    async def arbiter_of() -> Any:
        return arbiter()

    async def request(*_: object) -> ControlAnswered:
        return refused("start", "r", [STRATEGY, CAPITAL], 0)

    monkeypatch.setattr(up_start, "_request", asked)
    desk: Any = SimpleNamespace(arbiter=arbiter_of, request=request)
    run: Any = None
    assert asyncio.run(up_start.start_by_itself(desk, run)) == (
        False,
        ["the start was REFUSED", *TOLD, "Next: sluice status   sluice start"],
    )
