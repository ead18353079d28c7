"""A session's signals that wait for a person, as its execution mode asks (S-09).

AUTO: none. MANUAL: all. SEMI_AUTO: entries; what only reduces the session's position, by quantity
and open orders counted, never waits, and cancels never do. The gate enforces the same by itself:
here is only who is shown what, for how long, and whether the market is still the one shown.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S, Event, InstrumentId, OrderId, SignalId
from schemas.confirmations import (
    AwaitingView,
    ConfirmRequest,
    SignalAwaiting,
    SignalConfirmed,
    SignalWithdrawn,
)
from schemas.errors import FieldError
from schemas.ids import order_id_of
from schemas.market import QuoteReceived
from schemas.orders import CancelRequested, Side, SignalRaised
from schemas.sessions import SessionCreated
from services.strategy.orders import SessionBook

AUTO, SEMI_AUTO, MANUAL = "AUTO", "SEMI_AUTO", "MANUAL"
MODES = (AUTO, SEMI_AUTO, MANUAL)
SIGNAL = "$.signal"
BPS = Decimal(10_000)
ZERO = Decimal(0)
ENDED_MAX = 1_000
"""Signals that a session remembers as confirmed or withdrawn, to answer a second word on them."""

Ended = SignalConfirmed | SignalWithdrawn
WAITING_FACTS: frozenset[type[Event]] = frozenset(
    {SignalAwaiting, SignalConfirmed, SignalWithdrawn}
)
"""Every event that `Waiting` is a fold of."""


class ConfirmationTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a signal waits for a person, and what is checked again when one confirms it.

    Raises:
        ValueError: the collar is not above 0.
    """

    expiry_s: Annotated[int, msgspec.Meta(gt=0)] = 120
    """How long it can be confirmed, in seconds; then it is withdrawn."""

    collar_bps: Decimal = Decimal(50)
    """How far the touch on its side may have moved since it was raised, either way, in basis
    points of what it was then; beyond, the confirmation is refused."""

    quote_age_ms_max: Annotated[int, msgspec.Meta(gt=0)] = 5_000
    """How old the newest quote may be when it is confirmed, in milliseconds."""

    def __post_init__(self) -> None:
        if not (self.collar_bps.is_finite() and self.collar_bps > 0):
            raise ValueError(f"collar_bps is {self.collar_bps}: wanted a number above 0")


class Waiting:
    """What of one session waits.

    Attributes:
        deadline_ns: when something that waits expires, ns since the epoch; None while nothing
            waits, and 0 when all of it is to be withdrawn at once.
    """

    def __init__(
        self,
        terms: SessionCreated,
        book: SessionBook,
        config: ConfirmationTerms,
        quote_of: Callable[[InstrumentId], QuoteReceived | None],
    ) -> None:
        self.deadline_ns: int | None = None
        self._terms, self._book, self._config, self._quote_of = terms, book, config, quote_of
        self._held: dict[SignalId, SignalAwaiting] = {}
        self._ended: dict[SignalId, Ended] = {}
        self._stopped = ""

    def hold(self, said: Sequence[Event], now_ns: int) -> Sequence[Event]:
        """Return what a strategy said, with that in the place of a signal that it waits."""
        if self._terms.execution_mode == AUTO:
            return said
        unjudged = {_order_id(each) for each in said if isinstance(each, SignalRaised)}
        out: list[Event] = []
        for event in said:
            if isinstance(event, SignalRaised):
                unjudged.discard(_order_id(event))
                out.append(event if self._goes(event, unjudged) else self._await(event, now_ns))
            elif isinstance(event, CancelRequested) and (held := self._of(event.order_id)):
                out.append(self.withdraw(held, "its strategy took it back", now_ns))
            else:
                out.append(event)
        return out

    def find(self, signal_id: SignalId) -> SignalAwaiting | Ended | None:
        """Return what waits under this id, or how its waiting ended; None if nobody knows it."""
        return self._held.get(signal_id) or self._ended.get(signal_id)

    def objection(self, awaiting: SignalAwaiting, now_ns: int) -> FieldError | None:
        """Return why it cannot be confirmed as the market is now; None when it can."""
        config, signal = self._config, awaiting.signal
        if now_ns >= awaiting.expires_at_ns:
            return FieldError(path=SIGNAL, found="it expired", wanted="a word before its expiry")
        quote, price = self._quote_of(signal.instrument), self.price_now(signal)
        if quote is None or price is None:
            return FieldError(
                path=SIGNAL, found=f"no quote of {signal.instrument}", wanted="a fresh one"
            )
        age_ms = (now_ns - quote.at_ns) // NS_PER_MS
        if age_ms > config.quote_age_ms_max:
            wanted = f"at most {config.quote_age_ms_max} ms (strategy.confirmation)"
            return FieldError(path=SIGNAL, found=f"a quote {age_ms} ms old", wanted=wanted)
        then = awaiting.price
        if then is None:
            wanted = "a price from when the signal was raised: refuse it"
            return FieldError(path=SIGNAL, found="none was known then", wanted=wanted)
        moved_bps = abs(price - then) / then * BPS
        if moved_bps > config.collar_bps:
            found = f"{then} when it was raised, {price} now: {moved_bps:.1f} bps"
            wanted = f"at most {config.collar_bps} bps (strategy.confirmation.collar_bps)"
            return FieldError(path=SIGNAL, found=found, wanted=wanted)
        return None

    def confirm(
        self, awaiting: SignalAwaiting, request: ConfirmRequest, now_ns: int
    ) -> list[Event]:
        """Return the confirmation, and the signal anew; there is no objection to it."""
        signal = awaiting.signal
        price_now = self.price_now(signal)
        assert price_now is not None, "asked for an objection first"
        confirmed = SignalConfirmed(
            at_ns=now_ns,
            session=signal.session,
            signal_id=signal.signal_id,
            operator=request.operator,
            reason=request.reason,
            price=awaiting.price,
            price_now=price_now,
        )
        self.apply(confirmed)
        life_ns = signal.expires_at_ns - signal.at_ns
        raised = msgspec.structs.replace(signal, at_ns=now_ns, expires_at_ns=now_ns + life_ns)
        self._book.apply(raised)
        return [confirmed, raised]

    def withdraw(
        self, awaiting: SignalAwaiting, reason: str, now_ns: int, operator: str = ""
    ) -> SignalWithdrawn:
        """Return the end of a signal that never goes out, folded in already."""
        withdrawn = SignalWithdrawn(
            at_ns=now_ns,
            session=awaiting.session,
            signal_id=awaiting.signal.signal_id,
            reason=reason,
            operator=operator,
        )
        self.apply(withdrawn)
        return withdrawn

    def stop(self, reason: str) -> None:
        """Have all that waits withdrawn as soon as there is time: the session does not trade."""
        if self._held:
            self._stopped, self.deadline_ns = reason, 0

    def lapsed(self, now_ns: int) -> list[SignalWithdrawn]:
        """Return the end of what has waited too long, or of all after a stop."""
        if self._stopped:
            return self.empty(self._stopped, now_ns)
        due = [each for each in self._held.values() if each.expires_at_ns <= now_ns]
        return [self.withdraw(each, "nobody confirmed it in time", now_ns) for each in due]

    def empty(self, reason: str, now_ns: int) -> list[SignalWithdrawn]:
        """Return the end of all that waits."""
        return [self.withdraw(each, reason, now_ns) for each in list(self._held.values())]

    def apply(self, event: SignalAwaiting | Ended) -> None:
        """Fold one event in: said just now, or kept by the journal."""
        if isinstance(event, SignalAwaiting):
            self._held[event.signal.signal_id] = event
            self._book.hold(event)
        else:
            held = self._held.pop(event.signal_id, None)
            self._ended[event.signal_id] = event
            if len(self._ended) > ENDED_MAX:
                del self._ended[next(iter(self._ended))]
            if isinstance(event, SignalWithdrawn) and held is not None:
                self._book.orders.pop(_order_id(held.signal), None)
        self._stopped = self._stopped if self._held else ""
        due = (each.expires_at_ns for each in self._held.values())
        self.deadline_ns = 0 if self._stopped else min(due, default=None)

    def views(self) -> tuple[AwaitingView, ...]:
        """Return what waits, oldest first, with the price now."""
        return tuple(
            AwaitingView(awaiting=each, price_now=self.price_now(each.signal))
            for each in self._held.values()
        )

    def price_now(self, signal: SignalRaised) -> Decimal | None:
        """Return the touch on the order's own side; None where there is none."""
        quote = self._quote_of(signal.instrument)
        if quote is None:
            return None
        price = quote.ask if signal.side is Side.BUY else quote.bid
        return price if price > 0 else None

    def _goes(self, signal: SignalRaised, unjudged: set[OrderId]) -> bool:
        """Return whether it goes to the gate by itself; no mode that is not known lets it."""
        if self._terms.execution_mode != SEMI_AUTO:
            return False
        held = self._book.portfolio.quantity(signal.instrument)
        if (held <= 0) if signal.side is Side.SELL else (held >= 0):
            return False
        own = {_order_id(signal), *unjudged}
        leaves = sum(
            (
                order.leaves
                for order in self._book.orders.values()
                if order.instrument == signal.instrument
                and order.side is signal.side
                and not order.is_awaiting
                and order.order_id not in own
            ),
            ZERO,
        )
        return leaves + signal.quantity <= abs(held)

    def _of(self, order_id: OrderId) -> SignalAwaiting | None:
        found = (each for each in self._held.values() if _order_id(each.signal) == order_id)
        return next(found, None)

    def _await(self, signal: SignalRaised, now_ns: int) -> SignalAwaiting:
        awaiting = SignalAwaiting(
            at_ns=now_ns,
            session=signal.session,
            signal=signal,
            price=self.price_now(signal),
            expires_at_ns=now_ns + self._config.expiry_s * NS_PER_S,
        )
        self.apply(awaiting)
        return awaiting


def _order_id(signal: SignalRaised) -> OrderId:
    return order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)
