"""Spot against perpetual: earn basis and funding, with both legs or none.

Every quote of either market is looked at. What is held decides what comes next: legs that do not
match are made equal first, by trading the larger one down; then comes the exit, then the entry.
"""

from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any

import msgspec

from schemas.base import NS_PER_MS, InstrumentId
from schemas.errors import FieldError
from schemas.executions import ExecutionEvent
from schemas.instruments import AssetClass, DataKind, Instrument
from schemas.market import FundingPublished, QuoteReceived
from schemas.orders import Outcome, Side, SignalDecided
from schemas.sessions import SignalBlocked
from services.strategy.context import REDUCING, Context
from services.strategy.interface import Parameters, Strategy
from services.strategy.library.carry import (
    CarryTerms,
    entry_annual,
    entry_basis,
    exit_basis,
    hold_annual,
)
from services.strategy.library.seeking import NOT_DONE

ZERO = Decimal(0)
Milliseconds = Annotated[int, msgspec.Meta(ge=1)]
DOUBLINGS_MAX = 10
"""How often the wait after a broken leg is doubled at the most; a count."""


class BtcBasisParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a position is worth its costs, and how large it is.

    Raises:
        ValueError: a number is out of its range, or `exit_annual` is not below `entry_annual`.
    """

    entry_annual: Decimal = Decimal("0.10")
    """Rate a year, fees of both ways taken off, from which a position is entered: 0.10 is 10 %."""

    exit_annual: Decimal = Decimal("0")
    """Rate a year of holding on, at or below which a position is closed."""

    horizon_days: Decimal = Decimal(7)
    """How long a position is expected to be held, in days: what rates a year are computed over."""

    funding_interval_h: Decimal = Decimal(8)
    """Time between two funding payments of the venue, in hours."""

    needs_funding: bool = True
    """Whether nothing is entered before a funding rate was heard; else it counts 0 until then."""

    can_short_spot: bool = False
    """Whether the reverse is traded too, short spot and long perpetual, where that pays."""

    hedge_ratio: Decimal = Decimal(1)
    """Units of the perpetual's underlying against each unit of spot."""

    quantity: Decimal | None = None
    """Size of the spot leg, in its units; without it, `capital_share` sets it."""

    capital_share: Decimal = Decimal("0.4")
    """Part of the initial capital that the spot leg takes, 0 to 1."""

    retry_ms: Milliseconds = 1_000
    """Wait before asking again for what the gate or the venue refused, in milliseconds."""

    broken_wait_ms: Milliseconds = 10_000
    """Wait before entering again after a leg had to be mended, in milliseconds; twice as long each
    time in a row, up to 1,024 times: a leg that fails for good must not make the other one trade to
    and fro."""

    def __post_init__(self) -> None:
        for name in ("horizon_days", "funding_interval_h", "hedge_ratio"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} above 0: it is {getattr(self, name)}")
        if not self.exit_annual < self.entry_annual:
            found = f"exit_annual is {self.exit_annual}, entry_annual is {self.entry_annual}"
            raise ValueError(f"exit_annual below entry_annual: {found}")
        if self.quantity is not None and not self.quantity > 0:
            raise ValueError(f"quantity above 0: it is {self.quantity}")
        if not 0 < self.capital_share <= 1:
            raise ValueError(f"capital_share above 0 and up to 1: it is {self.capital_share}")


class BtcBasis(Strategy[BtcBasisParameters]):
    """Enter both legs while the carry pays, leave both when it does not, mend what is broken."""

    parameters_type = BtcBasisParameters

    reads = (DataKind.FUNDING,)

    @classmethod
    def needs(cls, parameters: Any, instrument: Instrument) -> tuple[DataKind, ...]:
        """Return that it takes funding rates of the perpetual, unless told to do without."""
        is_perpetual = instrument.asset_class is AssetClass.PERPETUAL
        return cls.reads if is_perpetual and parameters.needs_funding else ()

    def __init__(self, context: Context, parameters: BtcBasisParameters) -> None:
        super().__init__(context, parameters)
        made = list(context.instruments.values())
        self._spot, self._perpetual = _leg(made, AssetClass.SPOT), _leg(made, AssetClass.PERPETUAL)
        self._step = self._perpetual.lot_size * self._perpetual.multiplier / parameters.hedge_ratio
        fees = (self._spot.taker_fee_bps + self._perpetual.taker_fee_bps).scaleb(-4)
        self._terms = CarryTerms(
            horizon_days=parameters.horizon_days,
            funding_interval_h=parameters.funding_interval_h,
            fee_rate=fees,
        )
        self._funding: Decimal | None = None if parameters.needs_funding else ZERO
        self._quotes: dict[InstrumentId, QuoteReceived] = {}
        self._look_ns = self._enter_ns = 0
        self._broken_count = 0
        self._entered_from = ZERO

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        """Return what is wrong with the legs: it takes one spot and one perpetual."""
        kinds = sorted(each.asset_class for each in instruments)
        if kinds == [AssetClass.PERPETUAL, AssetClass.SPOT]:
            return []
        shown = ", ".join(f"{each.id} ({each.asset_class})" for each in instruments) or "none"
        wanted = "one spot instrument and one perpetual"
        return [FieldError(path="$.symbols", found=shown, wanted=wanted)]

    def on_quote(self, quote: QuoteReceived) -> None:
        """Look whether anything is to be done at these prices."""
        if not (quote.bid and quote.ask):
            self._quotes.pop(quote.instrument, None)
            return
        self._quotes[quote.instrument] = quote
        if self.context.now_ns >= self._look_ns and self.context.is_trading:
            self._look()

    def on_funding(self, funding: FundingPublished) -> None:
        """Take the newest rate: what longs of the perpetual pay shorts each interval."""
        if funding.instrument == self._perpetual.id:
            self._funding = funding.rate

    def on_decision(self, decision: SignalDecided) -> None:
        """Have patience after a rejection."""
        self._heard(is_bad=decision.outcome is Outcome.REJECTED)

    def on_blocked(self, blocked: SignalBlocked) -> None:
        """Have patience: the session's own limits stand against it."""
        self._heard(is_bad=True)

    def on_execution(self, event: ExecutionEvent) -> None:
        """Have patience after a refusal."""
        self._heard(is_bad=isinstance(event, NOT_DONE))

    def on_stop(self) -> None:
        """Make the legs equal with the last signals; what is matched stays held."""
        if len(self._quotes) == 2:
            self._mend()

    def _heard(self, *, is_bad: bool) -> None:
        wait_ns = self.parameters.retry_ms * NS_PER_MS if is_bad else 0
        self._look_ns = max(self._look_ns if is_bad else 0, self.context.now_ns + wait_ns)

    def _look(self) -> None:
        context = self.context
        if len(self._quotes) < 2:
            return
        if context.open_orders(self._spot.id) or context.open_orders(self._perpetual.id):
            self._look_ns = context.now_ns + self.parameters.retry_ms * NS_PER_MS
            return  # for news of them; then, or in a while, look again
        if self._mend():
            wait_ms = self.parameters.broken_wait_ms << min(self._broken_count, DOUBLINGS_MAX)
            self._enter_ns = context.now_ns + wait_ms * NS_PER_MS
            self._broken_count += 1
            return
        spot, perpetual = self._quotes[self._spot.id], self._quotes[self._perpetual.id]
        held = context.position(self._spot.id)
        if abs(held) > self._entered_from:
            self._broken_count = 0  # the last entry came in with both its legs
        if held:
            direction = 1 if held > 0 else -1
            funding = self._funding or ZERO
            basis = exit_basis(spot, perpetual, direction)
            rate = hold_annual(basis, funding, direction, self._terms)
            if rate <= self.parameters.exit_annual:
                self._close(f"holding on earns {rate:.4f} a year")
                return
            self._enter(spot, perpetual, direction)
            return
        for direction in (1, -1) if self.parameters.can_short_spot else (1,):
            if self._enter(spot, perpetual, direction):
                return

    def _enter(self, spot: QuoteReceived, perpetual: QuoteReceived, direction: int) -> bool:
        """Enter, or add to, both legs by as much as both markets show; return whether it did."""
        if self._funding is None or self.context.now_ns < self._enter_ns:
            return False
        basis = entry_basis(spot, perpetual, direction)
        rate = entry_annual(basis, self._funding, direction, self._terms)
        if rate < self.parameters.entry_annual:
            return False
        spot_shown = spot.ask_size if direction > 0 else spot.bid_size
        perpetual_shown = perpetual.bid_size if direction > 0 else perpetual.ask_size
        missing = self._wanted(spot) - abs(self.context.position(self._spot.id))
        shown = min(spot_shown, perpetual_shown * self._perpetual.multiplier)
        lots = (min(missing, shown) / self._step).to_integral_value(ROUND_DOWN)
        if lots <= 0:
            return False
        why = f"entering earns {rate:.4f} a year"
        self._entered_from = abs(self.context.position(self._spot.id))
        sides = (Side.BUY, Side.SELL) if direction > 0 else (Side.SELL, Side.BUY)
        units = self._spot_units(lots)
        self.context.submit(self._spot.id, sides[0], units, why=why)
        quantity = lots * self._perpetual.lot_size
        self.context.submit(self._perpetual.id, sides[1], quantity, why=why)
        return True

    def _close(self, why: str) -> None:
        for leg in (self._spot, self._perpetual):
            self.context.close(leg.id, why=why)

    def _mend(self) -> bool:
        """Trade the larger leg down to the smaller one; return whether that was needed."""
        spot, held = self.context.position(self._spot.id), self._perpetual_held()
        has_both = spot * held < 0
        spot_lots = self._whole(abs(spot))
        held_lots = abs(held) / self._perpetual.lot_size
        matched = min(spot_lots, held_lots) if has_both else ZERO
        why = f"a broken leg: spot {spot}, perpetual {held}"
        over = abs(spot) - self._spot_units(matched)
        if over >= self._spot.lot_size and (spot_lots > matched or not has_both):
            side = Side.SELL if spot > 0 else Side.BUY
            self.context.submit(self._spot.id, side, over, REDUCING, why)
            return True
        if held_lots > matched:
            side = Side.SELL if held > 0 else Side.BUY
            over = (held_lots - matched) * self._perpetual.lot_size
            self.context.submit(self._perpetual.id, side, over, REDUCING, why)
            return True
        return False

    def _perpetual_held(self) -> Decimal:
        return self.context.position(self._perpetual.id)

    def _wanted(self, spot: QuoteReceived) -> Decimal:
        """Return the whole size of the spot leg."""
        if self.parameters.quantity is not None:
            return self.parameters.quantity
        worth = self.context.worth(self._spot.id)
        if worth is None:
            return ZERO
        return self.context.capital * self.parameters.capital_share / (spot.ask * worth)

    def _whole(self, units: Decimal) -> Decimal:
        """Return how many lots of the perpetual hedge so many units of spot."""
        return (units / self._step).to_integral_value(ROUND_HALF_EVEN)

    def _spot_units(self, lots: Decimal) -> Decimal:
        """Return the units of spot that so many lots of the perpetual hedge, in spot lots."""
        lot = self._spot.lot_size
        return (lots * self._step / lot).to_integral_value(ROUND_HALF_EVEN) * lot


def _leg(instruments: Sequence[Instrument], kind: AssetClass) -> Instrument:
    return next(each for each in instruments if each.asset_class is kind)
