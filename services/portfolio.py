"""Positions, cash and fees as the fold of distinct executions: never a counter (I11)."""

from collections.abc import Mapping
from decimal import Decimal

from schemas.base import ExecutionId, InstrumentId
from schemas.executions import OrderFilled, PositionView
from schemas.instruments import Instrument
from schemas.settlement import PositionSettled, SettlementKind
from schemas.venue import VenueFilled, VenueSettled
from services.distinct import Distinct

ZERO = Decimal(0)


class Position:
    """What is held of one instrument.

    Attributes:
        quantity: signed; negative is short.
        average_price: of what is held now, in the instrument's currency.
        realized: profit of what was closed, before fees.
        fees: paid so far; negative is a net rebate.
        funding: received for holding it, less what was paid.
    """

    __slots__ = ("average_price", "fees", "funding", "quantity", "realized")

    def __init__(self) -> None:
        self.quantity = ZERO
        self.average_price = ZERO
        self.realized = ZERO
        self.fees = ZERO
        self.funding = ZERO

    def apply(self, signed: Decimal, price: Decimal, multiplier: Decimal) -> None:
        """Fold one execution of `signed` quantity in (average cost method)."""
        held = self.quantity
        total = held + signed
        if held * signed >= 0:  # opening, or adding to what is held
            if total:
                self.average_price = (held * self.average_price + signed * price) / total
        else:
            closed = min(abs(signed), abs(held)).copy_sign(held)
            self.realized += closed * (price - self.average_price) * multiplier
            if total * held < 0:  # turned over: what is left was opened at this price
                self.average_price = price
            elif not total:
                self.average_price = ZERO
        self.quantity = total


class Portfolio:
    """One account. Cash changes by price, quantity and fee of each distinct execution.

    Buying a perpetual or future takes its notional from cash as buying a share does, so that
    `equity` is one formula for all: cash plus the value of what is held.
    """

    def __init__(self, instruments: Mapping[InstrumentId, Instrument], initial_cash: Decimal):
        self._multipliers = {key: each.multiplier for key, each in instruments.items()}
        self.cash = initial_cash
        self.fees = ZERO
        self.fill_count = 0
        self.positions: dict[InstrumentId, Position] = {}
        self._seen = Distinct()
        self._settled: dict[str, None] = {}

    def apply(self, fill: OrderFilled | VenueFilled) -> bool:
        """Fold one execution in; return False, and change nothing, if it was seen before.

        Raises:
            KeyError: nobody has said what the instrument is; nothing is changed.
        """
        multiplier = self._multipliers[fill.instrument]
        if not self._seen.add(fill.execution_id):
            return False
        signed = fill.signed_quantity
        position = self.positions.get(fill.instrument)
        if position is None:
            position = self.positions[fill.instrument] = Position()
        position.apply(signed, fill.price, multiplier)
        position.fees += fill.fee
        self.cash -= signed * fill.price * multiplier + fill.fee
        self.fees += fill.fee
        self.fill_count += 1
        return True

    def settle(self, settled: PositionSettled | VenueSettled) -> bool:
        """Fold one settlement into what is held here; return False if it is a repeat.

        It is told by the unit, so that each part of a holding is settled by the same event.
        """
        if settled.settlement_id in self._settled:
            return False
        self._settled[settled.settlement_id] = None
        position = self.positions.get(settled.instrument)
        if position is None or not position.quantity:
            return True
        paid = position.quantity * settled.payment
        self.cash += paid
        if settled.kind is SettlementKind.FUNDING:
            position.funding += paid
        if settled.closes_at is not None:
            held, multiplier = position.quantity, self._multipliers[settled.instrument]
            position.apply(-held, settled.closes_at, multiplier)
            self.cash += held * settled.closes_at * multiplier
        return True

    def has_settled(self, settlement_id: str) -> bool:
        """Return whether this settlement was folded in."""
        return settlement_id in self._settled

    def learn(self, instruments: Mapping[InstrumentId, Instrument]) -> None:
        """Take in what instruments are; executions of others cannot be folded in."""
        self._multipliers.update((key, each.multiplier) for key, each in instruments.items())

    def has_seen(self, execution_id: ExecutionId) -> bool:
        """Return whether this execution was folded in."""
        return execution_id in self._seen

    def adjust(
        self,
        instrument: InstrumentId | None,
        quantity: Decimal,
        cash: Decimal,
        fees: Decimal,
        price: Decimal | None = None,
    ) -> None:
        """Fold in what a person decided the account holds more, or less, than its executions say.

        A position changes at `price`, what it was worth then; None: at its own average price, for
        nothing is known of what it was traded for.
        """
        self.cash += cash
        self.fees += fees
        if instrument is not None and quantity:
            position = self.positions.setdefault(instrument, Position())
            at = position.average_price if price is None else price
            position.apply(quantity, at, self._multipliers[instrument])

    def adopt(self, view: PositionView) -> None:
        """Take a holding over at its average price: it was paid for, and nothing was earned."""
        position = self.positions.setdefault(view.instrument, Position())
        multiplier = self._multipliers[view.instrument]
        position.apply(view.quantity, view.average_price, multiplier)
        self.cash -= view.quantity * view.average_price * multiplier

    def quantity(self, instrument: InstrumentId) -> Decimal:
        """Return the signed quantity held."""
        position = self.positions.get(instrument)
        return ZERO if position is None else position.quantity

    def equity(self, marks: Mapping[InstrumentId, Decimal]) -> Decimal | None:
        """Return cash plus holdings at `marks`; None if something held has no mark."""
        total = self.cash
        for instrument, position in self.positions.items():
            if position.quantity:
                mark = marks.get(instrument)
                if mark is None:
                    return None
                total += position.quantity * mark * self._multipliers[instrument]
        return total

    def views(self, marks: Mapping[InstrumentId, Decimal]) -> tuple[PositionView, ...]:
        """Return every position ever held, by instrument in order of first execution."""
        return tuple(
            PositionView(
                instrument=instrument,
                quantity=position.quantity,
                average_price=position.average_price,
                realized=position.realized,
                fees=position.fees,
                mark=marks.get(instrument),
                funding=position.funding,
            )
            for instrument, position in self.positions.items()
        )
