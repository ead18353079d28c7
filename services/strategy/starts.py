"""Check a start request: everything that is wrong with it, in one answer (S-01)."""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId, Event, InstrumentId, SessionId
from schemas.bounds import WANTED_NUMBER, out_of_bounds
from schemas.control import StartRequest
from schemas.errors import FieldError
from schemas.instruments import Instrument, symbol_of
from schemas.sessions import SessionCreated
from services.session_limits import session_limits
from services.share_class import unit_of
from services.strategy.catalogue import STRATEGY, Catalogue, Own, slug_of
from services.strategy.config import StrategyConfig
from services.strategy.confirmations import MODES
from services.strategy.interface import Parameters, Strategy, needs_of, wanted_of
from services.strategy.mistakes import SAID_CHARS_MAX, said_by
from services.strategy.parameters import OVERRIDES, meant, parameters_of
from services.strategy.provider import missing, offered

SHARE_CLASSES = ("USDT", "ETH")
HASH_CHARS = 16
Checked = tuple[SessionCreated | None, list[FieldError]]


class Starts:
    """What a start may ask for here.

    Args:
        config: the service's own.
        account: whose sessions these are.
        instruments: all that are configured, by id.
        catalogue: every strategy there is.
        heard: the kinds of events that the service listens to.
        currency_values: what one unit of each currency is worth in the account's; None where
            another process has judged the capital.
    """

    def __init__(
        self,
        config: StrategyConfig,
        account: AccountId,
        instruments: Mapping[InstrumentId, Instrument],
        catalogue: Catalogue,
        heard: frozenset[type[Event]],
        currency_values: Mapping[str, Decimal] | None = None,
    ) -> None:
        self._config = config
        self._account = account
        self._instruments = instruments
        self._catalogue = catalogue
        self._heard = heard
        self._values = currency_values
        self._config_hash = hash_of(config)

    def check(self, request: StartRequest, start_id: str, number: int, at_ns: int) -> Checked:
        """Return the session that this request would make, or all that is wrong with it.

        A request without a strategy starts trading only: it makes no session, and may not name
        anything that a session would need.

        Raises:
            KeyboardInterrupt: a person's, or a strategy's own, in the middle of it.
        """
        if request.strategy is None:
            return None, _strays(request)
        symbols, found = self._symbols(request.symbols)
        strategy = self._catalogue.find(request.strategy)
        if isinstance(strategy, FieldError):
            found[:0] = self._catalogue.mistakes(request.strategy)
            parameters = None
        else:
            parameters, wrong = self._parameters(strategy, request, symbols)
            found += wrong
        limits, unfit = session_limits(request.risk_limits)
        unit, worthless = self._unit(request.share_class)
        found += [*_capital(request.initial_capital), *_words(request), *worthless, *unfit]
        found += _unbounded("$.risk_limits", limits)
        if found or parameters is None or request.initial_capital is None:
            return None, list(dict.fromkeys(found))
        created = SessionCreated(
            at_ns=at_ns,
            session=SessionId(f"{slug_of(request.strategy)}-{number}"),
            start_id=start_id,
            strategy=request.strategy,
            account=self._account,
            instruments=tuple(symbols),
            initial_capital=request.initial_capital,
            share_class=request.share_class,
            capital_unit=unit,
            execution_mode=request.execution_mode,
            parameters=msgspec.to_builtins(parameters),
            strategy_version=self._catalogue.version_of(request.strategy),
            operator=request.operator,
            risk_limits=limits,
            config_hash=self._config_hash,
        )
        return created, []

    def crowded(self, request: StartRequest, at_work: Sequence[SessionId]) -> list[FieldError]:
        """Return that there are as many sessions at work as there may be, if there are (S-11)."""
        limit = self._config.sessions_max
        if request.strategy is None or len(at_work) < limit:
            return []
        found = f"{len(at_work)} sessions at work"
        wanted = f"fewer than {limit} (strategy.sessions_max): stop one of {', '.join(at_work)}"
        return [FieldError(path=STRATEGY, found=found, wanted=wanted)]

    def _unit(self, share_class: str) -> tuple[Decimal, list[FieldError]]:
        """Return what the capital's unit is worth: where nobody has said, it is not one."""
        if self._values is None or share_class not in SHARE_CLASSES:
            return Decimal(1), []
        unit = unit_of(share_class, self._values)
        if unit is not None:
            return unit, []
        found = f"{share_class}, of which no value in the account's currency is known"
        wanted = f"gate.accounts.{self._account}.currency_values.{share_class}, or another class"
        return Decimal(1), [FieldError(path="$.share_class", found=found, wanted=wanted)]

    def _parameters(
        self,
        strategy: type[Strategy[Any]],
        request: StartRequest,
        symbols: Mapping[InstrumentId, Instrument],
    ) -> tuple[Parameters | Mapping[str, Any] | None, list[FieldError]]:
        name = request.strategy or ""
        configured = self._config.parameters.get(name, {})
        parameters: Parameters | Mapping[str, Any] | None
        if issubclass(strategy, Own):
            parameters, found = strategy.check(request)
        else:
            parameters, found = parameters_of(
                strategy.parameters_type, name, configured, request.config_overrides
            )
        if isinstance(parameters, Parameters):
            found += _unbounded(OVERRIDES, parameters) or [
                *_complaints(strategy, parameters, list(symbols.values())),
                *_untold(strategy, parameters, symbols),
            ]
        for kind in wanted_of(strategy):
            if kind not in self._heard:
                wanted = "its name in [strategy.classes], then a restart of the strategy service"
                said = f"{name} needs {kind.__name__}, which this service does not listen to"
                found.append(FieldError(path=STRATEGY, found=said, wanted=wanted))
        return parameters, found

    def _symbols(
        self, asked: tuple[str, ...]
    ) -> tuple[dict[InstrumentId, Instrument], list[FieldError]]:
        """Return the instruments asked for, by id, and each name that stands for none."""
        made: dict[InstrumentId, Instrument] = {}
        found: list[FieldError] = []
        if not asked:
            some = ", ".join(list(self._instruments)[:10])
            found.append(FieldError(path="$.symbols", found="none", wanted=f"some of {some}"))
        for index, name in enumerate(asked):
            path = f"$.symbols[{index}]"
            instrument = self._named(name, path)
            if isinstance(instrument, FieldError):
                found.append(instrument)
            elif instrument.id in made:
                said = f"{name}, a second time"
                found.append(FieldError(path=path, found=said, wanted="each instrument once"))
            else:
                made[instrument.id] = instrument
        return made, found

    def _named(self, name: str, path: str) -> Instrument | FieldError:
        if (exact := self._instruments.get(InstrumentId(name))) is not None:
            return exact
        same = [each for key, each in self._instruments.items() if symbol_of(key) == name]
        if len(same) == 1:
            return same[0]
        if same:
            which = " or ".join(each.id for each in same)
            return FieldError(path=path, found=name, wanted=f"one venue's: {which}")
        known = [*self._instruments, *dict.fromkeys(map(symbol_of, self._instruments))]
        wanted = "an instrument of the configuration (`sluice config show`)" + meant(name, known)
        return FieldError(path=path, found=name, wanted=wanted)


def _complaints(
    strategy: type[Strategy[Any]], parameters: Parameters, symbols: Sequence[Instrument]
) -> Sequence[FieldError]:
    """Return what is wrong with the parameters; a check that raises has found them wrong."""
    try:
        found: Sequence[Any] = strategy.complaints(parameters, symbols)
        return [each if isinstance(each, FieldError) else _worded(each) for each in found]
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        said = said_by(error, " when they were looked at")
        return [FieldError(path=OVERRIDES, found=said, wanted="parameters that can be looked at")]


def _worded(complaint: object) -> FieldError:
    """Return as it is told what a strategy's own check says in another form."""
    wanted = "what its check has nothing against; as FieldError it could say what"
    return FieldError(path=OVERRIDES, found=str(complaint)[:SAID_CHARS_MAX], wanted=wanted)


def _unbounded(path: str, value: Any) -> list[FieldError]:
    return [
        FieldError(path=where, found=str(number), wanted=WANTED_NUMBER)
        for where, number in out_of_bounds(path, value)
    ]


def _untold(
    strategy: type[Strategy[Any]],
    parameters: Parameters,
    symbols: Mapping[InstrumentId, Instrument],
) -> list[FieldError]:
    """Return every kind of data that the session would ask for and no configured feed tells."""
    try:
        needs = needs_of(strategy, parameters, list(symbols.values()))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        said = said_by(error, " when it was asked what it needs")
        return [FieldError(path=STRATEGY, found=said, wanted="a strategy that says what it needs")]
    places = {key: f"$.symbols[{index}]" for index, key in enumerate(symbols)}
    return [
        FieldError(path=places[key], found=offered(symbols[key]), wanted=f"{kind} of it")
        for key, kind in missing(needs, symbols)
    ]


def _strays(request: StartRequest) -> list[FieldError]:
    """Return what was given although no session is asked for."""
    given = {
        "symbols": request.symbols,
        "initial_capital": request.initial_capital,
        "config_overrides": request.config_overrides,
        "risk_limits": request.risk_limits,
    }
    return [
        FieldError(
            path=f"$.{name}", found=str(value), wanted="a strategy to go with it, or nothing"
        )
        for name, value in given.items()
        if value not in (None, (), {})
    ]


def _capital(capital: Decimal | None) -> list[FieldError]:
    if capital is not None and capital.is_finite() and capital > 0:
        return _unbounded("$.initial_capital", capital)
    said = "nothing" if capital is None else str(capital)
    return [FieldError(path="$.initial_capital", found=said, wanted="a decimal number above 0")]


def _words(request: StartRequest) -> list[FieldError]:
    found: list[FieldError] = []
    if request.share_class not in SHARE_CLASSES:
        wanted = " or ".join(SHARE_CLASSES)
        found.append(FieldError(path="$.share_class", found=request.share_class, wanted=wanted))
    mode = request.execution_mode
    if mode not in MODES:
        wanted = f"one of {', '.join(MODES)}" + meant(mode, list(MODES))
        found.append(FieldError(path="$.execution_mode", found=mode, wanted=wanted))
    return found


def hash_of(config: StrategyConfig) -> str:
    """Return what names this configuration: equal where every field of it is."""
    canonical = msgspec.json.encode(config, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:HASH_CHARS]
