"""Formula files: strategies that are written down, not programmed.

    description = "Long while a fast average is above a slow one."
    candles = { interval_s = 60, source = "quote" }   # or "trade", or "bar"

    [parameters]            # numbers that a start may override
    fast = 12
    slow = 26

    [indicators]
    quick = "ema(close, fast)"
    calm = "ema(close, slow)"
    range = "atr(14)"

    [rules]                 # looked at when a candle has closed
    entry_long = "crossed_above(quick, calm)"
    exit_long = "crossed_below(quick, calm)"
    stop_long = "close - 3 * range"
    size = "0.1 * equity / close"

Every mistake is found when the file is read, and named by line and key. Nothing is looked up
outside the file, the candle and the session's own position.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from schemas.errors import FieldError
from services.strategy.formulas_expressions import (
    BEFORE,
    FUNCTIONS,
    LOOKING_BACK,
    Expression,
    FormulaError,
    read_expression,
)
from services.strategy.formulas_indicators import (
    CANDLE_SERIES,
    IndicatorSpec,
    numbers_of,
    read_indicator,
)
from services.strategy.parameters import meant

STATE = ("position", "entry_price", "candles_held", "equity", "capital")
"""What a rule may read of the session: units held (negative: short), their average price, candles
that have closed since the position was there, worth of the session and its initial capital."""

ENTRIES = ("entry_long", "entry_short")
CONDITIONS = (*ENTRIES, "exit_long", "exit_short")
LEVELS = ("stop_long", "stop_short")
RULES = (*CONDITIONS, *LEVELS, "size")


class CandleTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What candles are built of."""

    interval_s: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)] = 60
    """Length of a candle, in seconds."""

    source: Literal["quote", "trade", "bar"] = "quote"
    """The middle of every quote, the price of every trade, or the bars of the feed."""


class FormulaFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A formula file as it is written."""

    rules: dict[str, str]
    description: str = ""
    candles: CandleTerms = CandleTerms()
    parameters: dict[str, float] = {}
    indicators: dict[str, str] = {}


class Formula(msgspec.Struct, frozen=True, kw_only=True):
    """A formula file that was read and allowed."""

    name: str
    description: str
    candles: CandleTerms
    parameters: Mapping[str, float]
    indicators: tuple[IndicatorSpec, ...]
    rules: Mapping[str, Expression]
    """By the name of the rule."""

    @property
    def series(self) -> tuple[str, ...]:
        """Names that have one value a candle, and one the candle before."""
        return (*CANDLE_SERIES, *(each for spec in self.indicators for each in spec.outputs))


def read_formula(data: bytes, name: str, where: str) -> Formula | list[FieldError]:
    """Return the formula in `data`, or everything that is wrong with it.

    Args:
        data: the file's content.
        name: what it is started by.
        where: the file, for error texts.
    """
    try:
        file = msgspec.toml.decode(data, type=FormulaFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        said, _, inner = str(error).partition(" - at `$")
        wanted = "TOML with [rules], and description, candles, parameters, indicators as needed"
        return [FieldError(path=where + inner.rstrip("`"), found=said, wanted=wanted)]
    return _Reading(file, name, _Lines(data, where)).result()


def complaints_about(
    formula: Formula, parameters: Mapping[str, float]
) -> list[tuple[IndicatorSpec, FormulaError]]:
    """Return the indicators that cannot work with these parameters, and why."""
    found: list[tuple[IndicatorSpec, FormulaError]] = []
    for spec in formula.indicators:
        try:
            numbers_of(spec, parameters)
        except FormulaError as error:
            found.append((spec, error))
    return found


class _Lines:
    """Where in the file a key stands."""

    def __init__(self, data: bytes, where: str) -> None:
        self._lines = data.decode("utf-8", "replace").splitlines()
        self._where = where

    def path(self, table: str, key: str) -> str:
        """Return file, line and key; no line where the key has none of its own."""
        current = ""
        for number, line in enumerate(self._lines, 1):
            text = line.strip()
            if text.startswith("["):
                current = text.strip("[] ")
            name = text.partition("=")[0].strip().strip("\"'")
            if (current, name) == (table, key) or (current, name) == ("", f"{table}.{key}"):
                return f"{self._where}:{number}: {table}.{key}"
        return f"{self._where}: {table}.{key}"


class _Reading:
    """Reads one file, and collects what is wrong with it."""

    def __init__(self, file: FormulaFile, name: str, lines: _Lines) -> None:
        self._file = file
        self._name = name
        self._lines = lines
        self._errors: list[FieldError] = []

    def result(self) -> Formula | list[FieldError]:
        """Return the formula, or the mistakes in it."""
        self._check_names()
        specs = self._indicators()
        series = [*CANDLE_SERIES, *(each for spec in specs for each in spec.outputs)]
        rules = self._rules(series)
        formula = Formula(
            name=self._name,
            description=self._file.description,
            candles=self._file.candles,
            parameters=dict(self._file.parameters),
            indicators=tuple(specs),
            rules=rules,
        )
        for spec, error in complaints_about(formula, formula.parameters):
            self._wrong("indicators", spec.name, error.found, error.wanted)
        return self._errors or formula

    def _wrong(self, table: str, key: str, found: str, wanted: str) -> None:
        path = self._lines.path(table, key)
        self._errors.append(FieldError(path=path, found=found, wanted=wanted))

    def _check_names(self) -> None:
        """Refuse names that mean something else already."""
        taken = {*CANDLE_SERIES, *STATE, *FUNCTIONS, *LOOKING_BACK, *RULES}
        for table in ("parameters", "indicators"):
            names: Mapping[str, Any] = getattr(self._file, table)
            for name in names:
                if not name.isidentifier() or name.startswith("_") or name.endswith(BEFORE):
                    wanted = f"a name of letters and digits that does not end in {BEFORE}"
                    self._wrong(table, name, repr(name), wanted)
                elif name in taken:
                    self._wrong(table, name, name, "a name that is not taken already")
                taken.add(name)

    def _indicators(self) -> list[IndicatorSpec]:
        """Read the indicators in their order: each may be computed of those before it."""
        series = list(CANDLE_SERIES)
        found: list[IndicatorSpec] = []
        for name, text in self._file.indicators.items():
            try:
                spec = read_indicator(name, text, series, list(self._file.parameters))
            except FormulaError as error:
                self._wrong("indicators", name, error.found, error.wanted)
                series.append(name)
                continue
            found.append(spec)
            series += spec.outputs
        return found

    def _rules(self, series: Sequence[str]) -> dict[str, Expression]:
        failed = [each for each in self._file.indicators if each not in series]
        series = [*series, *failed]  # so that only the mistake itself is reported
        before = [f"{each}{BEFORE}" for each in series]
        names = [*series, *self._file.parameters, *STATE, *before]
        found: dict[str, Expression] = {}
        for rule, text in self._file.rules.items():
            if rule not in RULES:
                wanted = "one of " + ", ".join(RULES) + meant(rule, list(RULES))
                self._wrong("rules", rule, rule, wanted)
                continue
            try:
                found[rule] = read_expression(text, names, series, self._file.parameters)
            except FormulaError as error:
                self._wrong("rules", rule, error.found, error.wanted)
        self._check_rules()
        return found

    def _check_rules(self) -> None:
        """Refuse a file that enters nothing, or that enters and never leaves."""
        written = self._file.rules
        if not any(entry in written for entry in ENTRIES):
            self._wrong("rules", "entry_long", "no entry", " or ".join(ENTRIES))
        for side in ("long", "short"):
            has_way_out = f"exit_{side}" in written or f"stop_{side}" in written
            if f"entry_{side}" in written and not has_way_out:
                wanted = f"exit_{side} or stop_{side}, so that what is entered is left again"
                self._wrong("rules", f"entry_{side}", "no way out", wanted)
