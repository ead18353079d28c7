"""What must be true of every approval: as far as one heard, the instrument was open."""

from collections import defaultdict

from schemas.base import InstrumentId
from schemas.health import LinkChanged
from schemas.market import InstrumentStatusChanged, StatesTold, Trading
from schemas.orders import OrderApproved, SignalDecided
from services.runtime.sim_world import Moment
from services.simulation.sending import GATES, Rows
from services.simulation.sights import SightCounts
from services.simulation.violations import require

RULE = "instrument_open"


class Openness:
    """Follows what each life of each gate was told of what is open, to every order it approves.

    `open`: nothing is approved in an instrument unless the last that this life of the gate heard of
    it since its bus was there is that it is open. Where the feed never said anything of any
    instrument to anybody, nothing is asked for.

    Args:
        counts: of what was seen; it adds to them.
    """

    def __init__(self, counts: SightCounts) -> None:
        self._counts = counts
        self._told: defaultdict[str, dict[InstrumentId, Trading]] = defaultdict(dict)
        self._has_ever_told = False

    def rows(self) -> Rows:
        """Return what it wants to see."""
        rows: Rows = {}
        for gate in GATES:
            rows[gate, False, InstrumentStatusChanged] = self._on_status
            rows[gate, False, StatesTold] = self._on_states
            rows[gate, False, LinkChanged] = self._on_link
            rows[gate, True, SignalDecided] = self._on_decision
            rows[gate, True, OrderApproved] = self._on_approval
        return rows

    def _on_status(self, event: InstrumentStatusChanged, moment: Moment) -> None:
        self._has_ever_told = True
        self._told[moment.boot_id][event.instrument] = event.trading
        self._counts.trading_halts += event.trading is Trading.HALTED

    def _on_states(self, event: StatesTold, moment: Moment) -> None:
        self._has_ever_told = True
        self._told[moment.boot_id].update(event.trading)

    def _on_link(self, event: LinkChanged, moment: Moment) -> None:
        if not event.is_up:
            self._told[moment.boot_id].clear()

    def _on_decision(self, event: SignalDecided, moment: Moment) -> None:
        self._counts.refused_while_shut += event.rule == RULE

    def _on_approval(self, event: OrderApproved, moment: Moment) -> None:
        if not self._has_ever_told:
            return
        order = event.order
        said = self._told[moment.boot_id].get(order.instrument)
        found = "nothing" if said is None else f"{said}"
        detail = f"{moment.boot_id} approved {order.order_id}; of {order.instrument} it was told "
        require(said is Trading.OPEN, "open", detail + found)
