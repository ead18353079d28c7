"""A formula at work: candles, indicators, rules and the position they ask for.

Rules are looked at once for every candle, when it has closed. A stop is looked at with every quote:
its level is set by the candle, and only ever moves towards the market.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from schemas.base import NS_PER_S, InstrumentId
from schemas.errors import FieldError
from schemas.executions import ExecutionEvent
from schemas.instruments import DataKind, Instrument
from schemas.market import BarClosed, QuoteReceived, TradeReceived
from schemas.orders import SignalDecided
from schemas.sessions import SignalBlocked
from services.strategy.candles import Candle, Candles
from services.strategy.context import Context
from services.strategy.formulas import STATE, Formula, complaints_about
from services.strategy.formulas_expressions import BEFORE, evaluator_of
from services.strategy.formulas_indicators import CANDLE_SERIES, Indicator, numbers_of
from services.strategy.interface import Parameters, Strategy
from services.strategy.library.seeking import Seeker
from services.strategy.library.size import Size, SizeParameters, lot_complaints
from services.strategy.parameters import OVERRIDES

ZERO = Decimal(0)
SIDES = {"long": "stop_long", "short": "stop_short"}
LEAVING = "leaving"
"""What is kept of an instrument: the level of its stop by its rule; why it is being left."""


class FormulaParameters(SizeParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every formula can be told, beside its own parameters: sizes, where its file has none."""


class _Line:
    """One instrument: its candles, all that rules can read, and the position they want."""

    def __init__(
        self, instrument: InstrumentId, context: Context, formula: Formula, parameters: Any
    ) -> None:
        self.instrument = instrument
        self.candles = Candles(formula.candles.interval_s * NS_PER_S)
        self.seeker = Seeker(context, instrument, parameters.retry_ms)
        self.size = Size(context, instrument, parameters)
        self.stop: float | None = None
        self.stop_side = ""
        self.noted: tuple[float | None, str, str | None] = (None, "", None)
        self.held_count = 0
        own = {name: float(getattr(parameters, name)) for name in formula.parameters}
        self.names: dict[str, float | None] = {
            **dict.fromkeys(formula.series),
            **{f"{each}{BEFORE}": None for each in formula.series},
            **dict.fromkeys(STATE, 0.0),
            **own,
        }
        self.evaluator = evaluator_of(self.names)
        self._series = formula.series
        self._indicators = [Indicator(s, numbers_of(s, own)) for s in formula.indicators]

    def take(self, candle: Candle) -> None:
        """Move every series on by one closed candle."""
        names = self.names
        for name in self._series:
            names[name + BEFORE] = names[name]
        names.update(zip(CANDLE_SERIES, candle[:5], strict=True))
        for indicator in self._indicators:
            indicator.add(candle, names)


class FormulaStrategy(Strategy[Any]):
    """Base of the class that each formula file becomes."""

    parameters_type: ClassVar[type[Parameters]] = FormulaParameters
    formula: ClassVar[Formula]
    version_sources: ClassVar[tuple[str, ...]] = ()
    """The file it was made from: its content is part of the strategy's version."""

    def __init__(self, context: Context, parameters: Any) -> None:
        super().__init__(context, parameters)
        self._rules = self.formula.rules
        self._is_per_quote = self.formula.candles.source == "quote"
        self._lines = {
            key: _Line(key, context, self.formula, parameters) for key in context.instruments
        }

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        """Return the indicators that these parameters do not fit, and the lots that do not."""
        chosen = {name: float(getattr(parameters, name)) for name in cls.formula.parameters}
        found = [
            FieldError(path=f"{OVERRIDES} ({spec.name})", found=error.found, wanted=error.wanted)
            for spec, error in complaints_about(cls.formula, chosen)
        ]
        return found + lot_complaints(parameters.quantity, instruments)

    def recall(self, state: dict[str, Any] | None) -> str:
        """Take up each stop and each exit that was under way; return which stops are not known."""
        if state is None:
            return ", ".join(f"the stop of {key}" for key in self._lines if self._needs_stop(key))
        for key, line in self._lines.items():
            kept = state.get(key, {})
            for side, rule in SIDES.items():
                if (level := kept.get(rule)) is not None:
                    line.stop, line.stop_side = level, side
            if (why := kept.get(LEAVING)) is not None:
                line.seeker.want(ZERO, why)
        return ""

    def on_start(self) -> None:
        """Say that nothing is known yet: after a restart that is not the same as nothing kept."""
        for key, line in self._lines.items():
            self._note(line)
            if self.context.remembered.values is None:
                self.context.remember(key, None)

    def on_quote(self, quote: QuoteReceived) -> None:
        """Look at the stop, build the candle, and go on towards the wanted position."""
        line = self._lines[quote.instrument]
        if not (quote.bid and quote.ask):
            return
        if self._is_per_quote:
            self._add(line, float(quote.bid + quote.ask) * 0.5, 0.0, quote.at_ns)
        if line.stop is not None or line.seeker.is_seeking:
            self._look_at_stop(line, quote)
            self._seek(line)

    def on_timer(self) -> None:
        """Close the candles whose time is over."""
        for line in self._lines.values():
            candle = line.candles.until(self.context.now_ns)
            if candle is not None:
                self._on_candle(line, candle)
        self._set_timer()

    def on_decision(self, decision: SignalDecided) -> None:
        """Have patience after a rejection."""
        self._lines[decision.instrument].seeker.on_decision(decision)

    def on_blocked(self, blocked: SignalBlocked) -> None:
        """Have patience: the session's own limits stand against it."""
        self._lines[blocked.instrument].seeker.on_blocked()

    def on_execution(self, event: ExecutionEvent) -> None:
        """Have patience after a refusal."""
        self._lines[event.instrument].seeker.on_execution(event)

    def _add(self, line: _Line, price: float, volume: float, at_ns: int) -> None:
        candle = line.candles.add(price, volume, at_ns)
        if candle is not None:
            self._on_candle(line, candle)
        timer_ns = self.context.timer_ns
        if timer_ns is None or line.candles.due_ns < timer_ns:
            self._set_timer()

    def _set_timer(self) -> None:
        due = [each.candles.due_ns for each in self._lines.values() if each.candles.due_ns]
        if due:
            self.context.set_timer(min(due))

    def _on_candle(self, line: _Line, candle: Candle) -> None:
        """Look at every rule, once."""
        line.take(candle)
        if line.size.is_by_volatility:
            line.size.see(Decimal(repr(candle.close)), self.context.now_ns)
        held = self.context.position(line.instrument)
        line.held_count = line.held_count + 1 if held else 0
        names = line.names
        names["position"] = float(held)
        names["entry_price"] = float(self.context.entry_price(line.instrument))
        names["candles_held"] = float(line.held_count)
        worth, equity = self.context.worth(line.instrument), self.context.equity()
        names["capital"] = None if worth is None else float(self.context.capital / worth)
        names["equity"] = None if worth is None or equity is None else float(equity / worth)
        self._decide(line, held)
        self._seek(line)

    def _seek(self, line: _Line) -> None:
        """Go on towards the wanted position; keep what a restart may not forget."""
        if line.seeker.is_seeking:
            line.seeker.seek()
        self._note(line)

    def _note(self, line: _Line) -> None:
        noted = (line.stop, line.stop_side, line.seeker.leaving)
        if noted == line.noted:
            return
        line.noted = noted
        kept: dict[str, Any] = {LEAVING: line.seeker.leaving}
        if line.stop is not None:
            kept[SIDES[line.stop_side]] = line.stop
        known = {name: value for name, value in kept.items() if value is not None}
        self.context.remember(line.instrument, known or None)

    def _needs_stop(self, instrument: InstrumentId) -> bool:
        held = self.context.position(instrument)
        return bool(held) and SIDES["long" if held > 0 else "short"] in self._rules

    def _decide(self, line: _Line, held: Decimal) -> None:
        side = "long" if held > 0 else "short"
        if held and not self._is_true(line, f"exit_{side}"):
            self._move_stop(line, side)
            return
        for entry, sign in (("long", 1), ("short", -1)):
            is_turn = held * sign <= 0
            if is_turn and self._is_true(line, f"entry_{entry}") and (size := self._size(line)):
                line.stop = None
                line.seeker.want(size * sign, f"{self.formula.name}: entry_{entry}")
                self._move_stop(line, entry)
                return
        is_under_way = bool(self.context.open_orders(line.instrument))
        if held or (line.seeker.is_seeking and not is_under_way):
            line.stop = None  # an entry that was refused is asked for until its candle is over
            line.seeker.want(ZERO, f"{self.formula.name}: exit_{side}")

    def _is_true(self, line: _Line, rule: str) -> bool:
        """Return whether a rule is there, known and true."""
        expression = self._rules.get(rule)
        return expression is not None and bool(expression.value(line.evaluator))

    def _size(self, line: _Line) -> Decimal:
        """Return the units to hold, in whole lots; 0 where that is none, or not known."""
        expression = self._rules.get("size")
        if expression is None:
            return line.size.wanted()
        value = expression.value(line.evaluator)
        if value is None or value <= 0:
            return ZERO
        return self.context.whole_lots(line.instrument, Decimal(str(value)))

    def _move_stop(self, line: _Line, side: str) -> None:
        """Set the stop of this candle; it never moves away from the market."""
        expression = self._rules.get(SIDES[side])
        level = None if expression is None else expression.value(line.evaluator)
        if level is None:
            return
        if line.stop is None or line.stop_side != side:
            line.stop, line.stop_side = level, side
        else:
            line.stop = max(line.stop, level) if side == "long" else min(line.stop, level)

    def _look_at_stop(self, line: _Line, quote: QuoteReceived) -> None:
        if line.stop is None:
            return
        held = self.context.position(line.instrument)
        if line.stop_side != ("long" if held > 0 else "short"):
            return  # the position is being turned over: what is held yet has no part in it
        is_hit = float(quote.bid) <= line.stop if held > 0 else float(quote.ask) >= line.stop
        if held and is_hit:
            why = f"{self.formula.name}: stop at {line.stop:g}"
            line.stop = None
            line.seeker.want(ZERO, why)


class _OnTrades(FormulaStrategy):
    """A formula over candles of trades."""

    reads = (DataKind.TRADES,)

    def on_trade(self, trade: TradeReceived) -> None:
        """Build the candle."""
        line = self._lines[trade.instrument]
        self._add(line, float(trade.price), float(trade.quantity), trade.at_ns)


class _OnBars(FormulaStrategy):
    """A formula over the bars of the feed."""

    reads = (DataKind.BARS,)

    def on_bar(self, bar: BarClosed) -> None:
        """Take the bar for a candle, or for a part of one."""
        line = self._lines[bar.instrument]
        for candle in line.candles.take(bar):
            self._on_candle(line, candle)


_BASES = {"quote": FormulaStrategy, "trade": _OnTrades, "bar": _OnBars}


def strategy_of(formula: Formula, sources: tuple[str, ...] = ()) -> type[FormulaStrategy]:
    """Return the class that a formula becomes; `sources` are the files it was made from."""
    own = [(name, float, value) for name, value in formula.parameters.items()]
    parameters = msgspec.defstruct(
        "OwnParameters",
        own,
        bases=(FormulaParameters,),
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    fields = {
        "__doc__": formula.description or f"The formula {formula.name}.",
        "__module__": __name__,
        "formula": formula,
        "parameters_type": parameters,
        "version_sources": sources,
    }
    return type(formula.name, (_BASES[formula.candles.source],), fields)
