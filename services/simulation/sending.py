"""What must be true of every order at the moment it is written to the venue."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from schemas.base import Event, OrderId, SignalId
from schemas.control import EpochEnded, EpochStarted, HaltRequested, LeaseAnswered
from schemas.orders import Order, OrderApproved, Outcome, SignalDecided, SignalRaised
from schemas.venue import OrderPlaced
from services.control import LEASE_NS
from services.runtime.sim_world import Moment
from services.simulation.stream import Stored
from services.simulation.violations import ViolationError, require

EXECUTOR, GATES, STRATEGY, BREAKER = "executor", ("gate", "gate-1", "gate-2"), "strategy", "breaker"
LEASE_MARGIN = 1_000
"""A clock may be slow: of a lease, the thousandth part is allowed on top (I6)."""

Rows = dict[tuple[str, bool, type[Event]], Callable[[Any, Moment], None]]
"""What to do with an event, by process, whether it was said, and kind."""


class Sending:
    """Follows signals, decisions and approvals, halts and leases, to every order that is sent.

    I1 no order of a fenced epoch is sent. I2 an id is sent at most once. I3 nothing is sent without
    a lease. I5 gate tokens never go back. I6 after a stored halt nothing is sent later than one
    lease. I14 every order sent traces to one signal, one approval, one epoch.

    Args:
        stored: what stands on the control stream now.

    Attributes:
        sent: orders written to the venue, by id.
    """

    def __init__(self, stored: Callable[[], list[Stored]]) -> None:
        self.sent: dict[OrderId, Order] = {}
        self._approved: dict[tuple[OrderId, int], OrderApproved] = {}
        self._told: dict[tuple[str, OrderId], OrderApproved] = {}
        self.epochs: dict[int, EpochStarted] = {}
        self.stored_ns: dict[int, int] = {}
        self._stored = stored
        self._raised: dict[SignalId, SignalRaised] = {}
        self._decisions: Counter[tuple[str, int, SignalId]] = Counter()
        self._halts: Counter[str] = Counter()  # by boot of the executor
        self._ended: defaultdict[str, set[int]] = defaultdict(set)
        self._leases: dict[tuple[str, int], int] = {}
        self._token_max = 0

    def rows(self) -> Rows:
        """Return what it wants to see."""
        rows: Rows = {
            (STRATEGY, True, SignalRaised): self._on_signal,
            (EXECUTOR, True, SignalRaised): self._on_signal,  # it closes positions by signals
            (EXECUTOR, False, OrderApproved): self._on_told,
            (EXECUTOR, True, OrderPlaced): self._on_sent,
            (EXECUTOR, False, HaltRequested): self._on_halt,
            (EXECUTOR, True, HaltRequested): self._on_halt,
            (EXECUTOR, False, EpochEnded): self._on_ended,
            (EXECUTOR, False, LeaseAnswered): self._on_lease,
            (BREAKER, True, EpochStarted): self._on_epoch,
        }
        for gate in GATES:
            rows[gate, True, SignalDecided] = self._on_decision
            rows[gate, True, OrderApproved] = self._on_approval
        return rows

    # signals, decisions, approvals

    def _on_signal(self, event: SignalRaised, moment: Moment) -> None:
        is_new = event.signal_id not in self._raised
        require(is_new, "signal-once", f"{event.signal_id} was raised twice")
        self._raised[event.signal_id] = event

    def _on_decision(self, event: SignalDecided, moment: Moment) -> None:
        require(event.signal_id in self._raised, "I14", f"{event.signal_id} was never raised")
        if event.outcome is not Outcome.REJECTED:
            key = (moment.process, event.epoch, event.signal_id)
            self._decisions[key] += 1
            said = f"{event.signal_id} was approved {self._decisions[key]} times"
            require(self._decisions[key] == 1, "one-answer", said)

    def _on_approval(self, event: OrderApproved, moment: Moment) -> None:
        """Note an approval. Another gate may approve a signal anew: under the same order's id."""
        self._approved[event.order.order_id, event.gate_token] = event

    def _on_told(self, event: OrderApproved, moment: Moment) -> None:
        self._told.setdefault((moment.boot_id, event.order.order_id), event)

    # what reaches the venue

    def _on_sent(self, event: OrderPlaced, moment: Moment) -> None:
        order = event.order
        require(order.order_id not in self.sent, "I2", f"{order.order_id} was sent twice")
        self.sent[order.order_id] = order
        approval = self._told.get((moment.boot_id, order.order_id))
        if approval is None:
            raise ViolationError("gated", f"{order.order_id} was sent without an approval")
        said = self._approved.get((order.order_id, approval.gate_token))
        require(said == approval, "gated", f"the approval of {order.order_id} is not the gate's")
        require(approval.order == order, "gated", f"{order.order_id} is not what was approved")
        self._check_origin(order)
        self._check_epoch(approval, moment)
        token = approval.gate_token
        require(token >= self._token_max, "I5", f"token {token} came after {self._token_max}")
        self._token_max = token
        late_ns = moment.local_ns - order.expires_at_ns
        require(late_ns < 0, "expiry", f"{order.order_id} was sent {late_ns} ns too late")

    def _check_origin(self, order: Order) -> None:
        signal = self._raised.get(order.signal_id)
        if signal is None:
            raise ViolationError("I14", f"{order.order_id} has no signal")
        is_same = (signal.instrument, signal.side) == (order.instrument, order.side)
        require(is_same, "I14", f"{order.order_id} is not what {order.signal_id} asked for")
        is_within = order.quantity <= signal.quantity
        require(is_within, "I14", f"{order.order_id} is more than {order.signal_id} asked for")

    def _check_epoch(self, approval: OrderApproved, moment: Moment) -> None:
        number, boot = approval.epoch, moment.boot_id
        epoch = self.epochs.get(number)
        if epoch is None:
            raise ViolationError("I3", f"sent in epoch {number}, which was never announced")
        member = epoch.members[EXECUTOR]
        require(member.boot_id == boot, "I1", f"epoch {number} is of {member.boot_id}, not {boot}")
        heard = self._halts[boot]
        said = f"sent in epoch {number} after {heard} halts; it was started after {member.halts}"
        require(heard == member.halts, "I1", said)
        require(number not in self._ended[boot], "I1", f"sent in epoch {number}, which had ended")
        until_ns = self._leases.get((boot, number), 0)
        late_ns = moment.local_ns - until_ns
        require(late_ns < 0, "I3", f"sent {late_ns} ns after the last lease of epoch {number}")
        self._check_stored(number, moment)

    def _check_stored(self, number: int, moment: Moment) -> None:
        """Require that no halt has stood on the stream for longer than a lease (I6)."""
        begun_ns = self.stored_ns[number]
        since_ns = moment.true_ns - LEASE_NS - LEASE_NS // LEASE_MARGIN
        for record in reversed(self._stored()):
            if record.at_ns <= begun_ns:
                return
            is_overdue = isinstance(record.event, HaltRequested) and record.at_ns <= since_ns
            said = f"sent in epoch {number} more than a lease after a stored halt"
            require(not is_overdue, "I6", said)

    # halts, epochs, leases

    def _on_halt(self, event: HaltRequested, moment: Moment) -> None:
        self._halts[moment.boot_id] += 1

    def _on_ended(self, event: EpochEnded, moment: Moment) -> None:
        self._ended[moment.boot_id].add(event.epoch)

    def _on_lease(self, event: LeaseAnswered, moment: Moment) -> None:
        if event.is_granted and event.component == EXECUTOR and event.boot_id == moment.boot_id:
            key = (moment.boot_id, event.epoch)
            self._leases[key] = max(self._leases.get(key, 0), event.asked_ns + LEASE_NS)

    def _on_epoch(self, event: EpochStarted, moment: Moment) -> None:
        self.epochs[event.epoch] = event
