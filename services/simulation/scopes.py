"""What must be true while a part is halted, or exposure may only become less."""

from collections.abc import Callable
from typing import NamedTuple

from schemas.base import Event, OrderId
from schemas.control import (
    ControlAnswered,
    EpochProposed,
    EpochStarted,
    LeaseAnswered,
    ResetAsked,
)
from schemas.health import ArbiterReported
from schemas.instruments import symbol_of, venue_of
from schemas.market import QuoteReceived
from schemas.orders import Order, OrderApproved, Side
from schemas.restrictions import (
    Level,
    Restriction,
    RestrictionAcknowledged,
    RestrictionRequested,
    RestrictionsChanged,
)
from schemas.venue import OrderPlaced
from services.runtime.sim_world import Moment
from services.simulation.sending import BREAKER, EXECUTOR, Rows
from services.simulation.stream import Stored
from services.simulation.venue_log import ZERO, VenueLog
from services.simulation.violations import require

VENUE = "venue"


class Acknowledged(NamedTuple):
    """A restriction that one life of the executor has acknowledged."""

    scope: str
    level: Level
    epoch: int
    """The newest epoch that this executor had been told of."""


class Scopes:
    """Follows restrictions from who asked to every order that is sent under them.

    `scope`: nothing is sent in a scope after the executor acknowledged its halt, or in an epoch
    that was started with it. `reduce`: under REDUCE no order is sent that could make a position
    larger, by quantity, what rests and what is under way counted. `kept`: an epoch is started with
    every restriction that stands on the stream before it and that nobody has reset.

    Args:
        log: the venue's own log.
        stored: what stands on the control stream now.
    """

    def __init__(self, log: VenueLog, stored: Callable[[], list[Stored]]) -> None:
        self._log = log
        self._stored = stored
        self._epochs: dict[int, EpochStarted] = {}
        self._told_epoch: dict[str, int] = {}
        self._acknowledged: dict[str, list[Acknowledged]] = {}
        self._approvals: dict[tuple[str, OrderId], int] = {}
        self._under_way: dict[OrderId, tuple[Order, str]] = {}
        """What was written, and to which life of the venue."""

        self._venue_boot = ""
        self._numbered: dict[int, tuple[str, Level]] = {}
        self._resets: dict[str, tuple[tuple[str, Level], int]] = {}
        self._cleared_ns: dict[tuple[str, Level], int] = {}
        self._told_ns: dict[tuple[str, int], int] = {}
        self._own: list[tuple[RestrictionRequested, int]] = []

    def rows(self) -> Rows:
        """Return what it wants to see."""
        return {
            (EXECUTOR, False, EpochStarted): self._on_told_epoch,
            (EXECUTOR, False, OrderApproved): self._on_approval,
            (EXECUTOR, True, RestrictionAcknowledged): self._on_acknowledged,
            (EXECUTOR, True, OrderPlaced): self._on_sent,
            (VENUE, False, OrderPlaced): self._on_arrived,
            (VENUE, False, QuoteReceived): self._on_venue,
            (BREAKER, False, RestrictionRequested): self._on_asked,
            (BREAKER, True, RestrictionRequested): self._on_own,
            (BREAKER, True, EpochStarted): self._on_epoch,
            (BREAKER, True, EpochProposed): self._on_proposal,
            (BREAKER, True, LeaseAnswered): self._on_list,
            (BREAKER, True, RestrictionsChanged): self._on_list,
            (BREAKER, True, ArbiterReported): self._on_list,
            (BREAKER, False, ResetAsked): self._on_reset,
            (BREAKER, True, ControlAnswered): self._on_answer,
        }

    # what the executor has acknowledged, and what it sends

    def _on_told_epoch(self, event: EpochStarted, moment: Moment) -> None:
        self._told_epoch[moment.boot_id] = event.epoch

    def _on_acknowledged(self, event: RestrictionAcknowledged, moment: Moment) -> None:
        boot = moment.boot_id
        heard = Acknowledged(event.scope, event.level, self._told_epoch.get(boot, 0))
        self._acknowledged.setdefault(boot, []).append(heard)

    def _on_approval(self, event: OrderApproved, moment: Moment) -> None:
        self._approvals.setdefault((moment.boot_id, event.order.order_id), event.epoch)

    def _on_sent(self, event: OrderPlaced, moment: Moment) -> None:
        order, boot = event.order, moment.boot_id
        epoch = self._approvals.get((boot, order.order_id), 0)
        started = self._epochs.get(epoch)
        known = [] if started is None else [(r.scope, r.level) for r in started.restrictions]
        heard = self._acknowledged.get(boot, ())
        known += [(each.scope, each.level) for each in heard if each.epoch >= epoch]
        for scope, level in known:
            if covers(scope, order):
                said = f"{order.order_id} was sent in epoch {epoch} while {scope} was halted"
                require(level is not Level.HALT, "scope", said)
                self._check_reduces(order, scope, moment.local_ns)
        self._under_way[order.order_id] = (order, self._venue_boot)

    def _on_venue(self, event: Event, moment: Moment) -> None:
        self._venue_boot = moment.boot_id

    def _on_arrived(self, event: OrderPlaced, moment: Moment) -> None:
        self._on_venue(event, moment)
        self._under_way.pop(event.order.order_id, None)

    def _check_reduces(self, order: Order, scope: str, now_ns: int) -> None:
        """Require that no position could become larger by it, whatever else fills first.

        What was under way to a venue that has ended since arrives nowhere, as what has expired.
        """
        self._log.catch_up()
        held = self._log.held.get(order.instrument, ZERO)
        against = Side.SELL if held > 0 else Side.BUY
        require(
            order.side is against and held != 0,
            "reduce",
            f"{order.order_id}: a {order.side} with {held} held, while {scope} may only reduce",
        )
        resting = self._log.resting_on(order.instrument, order.side)
        coming = sum(
            (
                each.quantity
                for each, boot in self._under_way.values()
                if (each.instrument, each.side) == (order.instrument, order.side)
                and each.expires_at_ns > now_ns
                and boot == self._venue_boot
            ),
            ZERO,
        )
        room = abs(held) - resting - coming
        said = f"{order.order_id}: {order.side} {order.quantity} with room for {room} in {scope}"
        require(order.quantity <= room, "reduce", said)

    # what an epoch is started with

    def _on_epoch(self, event: EpochStarted, moment: Moment) -> None:
        self._epochs[event.epoch] = event
        self._number(event.restrictions)
        self._check_kept(event)

    def _on_proposal(self, event: EpochProposed, moment: Moment) -> None:
        self._epochs[event.start.epoch] = event.start
        self._number(event.start.restrictions)

    def _on_list(
        self, event: LeaseAnswered | RestrictionsChanged | ArbiterReported, moment: Moment
    ) -> None:
        self._number(event.restrictions)

    def _number(self, restrictions: tuple[Restriction, ...]) -> None:
        for each in restrictions:
            self._numbered[each.number] = (each.scope, each.level)

    def _on_asked(self, event: RestrictionRequested, moment: Moment) -> None:
        """Note when the arbiter knew of it: a server that is slow may store it after its reset."""
        self._told_ns.setdefault((event.src, event.seq), moment.true_ns)

    def _on_own(self, event: RestrictionRequested, moment: Moment) -> None:
        """Note when the arbiter asked for it itself; the event is signed after this moment."""
        self._own.append((event, moment.true_ns))

    def _on_reset(self, event: ResetAsked, moment: Moment) -> None:
        """Note that it may be cleared: an arbiter that dies before it answers may have done it."""
        key = self._numbered.get(event.request.halt)
        if key is not None:
            self._resets[event.request_id] = (key, self._cleared_ns.get(key, -1))
            self._cleared_ns[key] = moment.true_ns

    def _on_answer(self, event: ControlAnswered, moment: Moment) -> None:
        asked = self._resets.pop(event.request_id, None)
        if asked is not None and not event.is_ok:
            self._cleared_ns[asked[0]] = asked[1]

    def _check_kept(self, started: EpochStarted) -> None:
        """Require it of what is announced: what was stored may not have known of the newest."""
        given = {(each.scope, each.level): None for each in started.restrictions}
        self._told_ns |= {(asked.src, asked.seq): at_ns for asked, at_ns in self._own}
        self._own.clear()
        for record in self._stored():
            asked = record.event
            if isinstance(asked, EpochProposed) and asked.start.epoch == started.epoch:
                return
            if isinstance(asked, RestrictionRequested):
                key = (asked.scope, asked.level)
                known_ns = self._told_ns.get((asked.src, asked.seq), record.at_ns)
                is_cleared = self._cleared_ns.get(key, -1) >= min(known_ns, record.at_ns)
                said = f"epoch {started.epoch} was started without {asked.level} of {asked.scope}"
                require(is_cleared or key in given, "kept", said)


def covers(scope: str, order: Order) -> bool:
    """Return whether an order is in a scope; one that nobody knows is everything."""
    kind, _, name = scope.partition(".")
    symbol = f"{venue_of(order.instrument)}.{symbol_of(order.instrument)}"
    found = {
        "account": order.account,
        "session": order.session,
        "venue": venue_of(order.instrument),
        "symbol": symbol,
    }.get(kind)
    return found is None or found == name
