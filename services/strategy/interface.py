"""What a strategy is, and all that it can see and do.

    class Follow(Strategy[FollowParameters]):
        parameters_type = FollowParameters

        def on_quote(self, quote: QuoteReceived) -> None:
            if quote.bid > self.parameters.above and not self.context.position(quote.instrument):
                self.context.buy(quote.instrument, self.parameters.quantity, why="above")

A strategy has no clock, no network and no chance of its own: what it is told, in that order,
decides what it does. That is what makes its backtest mean something.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from schemas.base import Event, InstrumentId
from schemas.confirmations import SignalWithdrawn
from schemas.errors import FieldError
from schemas.executions import ExecutionEvent
from schemas.instruments import DataKind, Instrument
from schemas.market import (
    BarClosed,
    BookChanged,
    FundingPublished,
    InstrumentStatusChanged,
    QuoteReceived,
    TradeReceived,
)
from schemas.orders import SignalDecided
from schemas.sessions import PositionsAdopted, SignalBlocked
from schemas.settlement import PositionSettled
from services.strategy.context import Context
from services.strategy.provider import EVENTS


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Root of every strategy's parameters: strict, and checked before a session is made."""


P = TypeVar("P", bound=Parameters)


class Strategy(Generic[P]):
    """Base of every strategy. Override what you need; a hook left alone costs nothing.

    Every session has its own instance. While the session is paused or the system halted, it is
    told everything as before, so that its indicators stay true, but raises no signal.

    Attributes:
        context: what it can see and do.
        parameters: checked, and fixed for the session's life.
    """

    parameters_type: ClassVar[type[Parameters]] = Parameters
    """The Struct that `parameters` is made of."""

    def __init__(self, context: Context, parameters: P) -> None:
        self.context = context
        self.parameters: P = parameters

    reads: ClassVar[tuple[DataKind, ...]] = ()
    """Every kind of data that it may ask `context.data` for, beside prices."""

    @classmethod
    def needs(cls, parameters: Any, instrument: Instrument) -> tuple[DataKind, ...]:
        """Return what it asks of one instrument with these parameters, of `reads`.

        A start is refused where the instrument's feed does not tell it.
        """
        return cls.reads

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        """Return what speaks against these parameters on these instruments; refuses the start."""
        return []

    def recall(self, state: dict[str, Any] | None) -> str:
        """Take back what `Context.remember` kept, by key: after a restart, before `on_start`.

        None: nothing ever was. Positions are there, prices are not. Return what it cannot go on
        without, in words: the session is paused then, with an alert; empty: it goes on.
        """
        return ""

    def on_start(self) -> None:
        """Begin: once after the session was made, and again after the service restarted."""

    def on_quote(self, quote: QuoteReceived) -> None:
        """Take a new best bid and ask."""

    def on_trade(self, trade: TradeReceived) -> None:
        """Take a trade of the market's."""

    def on_bar(self, bar: BarClosed) -> None:
        """Take a bar that is complete."""

    def on_book(self, change: BookChanged) -> None:
        """Take changed levels of an order book."""

    def on_funding(self, funding: FundingPublished) -> None:
        """Take a funding rate."""

    def on_status(self, status: InstrumentStatusChanged) -> None:
        """Take that an instrument was opened, halted or closed."""

    def on_decision(self, decision: SignalDecided) -> None:
        """Take the gate's word on one of this session's signals."""

    def on_blocked(self, blocked: SignalBlocked) -> None:
        """Take that the session's own limits kept a signal from the gate; its order is gone.

        Nothing can be raised from here, only later: the limit still stands.
        """

    def on_withdrawn(self, withdrawn: SignalWithdrawn) -> None:
        """Take that a signal which waited for a person never goes out; its order is gone."""

    def on_execution(self, event: ExecutionEvent) -> None:
        """Take what became of one of this session's orders; `position` includes it already."""

    def on_position(self, event: PositionsAdopted | PositionSettled) -> None:
        """Take that the position changed by no order of this session; `position` includes it.

        It took over what was missed, or what a flatten closed of it; or its holding was settled.
        """

    def on_timer(self) -> None:
        """Act: the time given to `Context.set_timer` has come."""

    def on_stop(self) -> None:
        """Say the last signals: the session is being stopped; its open orders are cancelled."""


MARKET_HOOKS: dict[type[Event], str] = {
    QuoteReceived: "on_quote",
    TradeReceived: "on_trade",
    BarClosed: "on_bar",
    BookChanged: "on_book",
    FundingPublished: "on_funding",
    InstrumentStatusChanged: "on_status",
}
"""Which hook takes which market event."""

ON_ANY = "on_market"
TOLD_OF = "told_of"
"""A class that stands for one in another process names here all that is handed on, by `on_market`
where there is no hook for it."""


def wanted_of(strategy: type[Strategy[Any]]) -> tuple[type[Event], ...]:
    """Return the market events that this class has a hook for, or reads."""
    read = (EVENTS[kind] for kind in strategy.reads)
    return tuple(dict.fromkeys((*hooked_by(strategy), *read)))


def hooked_by(strategy: type[Strategy[Any]]) -> tuple[type[Event], ...]:
    """Return the market events that this class has a hook of its own for."""
    told: tuple[type[Event], ...] | None = getattr(strategy, TOLD_OF, None)
    if told is not None:
        return told
    return tuple(
        kind
        for kind, hook in MARKET_HOOKS.items()
        if getattr(strategy, hook) is not getattr(Strategy, hook)
    )


def needs_of(
    strategy: type[Strategy[Any]], parameters: Any, instruments: Sequence[Instrument]
) -> dict[InstrumentId, tuple[DataKind, ...]]:
    """Return what a session of this strategy asks of each of its instruments."""
    return {each.id: tuple(strategy.needs(parameters, each)) for each in instruments}
