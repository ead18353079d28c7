"""`sluice start` and `sluice reset`, and the sessions' `stop`, `pause` and `resume`."""

import asyncio
import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from schemas import subjects
from schemas.base import AccountId, SessionId
from schemas.control import (
    BreakerState,
    ControlAnswered,
    ResetRequest,
    SessionRequest,
    StartRequest,
)
from schemas.errors import UserError
from schemas.health import ArbiterReported
from schemas.restrictions import UnlockRequest
from services.cli.asking import exit_of_answer, is_confirmed, is_open, put
from services.cli.desk import at_desk, no_answer
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import Output, typed

OneSession = Annotated[str | None, Parameter(help="This one; else every session.")]
Reason = Annotated[str, Parameter(help="For the record.")]
ENDED_BEFORE = "(reset: ends with the next start)"
"""How a breaker service of before `is_ending` marks one that is reset, at its reason's end."""

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
    live: Annotated[
        str | None, Parameter(help="Real money: the account that is meant, in full.")
    ] = None,
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
        live_account=AccountId(live) if live else None,
    )
    return asyncio.run(_request(place or Place(), subjects.START, request, "breaker"))


def reset(
    *,
    reason: Annotated[str, Parameter(help="For the record: why it is safe to go on.")] = "",
    halt: Annotated[
        int | None, Parameter(help="Its number; else the open halt, or the newest restriction.")
    ] = None,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    operator: Annotated[str | None, Parameter(help="Who resets; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Clear the newest halt, once you have seen it. Permits a start; starts nothing."""
    return asyncio.run(_reset(place or Place(), reason, halt, yes, operator or operator_name()))


def unlock(
    *,
    reason: Annotated[str, Parameter(help="For the record: what was found, and done.")] = "",
    lock: Annotated[int | None, Parameter(help="Number of the lock; else the newest.")] = None,
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    operator: Annotated[str | None, Parameter(help="Who unlocks; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Take the locks away, once you have looked into them. Starts nothing, and resets no halt."""
    return asyncio.run(_unlock(place or Place(), reason, lock, yes, operator or operator_name()))


def stop(
    session: OneSession = None,
    *,
    reason: Reason = "",
    yes: Annotated[bool, Parameter(negative=(), help="Do not ask.")] = False,
    operator: Annotated[str | None, Parameter(help="Who stops; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Stop one session for good, or all of them; positions are kept.

    The system itself runs on: that ends where `sluice up` was started, with Ctrl-C.
    """
    found = place or Place()
    question = "Stop every session for good? The system runs on."
    if session is None and not is_confirmed(question, yes, Output(found.as_json)):
        Output(found.as_json).line("nothing was stopped")
        return Exit.REFUSED
    return _session(subjects.STOP, session, reason, operator, found)


def pause(
    session: OneSession = None,
    *,
    reason: Reason = "",
    operator: Annotated[str | None, Parameter(help="Who pauses; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Pause one session, or all of them; their state is kept."""
    return _session(subjects.PAUSE, session, reason, operator, place or Place())


def resume(
    session: OneSession = None,
    *,
    reason: Reason = "",
    operator: Annotated[str | None, Parameter(help="Who resumes; else $USER.")] = None,
    place: Place | None = None,
) -> Exit:
    """Let a paused session go on, or all of them."""
    return _session(subjects.RESUME, session, reason, operator, place or Place())


def _session(
    subject: str, session: str | None, reason: str, operator: str | None, place: Place
) -> Exit:
    request = SessionRequest(
        operator=operator or operator_name(),
        reason=reason,
        session=SessionId(session) if session else None,
    )
    return asyncio.run(_request(place, subject, request, "strategy"))


async def _request(place: Place, subject: str, request: msgspec.Struct, owner: str) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        before = await desk.arbiter()
        output.banner(before)
        answer = await put(desk, output, subject, request, owner)
    _suggest(answer, before, output)
    return exit_of_answer(answer)


def _suggest(answer: ControlAnswered, before: ArbiterReported | None, output: Output) -> None:
    if answer.is_ok:
        output.next_step("sluice status", "sluice watch", 'sluice halt "why"')
    elif is_open(before):
        output.next_step('sluice reset --reason "why"', "then sluice start")
    elif answer.errors and all(error.path.startswith("$.") for error in answer.errors):
        output.next_step(f"sluice {answer.request} --help", "sluice status")  # it was mistyped
    else:
        output.next_step("sluice status", "sluice doctor")


async def _reset(place: Place, reason: str, halt: int | None, is_sure: bool, operator: str) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter = await desk.arbiter()
        if arbiter is None:
            raise no_answer("query.breaker", "breaker")
        output.banner(arbiter)
        number = newest_open(arbiter) if halt is None else halt
        if arbiter.breaker_state is not BreakerState.NORMAL:
            output.line(f"asks to clear number {number}")
        for line in arbiter.rebases:
            output.line(f"  measured anew: {line}")
        if not is_confirmed("Permit trading to be started again?", is_sure, output):
            output.line("nothing was reset")
            return Exit.REFUSED
        request = ResetRequest(operator=operator, reason=reason, halt=number)
        answer = await put(desk, output, subjects.RESET, request, "breaker")
    output.next_step("sluice start" if answer.is_ok else "sluice status")
    return exit_of_answer(answer)


def newest_open(arbiter: ArbiterReported) -> int:
    """Return what a reset takes that names none: the open halt, else the newest restriction."""
    if arbiter.halt_at_ns:
        return arbiter.halts
    opened = (
        each
        for each in arbiter.restrictions
        if not (each.is_ending or each.reason.endswith(ENDED_BEFORE))
    )
    return max((each.number for each in opened), default=arbiter.halts)


async def _unlock(
    place: Place, reason: str, lock: int | None, is_sure: bool, operator: str
) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter = await desk.arbiter()
        output.banner(arbiter)
        if arbiter is None:
            raise no_answer("query.breaker", "breaker")
        locks = arbiter.locks
        for each in locks:
            why = typed(each.reason)
            output.line(f"  lock {each.number} by {each.component}: {each.code} {why}")
        if not is_confirmed("Take these locks away?", is_sure, output):
            output.line("nothing was unlocked")
            return Exit.REFUSED
        newest = max((each.number for each in locks), default=0)
        number = newest if lock is None else lock
        request = UnlockRequest(operator=operator, reason=reason, lock=number)
        answer = await put(desk, output, subjects.UNLOCK, request, "breaker")
    output.next_step('sluice reset --reason "why"' if answer.is_ok else "sluice status")
    return exit_of_answer(answer)


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
