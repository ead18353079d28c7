"""For any stream of signals, fates, losses and restarts: limits hold, and nothing is forgotten.

The machine keeps the truth beside the gate: what the executor really has, and what really filled.
News travels to the gate in order, late, and sometimes not at all (then the runtime tells a gap).
"""

from collections import deque
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from schemas.base import Event, InstrumentId, OrderId, SessionId
from schemas.executions import OrderFilled, OrderStatus, OrderView
from schemas.health import GapSeen
from schemas.orders import Order, OrderApproved, Side
from schemas.sessions import SessionCreated
from services.gate.config_groups import GroupLimits
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, dec
from tests.gate_rig import (
    ROW,
    Rig,
    assert_sums_follow,
    book,
    canceled,
    config,
    filled,
    only,
    refused,
    snapshot,
    submitted,
    unknown,
    view,
)

INSTRUMENTS = st.sampled_from([ALPHA, BETA])
SIDES = st.sampled_from([Side.BUY, Side.SELL])
NOW_AND_THEN = st.sampled_from([False, False, False, True])
PRICES = st.sampled_from(["99.00", "100.00", "101.50", "103.99"])
TELLER = "executor-1"
LIFE_NS = 500 * MS_NS
GROSS_MAX, NET_MAX = dec(15_000), dec(10_000)
GROUP_MAX, SESSION_MAX = dec(9_000), dec(8_000)
ROWS = {"default": GroupLimits(gross_notional_max=GROSS_MAX, net_notional_max=GROUP_MAX)}
STRATEGIES = {SessionId("s1"): "trend", SessionId("s2"): "trend", SessionId("s3"): "other"}


def created(session: SessionId, strategy: str) -> SessionCreated:
    return SessionCreated(
        at_ns=0,
        session=session,
        start_id="start-1",
        strategy=strategy,
        account=ACCOUNT,
        instruments=(ALPHA, BETA),
        initial_capital=dec(1),
    )


class Fate:
    """What really became of one approved order."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.leaves = order.quantity
        self.has_arrived = False
        self.is_closed = False


class GateMachine(RuleBasedStateMachine):
    """Signals in; the executor's fates out, in order, some of them lost."""

    @initialize()
    def start(self) -> None:
        self.rig = Rig(
            config(
                session_messages_max=10_000,
                account_messages_max=10_000,
                gross_notional_max=GROSS_MAX,
                net_notional_max=NET_MAX,
                session_gross_notional_max=SESSION_MAX,
                asset_classes=ROWS,
                venues=ROWS,
                strategies=ROWS,
            )
        )
        for session, strategy in STRATEGIES.items():
            self.rig.tell(created(session, strategy))
        self.rig.tell(book(src=TELLER, at_ns=self.rig.now_ns))
        self.fates: dict[OrderId, Fate] = {}
        self.held = {ALPHA: dec(0), BETA: dec(0)}
        self.prices = {ALPHA: dec(100), BETA: dec(100)}
        self.news: deque[Event] = deque()
        self.recent: list[OrderView] = []
        self.count = 0
        for key in self.held:
            self.rig.quote(instrument=key)

    def true_reach(self, key: InstrumentId, side: Side) -> Any:
        """Return the worst position on one side, over all that could still fill."""
        sign = 1 if side is Side.BUY else -1
        now_ns = self.rig.now_ns
        still = (
            fate.leaves
            for fate in self.fates.values()
            if fate.order.instrument == key
            and fate.order.side is side
            and not fate.is_closed
            and (fate.has_arrived or fate.order.expires_at_ns > now_ns)
        )
        return sign * self.held[key] + sum(still, dec(0))

    def true_gross(self) -> Any:
        multipliers = {ALPHA: 1, BETA: 2}
        return sum(
            max(self.true_reach(key, side) for side in Side) * self.prices[key] * multipliers[key]
            for key in self.held
        )

    @rule(
        key=INSTRUMENTS,
        side=SIDES,
        quantity=st.sampled_from([1, 20, 50]),
        is_reducing=NOW_AND_THEN,
        session=st.sampled_from(list(STRATEGIES)),
    )
    def raise_signal(
        self, key: InstrumentId, side: Side, quantity: int, is_reducing: bool, session: SessionId
    ) -> None:
        self.count += 1
        before = self.true_reach(key, side), self.true_gross()
        raised = self.rig.signal(
            f"s{self.count}",
            instrument=key,
            side=side,
            quantity=str(quantity),
            session=session,
            is_reduce_only=is_reducing,
            expires_in_ns=LIFE_NS,
        )
        said = self.rig.tell(raised)
        if not any(isinstance(event, OrderApproved) for event in said):
            return
        order = only(OrderApproved, said).order
        assert order.order_id not in self.fates
        self.fates[order.order_id] = Fate(order)
        self.assert_limits_hold(order, before)

    def assert_limits_hold(self, order: Order, before: tuple[Any, Any]) -> None:
        key, side = order.instrument, order.side
        assert ROW.position_quantity_max is not None
        assert self.true_reach(key, side) <= ROW.position_quantity_max
        gross = self.true_gross()
        assert gross <= GROSS_MAX or gross <= before[1]
        self.assert_parts_hold(order)
        if order.is_reduce_only:
            assert before[0] < 0
            assert self.true_reach(key, side) <= 0

    def assert_parts_hold(self, order: Order) -> None:
        """Assert the limits of the parts: each is kept, or the order did not take it further."""
        account = self.rig.gate.state.accounts[ACCOUNT]
        holder = account.holders.sessions[order.session]
        assert holder.strategy is not None
        lane, side = account.lanes[order.instrument], order.side
        sums = (account.totals, account.venue_of[order.instrument].totals, holder.strategy.totals)
        for totals, most in zip(sums, (NET_MAX, GROUP_MAX, GROUP_MAX), strict=True):
            net = totals.long if side is Side.BUY else totals.short
            assert net <= most or lane.room(side) >= 0
        own = holder.lanes[order.instrument]
        assert holder.totals.gross <= SESSION_MAX or own.room(side) + order.quantity > 0

    @rule(again=st.data())
    def tell_a_signal_again(self, again: st.DataObject) -> None:
        if self.fates:
            order = again.draw(st.sampled_from(list(self.fates.values()))).order
            raised = self.rig.signal(
                order.signal_id,
                instrument=order.instrument,
                session=order.session,
                expires_in_ns=LIFE_NS,
            )
            assert self.rig.decide(raised).rule != "all"

    @rule(pick=st.data())
    def an_approval_arrives(self, pick: st.DataObject) -> None:
        fate = self.draw(pick, lambda fate: not fate.has_arrived and not fate.is_closed)
        if fate is not None:
            self.arrive(fate)

    @rule()
    def all_approvals_arrive(self) -> None:
        for fate in self.fates.values():
            if not fate.has_arrived and not fate.is_closed:
                self.arrive(fate)

    def arrive(self, fate: Fate) -> None:
        now_ns = self.rig.now_ns
        if now_ns >= fate.order.expires_at_ns:
            self.close(fate)
            self.publish(refused(fate.order, at_ns=now_ns))
        else:
            fate.has_arrived = True
            self.publish(submitted(fate.order, at_ns=now_ns))

    @rule(pick=st.data(), share=st.integers(1, 100))
    def venue_fills(self, pick: st.DataObject, share: int) -> None:
        fate = self.draw(pick, lambda fate: fate.has_arrived and not fate.is_closed)
        if fate is None:
            return
        quantity = min(fate.leaves, dec(share))
        fate.leaves -= quantity
        key = fate.order.instrument
        self.held[key] += quantity if fate.order.side is Side.BUY else -quantity
        if not fate.leaves:
            self.close(fate)
        self.count += 1
        told = filled(fate.order, str(quantity), f"e{self.count}", at_ns=self.rig.now_ns)
        self.publish(told)

    @rule(pick=st.data())
    def venue_cancels(self, pick: st.DataObject) -> None:
        fate = self.draw(pick, lambda fate: fate.has_arrived and not fate.is_closed)
        if fate is not None:
            self.close(fate)
            self.publish(canceled(fate.order, str(fate.leaves), at_ns=self.rig.now_ns))

    @rule(pick=st.data())
    def venue_does_not_answer(self, pick: st.DataObject) -> None:
        fate = self.draw(pick, lambda fate: fate.has_arrived and not fate.is_closed)
        if fate is not None:
            self.publish(unknown(fate.order, at_ns=self.rig.now_ns))

    @rule(is_reconciled=st.sampled_from([True, True, False]))
    def executor_reports(self, is_reconciled: bool) -> None:
        open_orders = [
            view(fate.order, str(fate.order.quantity - fate.leaves))
            for fate in self.fates.values()
            if fate.has_arrived and not fate.is_closed
        ]
        held = {key: str(quantity) for key, quantity in self.held.items()}
        self.publish(
            book(
                *open_orders,
                held=held,
                is_reconciled=is_reconciled,
                at_ns=self.rig.now_ns,
                recent=tuple(self.recent[-2:]),
            )
        )

    @rule(count=st.integers(1, 5))
    def news_comes(self, count: int) -> None:
        for _ in range(min(count, len(self.news))):
            self.rig.tell(self.news.popleft())

    @rule()
    def all_news_comes(self) -> None:
        while self.news:
            self.rig.tell(self.news.popleft())

    @rule()
    def news_is_lost(self) -> None:
        if self.news:
            while self.news:
                self.news.popleft()
            self.rig.tell(
                GapSeen(
                    at_ns=0,
                    subject="exec.sim.paper",
                    publisher=TELLER,
                    expected_seq=1,
                    got_seq=2,
                )
            )

    @rule()
    def news_comes_twice(self) -> None:
        if self.news and isinstance(self.news[0], OrderFilled):
            self.rig.tell(self.news[0])

    @rule(is_left_in_doubt=NOW_AND_THEN)
    def gate_restarts(self, is_left_in_doubt: bool) -> None:
        before = snapshot(self.rig.gate)
        self.rig.restart()
        assert snapshot(self.rig.gate) == before
        self.news.clear()
        self.quote_all()
        if not is_left_in_doubt:
            self.executor_reports(is_reconciled=True)
            self.all_news_comes()

    @rule(key=INSTRUMENTS, ask=PRICES)
    def market_moves(self, key: InstrumentId, ask: str) -> None:
        self.prices[key] = dec(ask)
        self.rig.quote(str(dec(ask) - dec("0.10")), ask, instrument=key)

    @rule(ms=st.integers(1, 400))
    def time_passes(self, ms: int) -> None:
        self.rig.now_ns += ms * MS_NS
        self.quote_all()

    def quote_all(self) -> None:
        for key, price in self.prices.items():
            self.rig.quote(str(price - dec("0.10")), str(price), instrument=key)

    @invariant()
    def sums_are_what_the_orders_add_up_to(self) -> None:
        assert_sums_follow(self.rig.gate)

    @invariant()
    def nothing_that_could_fill_is_left_out(self) -> None:
        account = self.rig.gate.state.accounts[ACCOUNT]
        if account.doubt:
            return
        for key, lane in account.lanes.items():
            assert self.news or lane.position == self.held[key]
            assert lane.position + lane.buys >= self.true_reach(key, Side.BUY)
            assert lane.sells - lane.position >= self.true_reach(key, Side.SELL)

    def publish(self, event: Event) -> None:
        self.news.append(msgspec.structs.replace(event, src=TELLER))

    def close(self, fate: Fate) -> None:
        fate.is_closed = True
        status = OrderStatus.CANCELED if fate.leaves else OrderStatus.FILLED
        done = str(fate.order.quantity - fate.leaves)
        self.recent.append(view(fate.order, done, status))

    def draw(self, pick: st.DataObject, wanted: Any) -> Fate | None:
        """Return one of the orders that are `wanted`; None while there is none."""
        found = [fate for fate in self.fates.values() if wanted(fate)]
        return pick.draw(st.sampled_from(found)) if found else None


GateMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=100, deadline=None)
TestGateMachine = GateMachine.TestCase
