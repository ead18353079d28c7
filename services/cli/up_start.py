"""The start that `sluice up` asks for by itself, and when it does not."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from schemas import subjects
from schemas.control import BreakerState, ControlAnswered, StartRequest
from schemas.sessions import SessionState
from services.cli.asking import said_of
from services.cli.desk import Desk, no_answer
from services.cli.operators import operator_name
from services.cli.output import banner_of
from services.cli.system import Run
from services.cli.up_watch import NOTES_KEPT

TRIES = 6
PAUSE_S = 0.5
"""Between tries: right after the boot a component may not have reported yet."""

REASON = "sluice up: the session it starts by itself"
SIZED, SHARE = "ema_cross", "capital_share"
SHARE_EACH = Decimal("0.1")
"""Part of the capital that one contract's instrument gets."""

NAMED_MAX = 5
OPEN_STATES = (SessionState.RUNNING, SessionState.PAUSED)


async def start_by_itself(desk: Desk, run: Run) -> tuple[bool, list[str]]:
    """Start the session of `up`; return whether it did, and what to tell the person.

    A halt that is open from before is never cleared here: a person must have seen it.

    Raises:
        SilentError: the breaker service does not answer.
    """
    arbiter = await desk.arbiter()
    if arbiter is None:
        raise no_answer("query.breaker", "breaker")
    if arbiter.breaker_state is not BreakerState.NORMAL:
        return False, [
            banner_of(arbiter),
            "Nothing is started over a halt. When you have seen why it was pulled:",
            '  sluice reset --reason "why it is safe"   and then   sluice start',
        ]
    request, what = await _request(desk, run)
    answer = await _tried(desk, request)
    if answer.is_ok:
        session = f", session {answer.session}" if answer.session else ""
        return True, [f"started {what}: epoch {answer.epoch}{session}"]
    said = said_of(answer)
    found = ["the start was REFUSED" + (f": {said}" if said else "")]
    found += [f"  {e.path}: found {e.found}; wanted {e.wanted}" for e in answer.errors]
    return False, [*found, "Next: sluice status   sluice start"]


def noted(said: Sequence[str]) -> list[str]:
    """Return what of it stays on the page: what came of the start, why, and what to do now."""
    if len(said) <= NOTES_KEPT:
        return [*said]
    outcome, *why, then = said
    shown = why[: NOTES_KEPT - 3]
    return [outcome, *shown, f"  and {len(why) - len(shown)} more", then]


async def _request(desk: Desk, run: Run) -> tuple[StartRequest, str]:
    """Return the request: for the sessions there are from an earlier run, or for a new one."""
    found = await desk.sessions()
    existing = [
        each.session
        for each in (found.sessions if found else ())
        if each.account == run.account["id"] and each.state in OPEN_STATES
    ]
    operator, choice = operator_name(), run.config.up
    if existing:
        request = StartRequest(operator=operator, reason=REASON)
        return request, f"trading of {', '.join(existing)} again"
    return StartRequest(
        operator=operator,
        reason=REASON,
        strategy=choice.strategy,
        symbols=tuple(run.symbols),
        initial_capital=run.config.account.initial_cash,
        config_overrides=_overrides(run),
    ), f"{choice.strategy} over {_named(run.symbols)}"


def _overrides(run: Run) -> dict[str, str]:
    """Return a larger share of the capital where one contract stands for a lot of money.

    A tenth of the capital, spread over five expiries, would not buy one of any.
    """
    traded = [each for each in run.instruments if each.id in run.symbols]
    configured = run.config.merged.values["strategy"]["parameters"].get(SIZED, {})
    is_ours = run.config.up.strategy == SIZED and SHARE not in configured
    if not is_ours or all(each.multiplier == 1 for each in traded):
        return {}
    return {SHARE: str(min(Decimal(1), SHARE_EACH * len(traded)))}


def _named(symbols: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(symbols) - NAMED_MAX
    return ", ".join(symbols[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


async def _tried(desk: Desk, request: StartRequest) -> ControlAnswered:
    """Return the first yes, or the last no; a bad request is not tried again."""
    for _ in range(TRIES - 1):
        answer = await desk.request(subjects.START, request, "breaker")
        is_the_requests_fault = any(error.path.startswith("$.") for error in answer.errors)
        if answer.is_ok or is_the_requests_fault:
            return answer
        await asyncio.sleep(PAUSE_S)
    return await desk.request(subjects.START, request, "breaker")
