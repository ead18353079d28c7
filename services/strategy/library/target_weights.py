"""Hold each instrument at a weight of the session's equity, and trade as little as that takes."""

import enum
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S, InstrumentId
from schemas.errors import FieldError
from schemas.executions import ExecutionEvent
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from schemas.orders import Side, SignalDecided
from services.strategy.context import Context
from services.strategy.interface import Parameters, Strategy
from services.strategy.library.rebalancing import (
    Holding,
    Rules,
    Trades,
    additions,
    reductions,
)

ZERO = Decimal(0)
HALF = Decimal("0.5")
WEIGHTS = "$.config_overrides.weights"


class TargetWeightsParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be held, and how closely.

    Raises:
        ValueError: a number is out of its range, or the weights come to more than `leverage_max`.
    """

    weights: dict[str, Decimal]
    """Wanted weight by instrument (id or symbol), as a fraction of equity; negative is short."""

    band: Decimal = Decimal("0.02")
    """How far a weight may be away from its target before anything is traded, as a fraction of
    equity: the no-trade band."""

    aim: Literal["edge", "target"] = "edge"
    """Where one outside the band is brought to: the band's edge, which costs least where costs
    grow with what is traded, or the target itself."""

    every_s: Annotated[int, msgspec.Meta(ge=1)] = 86_400
    """Time between two looks at the weights, in seconds."""

    trade_min: Decimal = ZERO
    """Smallest trade worth its trouble, in the account's currency."""

    leverage_max: Decimal = Decimal(1)
    """Most that all positions together may be worth, as a multiple of equity."""

    retry_ms: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    """How often an order without news is looked for, in milliseconds."""

    def __post_init__(self) -> None:
        if not all(each.is_finite() for each in self.weights.values()):
            raise ValueError("weights that are numbers")
        if not 0 <= self.band < 1:
            raise ValueError(f"band from 0 to below 1: it is {self.band}")
        if not self.trade_min >= 0:
            raise ValueError(f"trade_min of 0 or more: it is {self.trade_min}")
        if not self.leverage_max > 0:
            raise ValueError(f"leverage_max above 0: it is {self.leverage_max}")
        gross = sum((abs(each) for each in self.weights.values()), ZERO)
        if gross > self.leverage_max:
            raise ValueError(f"weights up to {self.leverage_max} together: they come to {gross}")


class _Phase(enum.Enum):
    """Where a rebalancing is: what is sold pays for what is bought."""

    WAITING = enum.auto()
    REDUCING = enum.auto()
    ADDING = enum.auto()


class TargetWeights(Strategy[TargetWeightsParameters]):
    """Look at the weights now and then; first sell what is too much, then buy what is missing."""

    parameters_type = TargetWeightsParameters

    def __init__(self, context: Context, parameters: TargetWeightsParameters) -> None:
        super().__init__(context, parameters)
        named = _by_id(parameters.weights, list(context.instruments.values()))
        self._targets = {key: named.get(key, ZERO) for key in context.instruments}
        self._rules = Rules(
            band=parameters.band,
            is_to_edge=parameters.aim == "edge",
            trade_min=parameters.trade_min,
            leverage_max=parameters.leverage_max,
        )
        self._phase = _Phase.WAITING
        self._due_ns = self._look_ns = 0
        self._unseen = dict.fromkeys(self._targets)

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        """Return each weight of no instrument of the session, and each instrument without one."""
        ids = [each.id for each in instruments]
        known = {*ids, *(each.symbol for each in instruments)}
        strays = [name for name in parameters.weights if name not in known]
        named = _by_id(parameters.weights, instruments)
        wanted = f"one weight for each of {', '.join(ids)}"
        found = [FieldError(path=f"{WEIGHTS}.{n}", found=n, wanted=wanted) for n in strays]
        bare = [key for key in ids if key not in named]
        return found + [FieldError(path=WEIGHTS, found=f"none of {n}", wanted=wanted) for n in bare]

    def on_quote(self, quote: QuoteReceived) -> None:
        """Begin once it is time and every instrument has been quoted since."""
        now_ns = self.context.now_ns
        if self._phase is not _Phase.WAITING:
            if now_ns >= self._look_ns:  # an order may have ended without a word
                self._look_ns = now_ns + self.parameters.retry_ms * NS_PER_MS
                self._go_on()
            return
        if now_ns < self._due_ns or not (quote.bid and quote.ask):
            return
        self._unseen.pop(quote.instrument, None)
        if not self._unseen and self.context.is_trading:
            self._phase = _Phase.REDUCING
            self._trade(reductions, "too much of it")
            self._go_on()

    def on_decision(self, decision: SignalDecided) -> None:
        """Go on once nothing is open any more."""
        self._go_on()

    def on_execution(self, event: ExecutionEvent) -> None:
        """Go on once nothing is open any more."""
        self._go_on()

    def _go_on(self) -> None:
        """Buy once all is sold that was to be; be done once that is over, whatever came of it."""
        context = self.context
        while self._phase is not _Phase.WAITING:
            if any(context.open_orders(key) for key in self._targets):
                return
            if self._phase is _Phase.REDUCING and context.is_trading:
                self._phase = _Phase.ADDING
                self._trade(additions, "too little of it")
            else:
                self._phase = _Phase.WAITING
                self._due_ns = context.now_ns + self.parameters.every_s * NS_PER_S
                self._unseen = dict.fromkeys(self._targets)

    def _trade(
        self, plan: Callable[[Mapping[InstrumentId, Holding], Decimal, Rules], Trades], why: str
    ) -> None:
        equity = self.context.equity()
        holdings = self._holdings()
        if equity is None or equity <= 0 or holdings is None:
            return
        for instrument, quantity in plan(holdings, equity, self._rules).items():
            side = Side.BUY if quantity > 0 else Side.SELL
            each = holdings[instrument]
            weight = each.quantity * each.unit / equity
            said = f"{why}: {weight:.4f} of equity, wanted {each.target}"
            self.context.submit(instrument, side, abs(quantity), why=said)

    def _holdings(self) -> dict[InstrumentId, Holding] | None:
        """Return what is held at mid prices; None where one has no two-sided price."""
        found: dict[InstrumentId, Holding] = {}
        for key, target in self._targets.items():
            quote, made = self.context.quote(key), self.context.instruments[key]
            worth = self.context.worth(key)
            if worth is None or quote is None or not (quote.bid and quote.ask):
                return None
            mid = (quote.bid + quote.ask) * HALF
            found[key] = Holding(
                quantity=self.context.position(key),
                unit=mid * made.multiplier * worth,
                lot=made.lot_size,
                fee_rate=made.taker_fee_bps.scaleb(-4) + (quote.ask - mid) / mid,
                target=target,
            )
        return found


def _by_id(
    weights: Mapping[str, Decimal], instruments: Sequence[Instrument]
) -> dict[InstrumentId, Decimal]:
    """Return the weights by id; a symbol stands for the instrument of that name."""
    found = {each.id: weights.get(each.id, weights.get(each.symbol)) for each in instruments}
    return {key: weight for key, weight in found.items() if weight is not None}
