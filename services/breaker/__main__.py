"""Run the breaker service: `python -m services.breaker --config run/config.json`."""

from schemas import subjects
from schemas.breakers import BreakerAsked, BreakerRequest
from schemas.control import ResetAsked, ResetRequest, StartAsked, StartRequest
from schemas.restrictions import UnlockAsked, UnlockRequest
from services.breaker.config import BreakerConfig
from services.breaker.control_stream import ControlStream
from services.breaker.core import BreakerCore
from services.breaker.valuation import AccountTerms
from services.runtime.live import RequestKind
from services.runtime.serve import Context, Service, serve


def _start(request_id: str, request: StartRequest, now_ns: int) -> StartAsked:
    return StartAsked(at_ns=now_ns, start_id=request_id, request=request)


def _reset(request_id: str, request: ResetRequest, now_ns: int) -> ResetAsked:
    return ResetAsked(at_ns=now_ns, request_id=request_id, request=request)


def _breaker(request_id: str, request: BreakerRequest, now_ns: int) -> BreakerAsked:
    return BreakerAsked(at_ns=now_ns, request_id=request_id, request=request)


def _unlock(request_id: str, request: UnlockRequest, now_ns: int) -> UnlockAsked:
    return UnlockAsked(at_ns=now_ns, request_id=request_id, request=request)


REQUESTS = {
    subjects.BREAKER: RequestKind(BreakerRequest, _breaker, "breaker"),
    subjects.START: RequestKind(StartRequest, _start, "start"),
    subjects.RESET: RequestKind(ResetRequest, _reset, "reset"),
    subjects.UNLOCK: RequestKind(UnlockRequest, _unlock, "unlock"),
}


def build(context: Context) -> Service:
    """Return the breaker service: its core, and the adapter to the CONTROL stream."""
    settings = context.settings
    config = settings.section("breaker", BreakerConfig)
    account = AccountTerms(
        id=settings.account.id,
        initial_cash=settings.account.initial_cash,
        instruments=settings.instruments,
    )
    core = BreakerCore(config, account, boot_id=context.boot_id, limits_hash=settings.limits_hash)
    stream = ControlStream(
        context.connection,
        context.connect,
        clock=context.clock,
        position=lambda: core.control_place,
        data_dir=settings.data_dir,
        store_ms_max=config.store_ms_max,
    )
    return Service(
        core=core,
        adapter=stream,
        requests=REQUESTS,
        why_not_ready=lambda: core.why_not_ready(context.clock()),
    )


def main() -> None:
    """Serve until told to stop."""
    serve("breaker", build)


if __name__ == "__main__":
    main()
