"""Run the reports service: `python -m services.recorder.queries --config run/config.json`."""

from schemas.reports import TermsDeclared
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.core import SERVICE, ReportsCore
from services.runtime.serve import Context, Service, serve


def build(context: Context) -> Service:
    """Return the service: its core."""
    settings = context.settings
    config = settings.section("reports", ReportsConfig)
    terms = TermsDeclared(
        at_ns=0,
        account=settings.account.id,
        currency=settings.account.currency,
        initial_cash=settings.account.initial_cash,
        calendar=config.calendar,
        instruments=tuple(settings.instruments.values()),
    )
    core = ReportsCore(terms, uptime_every_s=config.uptime_every_s)
    return Service(core=core)


def main() -> None:
    """Serve until told to stop."""
    serve(SERVICE, build, niceness=10)


if __name__ == "__main__":
    main()
