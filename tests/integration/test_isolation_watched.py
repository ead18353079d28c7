"""What the service tells of session processes when looking after them fails, or they do not end."""

import pytest

from schemas.health import AlertRaised, Severity
from schemas.sessions import SessionState
from services.strategy.isolated import children as children_module
from services.strategy.isolated.children import Children
from services.strategy.isolated.line import Line
from tests.integration.test_isolation import _until, bought, run
from tests.isolation_rig import Desk, config


@pytest.mark.req("S-14")
def test_monitoring_that_fails_degrades_and_the_sessions_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_self: Children) -> None:
        raise OSError("no /proc")

    monkeypatch.setattr(children_module, "FIRST_MEASURE_S", 0)
    monkeypatch.setattr(Children, "measure", broken)

    async def main() -> None:
        async with Desk(config()) as desk:
            session = await desk.start("buys")
            await desk.until(lambda: bool(desk.every(AlertRaised)))
            assert [each.code for each in desk.every(AlertRaised)] == ["LT-005"]
            assert "no /proc" in desk.children.degraded
            await bought(desk, session)

    run(main)


@pytest.mark.req("S-14", "S-11")
def test_a_watch_over_processes_that_breaks_is_told_and_ends_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_self: Line) -> None:
        raise OSError("no descriptor left")

    monkeypatch.setattr(Line, "look", broken)

    async def main() -> None:
        async with Desk(config()) as desk:
            await desk.start("buys")
            await desk.until(lambda: bool(desk.every(AlertRaised)))
            [alert] = desk.every(AlertRaised)
            assert (alert.code, alert.severity) == ("SLU-161", Severity.CRITICAL)
            why_not = desk.children.background.why_not_ready
            await _until(lambda: why_not() == "session processes: no descriptor left")
            with pytest.raises(OSError, match="no descriptor left"):
                why_not()

    run(main)


@pytest.mark.req("S-03", "S-14")
@pytest.mark.parametrize(
    ("strategy", "why"),
    [
        ("chokes", "ZeroDivisionError: at the end"),
        ("lingers", "its last word did not come within 1 s"),
    ],
)
def test_a_stop_without_its_last_word_is_told_and_the_process_ends(strategy: str, why: str) -> None:
    async def main() -> None:
        async with Desk(config()) as desk:
            session = await desk.start(strategy)
            await bought(desk, session)
            desk.ask("stop", session)
            await desk.until(lambda: bool(desk.every(AlertRaised)))
            [alert] = desk.every(AlertRaised)
            assert (alert.code, alert.severity) == ("LT-006", Severity.WARNING)
            assert alert.message.startswith(f"session {session} is stopped, but not as it would")
            assert alert.message.endswith(why)
            assert desk.state(session) is SessionState.STOPPED
            assert session not in desk.children._lines

    run(main)
