"""Run the reports service: `python -m services.recorder.queries --config run/config.json`."""

from decimal import Decimal

import msgspec

from schemas.reports import ReportAsked, ReportRequest, TermsDeclared
from schemas.subjects import REPORT
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.core import REQUEST, SERVICE, ReportsCore
from services.recorder.queries.serving import Serving
from services.runtime.requests import RequestKind
from services.runtime.serve import Context, Service, serve
from services.runtime.settings import Settings


class _AccountPart(msgspec.Struct):
    currency_values: dict[str, Decimal] = {}


class _GatePart(msgspec.Struct):
    """What is read of the gate's section here; the gate checks all of it."""

    accounts: dict[str, _AccountPart] = {}


def build(context: Context) -> Service:
    """Return the service: its core, and the hands that read the record."""
    settings = context.settings
    config = settings.section("reports", ReportsConfig)
    terms = TermsDeclared(
        at_ns=0,
        account=settings.account.id,
        currency=settings.account.currency,
        initial_cash=settings.account.initial_cash,
        calendar=config.calendar,
        instruments=tuple(settings.instruments.values()),
        currency_values=_currency_values(settings),
    )
    core = ReportsCore(terms, uptime_every_s=config.uptime_every_s)
    serving = Serving(
        context.connect,
        clock=context.clock,
        config=config,
        data_dir=settings.data_dir,
        account=settings.account.id,
    )
    asked = RequestKind(ReportRequest, _asked, REQUEST)
    return Service(
        core=core,
        adapter=serving,
        requests={REPORT: asked},
        why_not_ready=core.why_not_ready,
    )


def _currency_values(settings: Settings) -> dict[str, Decimal]:
    """Return what the gate counts other currencies for: figures must not know better."""
    row = settings.section("gate", _GatePart).accounts.get(settings.account.id)
    return {} if row is None else row.currency_values


def _asked(request_id: str, request: ReportRequest, now_ns: int) -> ReportAsked:
    return ReportAsked(at_ns=now_ns, request_id=request_id, request=request)


def main() -> None:
    """Serve until told to stop."""
    serve(SERVICE, build, niceness=10)


if __name__ == "__main__":
    main()
