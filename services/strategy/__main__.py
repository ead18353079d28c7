"""Run the strategy service: `python -m services.strategy --config var/run/config.json`."""

import sys
from collections.abc import Callable

from schemas.base import Event
from schemas.confirmations import ConfirmAsked, ConfirmRequest
from schemas.control import SessionAsked, SessionRequest
from schemas.subjects import CONFIRM, PAUSE, RESUME, STOP
from services.runtime.requests import RequestKind
from services.runtime.serve import Context, Service, serve
from services.strategy import commands
from services.strategy.alerts import SERVICE
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore

REQUESTS = {STOP: commands.STOP, PAUSE: commands.PAUSE, RESUME: commands.RESUME}


def build(context: Context) -> Service:
    """Return the service; the folders of your own strategies come first in the search."""
    config = context.settings.section("strategy", StrategyConfig)
    sys.path[:0] = config.folders
    core = StrategyCore(
        config,
        context.settings.account.id,
        context.settings.instruments,
        boot_id=context.boot_id,
    )
    requests: dict[str, RequestKind] = {
        subject: RequestKind(SessionRequest, _asked(action), action)
        for subject, action in REQUESTS.items()
    }
    requests[CONFIRM] = RequestKind(ConfirmRequest, _confirm, "confirm")
    return Service(core=core, requests=requests)


def main() -> None:
    """Serve until told to stop."""
    serve(SERVICE, build)


def _confirm(request_id: str, request: ConfirmRequest, now_ns: int) -> Event:
    return ConfirmAsked(at_ns=now_ns, request_id=request_id, request=request)


def _asked(action: str) -> Callable[[str, SessionRequest, int], Event]:
    def make(request_id: str, request: SessionRequest, now_ns: int) -> Event:
        return SessionAsked(at_ns=now_ns, request_id=request_id, action=action, request=request)

    return make


if __name__ == "__main__":
    main()
