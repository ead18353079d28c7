"""What a halt, a restriction or a flatten clears away at the venue, and how far that is. Pure."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from schemas.base import AccountId, Event, InstrumentId, OrderId, SessionId
from schemas.control import HaltConfirmed
from schemas.orders import Side
from schemas.restrictions import ALL, Level, RestrictionCleared, known_scope, scopes_over
from schemas.venue import VenueBook, VenueOpenOrder
from services.executor.facts import COMPONENT
from services.executor.orders import Orders, Record
from services.executor.shares import part_of

ZERO = Decimal(0)
LISTED_MAX = 5
"""How many orders a text names before it only counts them."""


class Clearing(msgspec.Struct, kw_only=True):
    """One halt or restriction whose orders are being cleared away."""

    request_id: str
    """Of the question whose answer proves it: asked after it began, so no older book counts."""

    scope: str = ALL
    level: Level | None = None
    """None: a full halt."""

    is_asked: bool = True
    """Whether somebody waits to be told that it is done."""

    cancelled: dict[OrderId, None] = {}
    """Orders asked to be cancelled since it began, in order of asking."""

    listed: tuple[VenueOpenOrder, ...] = ()
    """What the venue showed last, orders that are not ours included."""


class Scopes:
    """Which orders and instruments a scope covers, for one account."""

    def __init__(self, account: AccountId, orders: Orders) -> None:
        self._account = account
        self._orders = orders

    def covers(self, scope: str, session: SessionId, instrument: InstrumentId) -> bool:
        """Return whether something of this account is in the scope; an unknown scope is all."""
        session = self._orders.shares.owner(session)
        return known_scope(scope) in scopes_over(self._account, session, instrument)

    def covers_order(self, scope: str, order: VenueOpenOrder) -> bool:
        """Return whether an order at the venue is in the scope; one of a stranger has no session.

        A stranger's order is in the scope of no session, and in every other that its instrument
        is in.
        """
        record = self._orders.records.get(order.order_id)
        session = SessionId("") if record is None else record.order.session
        return self.covers(scope, session, order.instrument)

    def resting(self, scope: str, listed: Iterable[VenueOpenOrder]) -> list[VenueOpenOrder]:
        """Return what may rest in the scope: by the venue's last word, and by our own book."""
        found = {each.order_id: each for each in listed}
        found |= {each.order_id: each for each in as_resting(self._orders.open.values())}
        return [each for each in found.values() if self.covers_order(scope, each)]


class Clearings:
    """All halts and restrictions that are not yet confirmed by the venue's word.

    Attributes:
        halting: the full halt, or what a start clears away like one, if there is any.
        restricting: the others, by scope and level.
    """

    def __init__(self, orders: Orders, scopes: Scopes) -> None:
        self.halting: Clearing | None = None
        self.restricting: dict[tuple[str, Level], Clearing] = {}
        self._orders = orders
        self._scopes = scopes
        self._count = 0

    @property
    def under_way(self) -> list[Clearing]:
        """All of them, the full halt first."""
        halts = [] if self.halting is None else [self.halting]
        return [*halts, *self.restricting.values()]

    def begin_halt(self) -> None:
        """Start clearing everything away; a halt that is being cleared begins again."""
        self._count += 1
        self.halting = Clearing(request_id=f"halt-{self._count}")

    def begin_unasked(self, book: VenueBook) -> bool:
        """Start clearing away what a halt would, if this book or ours has any of it.

        Returns:
            Whether it was begun: a halt that is being cleared covers it.
        """
        if self.halting is not None:
            return False
        self._count += 1
        found = Clearing(
            request_id=f"unasked-{self._count}", is_asked=False, listed=book.open_orders
        )
        resting = self._scopes.resting(ALL, found.listed)
        if not self._forbidden(found, resting, self._orders.held()):
            return False
        self.halting = found
        return True

    def begin(self, scope: str, level: Level) -> None:
        """Start clearing away what a restriction forbids; one under way begins again."""
        self._count += 1
        request_id = f"{level}-{self._count}"
        self.restricting[(scope, level)] = Clearing(request_id=request_id, scope=scope, level=level)

    def to_cancel(self, due: Iterable[Clearing]) -> list[OrderId]:
        """Return what must be cancelled: of our open orders, and of what the venue showed."""
        chosen: dict[OrderId, None] = {}
        for each in due:
            resting = self._scopes.resting(ALL, each.listed)
            ids = dict.fromkeys(self._forbidden(each, resting, self._orders.held()))
            each.cancelled |= ids
            chosen |= ids
        return list(chosen)

    def hear(self, book: VenueBook, now_ns: int) -> list[Event]:
        """Return the confirmation, if this answer shows nothing any more that is forbidden."""
        for each in self.under_way:
            if each.request_id == book.request_id:
                return self._heard(each, book, now_ns)
        return []

    def _heard(self, each: Clearing, book: VenueBook, now_ns: int) -> list[Event]:
        each.listed = book.open_orders
        if self._forbidden(each, book.open_orders, book.positions):
            return []
        if each.level is None:
            self.halting = None
            if not each.is_asked:
                return []
            left = [order.order_id for order in book.open_orders]
            confirmed = HaltConfirmed(
                at_ns=now_ns,
                component=COMPONENT,
                cancelled_count=len(each.cancelled),
                resting_count=len(left),
                detail=listed(left),
            )
            return [confirmed]
        del self.restricting[(each.scope, each.level)]
        covers = self._scopes.covers_order
        left = [order.order_id for order in book.open_orders if covers(each.scope, order)]
        cleared = RestrictionCleared(
            at_ns=now_ns,
            component=COMPONENT,
            scope=each.scope,
            level=each.level,
            cancelled_count=len(each.cancelled),
            resting_count=len(left),
            detail=listed(left),
        )
        return [cleared]

    def _forbidden(
        self,
        each: Clearing,
        resting: Iterable[VenueOpenOrder],
        held: Mapping[InstrumentId, Decimal],
    ) -> list[OrderId]:
        """Return which orders in its scope could make a position larger, all orders counted.

        A session's position is our own count: no venue knows it.
        """
        known = {order.order_id: order for order in resting}
        session = part_of(each.scope)
        if session is not None:
            held = self._orders.shares.held.get(session, {})
            known = {k: o for k, o in known.items() if self._scopes.covers_order(each.scope, o)}
        chosen = exposing(known.values(), held, self._reducing())
        return [name for name in chosen if self._scopes.covers_order(each.scope, known[name])]

    def _reducing(self) -> list[OrderId]:
        open_orders = self._orders.open.items()
        return [order_id for order_id, record in open_orders if record.order.is_reduce_only]


def exposing(
    open_orders: Iterable[VenueOpenOrder],
    held: Mapping[InstrumentId, Decimal],
    reducing: Iterable[OrderId],
) -> list[OrderId]:
    """Return which open orders could make a position larger, all open ones filled or not.

    Orders against a position stay while together, oldest first, they do not exceed it; those in
    `reducing` always stay, the venue holds them to the position. They come first all the same:
    once they have filled, what another order sells is no longer held.
    """
    allowed = {instrument: abs(quantity) for instrument, quantity in held.items()}
    staying = frozenset(reducing)
    known = list(open_orders)
    for each in known:
        if each.order_id in staying and each.instrument in allowed:
            allowed[each.instrument] -= each.leaves
    chosen: list[OrderId] = []
    for each in known:
        quantity = held.get(each.instrument, ZERO)
        is_against = quantity < 0 if each.side is Side.BUY else quantity > 0
        if each.order_id in staying:
            continue
        if is_against and each.leaves <= allowed[each.instrument]:
            allowed[each.instrument] -= each.leaves
        else:
            chosen.append(each.order_id)
    return chosen


def as_resting(records: Iterable[Record]) -> list[VenueOpenOrder]:
    """Return our own view of what may rest at the venue, orders of unknown fate included."""
    return [
        VenueOpenOrder(
            order_id=record.order.order_id,
            venue_order_id=record.venue_order_id,
            instrument=record.order.instrument,
            side=record.order.side,
            leaves=record.leaves,
        )
        for record in records
    ]


def listed(ids: list[OrderId]) -> str:
    """Return the first ids, and how many more there are."""
    more = len(ids) - LISTED_MAX
    return ", ".join(ids[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")
