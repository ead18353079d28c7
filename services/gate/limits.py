"""The limits in force for one instrument of one account, gathered once from the configuration."""

from decimal import Decimal
from typing import Any, Generic, NoReturn, TypeVar

from schemas.base import AccountId
from schemas.errors import FieldError
from schemas.instruments import Instrument
from services.gate.config import AccountLimits, GateConfig, InstrumentLimits
from services.gate.config_groups import OnExcess
from services.gate.dynamic_limits_paths import numbers_in

_T = TypeVar("_T", Decimal, int)


class LimitMissingError(Exception):
    """A check read a limit that nobody has chosen: the signal is denied."""

    def __init__(self, name: str, wanted: str) -> None:
        self.name = name
        self.wanted = wanted
        super().__init__(f"no limit {name}: set {wanted}")


class Bound(Generic[_T]):
    """One limit and its text: readings show it in every decision, so it is made once."""

    __slots__ = ("text", "value")

    def __init__(self, value: _T) -> None:
        self.value: _T = value
        self.text = str(value)


class Limits:
    """Every limit of one instrument of one account.

    Reading a limit that nobody has chosen raises `LimitMissingError`: no check can forget to ask
    whether it is there.

    Args:
        config: the rows.
        account: whose row is read.
        instrument: whose row is read, before the default one.
        bounds: limits made for other instruments. Equal ones are shared, so that a decision
            finds them in the processor's cache however many instruments there are.
    """

    __slots__ = (
        "_bounds",
        "_missing",
        "account_messages_max",
        "account_period_notional_max",
        "account_period_quantity_max",
        "cancel_messages_reserved",
        "credit_limit_max",
        "currency_value",
        "duplicate_window_ms",
        "execution_window_ms",
        "gross_notional_max",
        "is_reduced",
        "message_window_ms",
        "net_notional_max",
        "order_notional_max",
        "order_quantity_max",
        "period_collar_bps",
        "period_ms",
        "position_notional_max",
        "position_quantity_max",
        "price_collar_bps",
        "session_gross_notional_max",
        "session_messages_max",
        "session_period_notional_max",
        "session_period_quantity_max",
        "session_position_notional_max",
        "signal_life_ms_max",
        "spread_bps_max",
        "stale_after_ms",
        "strategy_executions_max",
        "strategy_messages_max",
        "venue_messages_max",
    )
    order_quantity_max: Bound[Decimal]
    order_notional_max: Bound[Decimal]
    position_quantity_max: Bound[Decimal]
    position_notional_max: Bound[Decimal]
    price_collar_bps: Bound[Decimal]
    spread_bps_max: Bound[Decimal]
    stale_after_ms: Bound[int]
    gross_notional_max: Bound[Decimal]
    net_notional_max: Bound[Decimal]
    session_position_notional_max: Bound[Decimal]
    session_gross_notional_max: Bound[Decimal]
    session_messages_max: Bound[int]
    account_messages_max: Bound[int]
    message_window_ms: Bound[int]
    signal_life_ms_max: Bound[int]
    period_collar_bps: Bound[Decimal]
    session_period_quantity_max: Bound[Decimal]
    account_period_quantity_max: Bound[Decimal]
    period_ms: Bound[int]
    session_period_notional_max: Bound[Decimal]
    account_period_notional_max: Bound[Decimal]
    strategy_messages_max: Bound[int]
    venue_messages_max: Bound[int]
    cancel_messages_reserved: Bound[int]
    duplicate_window_ms: Bound[int]
    strategy_executions_max: Bound[int]
    execution_window_ms: Bound[int]
    credit_limit_max: Bound[Decimal]
    currency_value: Bound[Decimal]

    def __init__(
        self,
        config: GateConfig,
        account: AccountId,
        instrument: Instrument,
        bounds: dict[str, Bound[Any]],
    ) -> None:
        row = config.accounts.get(account, AccountLimits())
        own = config.instruments.get(instrument.id, InstrumentLimits())
        self._missing: dict[str, str] = {}
        self._bounds = bounds
        for name in numbers_in(InstrumentLimits):
            chosen = getattr(own, name)
            chosen = getattr(config.default, name) if chosen is None else chosen
            wanted = f'gate.instruments."{instrument.id}".{name} or gate.default.{name}'
            self._take(name, chosen, wanted)
        for name in numbers_in(AccountLimits):
            self._take(name, getattr(row, name), f"gate.accounts.{account}.{name}")
        excess = own.on_excess or config.default.on_excess or row.on_excess
        self.is_reduced = excess is OnExcess.REDUCE
        """Whether an order over a limit is made smaller instead of denied."""

        value = row.currency_values.get(instrument.currency)
        path = f"gate.accounts.{account}.currency_values.{instrument.currency}"
        self._take("currency_value", value, path)
        self._mark()

    def _take(self, name: str, chosen: Decimal | int | None, wanted: str) -> None:
        if chosen is None:
            self._missing[name] = wanted
        else:
            bound = self._bounds.setdefault(f"{name} {chosen}", Bound(chosen))
            setattr(self, name, bound)

    def put(self, name: str, chosen: Decimal | int | None) -> None:
        """Put another limit in the place of one; with None every check that reads it denies."""
        if chosen is None and name not in self._missing:
            delattr(self, name)
            self._missing[name] = f"gate.default.{name}"
        elif chosen is not None:
            self._missing.pop(name, None)
            self._take(name, chosen, "")
        self._mark()

    def _mark(self) -> None:
        """Be of the class that says which limit is missing, as long as any is."""
        self.__class__ = _Wanting if self._missing else Limits

    def has(self, name: str) -> bool:
        """Return whether somebody has chosen the limit of this name."""
        return name not in self._missing

    def errors(self) -> tuple[FieldError, ...]:
        """Return what a person must choose before this instrument can trade."""
        return tuple(
            FieldError(path=wanted, found="nothing", wanted=f"a limit {name}")
            for name, wanted in self._missing.items()
        )


class _Wanting(Limits):
    """Limits of which some are missing.

    A class of its own, for reading anything of one that has `__getattr__` takes ten times as long.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        """Say which limit is missing; Python comes here only for a slot that was never filled.

        Raises:
            LimitMissingError: the limit is known by name and nobody has chosen it.
            AttributeError: there is no such limit.
        """
        missing: dict[str, str] = object.__getattribute__(self, "_missing")
        if name in missing:
            raise LimitMissingError(name, missing[name])
        raise AttributeError(name)
