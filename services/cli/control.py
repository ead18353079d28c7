"""`sluice start` and `sluice reset`, and the sessions' `stop`, `pause` and `resume`."""

import asyncio
import json
import sys
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from schemas import subjects
from schemas.base import SessionId
from schemas.control import (
    BreakerState,
    ControlAnswered,
    ResetRequest,
    SessionRequest,
    StartRequest,
)
from schemas.errors import BusError, UserError
from schemas.health import ArbiterReported
from services.cli.desk import at_desk
from services.cli.exits import Exit
from services.cli.halt import operator_name
from services.cli.locate import Place
from services.cli.output import Output, banner_of

Pairs = Annotated[list[str] | None, Parameter(negative=(), help="NAME=VALUE, as often as needed.")]


def start(
    *,
    strategy: Annotated[
        str | None, Parameter(help="Start a new session of it; without, resume trading.")
    ] = None,
    symbols: Annotated[str, Parameter(help="Instruments of the session, with commas.")] = "",
    capital: Annotated[str | None, Parameter(help="Initial capital of the session.")] = None,
    share_class: Annotated[str, Parameter(help="USDT or ETH.")] = "USDT",
    mode: Annotated[str, Parameter(help="AUTO, SEMI_AUTO or MANUAL.")] = "AUTO",
    override: Pairs = None,
    risk: Pairs = None,
    reason: Annotated[str, Parameter(help="For the record.")] = "",
    operator: Annotated[str | None, Parameter(help="Who starts; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Start trading: a new session with --strategy, else those that there are.

    All errors come back at once, and then nothing was started.
    """
    request = StartRequest(
        operator=operator or operator_name(),
        reason=reason,
        strategy=strategy,
        symbols=tuple(each.strip() for each in symbols.split(",") if each.strip()),
        initial_capital=_amount(capital, "--capital"),
        share_class=share_class,
        execution_mode=mode,
        config_overrides=_pairs(override, "--override"),
        risk_limits=_pairs(risk, "--risk"),
    )
    return asyncio.run(_request(place or Place(), subjects.START, request, "breaker"))


def reset(
    *,
    reason: Annotated[str, Parameter(help="For the record: why it is safe to go on.")] = "",
    halt: Annotated[int | None, Parameter(help="Number of the halt; else the newest.")] = None,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    operator: Annotated[str | None, Parameter(help="Who resets; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Clear the newest halt, once you have seen it. Permits a start; starts nothing."""
    return asyncio.run(_reset(place or Place(), reason, halt, yes, operator or operator_name()))


def stop(session: str | None = None, *, reason: str = "", place: Place | None = None) -> Exit:
    """Stop one session for good, or all of them; positions are kept."""
    return _session(subjects.STOP, session, reason, place)


def pause(session: str | None = None, *, reason: str = "", place: Place | None = None) -> Exit:
    """Pause one session, or all of them; their state is kept."""
    return _session(subjects.PAUSE, session, reason, place)


def resume(session: str | None = None, *, reason: str = "", place: Place | None = None) -> Exit:
    """Let a paused session go on, or all of them."""
    return _session(subjects.RESUME, session, reason, place)


def print_answer(answer: ControlAnswered, output: Output) -> None:
    """Print an answer with everything that is wrong."""
    output.data(answer)
    word = "done" if answer.is_ok else "REFUSED"
    output.line(f"{answer.request} {word}: {answer.message}")
    if answer.session:
        output.line(f"session {answer.session}, epoch {answer.epoch}")
    if not output.is_json:
        output.problems(answer.errors)


def _session(subject: str, session: str | None, reason: str, place: Place | None) -> Exit:
    request = SessionRequest(
        operator=operator_name(),
        reason=reason,
        session=SessionId(session) if session else None,
    )
    return asyncio.run(_request(place or Place(), subject, request, "strategy"))


async def _request(place: Place, subject: str, request: msgspec.Struct, owner: str) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        before = await desk.arbiter()
        output.banner(before)
        answer = await desk.request(subject, request, owner)
    print_answer(answer, output)
    _suggest(answer, before, output)
    return Exit.OK if answer.is_ok else Exit.REFUSED


def _suggest(answer: ControlAnswered, before: ArbiterReported | None, output: Output) -> None:
    if answer.is_ok:
        output.next_step("sluice status", "sluice watch", 'sluice halt "why"')
    elif before is not None and before.breaker_state is not BreakerState.NORMAL:
        output.next_step('sluice reset --reason "why"', "then sluice start")
    else:
        output.next_step("sluice status", "sluice doctor")


async def _reset(place: Place, reason: str, halt: int | None, is_sure: bool, operator: str) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter = await desk.arbiter()
        if arbiter is None:
            wanted = "the breaker service; see `sluice status`"
            raise BusError("SLU-122", subject="query.breaker", found="no answer", wanted=wanted)
        output.banner(arbiter)
        if arbiter.breaker_state is not BreakerState.NORMAL:
            output.line(f"clears halt {halt or arbiter.halts}: {banner_of(arbiter)}")
        if not _is_confirmed(is_sure, output):
            output.line("nothing was reset")
            return Exit.REFUSED
        number = arbiter.halts if halt is None else halt
        request = ResetRequest(operator=operator, reason=reason, halt=number)
        answer = await desk.request(subjects.RESET, request, "breaker")
    print_answer(answer, output)
    output.next_step("sluice start" if answer.is_ok else "sluice status")
    return Exit.OK if answer.is_ok else Exit.REFUSED


def _is_confirmed(is_sure: bool, output: Output) -> bool:
    """Ask a person at a terminal; a script has said what it wants by calling."""
    if is_sure or output.is_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return input("Permit trading to be started again? [y/N] ").strip().lower() in ("y", "yes")


def _amount(text: str | None, option: str) -> Decimal | None:
    if text is None:
        return None
    try:
        return Decimal(text)
    except InvalidOperation as error:
        wanted = "an amount, like 100000"
        raise UserError("SLU-103", path=option, found=repr(text), wanted=wanted) from error


def _pairs(texts: Sequence[str] | None, option: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            wanted = f"{option} NAME=VALUE"
            raise UserError("SLU-103", path=option, found=repr(text), wanted=wanted)
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    """Return the JSON value that a text is; a text that is none stands for itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
