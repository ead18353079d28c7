"""Run the strategy service: `python -m services.strategy --config var/run/config.json`."""

import sys
from collections.abc import Callable
from decimal import Decimal
from functools import partial

import msgspec

from schemas.base import Event
from schemas.confirmations import ConfirmAsked, ConfirmRequest
from schemas.control import SessionAsked, SessionRequest, StartRequest
from schemas.errors import UserError
from schemas.results import StrategyTerms
from schemas.subjects import CONFIRM, PAUSE, RESUME, STOP
from services.prerequisites.config import Mode
from services.prerequisites.gather import Sources, sources_of
from services.prerequisites.reader import PrerequisiteReader
from services.prerequisites.real_money import RealMoney
from services.runtime.adapters import Adapters
from services.runtime.requests import RequestKind
from services.runtime.serve import Context, Service, serve
from services.runtime.settings import Settings
from services.strategy import commands
from services.strategy.alerts import SERVICE
from services.strategy.background import why_not_ready
from services.strategy.catalogue import Catalogue, catalogue_of
from services.strategy.config import StrategyConfig
from services.strategy.isolated.children import Children
from services.strategy.isolated.loading import isolated
from services.strategy.manager import ManagerCore
from services.strategy.measured import Measured, MeasureTerms
from services.strategy.recording import SessionRecords
from services.strategy.starts import Starts

REQUESTS = {STOP: commands.STOP, PAUSE: commands.PAUSE, RESUME: commands.RESUME}


class _Row(msgspec.Struct, frozen=True):
    currency_values: dict[str, Decimal] = {}


class _Gate(msgspec.Struct, frozen=True):
    accounts: dict[str, _Row] = {}


def build(context: Context) -> Service:
    """Return the service; the folders of your own strategies come first in the search."""
    settings = context.settings
    config = _sliced(settings)
    sys.path[:0] = config.folders
    sources = sources_of(settings)
    account, known, clock = settings.account.id, settings.instruments, context.clock
    catalogue = catalogue_of(config)
    measured = _measured_by(settings, sources)
    zygote = isolated(catalogue, config, account, known)
    core = ManagerCore(
        config,
        account,
        known,
        boot_id=context.boot_id,
        catalogue=catalogue,
        real_money=RealMoney(sources.live, sources.environment, account),
        currency_values=measured.currency_values,
        worth_of=measured.currency_values.get,
    )
    requests: dict[str, RequestKind] = {
        subject: RequestKind(SessionRequest, _asked(action), action)
        for subject, action in REQUESTS.items()
    }
    requests[CONFIRM] = RequestKind(ConfirmRequest, _confirm, "confirm")
    terms_of = partial(_terms, catalogue, core.starts)
    reader = PrerequisiteReader(context.connection, sources, terms_of, clock)
    children = Children(zygote, config, account, known, clock, measured.currency_values)
    records = SessionRecords(sources.repository, settings.data_dir, SERVICE, clock)
    return Service(
        core=Measured(core, measured),
        requests=requests,
        adapter=Adapters(children, records, reader),
        why_not_ready=partial(why_not_ready, children.background, records.background),
        degraded=lambda: "; ".join(filter(None, (records.degraded, children.degraded))),
    )


def main() -> None:
    """Serve until told to stop."""
    serve(SERVICE, build)


def _sliced(settings: Settings) -> StrategyConfig:
    """Return the part of the configuration that strategies run with.

    Raises:
        UserError: LTS-002 something in it is wrong; a person mends it.
    """
    try:
        return settings.section("strategy", StrategyConfig)
    except UserError as error:
        raise UserError("LTS-002", **error.fields) from error


def _measured_by(settings: Settings, sources: Sources) -> MeasureTerms:
    row = settings.section("gate", _Gate).accounts.get(settings.account.id, _Row())
    return MeasureTerms(
        instruments=settings.instruments,
        currency_values={settings.account.currency: Decimal(1)} | row.currency_values,
        is_paper=sources.live.mode is Mode.PAPER,
    )


def _terms(catalogue: Catalogue, starts: Starts, request: StartRequest) -> StrategyTerms:
    """Return what this start would run with; without instruments where it cannot be made."""
    created, _ = starts.check(request, "", 1, 0)
    return StrategyTerms(
        strategy=request.strategy or "",
        strategy_version=catalogue.version_of(request.strategy or ""),
        parameters={} if created is None else created.parameters,
        instruments=() if created is None else created.instruments,
        share_class=request.share_class,
    )


def _confirm(request_id: str, request: ConfirmRequest, now_ns: int) -> Event:
    return ConfirmAsked(at_ns=now_ns, request_id=request_id, request=request)


def _asked(action: str) -> Callable[[str, SessionRequest, int], Event]:
    def make(request_id: str, request: SessionRequest, now_ns: int) -> Event:
        return SessionAsked(at_ns=now_ns, request_id=request_id, action=action, request=request)

    return make


if __name__ == "__main__":
    main()
