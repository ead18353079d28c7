"""Follow the trend: long while a fast average is above a slow one, short or flat while below."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from schemas.base import NS_PER_MS, InstrumentId
from schemas.errors import FieldError
from schemas.executions import ExecutionEvent
from schemas.instruments import DataKind, Instrument
from schemas.market import BarClosed, QuoteReceived
from schemas.orders import SignalDecided
from schemas.sessions import SignalBlocked
from services.strategy.context import Context
from services.strategy.interface import Strategy
from services.strategy.library.ema import FlatEmas
from services.strategy.library.seeking import Seeker
from services.strategy.library.size import Size, SizeParameters, lot_complaints

Period = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Milliseconds = Annotated[int, msgspec.Meta(ge=1)]


class EmaCrossParameters(SizeParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Averages, and how much is traded when they cross.

    Raises:
        ValueError: `fast` is not below `slow`, or a size is out of its range.
    """

    fast: Period = 12
    """Inputs that the fast average spans; a count."""

    slow: Period = 26
    """Inputs that the slow average spans; a count."""

    source: Literal["quote", "tick", "bar"] = "quote"
    """What is averaged: the middle of every quote, the middle of the market every `tick_ms`, or
    the close of every bar."""

    tick_ms: Milliseconds = 1_000
    """Time between two inputs, in milliseconds; for `source = "tick"` only."""

    can_short: bool = True
    """Whether it goes short below the slow average; otherwise it goes flat."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fast >= self.slow:
            raise ValueError(f"fast below slow: fast is {self.fast}, slow is {self.slow}")


class _Line:
    """One instrument: its two averages, which is above, and what is to be held because of it."""

    __slots__ = ("averages", "instrument", "is_above", "seeker", "size")

    def __init__(
        self, instrument: InstrumentId, context: Context, parameters: EmaCrossParameters
    ) -> None:
        self.instrument = instrument
        self.averages = FlatEmas(parameters.fast, parameters.slow)
        self.seeker = Seeker(context, instrument, parameters.retry_ms)
        self.size = Size(context, instrument, parameters)
        self.is_above: bool | None = None


class EmaCross(Strategy[EmaCrossParameters]):
    """Trade when the averages cross, and only then: where they stand at the start is no cross."""

    parameters_type = EmaCrossParameters

    def __init__(self, context: Context, parameters: EmaCrossParameters) -> None:
        super().__init__(context, parameters)
        self._is_per_quote = parameters.source == "quote"
        self._lines = {
            instrument: _Line(instrument, context, parameters) for instrument in context.instruments
        }

    reads = (DataKind.BARS,)

    @classmethod
    def needs(cls, parameters: Any, instrument: Instrument) -> tuple[DataKind, ...]:
        """Return that it takes the feed's bars, where those are averaged."""
        return cls.reads if parameters.source == "bar" else ()

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        """Return each instrument whose lots `quantity` is not a whole number of."""
        return lot_complaints(parameters.quantity, instruments)

    def on_start(self) -> None:
        """Set the first tick, where ticks are what is averaged."""
        if self.parameters.source == "tick":
            self._set_tick()

    def on_quote(self, quote: QuoteReceived) -> None:
        """Average the middle of the market, unless one side of it is not quoted."""
        line = self._lines[quote.instrument]
        if line.size.is_by_volatility and quote.bid and quote.ask:
            line.size.see((quote.bid + quote.ask) / 2, quote.at_ns)
        if self._is_per_quote:
            bid, ask = quote.bid, quote.ask
            if bid and ask:
                # Twice the middle: both averages double exactly, and half a division is saved.
                self._add(line, float(bid + ask))
        elif line.seeker.is_seeking:
            line.seeker.seek()

    def on_bar(self, bar: BarClosed) -> None:
        """Average the close."""
        if self.parameters.source == "bar":
            line = self._lines[bar.instrument]
            if line.size.is_by_volatility:
                line.size.see(bar.close, bar.at_ns)
            self._add(line, float(bar.close))

    def on_timer(self) -> None:
        """Average the latest middle of every instrument's market."""
        for instrument, line in self._lines.items():
            quote = self.context.quote(instrument)
            if quote is not None and quote.bid and quote.ask:
                self._add(line, float(quote.bid + quote.ask))
        self._set_tick()

    def on_decision(self, decision: SignalDecided) -> None:
        """Have patience after a rejection."""
        self._lines[decision.instrument].seeker.on_decision(decision)

    def on_blocked(self, blocked: SignalBlocked) -> None:
        """Have patience: the session's own limits stand against it."""
        self._lines[blocked.instrument].seeker.on_blocked()

    def on_execution(self, event: ExecutionEvent) -> None:
        """Have patience after a refusal."""
        self._lines[event.instrument].seeker.on_execution(event)

    def _set_tick(self) -> None:
        self.context.set_timer(self.context.now_ns + self.parameters.tick_ms * NS_PER_MS)

    def _add(self, line: _Line, value: float) -> None:
        above = line.averages.add(value)
        if above is None:
            return
        is_above = above > 0
        if is_above is not line.is_above:
            self._on_side(line, is_above)
        if line.seeker.is_seeking:
            line.seeker.seek()

    def _on_side(self, line: _Line, is_above: bool) -> None:
        """Note the side; a change of it is a cross, and sets what is to be held."""
        is_cross = line.is_above is not None
        line.is_above = is_above
        if not is_cross:
            return
        wanted = self.parameters
        size = line.size.wanted()
        below = -size if wanted.can_short else Decimal(0)
        crossed = "above" if is_above else "below"
        why = f"ema {wanted.fast} crossed {crossed} ema {wanted.slow}"
        line.seeker.want(size if is_above else below, why)
