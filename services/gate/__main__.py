"""Run the gate: `python -m services.gate --config run/config.json`."""

from schemas import subjects
from schemas.confirmations import ConfirmAsked, ConfirmRequest
from schemas.limits import LimitsAsked, LimitsRequest
from services.control import ControlGuard
from services.gate.books import BookQuery
from services.gate.config import GateConfig
from services.gate.core import GateCore
from services.runtime.live import RequestKind
from services.runtime.serve import Context, Service, serve


def _limits(request_id: str, request: LimitsRequest, now_ns: int) -> LimitsAsked:
    return LimitsAsked(at_ns=now_ns, request_id=request_id, request=request)


def _confirm(request_id: str, request: ConfirmRequest, now_ns: int) -> ConfirmAsked:
    return ConfirmAsked(at_ns=now_ns, request_id=request_id, request=request)


REQUESTS = {
    subjects.LIMITS: RequestKind(LimitsRequest, _limits, "limits"),
    # The strategy service answers; the gate only hears who confirmed what, from the person itself.
    subjects.CONFIRM: RequestKind(ConfirmRequest, _confirm, "confirm", is_answered=False),
}


def build(context: Context) -> Service:
    """Return the gate: its core, its guard, and the way to ask the executor for its book."""
    settings = context.settings
    guard = ControlGuard("gate", context.boot_id, settings.limits_hash)
    core = GateCore(settings.section("gate", GateConfig), settings.instruments, guard)
    return Service(core=core, adapter=BookQuery(context.connection), requests=REQUESTS, guard=guard)


def main() -> None:
    """Serve until told to stop."""
    serve("gate", build)


if __name__ == "__main__":
    main()
