"""Sessions: how soon one runs, and what a hundred at once do to a signal. Never fails on a time."""

import asyncio
import sys
import time
from functools import partial

import pytest

from schemas.base import SessionId
from schemas.errors import BusError
from schemas.orders import SignalRaised
from schemas.sessions import SessionState
from services.bench import sessions
from services.bench.result import percentile
from services.strategy.config import Isolation
from tests.builders import quote
from tests.isolation_rig import Desk, config

STARTS = 3
QUOTES = 25


@pytest.mark.bench
@pytest.mark.req("S-02")
@pytest.mark.parametrize("isolation", [Isolation.NONE, Isolation.OWN_CODE])
def test_a_session_runs_soon_after_its_start(isolation: Isolation) -> None:
    async def main() -> list[float]:
        took_ms: list[float] = []
        async with Desk(config(isolation=isolation)) as desk:
            await desk.start("buys")  # what is loaded once is loaded
            for _ in range(STARTS):
                began_s = time.perf_counter()
                session = await desk.start("buys")
                desk.post(quote())
                await desk.until(partial(has_said, desk, session))
                took_ms.append((time.perf_counter() - began_s) * 1e3)
            states = [each.state for each in desk.core.sessions.values()]
            assert states == [SessionState.RUNNING] * (STARTS + 1)
        return took_ms

    took_ms = asyncio.run(main())
    tell(f"start to first signal, {isolation}: max {max(took_ms):.0f} ms (goal < 200 ms)")


@pytest.mark.bench
@pytest.mark.req("S-11")
@pytest.mark.parametrize(("isolation", "count"), [(Isolation.NONE, 100), (Isolation.OWN_CODE, 20)])
def test_many_sessions_at_once_all_answer_every_quote(isolation: Isolation, count: int) -> None:
    async def main() -> list[float]:
        took_ms: list[float] = []
        async with Desk(config(isolation=isolation)) as desk:
            for _ in range(count):
                await desk.start("defies")
            desk.said_before = len(desk.said)
            for number in range(1, QUOTES + 1):
                began_s = time.perf_counter()
                desk.post(quote())
                await desk.until(partial(is_complete, desk, number * count))
                took_ms.append((time.perf_counter() - began_s) * 1e3)
            assert len(desk.every(SignalRaised)) == QUOTES * count
        return took_ms

    took_ms = sorted(asyncio.run(main()))
    assert len(took_ms) == QUOTES
    said = f"{count} sessions, {isolation}: quote to the last of {count} signals"
    p50, p99 = percentile(took_ms, 0.5), percentile(took_ms, 0.99)
    tell(f"{said}: p50 {p50:.1f} ms, p99 {p99:.1f} ms (goal p99 < 100 ms)")


def has_said(desk: Desk, session: SessionId) -> bool:
    return any(each.session == session for each in desk.every(SignalRaised))


def is_complete(desk: Desk, count: int) -> bool:
    """Return whether so many signals were raised; nothing else is said meanwhile."""
    return len(desk.said) - desk.said_before >= count


def tell(text: str) -> None:
    sys.stdout.write(f"\n{text}\n")


@pytest.mark.bench
@pytest.mark.req("S-02", "S-11")
@pytest.mark.timeout(180)
def test_every_start_runs_and_every_session_answers_every_quote_over_the_bus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, few in (("STARTS", 2), ("SESSIONS", 4), ("QUOTES", 2), ("EVERY_S", 0.05)):
        monkeypatch.setattr(sessions, name, few)
    result = sessions.run(1)
    assert result.failure == ""
    assert set(result.ratio) == {"p50", "p99", "isolated_p50", "isolated_p99"}
    kinds = {"start", "first_signal", "full_start", "signal"}
    figures = {f"{kind}_{each}_ms" for kind in kinds for each in ("p50", "p99", "max")}
    figures |= {"refused_count", "runner_mb"}
    isolated = {f"isolated_{each}" for each in figures | {"processes", "processes_mb"}}
    assert set(result.value) == figures | isolated | {"spread_start_p50_ms"}
    assert result.value["isolated_processes"] == 4
    assert result.value["start_p50_ms"] < result.value["first_signal_p50_ms"]


@pytest.mark.bench
@pytest.mark.req("S-11")
def test_there_is_no_figure_where_sessions_said_to_be_apart_share_the_service_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, few in (("STARTS", 1), ("SESSIONS", 3), ("QUOTES", 1), ("EVERY_S", 0.05)):
        monkeypatch.setattr(sessions, name, few)
    shared = sessions.settings_of(Isolation.OWN_CODE)  # this program's own code runs inside
    monkeypatch.setattr(sessions, "settings_of", lambda _: shared)
    with pytest.raises(BusError, match="0 processes of sessions"):
        asyncio.run(sessions.figures_of("isolated_", Isolation.ALL))
