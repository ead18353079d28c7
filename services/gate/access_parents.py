"""Slices of a larger order: together they never come to more than the whole."""

from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, OrderId, SessionId, SignalId
from schemas.orders import Order, Side, SignalRaised

ZERO = Decimal(0)
REMEMBERED_NS = 86_400 * NS_PER_S
"""A parent is remembered for at least so long after its last slice was approved."""

Key = tuple[SessionId, SignalId]


class Parent(msgspec.Struct):
    """One order that is sent in slices.

    `used` is what was approved less what can no longer fill: filled, resting or on its way.
    """

    side: Side
    quantity: Decimal
    used: Decimal
    open_count: int
    last_ns: int


class Slice(msgspec.Struct):
    """One slice that may still fill."""

    parent: Parent
    leaves: Decimal
    is_ended: bool = False
    """Whether it was told how much of it will never fill."""


class Parents:
    """The parents of one account's slices.

    Args:
        parents_max: when so many are remembered and none may be forgotten, a new one is denied.
    """

    def __init__(self, parents_max: int = 10_000) -> None:
        self.parents: dict[Key, Parent] = {}
        self.slices: dict[OrderId, Slice] = {}
        self._parents_max = parents_max

    def objection(self, signal: SignalRaised, now_ns: int) -> tuple[str, str]:
        """Return what speaks against a slice and what was wanted; empty when nothing does."""
        parent_id, whole = signal.parent_id, signal.parent_quantity
        if parent_id is None or whole is None:
            return ("parent_id and parent_quantity not both given", "both or neither")
        parent = self.parents.get((signal.session, parent_id))
        if parent is None:
            if self._is_full(now_ns):
                return ("the memory of parents is full", f"{self._parents_max} a day at most")
            return ("", "") if signal.quantity <= whole else (str(signal.quantity), str(whole))
        if parent.side is not signal.side or parent.quantity != whole:
            told = f"{parent.side} {parent.quantity}"
            return (f"{signal.side} {whole} of a parent that was {told}", told)
        used = parent.used + signal.quantity
        return ("", "") if used <= whole else (str(used), str(whole))

    def used(self, session: SessionId, parent_id: SignalId) -> Decimal:
        """Return what a parent's slices come to that have filled or still may."""
        parent = self.parents.get((session, parent_id))
        return ZERO if parent is None else parent.used

    def approve(self, order: Order, at_ns: int) -> None:
        """Count a slice."""
        if order.parent_id is None or order.order_id in self.slices:
            return
        key = (order.session, order.parent_id)
        parent = self.parents.pop(key, None)
        if parent is None:
            self._forget(at_ns)
            whole = order.quantity if order.parent_quantity is None else order.parent_quantity
            parent = Parent(order.side, whole, ZERO, 0, at_ns)
        self.parents[key] = parent  # the newest stands last: the oldest are forgotten first
        parent.used += order.quantity
        parent.open_count += 1
        parent.last_ns = at_ns
        self.slices[order.order_id] = Slice(parent, order.quantity)

    def fill(self, order_id: OrderId, quantity: Decimal) -> None:
        """Take what has filled from what may still fill; it stays used."""
        part = self.slices.get(order_id)
        if part is not None:
            self._shrink(order_id, part, min(quantity, part.leaves))

    def release(self, order_id: OrderId, leaves: Decimal | None = None) -> None:
        """Give back what will never fill: `leaves`, and that once, or all that is left."""
        part = self.slices.get(order_id)
        if part is not None and not (part.is_ended and leaves is not None):
            part.is_ended = True
            released = part.leaves if leaves is None else min(leaves, part.leaves)
            part.parent.used -= released
            assert part.parent.used >= ZERO, "more was given back than was taken"
            self._shrink(order_id, part, released)

    def gone(self, order_id: OrderId) -> None:
        """Close a slice whose end nobody told: all of it stays used, for it may have filled."""
        part = self.slices.get(order_id)
        if part is not None:
            self._shrink(order_id, part, part.leaves)

    def _shrink(self, order_id: OrderId, part: Slice, quantity: Decimal) -> None:
        part.leaves -= quantity
        if not part.leaves:
            part.parent.open_count -= 1
            del self.slices[order_id]

    def _is_full(self, now_ns: int) -> bool:
        if len(self.parents) < self._parents_max:
            return False
        oldest = next(iter(self.parents.values()))
        return not _is_forgettable(oldest, now_ns)

    def _forget(self, now_ns: int) -> None:
        while len(self.parents) >= self._parents_max:
            key, oldest = next(iter(self.parents.items()))
            if not _is_forgettable(oldest, now_ns):
                return  # it was denied, or a journal holds more than this process would allow
            del self.parents[key]


def _is_forgettable(parent: Parent, now_ns: int) -> bool:
    return not parent.open_count and parent.last_ns + REMEMBERED_NS <= now_ns
