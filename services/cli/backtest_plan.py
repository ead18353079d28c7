"""From what a person typed to the plan of a backtest: everything is checked before it begins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from schemas.base import NS_PER_S, AccountId, InstrumentId
from schemas.bounds import WANTED_NUMBER, is_bounded
from schemas.errors import FieldError, UserError
from schemas.instruments import DataKind, Instrument
from services.backtest.data import DataTerms, hash_of, source_of, with_hours
from services.backtest.run import Plan
from services.breaker.config import BreakerConfig
from services.cli.config_environment import coerced
from services.cli.config_resolve import (
    Config,
    ConfigError,
    chosen_symbols,
    document,
    load_config,
    sized,
)
from services.cli.locate import Place
from services.cli.own_strategies import search
from services.executor.config import ExecutorConfig, VenueConfig
from services.gate.config import GateConfig
from services.gate.config_market import (
    DEFAULT,
    ExtendedHours,
    LimitTier,
    MarketRules,
    MarketWide,
    ShortSaleRule,
)
from services.runtime.config import BusConfig
from services.strategy.catalogue import STRATEGY, catalogue_of
from services.strategy.config import StrategyConfig

ACCOUNT = AccountId("backtest")
REFERENCE = InstrumentId("usa:SPY")
"""Whose daily prices stand for the S&P 500: its fall from the close before halts the market."""

FOLLOWED = frozenset({DataKind.TRADES, DataKind.BARS})
"""What tells what a reference trades at: a quote does not."""

ASSUMED: dict[str, Any] = {
    "extended_hours": ExtendedHours.NONE,
    "luld_tier": LimitTier.NONE,
    "market_wide": MarketWide.US,
    "short_sale_rule": ShortSaleRule.NONE,
}
"""Rules of US equities that a live system must be told, where the configuration says nothing: bars
show no bands, and no trades to compute them from."""

ARGUMENT = "STRATEGY"
"""As the usage of the command calls it."""

DAILY_NS = 86_400 * NS_PER_S


@Parameter(name="*")
@dataclass(frozen=True)
class Wish:
    """What is played, and by which terms."""

    data: Annotated[
        list[str] | None,
        Parameter(negative=(), help="A recording or a folder; more are merged. None: simulated."),
    ] = None
    symbols: Annotated[str | None, Parameter(help="Instruments, with commas; else all.")] = None
    capital: Annotated[str, Parameter(help="Cash to begin with.")] = "100000"
    since: Annotated[str | None, Parameter(name="--from", help="First date (or time), in UTC.")] = (
        None
    )
    until: Annotated[str | None, Parameter(name="--to", help="Last date (or time).")] = None
    sets: Annotated[
        list[str] | None,
        Parameter(name="--set", negative=(), help="PARAMETER=VALUE, as often as needed."),
    ] = None
    seed: Annotated[int, Parameter(help="Of the simulated market and of the venue's chance.")] = 1
    hours: Annotated[float, Parameter(help="Of the simulated market.")] = 1.0
    config: Annotated[Path | None, Parameter(help="The configuration file.")] = None
    settings: Annotated[
        list[str] | None,
        Parameter(name="--setting", negative=(), help="SECTION.FIELD=VALUE, as often as needed."),
    ] = None


def plan_of(strategy: str, wish: Wish, place: Place) -> tuple[Plan, Config]:
    """Return the plan, and the configuration it was made with.

    Raises:
        ConfigError: the configuration, a date, an amount or a name is wrong.
        UserError: the data cannot be read.
    """
    options: dict[str, tuple[tuple[str, ...], Any]] = {
        "--seed": (("venue", "seed"), wish.seed),
    }
    if place.data_dir is not None:
        options["--data-dir"] = (("paths", "data_dir"), str(place.data_dir))
    names = [each.strip() for each in (wish.symbols or "").split(",") if each.strip()]
    options["--symbols"] = (("up", "symbols"), names)
    config = load_config(wish.config, options, wish.settings or ())
    data, capital = _data(wish), _capital(wish.capital)
    source = source_of(data)
    known = sized(config, {each.id: with_hours(each) for each in source.instruments()}, "--data")
    symbols = _symbols(config, known)
    currency = _currency(config, [each for each in known if each.id in symbols])
    account = {"id": ACCOUNT, "currency": currency, "initial_cash": str(capital)}
    sections = document(config, known, account, BusConfig(url=""))
    gate = msgspec.convert(sections["gate"], GateConfig)
    is_followed = source.silence_ns >= DAILY_NS and _is_followed(known, symbols)
    strategies = msgspec.convert(sections["strategy"], StrategyConfig)
    search(strategies)
    _check_strategy(strategy, strategies)
    return Plan(
        strategy=strategy,
        data=data,
        data_hash=hash_of(data),
        instruments=known,
        symbols=symbols,
        account=ACCOUNT,
        currency=currency,
        capital=capital,
        gate=_assuming(gate, is_followed=is_followed),
        strategies=strategies,
        executor=msgspec.convert(sections["executor"], ExecutorConfig),
        venue=msgspec.convert(sections["venue"], VenueConfig),
        breaker=_timeless(msgspec.convert(sections["breaker"], BreakerConfig)),
        parameters=parameters_of(strategy, strategies, wish.sets or ()),
    ), config


def assumptions(plan: Plan) -> list[str]:
    """Return what nobody has chosen and this backtest takes for granted, for people."""
    found = []
    row = plan.gate.market[DEFAULT]
    is_us = any(each.calendar == "XNYS" for each in _chosen(plan))
    if is_us and all(getattr(row, name) == each for name, each in ASSUMED.items()):
        found.append("US market rules: regular hours, market-wide halts, no bands, no rule 201")
    fees = (plan.venue.maker_fee_bps, plan.venue.taker_fee_bps)
    own = any(each.maker_fee_bps or each.taker_fee_bps for each in _chosen(plan))
    if not own and not any(fees):
        found.append("no fees: --setting venue.taker_fee_bps=1 and venue.maker_fee_bps=0 set them")
    if not plan.venue.latency_ms:
        found.append("no latency: --setting venue.latency_ms=50 sets it")
    return found


def parameters_of(name: str, strategies: StrategyConfig, sets: Sequence[str]) -> dict[str, Any]:
    """Return `name=value` texts as values of the strategy's own types.

    A name that it does not have stays a text; the start then says what is wrong with it.

    Raises:
        ConfigError: a text is none of `name=value`.
    """
    strategy = catalogue_of(strategies).find(name)
    kinds: dict[str, Any] = {}
    if not isinstance(strategy, FieldError):
        kinds = {each.name: each.type for each in msgspec.structs.fields(strategy.parameters_type)}
    found: dict[str, Any] = {}
    for text in sets:
        field, equals, value = text.partition("=")
        if not equals or not field.strip():
            raise _wrong("--set", repr(text), "name=value")
        field = field.strip()
        found[field] = coerced(value, kinds[field]) if field in kinds else value
    return found


def _data(wish: Wish) -> DataTerms:
    from_ns = _moment("--from", wish.since, 0, is_end=False)
    to_ns = _moment("--to", wish.until, 1 << 62, is_end=True)
    if from_ns >= to_ns:
        wanted = f"a time before --to {wish.until}"
        raise _wrong("--from", str(wish.since), wanted)
    if not wish.hours > 0:
        raise _wrong("--hours", str(wish.hours), "a number above 0")
    paths = tuple(str(Path(each).expanduser().resolve()) for each in wish.data or ())
    return DataTerms(paths=paths, from_ns=from_ns, to_ns=to_ns, seed=wish.seed, hours=wish.hours)


def _moment(option: str, text: str | None, default_ns: int, *, is_end: bool) -> int:
    """Return a date or a time, in UTC where it does not say; a date ends with its last ns."""
    if text is None:
        return default_ns
    try:
        if len(text) == len("2020-01-01"):
            moment = datetime.combine(date.fromisoformat(text), time(), UTC)
            moment += timedelta(days=1) if is_end else timedelta()
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        wanted = "a date like 2020-03-16, or a time like 2020-03-16T14:30"
        raise _wrong(option, repr(text), wanted) from error
    return round(moment.timestamp()) * NS_PER_S


def _capital(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation as error:
        raise _wrong("--capital", repr(text), "an amount above 0") from error
    if not (found.is_finite() and found > 0):
        raise _wrong("--capital", text, "an amount above 0")
    if not is_bounded(found):
        raise _wrong("--capital", text, WANTED_NUMBER)
    return found


def _symbols(config: Config, known: Sequence[Instrument]) -> tuple[InstrumentId, ...]:
    most = config.up.symbols_max
    if not config.up.symbols and len(known) > most:
        some = ", ".join(each.symbol for each in known[:3])
        wanted = f"--symbols with some of them, like {some}"
        raise _wrong("--symbols", f"none, and {len(known)} instruments in the data", wanted)
    return chosen_symbols(config, known)


def _currency(config: Config, chosen: Sequence[Instrument]) -> str:
    currencies = sorted({each.currency for each in chosen})
    named = config.account.currency
    if not named and len(currencies) > 1:
        wanted = "instruments of one currency, or account.currency in the configuration"
        raise _wrong("--symbols", "instruments in " + ", ".join(currencies), wanted)
    return named or currencies[0]


def _check_strategy(name: str, strategies: StrategyConfig) -> None:
    """Refuse what no strategy stands for here: a refused start would be told as one sentence.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    if wrong := catalogue_of(strategies).mistakes(name):
        raise ConfigError(
            [
                msgspec.structs.replace(each, path=ARGUMENT) if each.path == STRATEGY else each
                for each in wrong
            ]
        )


def _chosen(plan: Plan) -> list[Instrument]:
    return [each for each in plan.instruments if each.id in plan.symbols]


def _assuming(gate: GateConfig, *, is_followed: bool) -> GateConfig:
    """Return the gate with rules of US markets where nobody has chosen any."""
    row = gate.market.get(DEFAULT, MarketRules())
    chosen = {name: each for name, each in ASSUMED.items() if getattr(row, name) is None}
    rows = gate.market | {DEFAULT: msgspec.structs.replace(row, **chosen)}
    references = gate.market_references
    if is_followed and not references:
        references = {"XNYS": REFERENCE}
    return msgspec.structs.replace(gate, market=rows, market_references=references)


def _is_followed(known: Sequence[Instrument], symbols: Sequence[InstrumentId]) -> bool:
    """Return whether the reference is played, and with what the gate can follow it by."""
    found = [each for each in known if each.id == REFERENCE and each.id in symbols]
    return any(not each.offers or FOLLOWED & set(each.offers) for each in found)


def _timeless(config: BreakerConfig) -> BreakerConfig:
    """Return the breakers but one: a recording has gaps that are nobody's fault."""
    return msgspec.structs.replace(config, levels=config.levels | {"stale_data": ()})


def _wrong(path: str, found: str, wanted: str) -> UserError:
    return ConfigError([FieldError(path=path, found=found, wanted=wanted)])
