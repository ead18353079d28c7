"""The way of one session's orders in one instrument: all they are measured by, found once."""

from decimal import Decimal
from typing import Any

from schemas.base import SessionId
from services.gate.access import AccountAccess, Sent, Traffic
from services.gate.access_windows import SumWindow
from services.gate.account import Account
from services.gate.exposure import Lane, Totals
from services.gate.groups import Group
from services.gate.holders import Holder
from services.gate.memory import MessageWindow

ROUTES_MAX = 100_000
"""Routes of one account that are kept; of more, all are found anew."""


class Route:
    """What one session's orders in one instrument of an account are measured by.

    It holds no number of its own, only where the numbers are. Whoever puts another object in the
    place of one, or makes one that was missing, has the account forget its routes.

    Attributes:
        lane: of the instrument in the account.
        lanes: all that an order counts in and that is made yet, the account's first.
        holder: the session; None before its first order.
        own: what the session holds and has open in the instrument; None while that is nothing.
        group: limits of the session's strategy; None where it has none.
        part: what the session's strategy holds and has open in the instrument, where there is any.
        sector, asset_class, venue: groups of the instrument, where groups of that kind have limits.
        access: what the account has sent.
        strategy: what the session runs, by name.
        sent: what the session has sent; None before its first order.
        quantity: the same in the instrument; None before its first order in it.
        whole_quantity: what all sessions have sent in the instrument; None before the first order.
        strategy_traffic, venue_traffic: messages; None before the first.
        messages: of the session; None before its first order.
        sector_totals, asset_class_totals, venue_totals, strategy_totals: sums of the groups; of
            nothing where there is no group.
        is_whole: whether nothing is missing that an order would make.
        ready: plans of the judge for its orders, by kind of order.
    """

    __slots__ = (
        "_notionals",
        "_orders",
        "_quantities",
        "access",
        "asset_class",
        "asset_class_totals",
        "group",
        "holder",
        "is_whole",
        "lane",
        "lanes",
        "messages",
        "own",
        "part",
        "quantity",
        "ready",
        "sector",
        "sector_totals",
        "sent",
        "strategy",
        "strategy_totals",
        "strategy_traffic",
        "venue",
        "venue_totals",
        "venue_traffic",
        "whole_quantity",
    )

    def __init__(
        self, account: Account, access: AccountAccess, lane: Lane, session: SessionId
    ) -> None:
        key = lane.instrument.id
        self.lane = lane
        holder = account.holders.sessions.get(session)
        self.holder: Holder | None = holder
        self.own: Lane | None = None if holder is None else holder.lanes.get(key)
        self.group: Group | None = None if holder is None else holder.group
        strategy = None if holder is None else holder.strategy
        self.part: Lane | None = None if strategy is None else strategy.lanes.get(key)
        self.sector = account.sector_of.get(key)
        self.asset_class = account.asset_class_of.get(key)
        self.venue = account.venue_of.get(key)
        self.sector_totals, self.asset_class_totals = _sums(self.sector), _sums(self.asset_class)
        self.venue_totals, self.strategy_totals = _sums(self.venue), _sums(self.group)
        self.access = access
        self.strategy = access.strategy_of(session)
        sent = access.sessions.get(session)
        self.sent: Sent | None = sent
        self.quantity: SumWindow | None = None if sent is None else sent.quantities.get(key)
        self.whole_quantity: SumWindow | None = access.sent.quantities.get(key)
        self.strategy_traffic: Traffic | None = access.strategies.get(self.strategy)
        self.venue_traffic: Traffic | None = access.venues.get(lane.venue)
        self.messages: MessageWindow | None = account.sessions.get(session)
        self.ready: dict[int, Any] = {}
        made = (lane, self.own) if strategy is None else (lane, self.own, self.part)
        self.lanes: tuple[Lane, ...] = tuple(each for each in made if each is not None)
        traffic = [each for each in (self.venue_traffic, self.strategy_traffic) if each is not None]
        self._orders = tuple(each.orders for each in traffic)
        parts = (self.whole_quantity, self.quantity)
        self._quantities = tuple(each for each in parts if each is not None)
        self._notionals = tuple(each.notional for each in (access.sent, sent) if each is not None)
        sizes = (len(self.lanes), len(traffic), len(self._quantities), len(self._notionals))
        self.is_whole = sizes == (len(made), 2, 2, 2) and self.messages is not None

    def count(self, quantity: Decimal, notional: Decimal, at_ns: int) -> None:
        """Count an approval in every window over time."""
        assert self.is_whole, "a window may be missing"
        for orders in self._orders:
            orders.add(at_ns)
        for window in self._quantities:
            window.add(at_ns, quantity)
        for window in self._notionals:
            window.add(at_ns, notional)


def _sums(group: Group | None) -> Totals:
    return Totals() if group is None else group.totals
