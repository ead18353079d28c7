"""The oracle of what may only reduce: it counts what may still arrive, and nothing else."""

from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from schemas.base import BootId, Event
from schemas.orders import Side
from schemas.restrictions import ALL, Level, RestrictionAcknowledged
from schemas.venue import OrderPlaced
from services.runtime.sim_world import Moment
from services.simulation.scopes import Scopes
from services.simulation.venue_log import VenueLog
from services.simulation.violations import ViolationError
from tests.builders import ALPHA, dec, order, quote

pytestmark = pytest.mark.req("G-09")


class Watched:
    """The oracle beside a venue that holds fourteen short, where all may only reduce."""

    def __init__(self) -> None:
        log = SimpleNamespace(
            catch_up=lambda: None, held={ALPHA: Decimal(-14)}, resting_on=lambda *_: Decimal(0)
        )
        self._rows = Scopes(cast(VenueLog, log), lambda: []).rows()
        heard = RestrictionAcknowledged(
            at_ns=0, component="executor", boot_id=BootId("e"), scope=ALL, level=Level.REDUCE
        )
        self.see("executor", "executor-1", heard, is_said=True)
        self.see("venue", "venue-1", quote())

    def see(self, process: str, boot: str, event: Event, *, is_said: bool = False) -> None:
        moment = Moment(0, 0, process, boot, is_said, event)
        self._rows[process, is_said, type(event)](event, moment)

    def send(self, order_id: str) -> OrderPlaced:
        sent = msgspec.structs.replace(
            order(order_id), side=Side.BUY, quantity=dec(9), expires_at_ns=1
        )
        placed = OrderPlaced(at_ns=0, order=sent)
        self.see("executor", "executor-1", placed, is_said=True)
        return placed


def test_what_is_under_way_may_still_arrive() -> None:
    watched = Watched()
    watched.send("first")
    with pytest.raises(ViolationError, match="second: buy 9 with room for 5"):
        watched.send("second")


def test_what_was_under_way_to_a_venue_that_has_ended_arrives_nowhere() -> None:
    watched = Watched()
    watched.send("first")
    watched.see("venue", "venue-2", quote())
    watched.send("second")


def test_what_has_arrived_is_in_the_venues_own_book() -> None:
    watched = Watched()
    watched.see("venue", "venue-1", watched.send("first"))
    watched.send("second")
