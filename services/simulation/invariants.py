"""What must hold in every run, whatever the bus and the machines did. Each check has a name.

The checks look at what passed into and out of the processes, and at the venue's own book; never
at what a safeguard believes of itself.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from schemas.base import Event, OrderId, SignalId
from schemas.control import (
    EpochEnded,
    EpochProposed,
    EpochStarted,
    EpochStored,
    HaltRequested,
    LeaseAnswered,
    PrepareAsked,
)
from schemas.orders import (
    CancelApproved,
    CancelRequested,
    Order,
    OrderApproved,
    Outcome,
    SignalDecided,
    SignalRaised,
)
from schemas.venue import OrderPlaced
from services.control import LEASE_NS
from services.runtime.sim_world import Moment

EXECUTOR, GATE, STREAM, STRATEGY, BREAKER = "executor", "gate", "stream", "strategy", "breaker"


class ViolationError(AssertionError):
    """A run broke an invariant.

    Attributes:
        invariant: its name.
    """

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant


def require(holds: bool, invariant: str, detail: str) -> None:
    """Raise `ViolationError` unless it holds."""
    if not holds:
        raise ViolationError(invariant, detail)


class Invariants:
    """Watches one run; raises at the first moment that breaks an invariant.

    I1 no order of a fenced epoch is sent. I2 an id is sent at most once. I3 nothing is sent without
    a lease. I4 no start is stored over a halt that came after it was prepared. I5 gate tokens never
    go back. I6 after a stored halt nothing is sent later than one lease. I9 a cancel is passed on.
    I12 epochs only grow. I14 every order sent traces to one signal, one approval, one epoch.

    Attributes:
        sent: orders written to the venue, by id.
    """

    def __init__(self) -> None:
        self.sent: dict[OrderId, Order] = {}
        self._raised: dict[SignalId, SignalRaised] = {}
        self._approved: dict[OrderId, OrderApproved] = {}
        self._decisions: Counter[SignalId] = Counter()
        self._halts: Counter[str] = Counter()  # by boot of the executor
        self._ended: defaultdict[str, set[int]] = defaultdict(set)
        self._leases: dict[tuple[str, int], int] = {}
        self._epochs: dict[int, EpochStarted] = {}
        self._stored_ns: dict[int, int] = {}
        self._halts_stored_ns: list[int] = []
        self._prepared_ns: dict[str, int] = {}
        self._start_of: dict[int, str] = {}
        self._proposed_max = self._started_max = self._token_max = 0
        self._cancel: tuple[CancelRequested, Moment] | None = None
        self._checks: dict[tuple[str, bool, type[Event]], Callable[[Any, Moment], None]] = {
            (STRATEGY, True, SignalRaised): self._on_signal,
            (GATE, True, SignalDecided): self._on_decision,
            (GATE, True, OrderApproved): self._on_approval,
            (GATE, False, CancelRequested): self._on_cancel_asked,
            (GATE, True, CancelApproved): self._on_cancel_passed,
            (EXECUTOR, True, OrderPlaced): self._on_sent,
            (EXECUTOR, False, HaltRequested): self._on_halt,
            (EXECUTOR, True, HaltRequested): self._on_halt,
            (EXECUTOR, False, EpochEnded): self._on_ended,
            (EXECUTOR, False, LeaseAnswered): self._on_lease,
            (STREAM, False, HaltRequested): self._on_halt_stored,
            (STREAM, True, EpochStored): self._on_epoch_stored,
            (BREAKER, True, PrepareAsked): self._on_prepare,
            (BREAKER, True, EpochProposed): self._on_proposal,
            (BREAKER, True, EpochStarted): self._on_epoch,
        }

    def __call__(self, moment: Moment) -> None:
        """Take one moment in."""
        if self._cancel is not None:
            self._check_cancel(self._cancel, moment)
        check = self._checks.get((moment.process, moment.is_said, type(moment.event)))
        if check is not None:
            check(moment.event, moment)

    # signals, decisions, approvals

    def _on_signal(self, event: SignalRaised, moment: Moment) -> None:
        is_new = event.signal_id not in self._raised
        require(is_new, "signal-once", f"{event.signal_id} was raised twice")
        self._raised[event.signal_id] = event

    def _on_decision(self, event: SignalDecided, moment: Moment) -> None:
        require(event.signal_id in self._raised, "I14", f"{event.signal_id} was never raised")
        if event.outcome is not Outcome.REJECTED:
            self._decisions[event.signal_id] += 1
            count = self._decisions[event.signal_id]
            require(count == 1, "one-answer", f"{event.signal_id} was approved {count} times")

    def _on_approval(self, event: OrderApproved, moment: Moment) -> None:
        order_id = event.order.order_id
        require(order_id not in self._approved, "one-answer", f"{order_id} was approved twice")
        self._approved[order_id] = event

    # what reaches the venue

    def _on_sent(self, event: OrderPlaced, moment: Moment) -> None:
        order = event.order
        require(order.order_id not in self.sent, "I2", f"{order.order_id} was sent twice")
        self.sent[order.order_id] = order
        approval = self._approved.get(order.order_id)
        if approval is None:
            raise ViolationError("gated", f"{order.order_id} was sent without an approval")
        require(approval.order == order, "gated", f"{order.order_id} is not what was approved")
        self._check_origin(order)
        self._check_epoch(approval, moment)
        token = approval.gate_token
        require(token >= self._token_max, "I5", f"token {token} came after {self._token_max}")
        self._token_max = token
        late = moment.local_ns - order.expires_at_ns
        require(late < 0, "expiry", f"{order.order_id} was sent {late} ns too late")

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
        epoch = self._epochs.get(number)
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
        begun_ns = self._stored_ns[number]
        overdue = [h for h in self._halts_stored_ns if begun_ns < h <= moment.true_ns - LEASE_NS]
        require(not overdue, "I6", f"sent in epoch {number} more than a lease after a stored halt")

    # halts, epochs, leases

    def _on_halt(self, event: HaltRequested, moment: Moment) -> None:
        self._halts[moment.boot_id] += 1

    def _on_ended(self, event: EpochEnded, moment: Moment) -> None:
        self._ended[moment.boot_id].add(event.epoch)

    def _on_lease(self, event: LeaseAnswered, moment: Moment) -> None:
        if event.is_granted and event.component == EXECUTOR and event.boot_id == moment.boot_id:
            key = (moment.boot_id, event.epoch)
            self._leases[key] = max(self._leases.get(key, 0), event.asked_ns + LEASE_NS)

    def _on_halt_stored(self, event: HaltRequested, moment: Moment) -> None:
        self._halts_stored_ns.append(moment.true_ns)

    def _on_prepare(self, event: PrepareAsked, moment: Moment) -> None:
        self._prepared_ns[event.start_id] = moment.true_ns

    def _on_proposal(self, event: EpochProposed, moment: Moment) -> None:
        number = event.start.epoch
        require(number > self._proposed_max, "I12", f"epoch {number} after {self._proposed_max}")
        self._proposed_max = number
        self._start_of[number] = event.start.start_id

    def _on_epoch_stored(self, event: EpochStored, moment: Moment) -> None:
        self._stored_ns[event.epoch] = moment.true_ns
        prepared_ns = self._prepared_ns[self._start_of[event.epoch]]
        between = [h for h in self._halts_stored_ns if prepared_ns <= h <= moment.true_ns]
        require(not between, "I4", f"epoch {event.epoch} was stored over a halt")

    def _on_epoch(self, event: EpochStarted, moment: Moment) -> None:
        is_higher = event.epoch > self._started_max
        require(is_higher, "I12", f"epoch {event.epoch} after {self._started_max}")
        self._started_max = event.epoch
        self._epochs[event.epoch] = event

    # cancels

    def _on_cancel_asked(self, event: CancelRequested, moment: Moment) -> None:
        self._cancel = (event, moment)

    def _on_cancel_passed(self, event: CancelApproved, moment: Moment) -> None:
        if self._cancel is not None and self._cancel[0].order_id == event.order_id:
            self._cancel = None

    def _check_cancel(self, asked: tuple[CancelRequested, Moment], moment: Moment) -> None:
        """Require that the gate passed the cancel on before it did anything else, if it lived."""
        cancel, heard = asked
        if moment.process != GATE or isinstance(moment.event, CancelApproved):
            return
        if moment.boot_id == heard.boot_id and not moment.is_said:
            raise ViolationError("I9", f"the cancel of {cancel.order_id} was not passed on")
        if moment.boot_id != heard.boot_id:
            self._cancel = None
