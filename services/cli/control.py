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
from services.cli.asking import exit_of_answer, is_confirmed, is_open, print_answer, put
from services.cli.desk import at_desk
from services.cli.exits import Exit, SilentError
from services.cli.locate import Place
from services.cli.operators import operator_name
from services.cli.output import Output, banner_of, typed

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
    halt: Annotated[int | None, Parameter(help="Number of the halt; else the newest.")] = None,
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


def stop(session: str | None = None, *, reason: str = "", place: Place | None = None) -> Exit:
    """Stop one session for good, or all of them; positions are kept."""
    return _session(subjects.STOP, session, reason, place)


def pause(session: str | None = None, *, reason: str = "", place: Place | None = None) -> Exit:
    """Pause one session, or all of them; their state is kept."""
    return _session(subjects.PAUSE, session, reason, place)


def resume(session: str | None = None, *, reason: str = "", place: Place | None = None) -> Exit:
    """Let a paused session go on, or all of them."""
    return _session(subjects.RESUME, session, reason, place)


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
    return exit_of_answer(answer)


def _suggest(answer: ControlAnswered, before: ArbiterReported | None, output: Output) -> None:
    if answer.is_ok:
        output.next_step("sluice status", "sluice watch", 'sluice halt "why"')
    elif is_open(before):
        output.next_step('sluice reset --reason "why"', "then sluice start")
    else:
        output.next_step("sluice status", "sluice doctor")


async def _reset(place: Place, reason: str, halt: int | None, is_sure: bool, operator: str) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter = await desk.arbiter()
        if arbiter is None:
            wanted = "the breaker service; see `sluice status`"
            raise SilentError("SLU-122", subject="query.breaker", found="no answer", wanted=wanted)
        output.banner(arbiter)
        if arbiter.breaker_state is not BreakerState.NORMAL:
            output.line(f"clears halt {halt or arbiter.halts}: {banner_of(arbiter)}")
        for line in arbiter.rebases:
            output.line(f"  measured anew: {line}")
        if not is_confirmed("Permit trading to be started again?", is_sure, output):
            output.line("nothing was reset")
            return Exit.REFUSED
        number = arbiter.halts if halt is None else halt
        request = ResetRequest(operator=operator, reason=reason, halt=number)
        answer = await desk.request(subjects.RESET, request, "breaker")
    print_answer(answer, output)
    output.next_step("sluice start" if answer.is_ok else "sluice status")
    return exit_of_answer(answer)


async def _unlock(
    place: Place, reason: str, lock: int | None, is_sure: bool, operator: str
) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter = await desk.arbiter()
        output.banner(arbiter)
        locks = arbiter.locks if arbiter else ()
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
