"""Lend at the market that pays best, and take it back when it pays too little or looks unsafe.

Nothing is borrowed. One market holds everything at a time; a move withdraws first and supplies what
has come back. Nothing is done while the account's health factor is not known, and nothing is ever
withdrawn that would bring it below its minimum.
"""

from collections.abc import Sequence
from decimal import ROUND_DOWN, Decimal
from typing import Annotated, Any

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S, InstrumentId
from schemas.errors import FieldError
from schemas.executions import ExecutionEvent
from schemas.instruments import AssetClass, DataKind, Instrument
from schemas.market import QuoteReceived
from schemas.orders import Outcome, SignalDecided
from schemas.sessions import SignalBlocked
from services.strategy.context import Context
from services.strategy.interface import Parameters, Strategy
from services.strategy.library.seeking import NOT_DONE

ZERO = Decimal(0)


class PureLendingParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When lending is worth it, and when it is safe.

    Raises:
        ValueError: a number is out of its range, or the two rates are the wrong way round.
    """

    supply_rate_min: Decimal = Decimal("0.02")
    """Rate a year from which something is supplied: 0.02 is 2 %."""

    withdraw_rate_max: Decimal = Decimal("0.01")
    """Rate a year at or below which everything is withdrawn."""

    switch_gain_min: Decimal = Decimal("0.01")
    """How much more a year another market must pay before everything is moved there."""

    utilisation_max: Decimal = Decimal("0.95")
    """Part of a market that may be lent out, 0 to 1: beyond it, it may soon pay nobody back, so
    nothing is supplied there and what is there is withdrawn."""

    health_factor_min: Decimal = Decimal("1.2")
    """Lowest health factor of the account that a withdrawal may leave."""

    capital_share: Decimal = Decimal("0.9")
    """Part of the initial capital that is lent, 0 to 1."""

    every_s: Annotated[int, msgspec.Meta(ge=1)] = 60
    """Time between two looks at the rates, in seconds."""

    retry_ms: Annotated[int, msgspec.Meta(ge=1)] = 1_000
    """Wait before asking again for what the gate or the venue refused, in milliseconds."""

    def __post_init__(self) -> None:
        if not self.withdraw_rate_max < self.supply_rate_min:
            found = f"{self.withdraw_rate_max} and {self.supply_rate_min}"
            raise ValueError(f"withdraw_rate_max below supply_rate_min: they are {found}")
        if not self.switch_gain_min >= 0:
            raise ValueError(f"switch_gain_min of 0 or more: it is {self.switch_gain_min}")
        if not 0 < self.utilisation_max <= 1:
            raise ValueError(f"utilisation_max above 0 and up to 1: it is {self.utilisation_max}")
        if not self.health_factor_min >= 1:
            raise ValueError(f"health_factor_min of 1 or more: it is {self.health_factor_min}")
        if not 0 < self.capital_share <= 1:
            raise ValueError(f"capital_share above 0 and up to 1: it is {self.capital_share}")


class PureLending(Strategy[PureLendingParameters]):
    """Look at the rates now and then; withdraw before supplying."""

    parameters_type = PureLendingParameters
    reads = (DataKind.LENDING, DataKind.LIQUIDITY, DataKind.BALANCES)

    def __init__(self, context: Context, parameters: PureLendingParameters) -> None:
        super().__init__(context, parameters)
        self._look_ns = self._patient_until_ns = 0
        self._is_moving = False

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        """Return each instrument that is no share of a lending market."""
        return [
            FieldError(
                path=f"$.symbols[{index}]",
                found=f"{each.id} ({each.asset_class})",
                wanted="an instrument of asset class lending",
            )
            for index, each in enumerate(instruments)
            if each.asset_class is not AssetClass.LENDING
        ]

    def on_quote(self, quote: QuoteReceived) -> None:
        """Look at the rates, if it is time and nothing is on its way."""
        context = self.context
        if context.now_ns < self._look_ns or not context.is_trading:
            return
        if any(context.open_orders(key) for key in context.instruments):
            self._look_ns = context.now_ns + self.parameters.retry_ms * NS_PER_MS
            return
        every_ns = self.parameters.every_s * NS_PER_S
        self._look_ns = context.now_ns + every_ns
        self._patient_until_ns = self._patient_until_ns or context.now_ns + every_ns
        if not all(self._is_known(key) for key in context.instruments):
            self._look_ns = context.now_ns + self.parameters.retry_ms * NS_PER_MS
            if context.now_ns < self._patient_until_ns:
                return  # the best of all is not known before all are
        self._look()

    def on_decision(self, decision: SignalDecided) -> None:
        """Go on soon; after a rejection, only in a while."""
        self._heard(is_bad=decision.outcome is Outcome.REJECTED)

    def on_blocked(self, blocked: SignalBlocked) -> None:
        """Have patience: the session's own limits stand against it."""
        self._heard(is_bad=True)

    def on_execution(self, event: ExecutionEvent) -> None:
        """Go on soon; after a refusal, only in a while."""
        self._heard(is_bad=isinstance(event, NOT_DONE))

    def _heard(self, *, is_bad: bool) -> None:
        """Look again at the next quote while a move is under way."""
        if is_bad or self._is_moving:
            wait_ns = self.parameters.retry_ms * NS_PER_MS if is_bad else 0
            self._look_ns = self.context.now_ns + wait_ns

    def _look(self) -> None:
        held = {key: q for key in self.context.instruments if (q := self.context.position(key))}
        wanted = self._wanted(held)
        self._is_moving = False
        away = [key for key in held if key != wanted]
        for key in away:
            self._withdraw(key, held[key])
        if wanted is not None and not away:
            self._supply(wanted, held.get(wanted, ZERO))

    def _wanted(self, held: dict[InstrumentId, Decimal]) -> InstrumentId | None:
        """Return the market to lend at; None where none is worth it, or safe."""
        parameters = self.parameters
        rates = {key: rate for key in self.context.instruments if (rate := self._rate(key))}
        best = max(rates, key=lambda key: rates[key], default=None)
        now = next(iter(held), None)
        if now is not None and not self._is_known(now):
            return now  # what is not known is no reason to move
        if now in rates and rates[now] > parameters.withdraw_rate_max:
            is_better = best is not None and rates[best] - rates[now] >= parameters.switch_gain_min
            return best if is_better else now
        if best is not None and rates[best] >= parameters.supply_rate_min:
            return best
        return None

    def _is_known(self, instrument: InstrumentId) -> bool:
        data = self.context.data
        if data.price(instrument) is None or self._health(instrument) is None:
            return False
        balances = data.balances(instrument)
        is_measured = balances is not None and balances.supplied > 0
        return is_measured and data.lending_rate(instrument) is not None

    def _rate(self, instrument: InstrumentId) -> Decimal | None:
        """Return what supplying earns a year; None where that, or its safety, is not known."""
        data = self.context.data
        rate, balances = data.lending_rate(instrument), data.balances(instrument)
        if rate is None or balances is None or not balances.supplied > 0:
            return None
        is_safe = balances.borrowed / balances.supplied <= self.parameters.utilisation_max
        return rate if is_safe else None

    def _supply(self, instrument: InstrumentId, held: Decimal) -> None:
        """Supply what is missing to the part of the capital that is to be lent."""
        quote = self.context.quote(instrument)
        worth = self.context.worth(instrument)
        if quote is None or not quote.ask or worth is None or self._health(instrument) is None:
            return
        capital = self.context.capital * self.parameters.capital_share
        missing = self.context.whole_lots(instrument, capital / (quote.ask * worth) - held)
        if missing > 0 and not held:
            rate = self._rate(instrument)
            self.context.buy(instrument, missing, why=f"supply at {rate} a year")

    def _withdraw(self, instrument: InstrumentId, held: Decimal) -> None:
        """Withdraw as much as the market has left, and as the account's health allows."""
        liquidity, quote = self.context.data.liquidity(instrument), self.context.quote(instrument)
        health = self._health(instrument)
        if liquidity is None or quote is None or not quote.bid or health is None:
            return
        quantity = min(held, liquidity / quote.bid)
        if health.is_finite():  # what secures the debt may shrink by so much, and no more
            spare = 1 - self.parameters.health_factor_min / health if health > 0 else ZERO
            quantity = min(quantity, max(spare, ZERO) * held)
        lot = self.context.instruments[instrument].lot_size
        quantity = (quantity / lot).to_integral_value(ROUND_DOWN) * lot
        if quantity > 0:
            self._is_moving = True
            why = f"withdraw: it pays {self.context.data.lending_rate(instrument)} a year"
            self.context.sell(instrument, quantity, why=why)

    def _health(self, instrument: InstrumentId) -> Decimal | None:
        return self.context.data.health_factor(self.context.instruments[instrument].venue)
