"""What must be true of every halt that is heard, every start that is stored, every cancel."""

from collections.abc import Callable

from schemas.base import OrderId
from schemas.control import (
    ControlRecordRead,
    EpochProposed,
    EpochStarted,
    EpochStored,
    HaltAcknowledged,
    HaltRequested,
    PrepareAsked,
    StartAsked,
)
from schemas.executions import CancelRejected
from schemas.health import ArbiterReported
from schemas.orders import CancelApproved, CancelRequested
from schemas.venue import CancelPlaced
from services.runtime.sim_world import Moment
from services.simulation.sending import BREAKER, EXECUTOR, GATES, Rows, Sending
from services.simulation.stream import Stored
from services.simulation.violations import require

OPERATOR, STREAM = "operator", "stream"
PROMPT = (EXECUTOR, *GATES)
"""Who must act in the very step in which it is told."""


class Starting:
    """Follows starts from the operator's look at the state to the record on the stream.

    I4 no start is stored over a halt that came after it was prepared. I7 no start is stored over a
    halt its operator had not seen. Where the stream had lost its end meanwhile and gave out its
    numbers again, no such start is announced. I12 epochs only grow.

    Args:
        stored: what stands on the control stream now.
        sending: is told when an epoch was stored.
    """

    def __init__(self, stored: Callable[[], list[Stored]], sending: Sending) -> None:
        self._stored = stored
        self._sending = sending
        self._reports: list[tuple[ArbiterReported, int]] = []
        self._seen_ns = 0
        self._looked_ns: dict[str, int] = {}
        self._prepared_ns: dict[str, int] = {}
        self._start_of: dict[int, str] = {}
        self._proposed_max = self._started_max = 0
        self._newest: list[Stored] = []
        self._void: dict[int, None] = {}

    def rows(self) -> Rows:
        """Return what it wants to see."""
        return {
            (BREAKER, True, ArbiterReported): self._on_report,
            (OPERATOR, False, ArbiterReported): self._on_seen,
            (OPERATOR, True, StartAsked): self._on_asked,
            (BREAKER, True, PrepareAsked): self._on_prepare,
            (BREAKER, True, EpochProposed): self._on_proposal,
            (BREAKER, True, EpochStarted): self._on_epoch,
            (STREAM, True, EpochStored): self._on_stored,
            (STREAM, True, ControlRecordRead): self._on_record,
        }

    def _on_record(self, event: ControlRecordRead, moment: Moment) -> None:
        self._note_newest()

    def _on_report(self, event: ArbiterReported, moment: Moment) -> None:
        self._reports.append((event, moment.true_ns))

    def _on_seen(self, event: ArbiterReported, moment: Moment) -> None:
        while self._reports:
            report, said_ns = self._reports.pop(0)
            if report is event:
                self._seen_ns = said_ns
                return

    def _on_asked(self, event: StartAsked, moment: Moment) -> None:
        self._looked_ns[event.start_id] = self._seen_ns

    def _on_prepare(self, event: PrepareAsked, moment: Moment) -> None:
        self._prepared_ns[event.start_id] = moment.true_ns

    def _on_proposal(self, event: EpochProposed, moment: Moment) -> None:
        number = event.start.epoch
        require(number > self._proposed_max, "I12", f"epoch {number} after {self._proposed_max}")
        self._proposed_max = number
        self._start_of[number] = event.start.start_id

    def _on_stored(self, event: EpochStored, moment: Moment) -> None:
        self._sending.stored_ns[event.epoch] = moment.true_ns
        start_id = self._start_of[event.epoch]
        prepared_ns = self._prepared_ns[start_id]
        looked_ns = self._looked_ns.get(start_id, 0)
        is_reused = self._has_lost_newest()
        self._newest.clear()
        self._note_newest()
        for record in reversed(self._stored()):
            if not isinstance(record.event, HaltRequested):
                continue
            if record.at_ns < min(looked_ns, prepared_ns):
                return
            if is_reused:
                self._void[event.epoch] = None
                continue
            said = f"epoch {event.epoch} was stored over a halt"
            require(record.at_ns < prepared_ns, "I4", said)
            require(record.at_ns < looked_ns, "I7", f"{said} that its operator had not seen")

    def _on_epoch(self, event: EpochStarted, moment: Moment) -> None:
        is_higher = event.epoch > self._started_max
        require(is_higher, "I12", f"epoch {event.epoch} after {self._started_max}")
        self._started_max = event.epoch
        require(event.epoch not in self._void, "I4", f"epoch {event.epoch} was announced")

    def _note_newest(self) -> None:
        """Remember the stream's newest record: when it is gone, the stream has lost its end."""
        self._newest += (each for each in self._stored()[-1:] if each not in self._newest[-1:])

    def _has_lost_newest(self) -> bool:
        """Return whether numbers of the stream may have been given out twice."""
        stored = self._stored()
        return any(record not in stored for record in self._newest)


class Promptness:
    """What a process must do in the very step in which it hears something, if it lives.

    I9 a cancel is passed on, by the gate and by the executor, whatever else is going on. I10 a halt
    is in force and acknowledged at once, whatever its bytes were and whatever else is down.

    A process that dies in that step says nothing more, and is another one when it is back.
    """

    def __init__(self) -> None:
        self._cancels: dict[str, tuple[OrderId, int]] = {}
        self._halts: dict[str, int] = {}

    def rows(self) -> Rows:
        """Return what it wants to see."""
        rows: Rows = {
            (EXECUTOR, False, CancelApproved): self._on_cancel,
            (EXECUTOR, True, CancelPlaced): self._on_passed,
            (EXECUTOR, True, CancelRejected): self._on_passed,
        }
        for gate in GATES:
            rows[gate, False, CancelRequested] = self._on_cancel
            rows[gate, True, CancelApproved] = self._on_passed
        for process in PROMPT:
            rows[process, False, HaltRequested] = self._on_halt
            rows[process, True, HaltAcknowledged] = self._on_acknowledged
        return rows

    def before(self, moment: Moment) -> None:
        """Check that what the process was told before was followed by what had to follow."""
        boot = moment.boot_id
        if boot in self._cancels:
            order_id, heard_ns = self._cancels[boot]
            is_prompt = heard_ns == moment.true_ns
            require(is_prompt, "I9", f"{boot} did not pass on the cancel of {order_id}")
        if boot in self._halts:
            is_prompt = self._halts[boot] == moment.true_ns
            require(is_prompt, "I10", f"{boot} did not halt at once")

    def _on_cancel(self, event: CancelRequested | CancelApproved, moment: Moment) -> None:
        self._cancels[moment.boot_id] = (event.order_id, moment.true_ns)

    def _on_passed(
        self, event: CancelApproved | CancelPlaced | CancelRejected, moment: Moment
    ) -> None:
        if self._cancels.get(moment.boot_id, ("", 0))[0] == event.order_id:
            del self._cancels[moment.boot_id]

    def _on_halt(self, event: HaltRequested, moment: Moment) -> None:
        self._halts[moment.boot_id] = moment.true_ns

    def _on_acknowledged(self, event: HaltAcknowledged, moment: Moment) -> None:
        self._halts.pop(moment.boot_id, None)
