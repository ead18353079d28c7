"""What the gate remembers for a while: order ids that are used up, and when messages went out."""

from collections import deque

from schemas.base import NS_PER_MS, OrderId


class IdMemory:
    """Order ids that are used up: no second signal may have one.

    The rule, since memory is bounded: an approved id is remembered at least until the order may
    no longer be sent, and longer as long as there is room. When every approved id that is
    remembered could still be sent, the gate denies. A rejected id is remembered among the last
    ones. Whatever is forgotten here, the executor's own memory of ids
    stands behind it (I2).
    """

    def __init__(self, approved_ids_max: int, rejected_ids_max: int) -> None:
        self._approved_ids_max = approved_ids_max
        self.approved: dict[OrderId, int] = {}
        """Order id -> the end of the order's life, in ns since the epoch."""

        self.rejected: dict[OrderId, None] = {}
        self._oldest_approved: deque[OrderId] = deque()
        self._oldest_rejected: deque[OrderId] = deque()
        self._rejected_ids_max = rejected_ids_max

    def objection(self, order_id: OrderId, now_ns: int) -> str:
        """Return why the id may not be used; empty when it may."""
        approved = self.approved
        if order_id in approved or order_id in self.rejected:
            return "decided before"
        is_full = len(approved) >= self._approved_ids_max
        if is_full and approved[self._oldest_approved[0]] > now_ns:
            return "the memory of ids is full of orders that could still be sent"
        return ""

    def approve(self, order_id: OrderId, expires_at_ns: int) -> None:
        """Use the id up; the oldest one goes when there is no room."""
        if order_id in self.approved:
            return
        self.approved[order_id] = expires_at_ns
        self._oldest_approved.append(order_id)
        if len(self.approved) > self._approved_ids_max:
            del self.approved[self._oldest_approved.popleft()]

    def reject(self, order_id: OrderId) -> None:
        """Use the id up for a while, unless it is used up already."""
        if order_id in self.approved or order_id in self.rejected:
            return
        self.rejected[order_id] = None
        self._oldest_rejected.append(order_id)
        if len(self.rejected) > self._rejected_ids_max:
            del self.rejected[self._oldest_rejected.popleft()]


class MessageWindow:
    """How many messages went to the venue lately.

    Args:
        messages_max: more than these need not be told apart, so no more are remembered.
    """

    def __init__(self, messages_max: int) -> None:
        self._sent_ns: deque[int] = deque(maxlen=messages_max)

    def add(self, at_ns: int) -> None:
        """Count one message."""
        self._sent_ns.append(at_ns)

    @property
    def newest_ns(self) -> int:
        """When the last message was sent that is still counted; 0 when none is."""
        return self._sent_ns[-1] if self._sent_ns else 0

    def count(self, now_ns: int, window_ms: int) -> int:
        """Return how many were sent in the window that ends now; the older ones are let go."""
        sent_ns, begin_ns = self._sent_ns, now_ns - window_ms * NS_PER_MS
        while sent_ns and sent_ns[0] <= begin_ns:
            sent_ns.popleft()
        return len(sent_ns)
