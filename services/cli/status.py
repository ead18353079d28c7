"""`sluice status`: the whole system on one page. What is not known says so."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from schemas.executions import BookReported
from schemas.health import (
    ArbiterReported,
    FeedReported,
    GateReported,
    RecorderReported,
    SessionsReported,
    SupervisorReported,
)
from schemas.masking import masked
from schemas.restrictions import Lock, Restriction
from schemas.sessions import SessionView
from services.cli.desk import Desk, at_desk, gather
from services.cli.exits import Exit
from services.cli.locate import Place, currency_of
from services.cli.output import (
    UNKNOWN,
    Output,
    amount,
    detail_of,
    in_currency,
    shown,
    state_of,
    trading_state_of,
    typed,
)

_Reasoned = TypeVar("_Reasoned", Restriction, Lock)


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process."""

    state: str
    pid: int | None
    uptime: float | None
    """In seconds."""

    restarts: int | None
    detail: str = ""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The document of `sluice status --json`; null and `unknown` mean that nobody said."""

    trading_state: str
    breaker_state: str
    halts: int | None
    """Number of the newest halt."""

    halt: dict[str, Any] | None
    """The open halt: number, reason, operator, at_ns; null when none is open or known."""

    restrictions: list[Restriction] | None
    """Of parts, or REDUCE of all; null when nobody said."""

    locks: list[Lock] | None
    """Each needs `sluice unlock`; null when nobody said."""

    differences: int | None
    """Between our book and the venue's; `sluice reconcile` lists them."""

    epoch: int | None
    equity: Decimal | None
    account: str | None
    currency: str | None = None
    """Of the account's amounts; null where it is not known here."""

    positions: int | None
    """How many instruments are held; `sluice positions` lists them."""

    orders: int | None
    """How many orders there ever were; `sluice orders` lists the open and the last ones."""

    open_orders: int | None
    fills: int | None
    decisions: int | None
    sessions: list[SessionView] | None
    feed: dict[str, Any] | None
    services: dict[str, ServiceStatus]
    durable: bool | None
    durable_detail: str
    silent: list[str]
    """Components that should have answered and did not."""


class Answers(msgspec.Struct, frozen=True):
    """What each service said; None for who stayed silent."""

    arbiter: ArbiterReported | None
    gate: GateReported | None
    book: BookReported | None
    sessions: SessionsReported | None
    feed: FeedReported | None
    recorder: RecorderReported | None
    supervisor: SupervisorReported | None

    @property
    def by_service(self) -> dict[str, bool]:
        """Which service answered."""
        names = ("breaker", "gate", "executor", "strategy", "feed", "recorder")
        fields = (self.arbiter, self.gate, self.book, self.sessions, self.feed, self.recorder)
        return {name: said is not None for name, said in zip(names, fields, strict=True)}


def status(*, place: Place | None = None) -> Exit:
    """Show the whole system: trading, halt, equity, sessions, services."""
    return asyncio.run(_show(place or Place()))


async def _show(place: Place) -> Exit:
    async with at_desk(place) as desk:
        answers = await ask_all(desk)
    found, output = status_of(answers), Output(place.as_json)
    found = msgspec.structs.replace(found, currency=currency_of(place) or None)
    output.banner(answers.arbiter)
    output.data(found)
    if not place.as_json:
        _print(found, output)
    if found.silent:
        return Exit.SILENT
    return Exit.UNHEALTHY if found.feed and found.feed["detail"] else Exit.OK


async def ask_all(desk: Desk) -> Answers:
    """Return what every service says, asked side by side."""
    return Answers(
        *await gather(
            desk.arbiter(),
            desk.gate(),
            desk.book(),
            desk.sessions(),
            desk.feed(),
            desk.recorder(),
            desk.supervisor(),
        )
    )


def status_of(answers: Answers) -> Status:
    """Return the status that the answers add up to; never better than what was said."""
    arbiter, gate, book = answers.arbiter, answers.gate, answers.book
    sessions, feed, recorder = answers.sessions, answers.feed, answers.recorder
    return Status(
        trading_state=trading_state_of(answers.arbiter, answers.gate, answers.book),
        breaker_state=str(arbiter.breaker_state) if arbiter else UNKNOWN,
        halts=arbiter.halts if arbiter else None,
        halt=_halt(arbiter),
        restrictions=_shown(arbiter.restrictions) if arbiter else None,
        locks=_shown(arbiter.locks) if arbiter else None,
        differences=len(book.differences) if book else None,
        epoch=arbiter.epoch if arbiter else None,
        equity=arbiter.equity if arbiter else None,
        account=book.account if book else None,
        positions=sum(1 for each in book.positions if each.quantity) if book else None,
        orders=book.order_count if book else None,
        open_orders=len(book.open_orders) if book else None,
        fills=book.fill_count if book else None,
        decisions=gate.decided_count if gate else None,
        sessions=[_of_session(each) for each in sessions.sessions] if sessions else None,
        feed=_feed(feed),
        services=_services(answers),
        durable=recorder.is_durable if recorder else None,
        durable_detail=recorder.detail if recorder else "the recorder does not answer",
        silent=[name for name, said in answers.by_service.items() if not said],
    )


def _halt(arbiter: ArbiterReported | None) -> dict[str, Any] | None:
    if arbiter is None or not arbiter.halt_at_ns:
        return None
    return {
        "number": arbiter.halts,
        "reason": typed(arbiter.halt_reason),
        "operator": arbiter.halt_operator,
        "at_ns": arbiter.halt_at_ns,
    }


def _shown(those: Sequence[_Reasoned]) -> list[_Reasoned]:
    """Return them with their reasons as they may be shown."""
    return [msgspec.structs.replace(each, reason=typed(each.reason)) for each in those]


def _of_session(view: SessionView) -> SessionView:
    """Return a session as it may be shown: a halt may hold it, with the reason that was typed."""
    return msgspec.structs.replace(view, held=typed(view.held), detail=typed(view.detail))


def _feed(feed: FeedReported | None) -> dict[str, Any] | None:
    if feed is None:
        return None
    return {
        "source": feed.source,
        "counts": feed.counts,
        "rate_per_s": feed.rate_per_s,
        "is_ended": feed.is_ended,
        "stale": feed.stale,
        "detail": masked(feed.detail),
        "top_checks_count": feed.top_checks_count,
        "top_differs_count": feed.top_differs_count,
    }


def _services(answers: Answers) -> dict[str, ServiceStatus]:
    """Return the supervisor's word, or what follows from who answered where there is none."""
    if answers.supervisor is not None:
        return {
            view.name: ServiceStatus(
                state=view.state,
                pid=view.pid or None,
                uptime=view.uptime_s if view.pid else None,
                restarts=view.restarts,
                detail=typed(view.detail),
            )
            for view in answers.supervisor.services
        }
    return {
        name: ServiceStatus(
            state="running" if said else UNKNOWN, pid=None, uptime=None, restarts=None
        )
        for name, said in answers.by_service.items()
    }


def _print(found: Status, output: Output) -> None:
    output.line(
        f"trading {found.trading_state}   breaker {found.breaker_state}   "
        f"epoch {shown(found.epoch)}   halts {shown(found.halts)}"
    )
    equity = UNKNOWN if found.equity is None else amount(found.equity)
    output.beside(
        "",
        f"{in_currency(found.account, found.currency or '')}   equity {equity}   "
        f"positions {shown(found.positions)}   "
        f"orders {shown(found.orders)} ({shown(found.open_orders)} open)   "
        f"fills {shown(found.fills)}",
    )
    for line in _feed_lines(found):
        output.beside("", line)
    output.beside("recording: ", found.durable_detail)
    if found.differences:
        output.line(
            f"differences between our book and the venue's: {found.differences}; "
            "`sluice reconcile` shows both sides"
        )
    _print_sessions(found, output)
    rows = [
        (name, each.state, each.pid, each.uptime, each.restarts, each.detail)
        for name, each in found.services.items()
    ]
    output.table("", ("service", "state", "pid", "up for s", "restarts", ""), rows)
    if found.silent:
        output.line(f"no answer from: {', '.join(found.silent)}")
    is_running = found.trading_state in ("RUNNING", "REDUCING")
    output.next_step(*_next(found, is_running))


def _feed_lines(found: Status) -> list[str]:
    """Return how the feed does; one that failed has no rate, whatever it was before."""
    feed = found.feed or {}
    detail, stale = feed.get("detail", ""), feed.get("stale", ())
    ended = ", FAILED" if detail else ", at its end" if feed.get("is_ended") else ""
    rate = UNKNOWN if detail else shown(feed.get("rate_per_s"))
    lines = [
        f"feed {feed.get('source', UNKNOWN)}{ended}   {rate} events/s   "
        f"decisions {shown(found.decisions)}"
    ]
    if detail:
        lines.append(f"feed FAILED: {detail}")
    if stale:
        lines.append(f"STALE, no news for longer than allowed: {', '.join(stale)}")
    return lines


def _next(found: Status, is_running: bool) -> tuple[str, ...]:
    if is_running:
        return ("sluice positions", "sluice watch", 'sluice halt "why"')
    if found.locks:
        return ("sluice reconcile", 'sluice unlock --reason "why"', "sluice doctor")
    if found.trading_state == UNKNOWN:  # who would have to start, or to reset, is not there
        return ("sluice doctor", 'sluice halt "why"')
    if found.breaker_state == "NORMAL":
        return ("sluice start", "sluice doctor")
    return ('sluice reset --reason "why"', "sluice start")


def _print_sessions(found: Status, output: Output) -> None:
    if found.sessions is None:
        output.line(f"sessions {UNKNOWN}")
        return
    for each in found.sessions:
        output.beside(
            "",
            f"session {each.session}   {each.strategy}   {state_of(each)}   "
            f"{len(each.instruments)} instruments   {each.signal_count} signals   "
            f"{detail_of(each)}",
        )
