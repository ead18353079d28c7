"""What a strategy in a process of its own keeps is there again after a restart of the service."""

from decimal import Decimal
from pathlib import Path

import pytest

from schemas.base import Event, SessionId
from schemas.health import AlertRaised
from schemas.market import BarClosed
from schemas.orders import Side
from schemas.sessions import SessionState, StateRemembered
from services.strategy.config import Isolation, StrategyConfig
from tests.builders import ALPHA, S_NS, quote
from tests.integration.test_isolation import _until, run, signals
from tests.isolation_rig import Desk, config
from tests.strategy_rig import StrategyRig

STOPPED = """
candles = { interval_s = 10, source = "bar" }

[rules]
entry_long = "close > close_before"
exit_long = "close < 0"
stop_long = "close - 5"
"""


def settings(folder: Path) -> StrategyConfig:
    (folder / "mine.toml").write_text(STOPPED)
    return config(formulas=(str(folder),), isolation=Isolation.ALL)


async def entered(desk: Desk) -> SessionId:
    """Start the formula and have it take a position, with its stop at 6."""
    session = await desk.start("mine", config_overrides={"quantity": "2"})
    desk.post(quote("10.99", "11.01"))
    for number, close in enumerate((10, 11)):
        desk.post(bar(number, Decimal(close)))
    await desk.until(lambda: bool(signals(desk, session)))
    desk.post(StrategyRig().fill(signals(desk, session)[0]))
    return session


def bar(number: int, close: Decimal) -> BarClosed:
    start_ns = number * 10 * S_NS
    return BarClosed(
        at_ns=0,
        instrument=ALPHA,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=Decimal(1),
        open_ns=start_ns,
        close_ns=start_ns + 10 * S_NS,
    )


async def killed(folder: Path) -> tuple[SessionId, list[Event]]:
    """Return the session, and the journal that a service left which was killed."""
    async with Desk(settings(folder)) as desk:
        session = await entered(desk)
        await desk.until(lambda: any(isinstance(each, StateRemembered) for each in desk.kept))
    return session, desk.kept


@pytest.mark.req("S-13", "S-11")
def test_a_stop_is_known_to_the_new_process_of_a_session(tmp_path: Path) -> None:
    async def main() -> None:
        session, kept = await killed(tmp_path)
        assert [e.value for e in kept if isinstance(e, StateRemembered)] == [
            None,
            {"stop_long": 6.0},
        ]
        async with Desk(settings(tmp_path), kept) as desk:
            await _until(lambda: session in desk.children._lines)
            await desk.start("mine", config_overrides={"quantity": "2"})  # and trading, anew
            desk.post(quote("5.99", "6.01"))
            await desk.until(lambda: bool(signals(desk, session)))
            [stopped] = signals(desk, session)
            assert (stopped.side, stopped.why) == (Side.SELL, "mine: stop at 6")

    run(main)


@pytest.mark.req("S-13", "S-11")
def test_without_what_was_kept_the_new_process_has_its_session_paused(tmp_path: Path) -> None:
    async def main() -> None:
        session, kept = await killed(tmp_path)
        forgotten = [each for each in kept if not isinstance(each, StateRemembered)]
        async with Desk(settings(tmp_path), forgotten) as desk:
            await desk.until(lambda: desk.state(session) is SessionState.PAUSED)
            [alert] = desk.every(AlertRaised)
            assert alert.fields == {"session": session, "lacks": "the stop of sim:ALPHA"}

    run(main)
