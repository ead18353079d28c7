"""The oracle: what must hold in every run, whatever the bus and the machines did.

It reads what passed over the bus, what the venue wrote into its own log, and what stands on the
control stream; never what a core believes of itself. Each check has a name.
"""

from collections.abc import Callable
from typing import Any

from schemas.base import Event, OrderId
from schemas.health import HealthReported
from schemas.orders import Order
from schemas.venue import VenueMessage
from services.runtime.sim_world import Moment
from services.simulation.openness import Openness
from services.simulation.scopes import Scopes
from services.simulation.sending import Sending
from services.simulation.sights import SightCounts, Sights
from services.simulation.starting import PROMPT, Promptness, Starting
from services.simulation.stream import Stored
from services.simulation.venue_log import VenueLog

VENUE = "venue"
VENUE_MESSAGES = frozenset(VenueMessage.__subclasses__())


class Invariants:
    """Watches one run; raises at the first moment that breaks an invariant.

    Args:
        log: the venue's own log.
        stored: what stands on the control stream now.
        is_stream_down: whether it stores nothing just now.

    Attributes:
        log: the venue's own log.
    """

    def __init__(
        self,
        log: VenueLog,
        stored: Callable[[], list[Stored]],
        is_stream_down: Callable[[], bool],
    ) -> None:
        self.log = log
        self._sending = Sending(stored)
        self._starting = Starting(stored, self._sending)
        self._promptness = Promptness()
        self._scopes = Scopes(log, stored)
        self._sights = Sights(log, is_stream_down)
        self._checks: dict[
            tuple[str, bool, type[Event]], tuple[Callable[[Any, Moment], None], ...]
        ] = {}
        for part in (
            self._starting,
            self._sending,
            self._promptness,
            self._scopes,
            self._sights,
            Openness(self._sights.counts),
        ):
            for key, check in part.rows().items():
                self._checks[key] = (*self._checks.get(key, ()), check)

    @property
    def sent(self) -> dict[OrderId, Order]:
        """Orders written to the venue, by id."""
        return self._sending.sent

    @property
    def seen(self) -> SightCounts:
        """What the run went through."""
        return self._sights.counts

    def wants(self, process: str, is_said: bool, kind: type[Event]) -> bool:
        """Return whether this is to be shown to it."""
        is_pace = is_said and kind is HealthReported and process in PROMPT
        return (
            is_pace
            or (process == VENUE and kind in VENUE_MESSAGES)
            or (process, is_said, kind) in self._checks
        )

    def __call__(self, moment: Moment) -> None:
        """Take one moment in."""
        if moment.process == VENUE:
            self.log.catch_up()
        elif moment.process in PROMPT:
            self._promptness.before(moment)
        checks = self._checks.get((moment.process, moment.is_said, type(moment.event)))
        if checks is not None:
            for check in checks:
                check(moment.event, moment)
