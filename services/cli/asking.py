"""Ask the owner of a control request, and print the answer."""

import asyncio
import sys
from typing import Any

import msgspec

from schemas.control import BreakerState, ControlAnswered
from schemas.health import ArbiterReported
from services.cli.desk import REQUEST_TIMEOUT_S, Desk
from services.cli.exits import Exit
from services.cli.output import Output

SLOW_S = 1.0
"""How long nothing is said of an answer that is still to come."""


async def put(
    desk: Desk, output: Output, subject: str, request: msgspec.Struct, owner: str
) -> ControlAnswered:
    """Send a request, print its answer, and return it; say what is waited for where it is slow."""
    asked = asyncio.ensure_future(desk.request(subject, request, owner))
    done, _ = await asyncio.wait({asked}, timeout=SLOW_S)
    if not done:
        most = f"{REQUEST_TIMEOUT_S:g} s at the most"
        output.line(f"waiting for the answer of the {owner} service, {most}")
    answer = await asked
    print_answer(answer, output)
    return answer


def print_answer(answer: ControlAnswered, output: Output) -> None:
    """Print an answer with everything that is wrong."""
    output.data(answer)
    word = "done" if answer.is_ok else "REFUSED"
    said = said_of(answer)
    output.line(f"{answer.request} {word}" + (f": {said}" if said else ""))
    if answer.session and answer.epoch:
        output.line(f"session {answer.session}, epoch {answer.epoch}")
    if not output.is_json:
        output.problems(answer.errors)


def said_of(answer: ControlAnswered) -> str:
    """Return an answer's message without what is told beside it: that it is a no, and its errors.

    A message in other words is told whole: better twice than not at all.
    """
    said = answer.message.removeprefix(f"{answer.request} refused: ").removeprefix("refused: ")
    if not answer.errors:
        return said
    each = (f"{error.path}: found {error.found}, wanted {error.wanted}" for error in answer.errors)
    if said == "; ".join(each):
        return ""
    return said.removesuffix(f": {answer.errors[0].found}")


def exit_of_answer(answer: ControlAnswered) -> Exit:
    """Return the exit code of a command that asked one thing."""
    return Exit.OK if answer.is_ok else Exit.REFUSED


def is_confirmed(question: str, is_sure: bool, output: Output) -> bool:
    """Ask a person at a terminal; a script has said what it wants by calling."""
    if is_sure or output.is_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def silent(output: Output, service: str, document: dict[str, Any]) -> Exit:
    """Say that a service does not answer, and so that nobody knows; never guess."""
    output.data({**document, "silent": [service]})
    output.line(f"the {service} service does not answer: what it would say is not known")
    output.next_step("sluice status", "sluice doctor")
    return Exit.SILENT


def is_open(arbiter: ArbiterReported | None) -> bool:
    """Return whether a halt is open, as far as anybody knows."""
    return arbiter is not None and arbiter.breaker_state is not BreakerState.NORMAL
