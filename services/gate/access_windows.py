"""Sums over sliding windows, and the intents that may not come twice."""

from collections import deque
from decimal import Decimal
from typing import NamedTuple

from schemas.base import NS_PER_MS, InstrumentId, SessionId, SignalId
from schemas.orders import Order, OrderApproved, OrderType, Side, SignalRaised

ZERO = Decimal(0)
ENTRIES_MAX = 4_096
"""More entries of one window are not told apart: the oldest two then leave it together, late."""


class SumWindow:
    """What amounts have come to lately."""

    __slots__ = ("_entries", "_total")

    def __init__(self) -> None:
        self._entries: deque[tuple[int, Decimal]] = deque()
        self._total = ZERO

    def add(self, at_ns: int, amount: Decimal) -> None:
        """Count one amount."""
        entries = self._entries
        entries.append((at_ns, amount))
        self._total += amount
        if len(entries) > ENTRIES_MAX:
            older, newer = entries.popleft(), entries.popleft()
            entries.appendleft((newer[0], older[1] + newer[1]))

    @property
    def newest_ns(self) -> int:
        """When the last amount was counted that still counts; 0 when none does."""
        return self._entries[-1][0] if self._entries else 0

    def total(self, now_ns: int, window_ms: int) -> Decimal:
        """Return the sum over the window that ends now; what is older is let go."""
        entries, begin_ns = self._entries, now_ns - window_ms * NS_PER_MS
        while entries and entries[0][0] <= begin_ns:
            self._total -= entries.popleft()[1]
        return self._total

    def entries(self) -> tuple[tuple[int, Decimal], ...]:
        """Return when each amount was counted, oldest first."""
        return tuple(self._entries)


class Intent(NamedTuple):
    """What somebody wants to trade, whatever the signal is called."""

    session: SessionId
    instrument: InstrumentId
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None


class Approved(NamedTuple):
    """When an intent was approved last, and as whose."""

    at_ns: int
    signal_id: SignalId
    parent_id: SignalId | None


def intent_of(wanted: SignalRaised | Order, asked: Decimal | None = None) -> Intent:
    """Return the intent of a signal, or of the order that it became.

    Args:
        wanted: either.
        asked: the quantity that was wanted at first, where it was made smaller: how much the gate
            had room for is no part of what somebody wants.
    """
    return Intent(
        wanted.session,
        wanted.instrument,
        wanted.side,
        wanted.quantity if asked is None else asked,
        wanted.order_type,
        wanted.limit_price,
        wanted.stop_price,
    )


class IntentMemory:
    """The approved intents of one account, the newest approval of each.

    Args:
        intents_max: when so many are remembered, the oldest goes first. The message rate keeps
            far below it in any window that makes sense.
    """

    def __init__(self, intents_max: int = 65_536) -> None:
        self._approved: dict[Intent, Approved] = {}
        self._intents_max = intents_max

    def add(self, event: OrderApproved, window_ms: int) -> None:
        """Remember an approval; those that are out of the window are let go."""
        order, at_ns = event.order, event.at_ns
        approved, intent = self._approved, intent_of(order, event.asked_quantity)
        approved.pop(intent, None)
        approved[intent] = Approved(at_ns, order.signal_id, order.parent_id)
        begin_ns = at_ns - window_ms * NS_PER_MS
        oldest = next(iter(approved))
        while approved[oldest].at_ns <= begin_ns or len(approved) > self._intents_max:
            del approved[oldest]
            if not approved:
                return
            oldest = next(iter(approved))

    def repeated(
        self, signal: SignalRaised, now_ns: int, window_ms: int, asked: Decimal | None = None
    ) -> Approved | None:
        """Return the approval in the window that this signal repeats, or None.

        Legs of one signal and slices of one parent are one intent in parts, and no repeats.
        `asked` is what the signal wanted where a smaller quantity is judged.
        """
        before = self._approved.get(intent_of(signal, asked))
        if before is None or now_ns - before.at_ns >= window_ms * NS_PER_MS:
            return None
        is_sibling = signal.parent_id is not None and signal.parent_id == before.parent_id
        return None if is_sibling or signal.signal_id == before.signal_id else before

    def __len__(self) -> int:
        """Return how many intents are remembered."""
        return len(self._approved)
