"""`sluice session ...`: status, performance, risk, list and health of sessions (S-04)."""

import asyncio
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any

from cyclopts import App, Parameter

from schemas.base import NS_PER_S
from schemas.errors import UserError
from schemas.health import SessionsReported
from schemas.measures import RiskStatus, SessionMeasure, Share
from schemas.sessions import SessionState
from services.cli.asking import silent
from services.cli.desk import at_desk, gather
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.output import UNKNOWN, Output, detail_of, state_of, time_of

session_app = App(name="session", help="Sessions, one by one: how they do, are they well.")

HEARTBEAT_TIMEOUT_S = 300
NS_PER_H = 3_600 * NS_PER_S
ALIVE = (SessionState.CREATED, SessionState.RUNNING, SessionState.PAUSED)
By = Annotated[str, Parameter(help="session, strategy, symbol or share_class.")]
PARTS = ("session", "strategy", "symbol", "share_class")

Shown = Callable[[Output, SessionsReported, tuple[SessionMeasure, ...]], Exit]


@session_app.command
def status(session: str | None = None, *, place: Place | None = None) -> Exit:
    """Show where sessions are in their life, and since when."""
    return _ask(session, place, _status)


@session_app.command(name="list")
def running(*, place: Place | None = None) -> Exit:
    """Show the sessions that run."""
    return _ask(None, place, _running)


@session_app.command
def performance(session: str | None = None, *, by: By = "", place: Place | None = None) -> Exit:
    """Show how sessions do, live or at their end; with --by, where the profit came from.

    Raises:
        UserError: SLU-103 profit is not parted by that.
    """
    if by and by not in PARTS:
        raise UserError("SLU-103", path="--by", found=by, wanted=f"one of {', '.join(PARTS)}")
    return _ask(session, place, _parts(by) if by else _performance)


@session_app.command
def risk(session: str | None = None, *, place: Place | None = None) -> Exit:
    """Show sessions against their own limits; ends with 6 where one is reached, or not known."""
    return _ask(session, place, _risk)


@session_app.command
def health(
    *,
    heartbeat_timeout: Annotated[int, Parameter(help="In seconds.")] = HEARTBEAT_TIMEOUT_S,
    place: Place | None = None,
) -> Exit:
    """Show which sessions are alive; ends with 6 where one has no heartbeat."""
    return _ask(None, place, _healths(heartbeat_timeout))


def _ask(session: str | None, place: Place | None, shown: Shown) -> Exit:
    return asyncio.run(_asked(session, place or Place(), shown))


async def _asked(session: str | None, place: Place, shown: Shown) -> Exit:
    output = Output(place.as_json)
    async with at_desk(place) as desk:
        arbiter, told = await gather(desk.arbiter(), desk.sessions())
    output.banner(arbiter)
    if told is None:
        return silent(output, "strategy", {"sessions": None})
    found = tuple(each for each in told.measures if session in (None, each.session))
    if session is not None and not found:
        known = ", ".join(each.session for each in told.measures) or "none"
        raise UserError("SLU-103", path="SESSION", found=session, wanted=f"one of {known}")
    code = shown(output, told, found)
    output.next_step("sluice session performance", "sluice session risk", "sluice awaiting")
    return code


def _status(output: Output, told: SessionsReported, found: tuple[SessionMeasure, ...]) -> Exit:
    views = {view.session: view for view in told.sessions}
    chosen = [views[each.session] for each in found]
    output.data({"sessions": chosen})
    rows = [
        (
            view.session,
            view.strategy,
            state_of(view),
            time_of(view.started_ns) if view.started_ns else UNKNOWN,
            view.signal_count,
            view.fill_count,
            view.open_order_count,
            detail_of(view),
        )
        for view in chosen
    ]
    columns = ("session", "strategy", "state", "since", "signals", "fills", "open", "detail")
    output.table("", columns, rows)
    return Exit.OK


def _running(output: Output, told: SessionsReported, found: tuple[SessionMeasure, ...]) -> Exit:
    ids = [each.session for each in found if each.engine_status is SessionState.RUNNING]
    chosen = tuple(each for each in found if each.session in ids)
    return _status(output, told, chosen)


def _performance(output: Output, told: SessionsReported, found: tuple[SessionMeasure, ...]) -> Exit:
    output.data({"performance": [_document(each) for each in found]})
    columns = (
        "session",
        "status",
        "capital",
        "value",
        "P&L",
        "return %",
        "trades",
        "drawdown %",
        "max %",
        "Sharpe",
        "up h",
        "heartbeat",
    )
    output.table("", columns, [_row(each) for each in found])
    return Exit.OK


def _row(each: SessionMeasure) -> tuple[object, ...]:
    figures = each.figures
    return (
        each.session,
        each.engine_status + (" (final)" if each.is_final else ""),
        each.initial_capital,
        each.current_value,
        each.total_pnl,
        _rounded(each.return_pct),
        figures.trade_count,
        _percent(each.drawdown),
        _percent(figures.drawdown_max),
        UNKNOWN if figures.sharpe is None else f"{figures.sharpe:.2f}",
        f"{each.uptime_ns / NS_PER_H:.2f}",
        time_of(each.heartbeat_ns) if each.heartbeat_ns else UNKNOWN,
    )


def _document(each: SessionMeasure) -> dict[str, Any]:
    """Return the figures by the names that programs ask for them."""
    figures = each.figures
    return {
        "session": each.session,
        "strategy": each.strategy,
        "share_class": each.share_class,
        "is_final": each.is_final,
        "initial_capital": each.initial_capital,
        "current_value": each.current_value,
        "total_pnl": each.total_pnl,
        "return_pct": each.return_pct,
        "trade_count": figures.trade_count,
        "current_drawdown": each.drawdown,
        "max_drawdown": figures.drawdown_max,
        "sharpe": figures.sharpe,
        "uptime_hours": each.uptime_ns / NS_PER_H,
        "engine_status": each.engine_status,
        "last_heartbeat_ns": each.heartbeat_ns,
        "figures": figures,
        "attribution": each.shares,
    }


def _parts(by: str) -> Shown:
    def shown(output: Output, told: SessionsReported, found: tuple[SessionMeasure, ...]) -> Exit:
        shares = told.attribution.get(by, {})
        if len(found) == 1 and by == "symbol":
            shares = found[0].shares
        output.data({"by": by, "attribution": shares})
        columns = (by, "profit", "price", "slippage", "fees", "funding", "traded")
        output.table("", columns, [_share_row(name, each) for name, each in shares.items()])
        return Exit.OK

    return shown


def _share_row(name: str, each: Share) -> tuple[object, ...]:
    return (name, each.profit, each.price, each.slippage, each.fees, each.funding, each.traded)


def _risk(output: Output, told: SessionsReported, found: tuple[SessionMeasure, ...]) -> Exit:
    document = [
        {
            "session": each.session,
            "status": each.risk,
            "is_action_required": each.risk is not RiskStatus.WITHIN_LIMITS,
            "breaches": [
                {
                    "type": breach.limit_name,
                    "limit": breach.limit,
                    "current": breach.current,
                    "over_pct": breach.over_pct,
                    "detail": breach.detail,
                }
                for breach in each.breaches
            ],
        }
        for each in found
    ]
    output.data({"risk": document})
    rows: list[Sequence[object]] = []
    for each in found:
        needs = "no" if each.risk is RiskStatus.WITHIN_LIMITS else "yes"
        if not each.breaches:
            rows.append((each.session, each.risk, "", "", "", "", needs))
        for breach in each.breaches:
            over = _rounded(breach.over_pct)
            name = f"{breach.limit_name} {breach.detail}".strip()
            row = (each.session, each.risk, name, breach.limit, breach.current, over, needs)
            rows.append(row)
    columns = ("session", "status", "type", "limit", "current", "% over", "action")
    output.table("", columns, rows)
    is_well = all(each.risk is RiskStatus.WITHIN_LIMITS for each in found)
    return Exit.OK if is_well else Exit.UNHEALTHY


def _healths(timeout_s: int) -> Shown:
    def shown(output: Output, told: SessionsReported, found: tuple[SessionMeasure, ...]) -> Exit:
        now_ns = time.time_ns()
        alive = [each for each in found if each.engine_status in ALIVE]
        rows = [(each.session, *health_of(each, now_ns, timeout_s)) for each in alive]
        document = [
            {"session": name, "health": word, "heartbeat_age_s": age} for name, word, age in rows
        ]
        output.data({"heartbeat_timeout_s": timeout_s, "health": document})
        columns = ("session", "health", "last heartbeat, s ago")
        output.table("", columns, rows)
        return Exit.OK if all(row[1] == HEALTHY for row in rows) else Exit.UNHEALTHY

    return shown


HEALTHY, UNHEALTHY = "healthy", "unhealthy"


def health_of(each: SessionMeasure, now_ns: int, timeout_s: int) -> tuple[str, float | None]:
    """Return whether a session is alive, and the age of its heartbeat in seconds."""
    if each.heartbeat_ns is None:
        return UNHEALTHY, None
    age_s = max(0, now_ns - each.heartbeat_ns) / NS_PER_S
    return (HEALTHY if age_s <= timeout_s else UNHEALTHY), age_s


def _percent(fraction: float | None) -> str:
    return UNKNOWN if fraction is None else f"{fraction * 100:.2f}"


def _rounded(value: Decimal | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"
