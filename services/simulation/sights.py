"""What a run went through, beyond what its bus and machines did: counted, so that none is missing.

A campaign in which one of these never came about has not tested it.
"""

from collections.abc import Callable

import msgspec

from schemas.base import OrderId
from schemas.control import (
    ControlAnswered,
    EpochStarted,
    HaltRequested,
)
from schemas.executions import OrderMarkedUnknown
from schemas.orders import CancelApproved, OrderApproved
from schemas.restrictions import (
    FlattenAsked,
    FlattenReported,
    Level,
    LocksChanged,
    RestrictionRequested,
)
from schemas.venue import OrderPlaced, VenueAccepted, VenueCanceled, VenueFilled
from services.runtime.sim_world import Moment
from services.simulation.sending import BREAKER, EXECUTOR, Rows
from services.simulation.starting import OPERATOR
from services.simulation.venue_log import VenueLog


class SightCounts(msgspec.Struct, kw_only=True):
    """How often each thing was seen."""

    halts: int = 0
    """Halts that somebody asked for."""

    unreadable_halts: int = 0
    """Of those, the ones whose bytes nobody could read."""

    halts_while_stream_down: int = 0
    """Of those, the ones that could not be stored when they were said."""

    restrictions: int = 0
    """Halts of a part, and demands that exposure only become less, that the executor had."""

    orders_while_reducing: int = 0
    """Orders that were sent while exposure might only become less."""

    flattens: int = 0
    """Demands to close a scope that came to the executor."""

    flattened: int = 0
    """Of those, the ones that ended with nothing left, as the venue said."""

    locks: int = 0
    unlocks: int = 0
    starts: int = 0
    starts_refused: int = 0
    resets: int = 0
    resets_refused: int = 0
    unknown_yet_accepted: int = 0
    """Orders that the venue did not answer in time, and had taken all the same."""

    acknowledged_twice: int = 0
    filled_after_cancel: int = 0
    reports_out_of_order: int = 0
    """An execution that was told before its order's acceptance."""

    gate_takeovers: int = 0
    """Epochs whose gate is another process than the one before."""

    stale_approvals: int = 0
    """Approvals of a gate with a lower token than one that the executor had heard."""

    approvals_at_a_ghost: int = 0
    """Approvals that came to an executor whose place another had taken."""

    trading_halts: int = 0
    """Halts of an instrument that a gate was told of."""

    refused_while_shut: int = 0
    """Signals that a gate refused because an instrument was not open, or not known to be."""

    cancels_while_halted: int = 0
    """Cancels that came to the executor while nothing else was allowed."""

    def add(self, other: "SightCounts") -> None:
        """Add the counts of another run."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Sights:
    """Counts what passes by.

    Args:
        log: the venue's own log.
        is_stream_down: whether the control stream stores nothing just now.
    """

    def __init__(self, log: VenueLog, is_stream_down: Callable[[], bool]) -> None:
        self.counts = SightCounts()
        self._log = log
        self._is_stream_down = is_stream_down
        self._gate = ""
        self._token_max = 0
        self._epoch: EpochStarted | None = None
        self._reduced_boots: dict[str, None] = {}
        self._halted_boots: dict[str, None] = {}
        self._accepted: dict[tuple[str, OrderId], None] = {}
        self._canceled: dict[tuple[str, OrderId], None] = {}

    def rows(self) -> Rows:
        """Return what it wants to see."""
        return {
            (OPERATOR, True, HaltRequested): self._on_halt,
            (OPERATOR, False, ControlAnswered): self._on_answer,
            (BREAKER, True, EpochStarted): self._on_epoch,
            (EXECUTOR, False, HaltRequested): self._on_heard,
            (EXECUTOR, False, RestrictionRequested): self._on_restriction,
            (EXECUTOR, False, FlattenAsked): self._on_flatten,
            (EXECUTOR, True, FlattenReported): self._on_flattened,
            (EXECUTOR, True, OrderPlaced): self._on_sent,
            (BREAKER, True, LocksChanged): self._on_locks,
            (EXECUTOR, False, EpochStarted): self._on_armed,
            (EXECUTOR, False, OrderApproved): self._on_approval,
            (EXECUTOR, False, CancelApproved): self._on_cancel,
            (EXECUTOR, True, OrderMarkedUnknown): self._on_unknown,
            (EXECUTOR, False, VenueAccepted): self._on_accepted,
            (EXECUTOR, False, VenueFilled): self._on_filled,
            (EXECUTOR, False, VenueCanceled): self._on_canceled,
        }

    def _on_halt(self, event: HaltRequested, moment: Moment) -> None:
        self.counts.halts += 1
        self.counts.unreadable_halts += not event.operator
        self.counts.halts_while_stream_down += self._is_stream_down()

    def _on_answer(self, event: ControlAnswered, moment: Moment) -> None:
        counts = self.counts
        if event.request == "start":
            counts.starts += event.is_ok
            counts.starts_refused += not event.is_ok
        elif event.request == "unlock":
            counts.unlocks += event.is_ok
        elif event.request == "reset":
            counts.resets += event.is_ok
            counts.resets_refused += not event.is_ok

    def _on_epoch(self, event: EpochStarted, moment: Moment) -> None:
        self._epoch = event
        gate = event.members["gate"].boot_id.rpartition("-")[0]
        self.counts.gate_takeovers += self._gate not in ("", gate)
        self._gate = gate

    def _on_heard(self, event: HaltRequested, moment: Moment) -> None:
        self._halted_boots[moment.boot_id] = None

    def _on_restriction(self, event: RestrictionRequested, moment: Moment) -> None:
        self.counts.restrictions += 1
        if event.level is Level.REDUCE:
            self._reduced_boots[moment.boot_id] = None

    def _on_flatten(self, event: FlattenAsked, moment: Moment) -> None:
        self.counts.flattens += 1

    def _on_flattened(self, event: FlattenReported, moment: Moment) -> None:
        self.counts.flattened += event.is_flat and event.is_ended

    def _on_sent(self, event: OrderPlaced, moment: Moment) -> None:
        self.counts.orders_while_reducing += moment.boot_id in self._reduced_boots

    def _on_locks(self, event: LocksChanged, moment: Moment) -> None:
        self.counts.locks += bool(event.locks)

    def _on_armed(self, event: EpochStarted, moment: Moment) -> None:
        if not event.restrictions:
            self._reduced_boots.pop(moment.boot_id, None)
        self._halted_boots.pop(moment.boot_id, None)

    def _on_approval(self, event: OrderApproved, moment: Moment) -> None:
        self.counts.stale_approvals += event.gate_token < self._token_max
        self._token_max = max(self._token_max, event.gate_token)
        if self._epoch is not None and event.epoch == self._epoch.epoch:
            is_ghost = self._epoch.members[EXECUTOR].boot_id != moment.boot_id
            self.counts.approvals_at_a_ghost += is_ghost

    def _on_cancel(self, event: CancelApproved, moment: Moment) -> None:
        self.counts.cancels_while_halted += moment.boot_id in self._halted_boots

    def _on_unknown(self, event: OrderMarkedUnknown, moment: Moment) -> None:
        self._log.catch_up()
        self.counts.unknown_yet_accepted += event.order_id in self._log.accepted

    def _on_accepted(self, event: VenueAccepted, moment: Moment) -> None:
        key = (moment.boot_id, event.order_id)
        self.counts.acknowledged_twice += key in self._accepted
        self._accepted[key] = None

    def _on_filled(self, event: VenueFilled, moment: Moment) -> None:
        key = (moment.boot_id, event.order_id)
        self.counts.filled_after_cancel += key in self._canceled
        self.counts.reports_out_of_order += key not in self._accepted

    def _on_canceled(self, event: VenueCanceled, moment: Moment) -> None:
        self._canceled[moment.boot_id, event.order_id] = None
