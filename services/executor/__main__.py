"""Run the executor: `python -m services.executor --config run/config.json`."""

from schemas import subjects
from schemas.reconciliation import ReconcileAsked, ReconcileRequest
from schemas.restrictions import FlattenAsked, FlattenRequest
from services.control import ControlGuard
from services.executor.config import ExecutorConfig
from services.executor.core import ExecutorCore
from services.executor.venues.paper_client import PaperClient
from services.runtime.live import RequestKind
from services.runtime.serve import Context, Service, serve
from services.venue_door import address_file


def _flatten(request_id: str, request: FlattenRequest, now_ns: int) -> FlattenAsked:
    return FlattenAsked(at_ns=now_ns, request_id=request_id, request=request)


def _reconcile(request_id: str, request: ReconcileRequest, now_ns: int) -> ReconcileAsked:
    return ReconcileAsked(at_ns=now_ns, request_id=request_id, request=request)


REQUESTS = {
    subjects.FLATTEN: RequestKind(FlattenRequest, _flatten, "flatten"),
    subjects.RECONCILE: RequestKind(ReconcileRequest, _reconcile, "reconcile"),
}


def build(context: Context) -> Service:
    """Return the executor: its core, its guard, and the adapter to the paper exchange."""
    settings = context.settings
    account = settings.account
    config = settings.section("executor", ExecutorConfig)
    guard = ControlGuard("executor", context.boot_id, settings.limits_hash)
    core = ExecutorCore(config, account.id, settings.instruments, account.initial_cash, guard)
    adapter = PaperClient(
        config,
        address_file(settings.data_dir),
        may_send=core.may_send,
        lock=context.lock,
        clock=context.clock,
    )
    return Service(
        core=core,
        adapter=adapter,
        requests=REQUESTS,
        guard=guard,
        why_not_ready=core.why_not_ready,
    )


def main() -> None:
    """Serve until told to stop."""
    serve("executor", build)


if __name__ == "__main__":
    main()
