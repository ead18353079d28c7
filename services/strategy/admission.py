"""What of a session's signals goes out now, later, or not at all (S-08, S-11).

In front of the gate, and no substitute for it: this keeps a session to what it was started for.
Exits and cancels are never blocked here, and never wait.
"""

from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal

from schemas.base import NS_PER_S, Event, InstrumentId, OrderId
from schemas.health import AlertRaised, Severity
from schemas.ids import order_id_of
from schemas.orders import CancelRequested, Side, SignalRaised
from schemas.sessions import SessionCreated, SignalBlocked
from services.strategy.config import ExecutionLimits, RiskLimits
from services.strategy.orders import OpenOrder, SessionBook

ZERO = Decimal(0)
QUEUE = "max_concurrent_trades"
NO_WORTH = "what its currency is worth in the account's is not known"
Objection = tuple[str, str]
"""The limit that stands against a signal, and why in words."""


class Admission:
    """One session's door.

    Attributes:
        deadline_ns: when something that waits, or is at work, may have taken too long; None while
            there is nothing.
    """

    def __init__(
        self,
        terms: SessionCreated,
        book: SessionBook,
        execution: ExecutionLimits,
        limits: RiskLimits,
        mark_of: Callable[[InstrumentId], Decimal | None],
    ) -> None:
        self.deadline_ns: int | None = None
        self._terms = terms
        self._book = book
        self._execution = execution
        self._limits = limits
        self._mark_of = mark_of
        self._waiting: deque[SignalRaised] = deque()
        self._unjudged: set[OrderId] = set()
        self._late: set[OrderId] = set()

    def admit(self, said: Sequence[Event], now_ns: int) -> list[Event]:
        """Return what goes out of what a strategy said; the signals are in the book already."""
        out: list[Event] = []
        self._unjudged = {_order_id(each) for each in said if isinstance(each, SignalRaised)}
        for event in said:
            if isinstance(event, SignalRaised):
                self._unjudged.discard(_order_id(event))
                out += self._signal(event, now_ns)
            elif isinstance(event, CancelRequested) and (gone := self._forgotten(event.order_id)):
                out.append(gone)
            else:
                out.append(event)
        return out

    def release(self, now_ns: int, *, is_trading: bool) -> list[Event]:
        """Return what has waited and may go now; and, as blocked, what has waited too long."""
        out: list[Event] = []
        while self._waiting:
            signal = self._waiting[0]
            if not is_trading or now_ns >= signal.expires_at_ns:
                why = "it waited as long as it may" if is_trading else "trading was stopped"
                out.append(self._blocked(self._waiting.popleft(), (QUEUE, why)))
            elif self._at_work_count() < self._execution.max_concurrent_trades:
                out.append(self._waiting.popleft())
                self._expect(now_ns + self._execution.execution_timeout_s * NS_PER_S)
            else:
                self._expect(signal.expires_at_ns)
                break
        if self._book.orders:
            self._expect(now_ns + self._execution.execution_timeout_s * NS_PER_S)
        return out

    def overdue(self, now_ns: int, *, is_trading: bool) -> list[Event]:
        """Return a cancel of each order that takes too long, once each, and what is to be told."""
        self.deadline_ns = None
        out = self.release(now_ns, is_trading=is_trading)
        self._late &= self._book.orders.keys()
        for order in self._sent():
            limit_s = self._limit_s(order)
            due_ns = order.at_ns + limit_s * NS_PER_S
            if order.order_id in self._late:
                continue
            if now_ns < due_ns:
                self._expect(due_ns)
                continue
            self._late.add(order.order_id)
            out += [self._cancel(order, now_ns), self._too_long(order, limit_s, now_ns)]
        return out

    def close(self, why: str) -> list[Event]:
        """Return the end of all that waits: the session is over, and nobody has heard of it."""
        out: list[Event] = [self._blocked(signal, (QUEUE, why)) for signal in self._waiting]
        self._waiting.clear()
        self.deadline_ns = None
        return out

    def _signal(self, signal: SignalRaised, now_ns: int) -> list[Event]:
        if not self.is_exit(signal):
            objection = self._objection(signal)
            if objection is not None:
                return [self._blocked(signal, objection)]
            if self._waiting or self._at_work_count() > self._execution.max_concurrent_trades:
                if now_ns >= signal.expires_at_ns:
                    return [self._blocked(signal, (QUEUE, "it may not wait: it has expired"))]
                self._waiting.append(signal)
                self._expect(signal.expires_at_ns)
                return []
        self._expect(now_ns + self._execution.execution_timeout_s * NS_PER_S)
        return [signal]

    def is_exit(self, signal: SignalRaised) -> bool:
        """Return whether it only reduces what the session holds; it is in the book already."""
        if signal.is_reduce_only:
            return True
        held = self._book.portfolio.quantity(signal.instrument)
        is_against = held > 0 if signal.side is Side.SELL else held < 0
        return is_against and self._worst(signal.instrument, signal.side) * held >= 0

    def _worst(self, instrument: InstrumentId, side: Side) -> Decimal:
        """Return the position once every open order of this side has filled."""
        leaves = sum(
            (o.leaves for o in self._book.orders.values() if _is_of(o, instrument, side)), ZERO
        )
        held = self._book.portfolio.quantity(instrument)
        return held + side.signed(leaves)

    def _objection(self, signal: SignalRaised) -> Objection | None:
        return self._too_large(signal) or (
            self._too_many(signal) if self._execution.risk_management_enabled else None
        )

    def _too_many(self, signal: SignalRaised) -> Objection | None:
        most = self._limits.max_positions
        if most is None:
            return None
        own = {_order_id(signal), *self._unjudged}
        positions = self._book.portfolio.positions
        taken = {key for key, position in positions.items() if position.quantity}
        taken |= {o.instrument for o in self._book.orders.values() if o.order_id not in own}
        if signal.instrument in taken or len(taken) < most:
            return None
        return "max_positions", f"{len(taken)} positions held or entered, at most {most}"

    def _too_large(self, signal: SignalRaised) -> Objection | None:
        sizes = self._sizes()
        if not sizes:
            return None
        price = self._dearest(signal)
        if price is None:
            return "position_size_limit", "no price of it is known, so neither is its size"
        if self._book.worth(signal.instrument) is None:
            return "position_size_limit", f"{NO_WORTH}, so neither is its size"
        worst = self._worst(signal.instrument, signal.side)
        size = self._book.notional(signal.instrument, worst, price)
        for name, most in sizes:
            if most is None:
                return name, "the session's equity is not known"
            if size > most:
                return name, f"a position of {size:f} with it, at most {_plain(most)}"
        return None

    def _dearest(self, signal: SignalRaised) -> Decimal | None:
        """Return the most that a unit may trade at, as far as is known; None: nothing is.

        A limit is the most that is paid, but the least that is got: to sell far below the market is
        to sell at the market.
        """
        if signal.side is Side.BUY and signal.limit_price is not None:
            return signal.limit_price
        mark = self._mark_of(signal.instrument)
        named = (mark, signal.limit_price, signal.stop_price)
        return None if mark is None else max(each for each in named if each is not None)

    def _sizes(self) -> list[tuple[str, Decimal | None]]:
        """Return each limit on a position's notional; the first holds whatever a start names."""
        limits, execution = self._limits, self._execution
        found: list[tuple[str, Decimal | None]] = []
        if execution.position_size_limit is not None:
            found.append(("position_size_limit", execution.position_size_limit))
        if not execution.risk_management_enabled:
            return found
        if limits.max_position_size is not None:
            found.append(("max_position_size", limits.max_position_size))
        if limits.max_position_size_pct is not None:
            equity = self._book.equity(self._mark_of)
            share = limits.max_position_size_pct / 100
            found.append(("max_position_size_pct", None if equity is None else equity * share))
        return found

    def _at_work_count(self) -> int:
        return sum(1 for order in self._sent() if _is_at_work(order))

    def _sent(self) -> list[OpenOrder]:
        inside = {_order_id(signal) for signal in self._waiting} | self._unjudged
        orders = self._book.orders.values()
        return [o for o in orders if o.order_id not in inside and not o.is_awaiting]

    def _limit_s(self, order: OpenOrder) -> int:
        limits = self._execution
        return limits.execution_timeout_s if _is_at_work(order) else limits.timeout_seconds

    def _expect(self, at_ns: int) -> None:
        if self.deadline_ns is None or at_ns < self.deadline_ns:
            self.deadline_ns = at_ns

    def _forgotten(self, order_id: OrderId) -> SignalBlocked | None:
        """Return the end of what was only waiting: there is no order to cancel anywhere."""
        for signal in self._waiting:
            if _order_id(signal) == order_id:
                self._waiting.remove(signal)
                return self._blocked(signal, (QUEUE, "its strategy took it back while it waited"))
        return None

    def _blocked(self, signal: SignalRaised, objection: Objection) -> SignalBlocked:
        order_id = _order_id(signal)
        self._book.orders.pop(order_id, None)
        rule, reason = objection
        return SignalBlocked(
            at_ns=signal.at_ns,
            session=signal.session,
            account=signal.account,
            strategy=self._terms.strategy,
            signal_id=signal.signal_id,
            instrument=signal.instrument,
            side=signal.side,
            quantity=signal.quantity,
            order_id=order_id,
            rule=rule,
            reason=reason,
        )

    def _cancel(self, order: OpenOrder, now_ns: int) -> CancelRequested:
        terms = self._terms
        return CancelRequested(
            at_ns=now_ns,
            account=terms.account,
            session=terms.session,
            instrument=order.instrument,
            order_id=order.order_id,
        )

    def _too_long(self, order: OpenOrder, limit_s: int, now_ns: int) -> AlertRaised:
        return AlertRaised(
            at_ns=now_ns,
            severity=Severity.WARNING,
            component="strategy",
            code="LTS-001",
            message=f"an order of {self._terms.session} was not done within {limit_s} s and is"
            f" cancelled: {order.side} {order.leaves:f} {order.instrument}",
            fields={"session": self._terms.session, "order_id": order.order_id},
        )


def _is_at_work(order: OpenOrder) -> bool:
    """Return whether its execution is under way: it is to trade at once, or not at a venue yet."""
    return order.is_immediate or not order.is_sent


def _is_of(order: OpenOrder, instrument: InstrumentId, side: Side) -> bool:
    return order.instrument == instrument and order.side is side


def _order_id(signal: SignalRaised) -> OrderId:
    return order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)


def _plain(number: Decimal) -> str:
    """Return the number without zeros that say nothing."""
    return f"{number.normalize():f}"
