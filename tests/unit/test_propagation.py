"""What follows from an error, by the severity of its code (S-14)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schemas.errors import REGISTRY, ErrorSeverity, StateError
from schemas.health import AlertRaised, Severity
from services.runtime.propagation import TRIES_AGAIN, WAIT_S, Propagation

BY_SEVERITY = {
    severity: [code for code, entry in REGISTRY.items() if entry.severity is severity]
    for severity in ErrorSeverity
}


class Rig:
    """A propagation with waits that are only written down."""

    def __init__(self) -> None:
        self.alerts: list[AlertRaised] = []
        self.waits: list[float] = []
        self.tries = 0
        self.found = Propagation("strategy", self.alerts.append, lambda: 7, self._wait)

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    def run(self, code: str, attempt: Callable[[], Awaitable[Any]]) -> Any:
        async def counted() -> Any:
            self.tries += 1
            return await attempt()

        return asyncio.run(self._run(code, counted))

    async def _run(self, code: str, attempt: Callable[[], Awaitable[Any]]) -> Any:
        return await self.found.run(code, "the part", attempt)


async def works() -> str:
    return "done"


async def breaks() -> str:
    raise RuntimeError("no disk")


@pytest.mark.req("S-14")
@pytest.mark.parametrize("code", BY_SEVERITY[ErrorSeverity.HIGH])
def test_high_is_tried_again_three_times_each_wait_twice_the_last(code: str) -> None:
    rig = Rig()
    assert rig.run(code, breaks) is None
    assert (rig.tries, rig.waits) == (1 + TRIES_AGAIN, [WAIT_S, 2 * WAIT_S, 4 * WAIT_S])
    [alert] = rig.alerts
    assert (alert.code, alert.severity) == (code, Severity.CRITICAL)
    assert alert.fields["resolution"] == REGISTRY[code].resolution


@pytest.mark.req("S-14")
def test_high_that_works_at_its_last_try_is_told_to_nobody() -> None:
    rig = Rig()

    async def at_last() -> str:
        return await (works() if rig.tries > TRIES_AGAIN else breaks())

    assert rig.run("LTS-001", at_last) == "done"
    assert (rig.alerts, rig.found.degraded) == ([], "")


@pytest.mark.req("S-14")
@pytest.mark.parametrize("code", BY_SEVERITY[ErrorSeverity.CRITICAL])
def test_critical_is_told_and_raised_so_that_the_component_starts_anew(code: str) -> None:
    rig = Rig()
    with pytest.raises(RuntimeError, match="no disk"):
        rig.run(code, breaks)
    assert rig.tries == 1
    assert [(each.code, each.severity) for each in rig.alerts] == [(code, Severity.CRITICAL)]
    assert rig.found.degraded == f"the part: {code} RuntimeError('no disk')"


@pytest.mark.req("S-14")
@pytest.mark.parametrize("code", BY_SEVERITY[ErrorSeverity.MEDIUM])
def test_medium_degrades_is_told_once_and_is_well_when_it_works_again(code: str) -> None:
    rig = Rig()
    assert (rig.run(code, breaks), rig.run(code, breaks)) == (None, None)
    assert [(each.code, each.severity) for each in rig.alerts] == [(code, Severity.WARNING)]
    assert rig.found.degraded == f"the part: {code} RuntimeError('no disk')"
    assert (rig.run(code, works), rig.found.degraded) == ("done", "")
    rig.run(code, breaks)
    assert len(rig.alerts) == 2  # a new failure is news


@pytest.mark.req("S-14")
@pytest.mark.parametrize("code", BY_SEVERITY[ErrorSeverity.LOW])
def test_low_is_only_logged(code: str) -> None:
    rig = Rig()
    assert rig.run(code, breaks) is None
    assert (rig.tries, rig.alerts, rig.found.degraded) == (1, [], "")


@pytest.mark.req("S-14")
def test_an_error_of_ours_says_itself_what_it_is() -> None:
    rig = Rig()

    async def newer() -> None:
        raise StateError("SLU-201", found="version 9", wanted="at most 1")

    rig.run("SLU-200", newer)
    assert (rig.tries, rig.alerts[0].code) == (1, "SLU-201")


@pytest.mark.req("S-14")
def test_the_codes_that_must_exist_have_their_severities() -> None:
    wanted = {
        "LTS-001": "HIGH",
        "LTS-002": "HIGH",
        "LTS-003": "CRITICAL",
        "LT-001": "HIGH",
        "LT-002": "HIGH",
        "LT-003": "CRITICAL",
        "LT-004": "CRITICAL",
        "LT-005": "MEDIUM",
        "LT-006": "MEDIUM",
        "LT-007": "HIGH",
    }
    assert {code: REGISTRY[code].severity.value for code in wanted} == wanted
