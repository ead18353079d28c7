"""Ask everybody who knows: repository, gate, executor, recorder, and the clients' own doors."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from schemas.base import AccountId
from schemas.errors import SluiceError
from schemas.executions import BookReported
from schemas.health import GateReported, RecorderReported
from schemas.prerequisites import Check
from schemas.results import BacktestResult, PaperDay, StrategyTerms
from services.prerequisites.checks import Facts, judged
from services.prerequisites.clients import client_checks
from services.prerequisites.config import Endpoint, LiveConfig, Mode
from services.repository.config import RepositoryConfig, opened
from services.repository.kinds import BACKTESTS, PAPER_DAYS
from services.repository.repository import Where
from services.runtime.settings import Settings
from services.venue_door import address_file, probed, read_address

GATHER_TIMEOUT_S = 1.5
"""Less than the arbiter waits for an answer to a start (`breaker.prepare_ms_max`)."""

ACCOUNT_LIMITS = ("gross_notional_max", "net_notional_max", "currency_values")
INSTRUMENT_LIMITS = (
    "order_quantity_max",
    "order_notional_max",
    "position_quantity_max",
    "position_notional_max",
    "price_collar_bps",
)
NOT_IN_TIME = Check(
    name="time",
    is_ok=False,
    found=f"the checks took longer than {GATHER_TIMEOUT_S:g} s",
    needed="an answer of every service and client by then",
)

Ask = Callable[[str, type[Any]], Awaitable[Any]]
"""Asks a service for its report, by name and type; None where it does not answer."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are read."""

    live: LiveConfig
    repository: RepositoryConfig
    data_dir: Path
    account: AccountId
    environment: str
    """`dev`, `staging` or `prod`."""

    profile: str
    """Of the breakers, as configured."""


class _System(msgspec.Struct, frozen=True):
    environment: str = ""


class _Breaker(msgspec.Struct, frozen=True):
    profile: str = ""


def sources_of(settings: Settings) -> Sources:
    """Return where things are read, by the configuration that the processes run with."""
    return Sources(
        live=settings.section("live", LiveConfig),
        repository=settings.section("repository", RepositoryConfig),
        data_dir=settings.data_dir,
        account=settings.account.id,
        environment=settings.section("system", _System).environment,
        profile=settings.section("breaker", _Breaker).profile,
    )


async def gathered(
    strategy: str | None,
    version: str,
    sources: Sources,
    ask: Ask,
    terms: StrategyTerms | None = None,
) -> tuple[Check, ...]:
    """Return every check for a start of this strategy; what does not answer in time fails.

    Args:
        strategy: None: of trading with the sessions that there are.
        version: of the strategy as it is now.
        sources: where things are read.
        ask: asks a service for its report.
        terms: what the start would run with; None where no start is asked for.
    """
    try:
        async with asyncio.timeout(GATHER_TIMEOUT_S):
            return await _all(strategy, version, sources, ask, terms)
    except TimeoutError:
        return (NOT_IN_TIME,)


async def _all(
    strategy: str | None, version: str, sources: Sources, ask: Ask, terms: StrategyTerms | None
) -> tuple[Check, ...]:
    live = sources.live
    clients = client_checks(strategy or "", live, sources.data_dir)
    if live.mode is Mode.PAPER and not live.account:
        return await clients
    found = await asyncio.gather(
        _stored(strategy or "", sources),
        ask("gate", GateReported),
        ask("executor", BookReported),
        ask("recorder", RecorderReported),
        _order_venue(sources),
        clients,
    )
    (backtests, days), gate, book, recorder, venue, checks = found
    facts = Facts(
        strategy=strategy or "",
        version=version,
        terms=terms,
        backtests=backtests,
        days=days,
        limits_missing=None if gate is None else limits_missing(gate, sources.account),
        broker=None if book is None else (book.is_reconciled, book.detail),
        durable=None if recorder is None else (recorder.is_durable, recorder.detail),
        profile=sources.profile,
    )
    rows = judged(facts, live)
    if strategy is None:  # its sessions were checked when each was started
        rows = tuple(row for row in rows if row.name not in OF_A_STRATEGY)
        checks = tuple(check for check in checks if check.name != "clients")
    return (*rows, venue, *checks)


OF_A_STRATEGY = ("strategy_version", "backtest_sharpe", "paper_days")


async def _stored(
    strategy: str, sources: Sources
) -> tuple[tuple[BacktestResult, ...] | None, tuple[PaperDay, ...] | None]:
    try:
        repository = await opened(sources.repository, sources.data_dir)
    except SluiceError:
        return None, None
    try:
        where = Where(strategy=strategy)
        backtests = await repository.find(BACKTESTS, where)
        days = await repository.find(PAPER_DAYS, where)
    except SluiceError:
        return None, None
    finally:
        await repository.close()
    return tuple(backtests), tuple(days)


async def _order_venue(sources: Sources) -> Check:
    """Ask the very door that the executor sends orders through what is behind it."""
    needed = f"{Endpoint.PRODUCTION}: an adapter that sends orders to a real venue"
    try:
        address = read_address(address_file(sources.data_dir))
        welcome = await probed(address, sources.live.client_timeout_ms / 1_000)
    except SluiceError as error:
        found = str(error.fields.get("found", error))
        return Check(name="order_venue", is_ok=False, found=found, needed=needed)
    is_ok = welcome.is_ok and welcome.environment == Endpoint.PRODUCTION
    found = welcome.environment or welcome.detail or "it did not say"
    return Check(name="order_venue", is_ok=is_ok, found=found, needed=needed)


def limits_missing(gate: GateReported, account: str) -> tuple[str, ...]:
    """Return the limits that real money needs and that nobody has chosen."""
    row = gate.limits.get("accounts", {}).get(account)
    if row is None:
        return (f"gate.accounts.{account}",)
    default = gate.limits.get("default", {})
    missing = [f"gate.accounts.{account}.{name}" for name in ACCOUNT_LIMITS if not row.get(name)]
    missing += [f"gate.default.{name}" for name in INSTRUMENT_LIMITS if not default.get(name)]
    return tuple(missing)
