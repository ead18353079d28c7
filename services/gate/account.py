"""One account as the gate knows it: the fold of approvals and of what the executor tells."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from schemas.base import AccountId, InstrumentId, OrderId, SessionId
from schemas.executions import (
    BookReported,
    ExecutionEvent,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderSubmitted,
)
from schemas.instruments import Instrument
from schemas.orders import Order
from schemas.sessions import SessionCreated
from services.gate.account_unseen import Unseen
from services.gate.config import GateConfig
from services.gate.config_compliance import rules_of
from services.gate.config_portfolio import DEFAULT_ROW
from services.gate.exposure import ZERO, Lane, Market, OpenOrder, Totals
from services.gate.groups import Groups
from services.gate.holders import Holders
from services.gate.limits import Bound, Limits
from services.gate.memory import IdMemory, MessageWindow
from services.portfolio import Portfolio, Position

if TYPE_CHECKING:  # a route is made of accounts
    from services.gate.route import Route

NO_BOOK = "the executor has not reported its book since this process started"


class Account:
    """Everything that a decision about one account reads.

    Attributes:
        totals: what all of it adds up to.
        lanes: exposure by instrument; every configured instrument has one.
        sectors, asset_classes, venues: the groups that may have limits of their own.
        sector_of, asset_class_of, venue_of: the group of each instrument; empty where groups of
            that kind have no limits.
        holders: its sessions and their strategies.
        orders: what may still fill: on its way, resting, or of unknown fate.
        doubt: why exposure is not known; empty when it is. Only a reconciled book empties it.
        messages: orders and cancels of all sessions.
        sessions: the same, by session.
        unseen: orders that ended unseen, and may have traded both ways.
        routes: where all is that orders are measured by, by session and instrument: those that are
            whole. Emptied whenever something in one of them gives its place to something else.
        rules: of compliance, as configured; None where `[gate.compliance]` has no row for it.
        has_portfolio_row: whether `[gate.portfolio]` says anything about it.
    """

    def __init__(
        self, id_: AccountId, config: GateConfig, markets: Mapping[InstrumentId, Market]
    ) -> None:
        self.id = id_
        self.totals = Totals()
        row = config.accounts[id_]
        path = f"gate.accounts.{id_}"
        known = _instruments(markets)
        self.sectors = Groups(row.sectors, f"{path}.sectors")
        self.asset_classes = Groups(row.asset_classes, f"{path}.asset_classes")
        self.venues = Groups(row.venues, f"{path}.venues")
        self.sector_of = self.sectors.by_instrument(known, _sector)
        self.asset_class_of = self.asset_classes.by_instrument(known, _asset_class)
        self.venue_of = self.venues.by_instrument(known, _venue)
        bounds: dict[str, Bound[Any]] = {}
        limits = {k: Limits(config, id_, each, bounds) for k, each in known.items()}
        self.lanes = {k: Lane(markets[k], limits[k], self._totals(k)) for k in markets}
        self.holders = Holders(row, path, self.lanes)
        self.orders: dict[OrderId, OpenOrder] = {}
        self.doubt = NO_BOOK
        self.portfolio = Portfolio(known, ZERO)
        hard = config.hard.account  # limits may be moved up to it: windows must count as far
        most = max(row.account_messages_max or 0, hard.account_messages_max or 0)
        self.messages = MessageWindow(most)
        self._session_messages_most = max(
            row.session_messages_max or 0, hard.session_messages_max or 0
        )
        self.sessions: dict[SessionId, MessageWindow] = {}
        self.rules = rules_of(config.compliance, id_)
        self.has_portfolio_row = bool({id_, DEFAULT_ROW} & config.portfolio.keys())
        self.routes: dict[tuple[SessionId, InstrumentId], Route] = {}
        self._heard = ("", 0)
        """Who told the last news, and its time by the teller's clock."""

        self._book = ("", 0)
        """The same of the book that was folded last."""

        self.unseen = Unseen()

    def _totals(self, instrument: InstrumentId) -> tuple[Totals, ...]:
        """Return every sum that an instrument's exposure is part of."""
        tables = (self.sector_of, self.asset_class_of, self.venue_of)
        return (self.totals, *(each[instrument].totals for each in tables if instrument in each))

    def create(self, event: SessionCreated) -> None:
        """Learn what a session runs, and its own limits."""
        self.routes.clear()
        self.holders.create(event, self.orders.values())

    def approve(self, order: Order, at_ns: int) -> None:
        """Count an approval of our own: from now on it may fill."""
        if order.order_id not in self.orders:
            self._open(order, order.quantity, is_heard=False)
            self._count(order.session, at_ns)

    def cancel(self, order_id: OrderId, at_ns: int) -> None:
        """Count a cancel that was passed on as a message; it closes nothing by itself."""
        self.messages.add(at_ns)
        entry = self.orders.get(order_id)
        if entry is not None and entry.order.session in self.sessions:
            self.sessions[entry.order.session].add(at_ns)

    def is_news(self, event: ExecutionEvent) -> bool:
        """Return whether the last book does not hold `event` yet, and note that it was heard.

        The times of one teller are compared with each other only, never with a clock of ours.
        """
        teller, heard_ns = self._heard
        if teller != event.src or event.at_ns > heard_ns:
            self._heard = (event.src, event.at_ns)
        _booker, booked_ns = self._book
        if self.compare_teller(event.src):
            return True
        return event.at_ns >= booked_ns

    def compare_teller(self, teller: str) -> bool:
        """Doubt the book that is known if another executor told it; return whether that is so.

        Each knows only what it was there for: of two, one has missed something.
        """
        booker, _ = self._book
        if _is_same(booker, teller):
            return False
        self.doubt = f"its book is {booker}'s, and {teller} speaks now"
        return True

    def submitted(self, event: OrderSubmitted, ids: IdMemory) -> None:
        """Note that an approval arrived; count in full an order that is none of ours."""
        entry = self.orders.get(event.order_id)
        if entry is not None:
            entry.is_heard = True
        elif event.order_id not in ids.approved:
            self._open(event.order, event.order.quantity, is_heard=True)
            ids.approve(event.order_id, event.order.expires_at_ns)

    def filled(self, event: OrderFilled) -> None:
        """Move what has filled from the order to the position; once for each execution."""
        lane = self.lanes.get(event.instrument)
        if lane is None:
            self.doubt = f"an execution in {event.instrument}, which is not configured"
            return
        if not self.portfolio.apply(event):
            return
        lane.hold(self.portfolio.quantity(event.instrument))
        signed = event.signed_quantity
        holders = self.holders
        holders.told(event.order_id, event.quantity)
        holders.fill(event.session, lane, signed)
        holders.settle(lane)
        self._shrink(event.order_id, event.quantity)

    def ended(self, event: OrderCanceled | OrderExpired) -> None:
        """Take off what will never fill, once. Fills still to be told of go on counting."""
        entry = self.orders.get(event.order_id)
        if entry is not None and not entry.is_ended:
            entry.is_ended = True
            self._shrink(event.order_id, event.leaves)

    def closed(self, order_id: OrderId) -> None:
        """Take an order off that will never fill any more."""
        entry = self.orders.pop(order_id, None)
        if entry is not None:
            entry.shrink(entry.leaves)

    def lost(self, order_id: OrderId, ids: IdMemory) -> None:
        """Mark an order of unknown fate: it goes on counting in full."""
        entry = self.orders.get(order_id)
        if entry is not None:
            entry.is_heard = entry.is_unknown = True
        elif order_id not in ids.approved:
            self.doubt = f"order {order_id} is of unknown fate, and nobody told of it before"

    def is_overdue(self, now_ns: int) -> bool:
        """Return whether an approval of ours has expired and the executor never told of it."""
        return any(
            not entry.is_heard and entry.order.expires_at_ns <= now_ns
            for entry in self.orders.values()
        )

    def is_stale(self, book: BookReported) -> bool:
        """Return whether later news than this book was heard from the same teller."""
        teller, heard_ns = self._heard
        return _is_same(teller, book.src) and book.at_ns < heard_ns

    def needs(self, book: BookReported) -> bool:
        """Return whether this book tells something that is not known here."""
        if self.is_stale(book):
            return False
        return (self.doubt != "" and book.is_reconciled) or self._differs(book)

    def agree(self, book: BookReported) -> None:
        """Take a newer book that tells what is known here for the one that is known."""
        if not self.is_stale(book) and not self._differs(book):
            self._heard = self._book = (book.src, book.at_ns)
            self.unseen.note(book, self.portfolio.fill_count)

    def adopt(self, book: BookReported, ids: IdMemory) -> None:
        """Put the book in the place of what is known.

        Approvals of ours that are not in it stay while the executor may not have had them yet:
        until it has told of them, or reports a book from after their expiry. Of those that are gone
        a session's part counts what they may have filled unseen.
        """
        kept = self._on_their_way(book)
        gone = self._gone(book, kept)
        self._heard = self._book = (book.src, book.at_ns)
        detail = f": {book.detail}" if book.detail else ""
        self.doubt = "" if book.is_reconciled else f"the executor's book is not reconciled{detail}"
        self._hold(book)
        self.orders = {}
        self.holders.close_orders()
        missed_count = self.holders.catch_up((*book.recent_orders, *book.open_orders))
        self.unseen.learn(book, gone, missed_count, self.portfolio.fill_count)
        for lane in self.lanes.values():
            lane.close_orders()
            lane.hold(self.portfolio.quantity(lane.instrument.id))
            self.holders.settle(lane)
        self.holders.forget_told()
        for order, leaves in _open_in(book):
            self._open(order, leaves, is_heard=True)
            ids.approve(order.order_id, order.expires_at_ns)
        for entry in kept:
            self._open(entry.order, entry.order.quantity, is_heard=False)
        for order, hidden in self.unseen.orders.values():
            _whole, *parts = self.holders.lanes(order.session, self.lanes[order.instrument])
            for part in parts:
                part.order(order.side, hidden)

    def _hold(self, book: BookReported) -> None:
        self.portfolio.positions.clear()
        for view in book.positions:
            if view.instrument in self.lanes:
                held = self.portfolio.positions[view.instrument] = Position()
                held.quantity = view.quantity
            elif view.quantity:
                self.doubt = f"the book holds {view.instrument}, which is not configured"

    def _open(self, order: Order, leaves: Decimal, *, is_heard: bool) -> None:
        lane = self.lanes.get(order.instrument)
        if lane is None:
            self.doubt = f"order {order.order_id} in {order.instrument}, which is not configured"
            return
        route = self.routes.get((order.session, order.instrument))
        lanes = self.holders.lanes(order.session, lane) if route is None else route.lanes
        self.orders[order.order_id] = OpenOrder(order, lanes, leaves, is_heard)
        for each in lanes:
            each.order(order.side, leaves)

    def _shrink(self, order_id: OrderId, quantity: Decimal) -> None:
        entry = self.orders.get(order_id)
        if entry is not None and entry.shrink(quantity):
            del self.orders[order_id]

    def _count(self, session: SessionId, at_ns: int) -> None:
        self.messages.add(at_ns)
        window = self.sessions.get(session)
        if window is None:
            window = self.sessions[session] = MessageWindow(self._session_messages_most)
        window.add(at_ns)

    def _on_their_way(self, book: BookReported) -> list[OpenOrder]:
        told = {view.order.order_id for view in (*book.open_orders, *book.recent_orders)}
        return [
            entry
            for order_id, entry in self.orders.items()
            if not entry.is_heard
            and order_id not in told
            and entry.order.expires_at_ns > book.at_ns
        ]

    def _gone(self, book: BookReported, kept: Iterable[OpenOrder]) -> list[OpenOrder]:
        """Return the orders that may have been sent, and that the book shows no more."""
        shown = {view.order.order_id for view in (*book.open_orders, *book.recent_orders)}
        shown |= {entry.order.order_id for entry in kept}
        return [entry for order_id, entry in self.orders.items() if order_id not in shown]

    def _differs(self, book: BookReported) -> bool:
        told = {order.order_id: leaves for order, leaves in _open_in(book)}
        held = {view.instrument: view.quantity for view in book.positions if view.quantity}
        known = {
            key: position.quantity
            for key, position in self.portfolio.positions.items()
            if position.quantity
        }
        return held != known or self._leaves(book) != told

    def _leaves(self, book: BookReported) -> dict[OrderId, Decimal]:
        """Return what we expect the book to show: all but what may not have arrived yet."""
        waiting = {entry.order.order_id for entry in self._on_their_way(book)}
        orders = self.orders.items()
        return {key: entry.leaves for key, entry in orders if key not in waiting}


def _instruments(markets: Mapping[InstrumentId, Market]) -> dict[InstrumentId, Instrument]:
    return {key: market.instrument for key, market in markets.items()}


def _sector(instrument: Instrument) -> str:
    return instrument.sector


def _asset_class(instrument: Instrument) -> str:
    return instrument.asset_class


def _venue(instrument: Instrument) -> str:
    return instrument.venue


def _is_same(teller: str, other: str) -> bool:
    """Return whether two tellers may be one: an answer to a query does not name its own."""
    return teller == other or not teller or not other


def _open_in(book: BookReported) -> list[tuple[Order, Decimal]]:
    """Return the orders that may still fill, and by how much."""
    orders = [(view.order, view.order.quantity - view.filled) for view in book.open_orders]
    return [(order, leaves) for order, leaves in orders if leaves > 0]
