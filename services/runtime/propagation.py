"""What follows from an error, by the severity of its code (S-14): one way for every shell.

    CRITICAL  told as critical, and raised: the process ends, and the supervisor starts it anew
    HIGH      tried again three times, each wait twice the last; then told, and the part degrades
    MEDIUM    told as a warning; the part degrades and is tried again at its next occasion
    LOW       logged

A part that is degraded stands in its service's health until it works again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from schemas.errors import REGISTRY, ErrorSeverity, SluiceError
from schemas.health import AlertRaised, Severity
from services.runtime.log import logger

TRIES_AGAIN = 3
WAIT_S = 0.1
"""Before the first repetition; it doubles."""

_T = TypeVar("_T")
_TOLD_AS = {
    ErrorSeverity.CRITICAL: Severity.CRITICAL,
    ErrorSeverity.HIGH: Severity.CRITICAL,
    ErrorSeverity.MEDIUM: Severity.WARNING,
}


class Propagation:
    """The parts of one service, and how each of them is.

    Args:
        component: the service.
        tell: publishes an alert.
        clock: returns now, ns since the epoch.
        wait: waits that many seconds.
    """

    def __init__(
        self,
        component: str,
        tell: Callable[[AlertRaised], None],
        clock: Callable[[], int],
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._component, self._tell, self._clock, self._wait = component, tell, clock, wait
        self._degraded: dict[str, str] = {}

    @property
    def degraded(self) -> str:
        """What works with less, in words, for the service's health; empty when all is well."""
        return "; ".join(f"{part}: {why}" for part, why in self._degraded.items())

    async def run(self, code: str, part: str, attempt: Callable[[], Awaitable[_T]]) -> _T | None:
        """Return what `attempt` returns; None if it failed and the service goes on without.

        Args:
            code: what a failure is, unless it is one of ours that says so itself.
            part: of the service, in words.
            attempt: may raise anything.

        Raises:
            Exception: what a CRITICAL attempt raised: the process must end.
        """
        wait_s, tries = WAIT_S, 0
        while True:
            try:
                found = await attempt()
            except Exception as error:
                kind = error.code if isinstance(error, SluiceError) else code
                if REGISTRY[kind].severity is ErrorSeverity.HIGH and tries < TRIES_AGAIN:
                    tries += 1
                    await self._wait(wait_s)
                    wait_s *= 2
                    continue
                self._failed(kind, part, error)
                return None
            self._degraded.pop(part, None)
            return found

    def _failed(self, code: str, part: str, error: Exception) -> None:
        severity = REGISTRY[code].severity
        said = str(error) if isinstance(error, SluiceError) else f"{code} {error!r}"
        if severity is ErrorSeverity.LOW:
            logger().info("failed", part=part, error=said)
            return
        is_news = part not in self._degraded
        self._degraded[part] = said
        if is_news:
            self._tell(self._alert(code, part, said, _TOLD_AS[severity]))
        if severity is ErrorSeverity.CRITICAL:
            raise error

    def _alert(self, code: str, part: str, said: str, severity: Severity) -> AlertRaised:
        return AlertRaised(
            at_ns=self._clock(),
            severity=severity,
            component=self._component,
            code=code,
            message=f"{part}: {said}",
            fields={"part": part, "resolution": REGISTRY[code].resolution},
        )
