"""A gate that runs, with limits small enough to reach; a test names only what it is about."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from schemas.base import BootId, Event, ExecutionId, InstrumentId, OrderId, SessionId
from schemas.control import HaltRequested
from schemas.executions import (
    BookReported,
    Liquidity,
    OrderCanceled,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
    OrderSubmitted,
    OrderView,
    PositionView,
)
from schemas.orders import Order, OrderApproved, Reading, Side, SignalDecided, SignalRaised
from services.bench import open_limits
from services.control import LEASE_UNLIMITED_NS, ControlGuard
from services.core import tell
from services.gate.account import Account
from services.gate.checks.confirmation import AUTO
from services.gate.config import GateConfig
from services.gate.core import GateCore
from services.gate.exposure import Lane, OpenOrder, Totals
from services.gate.holders import Holder
from tests.builders import (
    ACCOUNT,
    ALPHA,
    BETA,
    MS_NS,
    S_NS,
    SESSION,
    dec,
    instrument,
    quote,
    signal,
)

NOW_NS = 1_000 * S_NS
INSTRUMENTS = {ALPHA: instrument(ALPHA), BETA: instrument(BETA, multiplier="2")}
ROW = msgspec.structs.replace(
    open_limits.ROW,
    order_quantity_max=dec(100),
    order_notional_max=dec(10_000),
    position_quantity_max=dec(200),
    position_notional_max=dec(20_000),
    price_collar_bps=dec(100),
    spread_bps_max=dec(50),
    stale_after_ms=1_000,
)
ACCOUNT_ROW = msgspec.structs.replace(
    open_limits.ACCOUNT,
    gross_notional_max=dec(30_000),
    session_messages_max=20,
    account_messages_max=30,
    message_window_ms=1_000,
    signal_life_ms_max=5_000,
    currency_values={"USD": dec(1)},
)
_E = TypeVar("_E", bound=Event)


def config(**changes: Any) -> GateConfig:
    """Return the configuration with some limits changed; None is one that nobody has chosen."""
    row = {k: getattr(ROW, k) for k in ROW.__struct_fields__}
    account = {k: getattr(ACCOUNT_ROW, k) for k in ACCOUNT_ROW.__struct_fields__}
    return open_limits.open_limits(ACCOUNT, **(row | account | changes))


def running_guard() -> ControlGuard:
    """Return a guard that serves epoch 1 with a lease that does not end."""
    guard = ControlGuard("gate", BootId("gate-1"), "hash", lease_ns=LEASE_UNLIMITED_NS)
    guard.epoch = guard.epoch_max = guard.gate_token = 1
    guard.lease_until_ns = LEASE_UNLIMITED_NS
    return guard


class Rig:
    """A gate, its guard, and the time.

    Attributes:
        gate: running, with a reconciled empty book and a market at 99.90/100.00 in ALPHA.
        now_ns: what the next event is told at.
    """

    def __init__(
        self, gate_config: GateConfig | None = None, kind: type[GateCore] = GateCore
    ) -> None:
        self.config = gate_config or config()
        self.kind = kind
        self.guard = running_guard()
        self.gate = kind(self.config, INSTRUMENTS, self.guard)
        self.now_ns = NOW_NS
        self.kept: list[Event] = []
        self.tell(book())
        self.quote()

    def tell(self, event: Event) -> Sequence[Event]:
        """Tell the gate; what it keeps is noted in the order a journal would have it.

        A session is in AUTO unless the test creates it in another mode.
        """
        if isinstance(event, SignalRaised):
            in_auto(self.gate, event.session)
        said = tell(self.gate, event, self.now_ns)
        if any(isinstance(each, OrderApproved) for each in said):  # it is counted in the same turn
            said = [*said, *tell(self.gate, None, self.now_ns)]
        self.kept += [each for each in (event, *said) if type(each) in self.gate.keeps]
        return said

    def restart(self) -> None:
        """Go on with a new process that has nothing but what was kept."""
        self.gate = self.kind(self.config, INSTRUMENTS, self.guard)
        for event in self.kept:
            self.gate.restore(event)

    def quote(self, bid: str = "99.90", ask: str = "100.00", **more: Any) -> None:
        """Move the market."""
        self.tell(quote(bid, ask, at_ns=self.now_ns, **more))

    def decide(self, raised: SignalRaised) -> SignalDecided:
        """Return the decision on a signal."""
        return only(SignalDecided, self.tell(raised))

    def approve(self, signal_id: str, **more: Any) -> Order:
        """Return the order of a signal that must be approved."""
        said = self.tell(self.signal(signal_id, **more))
        return only(OrderApproved, said).order

    def rule(self, signal_id: str = "sig", **more: Any) -> str:
        """Return the rule that decided on a signal: `all` is an approval."""
        return self.decide(self.signal(signal_id, **more)).rule

    def signal(self, signal_id: str = "sig", **more: Any) -> SignalRaised:
        """Return a signal raised now."""
        return signal(signal_id, at_ns=self.now_ns, **more)

    def fill(self, order: Order, quantity: str, execution_id: str, price: str = "100") -> None:
        """Tell of one execution."""
        self.tell(filled(order, quantity, execution_id, price=price, at_ns=self.now_ns))


def in_auto(gate: GateCore, session: SessionId) -> None:
    """Let the gate know the session's mode, and nothing else of it."""
    gate.state.confirmations.mode_of.setdefault(session, AUTO)


def only(kind: type[_E], said: Sequence[Event]) -> _E:
    """Return the one event of this kind."""
    [found] = [event for event in said if isinstance(event, kind)]
    return found


def reading(decided: SignalDecided, check: str) -> Reading:
    """Return what one check read."""
    [found] = [each for each in decided.readings if each.check == check]
    return found


def book(
    *orders: OrderView,
    held: dict[InstrumentId, str] | None = None,
    request_id: str = "",
    is_reconciled: bool = True,
    at_ns: int = NOW_NS,
    recent: tuple[OrderView, ...] = (),
    src: str = "",
) -> BookReported:
    """Return the executor's book."""
    return BookReported(
        at_ns=at_ns,
        src=src,
        account=ACCOUNT,
        request_id=request_id,
        is_reconciled=is_reconciled,
        positions=tuple(
            PositionView(instrument=key, quantity=dec(quantity))
            for key, quantity in (held or {}).items()
        ),
        open_orders=orders,
        recent_orders=recent,
    )


def view(order: Order, filled: str = "0", status: OrderStatus = OrderStatus.ACCEPTED) -> OrderView:
    """Return an order as the book shows it."""
    return OrderView(order=order, status=status, filled=dec(filled))


def filled(
    order: Order,
    quantity: str,
    execution_id: str,
    *,
    price: str = "100",
    at_ns: int = NOW_NS,
    src: str = "",
) -> OrderFilled:
    """Return one execution of an order; what it leaves is not looked at by the gate."""
    return OrderFilled(
        at_ns=at_ns,
        src=src,
        account=order.account,
        session=order.session,
        instrument=order.instrument,
        order_id=order.order_id,
        execution_id=ExecutionId(execution_id),
        side=order.side,
        price=Decimal(price),
        quantity=dec(quantity),
        leaves=dec(0),
        fee=dec(0),
        liquidity=Liquidity.TAKER,
        status=OrderStatus.PARTIALLY_FILLED,
    )


def submitted(order: Order, *, at_ns: int = NOW_NS, src: str = "") -> OrderSubmitted:
    """Return the news that an order was written to the venue."""
    return OrderSubmitted(**_of(order), at_ns=at_ns, src=src, order=order, epoch=1)


def canceled(order: Order, leaves: str, *, at_ns: int = NOW_NS, src: str = "") -> OrderCanceled:
    """Return the news that the rest of an order will never fill."""
    return OrderCanceled(**_of(order), at_ns=at_ns, src=src, leaves=dec(leaves))


def refused(order: Order, *, at_ns: int = NOW_NS) -> OrderRefused:
    """Return the news that the executor did not send an order."""
    return OrderRefused(**_of(order), at_ns=at_ns, rule="expired")


def rejected(order: Order, *, at_ns: int = NOW_NS) -> OrderRejected:
    """Return the news that the venue said no."""
    return OrderRejected(**_of(order), at_ns=at_ns, reason="no")


def replaced(order: Order, by: str, *, at_ns: int = NOW_NS) -> OrderReplaced:
    """Return the news that another order stands in the place of this one."""
    return OrderReplaced(**_of(order), at_ns=at_ns, by=OrderId(by))


def unknown(order: Order, *, at_ns: int = NOW_NS) -> OrderMarkedUnknown:
    """Return the news that nobody knows what became of an order."""
    return OrderMarkedUnknown(**_of(order), at_ns=at_ns, reason="no answer")


def halt(reason: str = "fat finger", operator: str = "kim", at_ns: int = NOW_NS) -> HaltRequested:
    """Return a halt."""
    return HaltRequested(at_ns=at_ns, reason=reason, operator=operator)


def resting(
    order_id: str, *, side: Side = Side.BUY, quantity: str = "10", key: InstrumentId = ALPHA
) -> Order:
    """Return an order that some gate approved earlier."""
    raised = signal(order_id, side=side, quantity=quantity, instrument=key, at_ns=NOW_NS)
    return Order(
        order_id=OrderId(order_id),
        account=ACCOUNT,
        session=SESSION,
        signal_id=raised.signal_id,
        instrument=key,
        side=side,
        quantity=dec(quantity),
        expires_at_ns=NOW_NS + 1_000 * MS_NS,
    )


def _of(order: Order) -> dict[str, Any]:
    return {
        "account": order.account,
        "session": order.session,
        "instrument": order.instrument,
        "order_id": order.order_id,
    }


def assert_sums_follow(gate: GateCore) -> None:
    """Assert that every sum beside the orders is what the orders and positions add up to."""
    gate.state.unvalued.value()  # as the gate does before it reads a sum
    for account in gate.state.accounts.values():
        for key, lane in account.lanes.items():
            mine = [each for each in account.orders.values() if each.lanes[0] is lane]
            assert lane.position == account.portfolio.quantity(key)
            assert_lane_follows(lane, mine)
            sessions = account.holders.sessions.values()
            owned = (each.lanes[key].position for each in sessions if key in each.lanes)
            assert lane.owned == sum(owned, dec(0))
        assert_totals_follow(account.totals, account.lanes.values())
        for groups in (account.sector_of, account.asset_class_of, account.venue_of):
            for group in groups.values():
                members = [lane for key, lane in account.lanes.items() if groups[key] is group]
                assert_totals_follow(group.totals, members)
        assert_holders_follow(account)


def assert_holders_follow(account: Account) -> None:
    """Assert the same of every session and every strategy of an account."""
    by_strategy: dict[int, tuple[Holder, list[Holder]]] = {}
    for session, holder in account.holders.sessions.items():
        orders = [each for each in account.orders.values() if each.order.session == session]
        for key, lane in holder.lanes.items():
            assert_lane_follows(lane, [o for o in orders if o.order.instrument == key])
        assert_totals_follow(holder.totals, holder.lanes.values())
        if holder.strategy is not None:
            by_strategy.setdefault(id(holder.strategy), (holder.strategy, []))[1].append(holder)
    for strategy, members in by_strategy.values():
        for key, lane in strategy.lanes.items():
            parts = [each.lanes[key] for each in members if key in each.lanes]
            for name in ("position", "buys", "sells"):
                assert getattr(lane, name) == sum((getattr(p, name) for p in parts), dec(0))
            assert lane.worst == max(lane.position + lane.buys, lane.sells - lane.position)
        assert_totals_follow(strategy.totals, strategy.lanes.values())


def assert_lane_follows(lane: Lane, orders: Sequence[OpenOrder]) -> None:
    """Assert that a lane is its position and these orders."""
    buys = sum((e.leaves for e in orders if e.order.side is Side.BUY), dec(0))
    sells = sum((e.leaves for e in orders if e.order.side is Side.SELL), dec(0))
    assert (lane.buys, lane.sells) == (buys, sells)
    assert lane.worst == max(lane.position + buys, sells - lane.position)
    assert (lane in lane.market.exposed) == bool(lane.worst)
    assert all(each.leaves > 0 for each in orders)


def assert_totals_follow(totals: Totals, lanes: Iterable[Lane]) -> None:
    """Assert that sums are those of the lanes, at the market's newest prices."""
    gross = long = short = dec(0)
    for lane in lanes:
        price = lane.market.price if lane.worst else dec(0)
        is_priced = price is not None and lane.unit_value is not None
        one = (lane.unit_value or dec(0)) * (price or dec(0))
        assert lane.notional == lane.worst * one
        assert (lane.instrument.id in totals.unpriced) == (bool(lane.worst) and not is_priced)
        gross += lane.worst * one
        long += (lane.position + lane.buys) * one
        short += (lane.sells - lane.position) * one
    assert (totals.gross, totals.long, totals.short) == (gross, long, short)


def snapshot(gate: GateCore) -> dict[str, Any]:
    """Return what a restart must bring back: exposure, orders, ids, what the venue said."""
    accounts = gate.state.accounts.values()
    return {
        "approved": list(gate.state.ids.approved.items()),
        "trading": {key: market.trading for key, market in gate.state.markets.items()},
        "orders": [
            {key: (e.order, e.leaves, e.is_heard, e.is_unknown) for key, e in a.orders.items()}
            for a in accounts
        ],
        "lanes": [
            {key: (lane.position, lane.buys, lane.sells) for key, lane in a.lanes.items()}
            for a in accounts
        ],
    }
