"""Indicators of formula files: a closed list, computed by talipp from candles that have closed.

    ema(close, 20)      sma(rsi, 3)      atr(14)      bollinger(close, 20, 2)

The first argument is the series it is computed of, where it takes one: a part of the candle, or an
indicator named before it. The others are numbers, or names of parameters. One with several results
gives each its own name: `bands = "bollinger(close, 20, 2)"` gives bands_lower, bands_middle and
bands_upper.
"""

import ast
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from talipp.indicators import (
    ADX,
    ATR,
    BB,
    CCI,
    DEMA,
    EMA,
    HMA,
    MACD,
    NATR,
    OBV,
    ROC,
    RSI,
    SMA,
    SMMA,
    TEMA,
    VWAP,
    WMA,
    DonchianChannels,
    StdDev,
    Stoch,
    Williams,
)
from talipp.ohlcv import OHLCV

from services.strategy.candles import Candle
from services.strategy.formulas_expressions import FormulaError, parsed
from services.strategy.parameters import meant

PERIOD_MAX = 10_000
CANDLE_SERIES = ("open", "high", "low", "close", "volume")
SPARE = 100
"""Inputs kept beyond four times the longest period, before old ones are dropped."""


class Kind(NamedTuple):
    """One kind of indicator."""

    make: Callable[..., Any]
    numbers: tuple[str, ...]
    """Names of its numbers, in order; those that end in `period` are whole."""

    takes_series: bool = True
    """Whether it is computed of one series; otherwise of whole candles."""

    results: tuple[tuple[str, str], ...] = ()
    """Where it has several: the ending of each name, and talipp's own field."""


class _Extreme:
    """The largest, or smallest, of the newest inputs."""

    def __init__(self, period: int, choose: Callable[[Sequence[float]], float]) -> None:
        self._newest: deque[float] = deque(maxlen=period)
        self._choose = choose
        self.output_values: list[float | None] = []

    def add(self, value: float) -> None:
        self._newest.append(value)
        is_warm = len(self._newest) == self._newest.maxlen
        self.output_values = [self._choose(self._newest) if is_warm else None]

    def __len__(self) -> int:
        return len(self.output_values)

    def __getitem__(self, index: int) -> float | None:
        return self.output_values[index]

    def purge_oldest(self, size: int) -> None:
        """Nothing is kept beyond the period."""


KINDS: Mapping[str, Kind] = {
    "sma": Kind(SMA, ("period",)),
    "ema": Kind(EMA, ("period",)),
    "wma": Kind(WMA, ("period",)),
    "smma": Kind(SMMA, ("period",)),
    "hma": Kind(HMA, ("period",)),
    "dema": Kind(DEMA, ("period",)),
    "tema": Kind(TEMA, ("period",)),
    "rsi": Kind(RSI, ("period",)),
    "roc": Kind(ROC, ("period",)),
    "stddev": Kind(StdDev, ("period",)),
    "highest": Kind(lambda period: _Extreme(period, max), ("period",)),
    "lowest": Kind(lambda period: _Extreme(period, min), ("period",)),
    "bollinger": Kind(
        BB, ("period", "deviations"), True, (("lower", "lb"), ("middle", "cb"), ("upper", "ub"))
    ),
    "macd": Kind(
        MACD,
        ("fast_period", "slow_period", "signal_period"),
        True,
        (("line", "macd"), ("signal", "signal"), ("histogram", "histogram")),
    ),
    "atr": Kind(ATR, ("period",), False),
    "natr": Kind(NATR, ("period",), False),
    "cci": Kind(CCI, ("period",), False),
    "williams": Kind(Williams, ("period",), False),
    "obv": Kind(OBV, (), False),
    "vwap": Kind(VWAP, (), False),
    "adx": Kind(
        ADX,
        ("di_period", "adx_period"),
        False,
        (("line", "adx"), ("plus", "plus_di"), ("minus", "minus_di")),
    ),
    "stoch": Kind(Stoch, ("period", "smoothing_period"), False, (("k", "k"), ("d", "d"))),
    "donchian": Kind(
        DonchianChannels,
        ("period",),
        False,
        (("lower", "lb"), ("middle", "cb"), ("upper", "ub")),
    ),
}
"""Every indicator there is, by the name it is called by."""


class IndicatorSpec(NamedTuple):
    """One line of `[indicators]` that was read and allowed."""

    name: str
    kind: str
    of: str
    """Series it is computed of; empty: whole candles."""

    numbers: tuple[float | str, ...]
    """Numbers, and names of parameters."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names it gives values to."""
        results = KINDS[self.kind].results
        return tuple(f"{self.name}_{each}" for each, _ in results) or (self.name,)


def read_indicator(
    name: str, text: str, series: Sequence[str], parameters: Sequence[str]
) -> IndicatorSpec:
    """Return the indicator that `text` asks for.

    Raises:
        FormulaError: it is none, or its arguments do not fit.
    """
    node = parsed(text)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.keywords:
        raise FormulaError(repr(text), "one indicator, like ema(close, 20)")
    kind = KINDS.get(node.func.id)
    if kind is None:
        wanted = "one of " + ", ".join(sorted(KINDS)) + meant(node.func.id, list(KINDS))
        raise FormulaError(node.func.id, wanted)
    arguments = (("series",) if kind.takes_series else ()) + kind.numbers
    if len(node.args) != len(arguments):
        raise FormulaError(text, f"{node.func.id}({', '.join(arguments)})")
    of = _series(node.args[0], series) if kind.takes_series else ""
    rest = node.args[1:] if kind.takes_series else node.args
    numbers = tuple(_number(each, parameters) for each in rest)
    return IndicatorSpec(name, node.func.id, of, numbers)


def _series(node: ast.expr, series: Sequence[str]) -> str:
    found = node.id if isinstance(node, ast.Name) else ast.unparse(node)
    if found not in series:
        raise FormulaError(found, f"a series: {', '.join(series)}" + meant(found, list(series)))
    return found


def _number(node: ast.expr, parameters: Sequence[str]) -> float | str:
    if isinstance(node, ast.Name) and node.id in parameters:
        return node.id
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = ast.unparse(node)
    wanted = "a number, or a parameter" + (f": {', '.join(parameters)}" if parameters else "")
    raise FormulaError(found, wanted + meant(found, list(parameters)))


def numbers_of(spec: IndicatorSpec, parameters: Mapping[str, float]) -> tuple[float, ...]:
    """Return the indicator's numbers, with the parameters as they are set.

    Raises:
        FormulaError: a period is not a whole number from 1 up, or a number is not above 0.
    """
    found: list[float] = []
    for name, given in zip(KINDS[spec.kind].numbers, spec.numbers, strict=True):
        value = float(parameters[given] if isinstance(given, str) else given)
        shown = f"{name} = {value:g}"
        if name.endswith("period"):
            least = 2 if spec.kind in ("rsi", "stddev") else 1
            if not value.is_integer() or not least <= value <= PERIOD_MAX:
                raise FormulaError(shown, f"a whole number from {least} to {PERIOD_MAX}")
            found.append(int(value))
        elif not 0 < value <= 1_000:
            raise FormulaError(shown, "a number above 0, up to 1000")
        else:
            found.append(value)
    return tuple(found)


class Indicator:
    """One indicator at work on one instrument. It keeps no more history than it needs."""

    def __init__(self, spec: IndicatorSpec, numbers: Sequence[float]) -> None:
        kind = KINDS[spec.kind]
        self._of, self._outputs = spec.of, spec.outputs
        self._fields = tuple(field for _, field in kind.results)
        self._indicator = kind.make(*numbers)
        self._keep = int(4 * max((*numbers, 1))) + SPARE
        self._count = 0

    def add(self, candle: Candle, names: dict[str, float | None]) -> None:
        """Take a closed candle in, and set this indicator's names; None while it is not warm."""
        if self._of:
            value = names[self._of]
            if value is None:
                return
            self._indicator.add(value)
        else:
            self._indicator.add(OHLCV(*candle[:5]))
        newest = self._indicator[-1]
        if self._fields:
            for name, field in zip(self._outputs, self._fields, strict=True):
                names[name] = None if newest is None else _plain(getattr(newest, field))
        else:
            names[self._outputs[0]] = _plain(newest)
        self._count += 1
        if self._count >= 2 * self._keep:
            self._indicator.purge_oldest(self._count - self._keep)
            self._count = self._keep


def _plain(value: Any) -> float | None:
    return None if value is None else float(value)
