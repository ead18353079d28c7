"""Executor and venue under any stream: one fold, each id once, and REDUCE only ever reduces."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from schemas.base import OrderId
from schemas.orders import CancelApproved, OrderType, Side
from schemas.restrictions import ALL, FlattenAsked, FlattenReported, FlattenRequest, Level
from services.executor.config import ExecutorConfig
from services.executor.last_check import LastCheck
from services.executor.orders import Orders
from tests.builders import ACCOUNT, ALPHA, MS_NS, S_NS, order, quote
from tests.executor_builders import EPOCH, start
from tests.executor_pair import Staffed
from tests.property.test_executor_fold import orders, quotes, trades

CONFIG = ExecutorConfig(report_every_ms=0, reconcile_every_s=5, closed_orders_max=4)
ZERO = Decimal(0)


class ExecutorMachine(RuleBasedStateMachine):
    """Gate, market, operators and misfortune, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Staffed(config=CONFIG)
        self.epoch = EPOCH
        self.count = 0
        self.held: Decimal | None = None
        """The position when REDUCE came in force, and since; None while it is not, or while what
        was sent before may still fill unseen."""

    @initialize(quote=quotes())
    def begin(self, quote: Any) -> None:
        self.pair.link(is_up=True)
        self.pair.market(quote)

    def teardown(self) -> None:
        pair = self.pair
        pair.link(is_up=False)
        pair.link(is_up=True)
        pair.wait(pair.now_ns + 20 * S_NS)
        assert pair.agrees()
        assert pair.executor.describe(pair.now_ns).is_reconciled
        assert len(pair.sent) == len(set(pair.sent))

    @property
    def position(self) -> Decimal:
        return self.pair.venue.ledger.portfolio.quantity(ALPHA)

    @rule(quote=quotes())
    def quoted(self, quote: Any) -> None:
        self.pair.market(quote)

    @rule(trade=trades())
    def traded(self, trade: Any) -> None:
        self.pair.market(trade)

    @rule(data=st.data())
    def approved(self, data: st.DataObject) -> None:
        self.count += 1
        self.pair.approve(data.draw(orders(self.count)))

    @precondition(lambda self: self.count)
    @rule(data=st.data())
    def cancelled(self, data: st.DataObject) -> None:
        order_id = OrderId(f"o{data.draw(st.integers(1, self.count))}")
        wish = CancelApproved(at_ns=1, account=ACCOUNT, instrument=ALPHA, order_id=order_id)
        self.pair.tell(wish)

    @rule(scope=st.sampled_from([ALL, "symbol.sim.ALPHA", "session.s1"]))
    def reduced(self, scope: str) -> None:
        self.pair.restrict(scope, Level.REDUCE)
        # Orders of a flatten are of another session: a REDUCE of one session is not of all.
        if self.pair.is_up and self.pair.hears_reports and scope != "session.s1":
            self.held = self.position

    @rule()
    def part_halted(self) -> None:
        self.pair.restrict("symbol.sim.ALPHA", Level.HALT)

    @rule()
    def halted(self) -> None:
        self.pair.halt()

    @rule()
    def started(self) -> None:
        self.epoch += 1
        start(self.pair.guard, self.epoch)
        self.held = None

    @rule(scope=st.sampled_from([ALL, "symbol.sim.ALPHA", "session.s1"]))
    def flattened(self, scope: str) -> None:
        self.count += 1
        request = FlattenRequest(operator="kim", reason="enough", scope=scope)
        asked = FlattenAsked(at_ns=1, request_id=f"r{self.count}", request=request)
        for said in self.pair.tell(asked):
            self._flat_means_flat(said, scope)

    @rule(seconds=st.integers(1, 4))
    def waited(self, seconds: int) -> None:
        for said in self.pair.wait(self.pair.now_ns + seconds * S_NS):
            self._flat_means_flat(said, "")

    @rule()
    def cut(self) -> None:
        self.pair.link(is_up=False)
        self.held = None

    @rule()
    def joined(self) -> None:
        self.pair.link(is_up=True)

    @rule()
    def restarted(self) -> None:
        self.pair.restart_executor()
        self.epoch += 1
        start(self.pair.guard, self.epoch)
        self.held = None

    def _flat_means_flat(self, said: Any, scope: str) -> None:
        if isinstance(said, FlattenReported) and said.is_flat and said.scope != "session.s1":
            assert self.position == 0
            assert self.pair.venue_book().open_orders == ()

    @invariant()
    def under_reduce_a_position_only_shrinks(self) -> None:
        if self.held is None:
            return
        now = self.position
        assert abs(now) <= abs(self.held), f"{self.held} became {now}"
        assert now * self.held >= 0, f"{self.held} turned over to {now}"
        self.held = now

    @invariant()
    def time_passes(self) -> None:
        self.pair.now_ns += MS_NS

    @invariant()
    def what_is_sent_is_sent_once(self) -> None:
        assert len(self.pair.sent) == len(set(self.pair.sent))


TestExecutorMachine = pytest.mark.req("S-16", "X-10", "G-09")(ExecutorMachine.TestCase)
TestExecutorMachine.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

STREAMS = st.lists(
    st.one_of(quotes(), trades(), st.tuples(st.sampled_from(list(Side)), st.integers(1, 12))),
    min_size=4,
    max_size=12,
)


def under_reduce(stream: list[Any]) -> None:
    """Hold ten, let REDUCE come in force, and then let everything happen."""
    pair = Staffed(config=CONFIG)
    pair.link(is_up=True)
    pair.market(quote())
    pair.approve(order("held"))
    pair.restrict(ALL, Level.REDUCE)
    held = Decimal(10)
    for number, step in enumerate(stream):
        if isinstance(step, tuple):
            side, quantity = step
            limit = "100.10" if side is Side.SELL else "99.90"
            one = order(f"o{number}", side=side, quantity=str(quantity), limit=limit, **GOOD)
            pair.approve(one)
        else:
            pair.market(step)
        now = pair.venue.ledger.portfolio.quantity(ALPHA)
        assert ZERO <= now <= held, f"{held} became {now}"
        held = now


GOOD: dict[str, Any] = {"order_type": OrderType.LIMIT, "expires_at_ns": 1 << 62}


@pytest.mark.req("G-09")
@settings(max_examples=100, deadline=None)
@given(STREAMS)
def test_whatever_comes_under_reduce_a_position_only_shrinks(stream: list[Any]) -> None:
    under_reduce(stream)


def _held_only(self: Orders, order: Any) -> Decimal:
    held = self.portfolio.quantity(order.instrument)
    return max(-held if order.side is Side.BUY else held, ZERO)


@pytest.mark.req("G-09")
@pytest.mark.parametrize(
    ("owner", "name", "weaker"),
    [
        (LastCheck, "_restricted", lambda self, order: ""),
        (Orders, "reducible", _held_only),
    ],
    ids=["no look at restrictions", "open orders not counted"],
)
def test_without_that_some_stream_makes_it_grow_or_turn_over(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, weaker: Any
) -> None:
    monkeypatch.setattr(owner, name, weaker)
    searched = settings(max_examples=1_000, deadline=None, database=None, derandomize=True)
    with pytest.raises(AssertionError, match="became"):
        searched(given(STREAMS)(under_reduce))()
