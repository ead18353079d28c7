"""Who in an account holds what: its sessions, and the strategies that they run.

A session's position is the fold of its own executions and of what it took over. What no session
accounts for (held before the first one, or filled while this process was away) counts against each
session that trades the instrument, on the side where it hurts, until one takes it over. So does
what a flatten closes, until the strategy service has said whose it was.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from schemas.base import InstrumentId, OrderId, SessionId
from schemas.executions import OrderView
from schemas.ids import is_flatten
from schemas.sessions import HELD_BY_GATE, PositionsAdopted, SessionCreated, SessionLimits
from services.distinct import Distinct
from services.gate.config import AccountLimits
from services.gate.exposure import ZERO, Lane, OpenOrder, Totals
from services.gate.groups import Group, Groups
from services.gate.limits import Bound

FILLS_MAX = 50_000
"""Orders whose filled quantity is remembered; far more than a book shows as recent."""


class Holder:
    """One session, or one strategy.

    Attributes:
        lanes: what it holds and may still trade, by instrument.
        totals: what they add up to.
        group: a strategy's limits; a session's is that of its strategy, None where it has none.
        order_notional_max, position_notional_max, gross_notional_max: a session's own limits, in
            the account's currency; None where the start named none.
    """

    __slots__ = (
        "gross_notional_max",
        "group",
        "lanes",
        "order_notional_max",
        "position_notional_max",
        "strategy",
        "totals",
    )

    def __init__(self, totals: Totals | None = None) -> None:
        self.lanes: dict[InstrumentId, Lane] = {}
        self.totals = totals or Totals()
        self.strategy: Holder | None = None
        self.group: Group | None = None
        self.order_notional_max: Bound[Decimal] | None = None
        self.position_notional_max: Bound[Decimal] | None = None
        self.gross_notional_max: Bound[Decimal] | None = None

    def lane(self, whole: Lane) -> Lane:
        """Return its part of an account's lane."""
        key = whole.instrument.id
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane(whole.market, whole.limits, (self.totals,))
        return lane

    def limit(self, own: SessionLimits) -> None:
        """Take the limits that the start named."""
        for name in HELD_BY_GATE:
            chosen: Decimal | None = getattr(own, name)
            setattr(self, name, None if chosen is None else Bound(chosen))


class Holders:
    """All sessions and strategies of one account.

    Attributes:
        sessions: by id: those that were created, and those that traded.
        strategy_of: name of the strategy by session, of those that were created.
        groups: the limits of strategies.
    """

    def __init__(self, row: AccountLimits, path: str, lanes: Mapping[InstrumentId, Lane]) -> None:
        self.sessions: dict[SessionId, Holder] = {}
        self.strategy_of: dict[SessionId, str] = {}
        self._whole = lanes
        self.groups = Groups(row.strategies, f"{path}.strategies")
        self._strategies: dict[str, Holder] = {}
        self._filled: dict[OrderId, Decimal] = {}
        self._claims: dict[InstrumentId, dict[SessionId, Decimal]] = {}
        self._taken = Distinct()
        self._told: list[tuple[InstrumentId, SessionId]] = []

    def session(self, session: SessionId) -> Holder:
        """Return a session's part, made when it is met first."""
        holder = self.sessions.get(session)
        if holder is None:
            holder = self.sessions[session] = Holder()
        return holder

    def create(self, event: SessionCreated, orders: Iterable[OpenOrder]) -> None:
        """Take a session's strategy and own limits; what it has open counts for both from now."""
        holder = self.session(event.session)
        holder.limit(event.risk_limits)
        is_known = event.session in self.strategy_of
        self.strategy_of[event.session] = event.strategy
        group = self.groups.find(event.strategy)
        if group is None or is_known:
            return
        strategy = self._strategies.get(event.strategy)
        if strategy is None:
            strategy = self._strategies[event.strategy] = Holder(group.totals)
        holder.group, holder.strategy = group, strategy
        for key, lane in holder.lanes.items():
            part = strategy.lane(self._whole[key])
            part.hold(part.position + lane.position)
        for entry in orders:
            if entry.order.session == event.session:
                part = strategy.lane(entry.lanes[0])
                entry.lanes += (part,)
                part.order(entry.order.side, entry.leaves)

    def lanes(self, session: SessionId, whole: Lane) -> tuple[Lane, ...]:
        """Return every lane that an order of a session counts in, the account's first."""
        holder = self.session(session)
        if holder.strategy is None:
            return (whole, holder.lane(whole))
        return (whole, holder.lane(whole), holder.strategy.lane(whole))

    def fill(self, session: SessionId, whole: Lane, signed: Decimal) -> None:
        """Move an execution to its session's position; a flatten's is nobody's for now."""
        if not is_flatten(session):
            self._add(self.session(session), whole, signed)

    def told(self, order_id: OrderId, quantity: Decimal) -> None:
        """Note how much of an order is known to have filled."""
        filled = self._filled
        filled[order_id] = filled.get(order_id, ZERO) + quantity
        if len(filled) > FILLS_MAX:
            del filled[next(iter(filled))]

    def catch_up(self, views: Iterable[OrderView]) -> int:
        """Give sessions what a book shows as filled and nobody told of; count such orders."""
        count = 0
        for view in views:
            order = view.order
            whole = self._whole.get(order.instrument)
            missed = view.filled - self._filled.get(order.order_id, ZERO)
            if whole is None or missed <= ZERO:
                continue
            count += 1
            self.told(order.order_id, missed)
            self.fill(order.session, whole, order.side.signed(missed))
        return count

    def take_over(self, event: PositionsAdopted, *, may_wait: bool) -> None:
        """Let a session take over what it says, once: from whose it was, or what is nobody's.

        What is nobody's may come to be known later. Executions that were told are known here, or
        will be with the book that is waited for: then only may such a claim wait.

        Args:
            event: the strategy service's word; it owns the sessions.
            may_wait: whether executions may have been missed here.
        """
        giver, what = event.taken_from, [view.instrument for view in event.positions]
        name = f"{event.session} {giver} {event.execution_id} {event.at_ns} {what}"
        if not self._taken.add(name):
            return  # told again
        for view in event.positions:
            whole = self._whole.get(view.instrument)
            if whole is None or not view.quantity:
                continue
            if giver is None:
                self._claim(event.session, whole, view.quantity)
                if event.is_told:
                    self._told.append((view.instrument, event.session))
                continue
            self._add(self.session(event.session), whole, view.quantity)
            if not is_flatten(giver):  # a flatten's executions are nobody's from the start
                self._add(self.session(giver), whole, -view.quantity)
        if not may_wait:
            self.forget_told()

    def forget_told(self) -> None:
        """Let go of what was claimed of executions that were told: all of them are known now."""
        for instrument, session in self._told:
            self._claims.get(instrument, {}).pop(session, None)
        self._told.clear()

    def _claim(self, session: SessionId, whole: Lane, quantity: Decimal) -> None:
        claims = self._claims.setdefault(whole.instrument.id, {})
        claims[session] = claims.get(session, ZERO) + quantity
        self.settle(whole)

    def settle(self, whole: Lane) -> None:
        """Give sessions what they claim, as far as no session accounts for it."""
        claims = self._claims.get(whole.instrument.id)
        if not claims:
            return
        for session, claimed in list(claims.items()):
            nobodys = whole.position - whole.owned
            if claimed * nobodys <= ZERO:
                continue
            taken = min(abs(claimed), abs(nobodys)).copy_sign(claimed)
            claims[session] = claimed - taken
            if not claims[session]:
                del claims[session]
            self._add(self.session(session), whole, taken)

    def close_orders(self) -> None:
        """Forget all open orders; the positions stay."""
        for holder in (*self.sessions.values(), *self._strategies.values()):
            for lane in holder.lanes.values():
                if lane.buys or lane.sells:
                    lane.close_orders()

    def _add(self, holder: Holder, whole: Lane, signed: Decimal) -> None:
        whole.owned += signed
        lane = holder.lane(whole)
        lane.hold(lane.position + signed)
        if holder.strategy is not None:
            part = holder.strategy.lane(whole)
            part.hold(part.position + signed)
