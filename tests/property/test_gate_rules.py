"""For any stream of signals, fates and restarts: what market access and compliance promise."""

import re
from collections.abc import Sequence
from decimal import Decimal
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import InstrumentId, SignalId
from schemas.orders import Order, OrderApproved, OrderType, Side, TimeInForce
from services.calendars.calendar import DAY_NS
from services.gate.compliance_day_trades import DAYS, DayTrades
from services.gate.config_compliance import DayTrading, SelfTrade
from tests.builders import ALPHA, BETA, S_NS, dec
from tests.gate_rig import book, rejected, view
from tests.rules_rig import RulesRig, known

SIDES = st.sampled_from([Side.BUY, Side.SELL])
QUANTITIES = st.integers(1, 4)
WHOLE = 10


class Fate:
    """What truly became of one approved order."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.filled = 0
        self.is_open = True

    @property
    def leaves(self) -> int:
        """What may still fill."""
        return int(self.order.quantity) - self.filled if self.is_open else 0


def approved(rig: RulesRig, raised: Any) -> Order | None:
    said = rig.tell(raised)
    last = said[-1]
    return last.order if isinstance(last, OrderApproved) else None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["slice", "slice", "slice", "fill", "cancel", "reject", "restart", "book"]),
        st.integers(0, 50),
        QUANTITIES,
    ),
    max_size=40,
)


@pytest.mark.req("G-07", "X-03")
@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_slices_never_come_to_more_than_their_parent(
    steps: Sequence[tuple[str, int, int]],
) -> None:
    rig, fates = RulesRig(), list[Fate]()
    for number, (what, pick, quantity) in enumerate(steps):
        take_step(rig, fates, number, what, pick, quantity)
        for parent in ("p0", "p1"):
            mine = [fate for fate in fates if fate.order.parent_id == parent]
            assert sum(fate.filled + fate.leaves for fate in mine) <= WHOLE


def take_step(
    rig: RulesRig, fates: list[Fate], number: int, what: str, pick: int, quantity: int
) -> None:
    rig.now_ns += S_NS // 100
    rig.quote()
    open_ = [fate for fate in fates if fate.is_open]
    if what == "slice":
        raised = rig.signal(f"s{number}", quantity=str(quantity))
        parent = SignalId(f"p{pick % 2}")
        order = approved(
            rig, msgspec.structs.replace(raised, parent_id=parent, parent_quantity=dec(WHOLE))
        )
        fates += [] if order is None else [Fate(order)]
    elif what == "restart":
        before = known(rig)
        rig.restart()
        assert known(rig) == before
        rig.quote()
        report(rig, fates)
    elif what == "book":
        report(rig, fates)
    elif open_:
        end_or_fill(rig, open_[pick % len(open_)], what, quantity)


def end_or_fill(rig: RulesRig, fate: Fate, what: str, quantity: int) -> None:
    if what == "fill":
        taken = min(quantity, fate.leaves)
        fate.filled += taken
        rig.filled(fate.order, str(taken))
        fate.is_open = fate.filled < fate.order.quantity
    elif what == "cancel":
        rig.cancelled(fate.order, str(fate.leaves))
        fate.is_open = False
    elif not fate.filled:
        rig.tell(rejected(fate.order, at_ns=rig.now_ns))
        fate.is_open = False


def report(rig: RulesRig, fates: list[Fate]) -> None:
    """Let the executor report its book, without a word on what is closed."""
    held = sum(fate.filled for fate in fates)
    views = [view(fate.order, str(fate.filled)) for fate in fates if fate.is_open]
    rig.tell(book(*views, held={ALPHA: str(held)}, at_ns=rig.now_ns))


EXECUTIONS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([ALPHA, BETA]), SIDES, QUANTITIES),
    max_size=60,
)


def recount(executions: Sequence[tuple[int, InstrumentId, int]]) -> dict[int, int]:
    """Return day trades by day, from all executions at once: runs of closings after an opening."""
    counts: dict[int, int] = {}
    for key in (ALPHA, BETA):
        held, told = 0, dict[int, str]()
        for day, instrument, signed in executions:
            if instrument != key:
                continue
            so_far = told.get(day, "")
            if held * signed < 0:
                so_far += "X" if "O" in so_far else "C"
            if held * signed >= 0 or abs(signed) > abs(held):
                so_far += "O"
            told[day] = so_far
            held += signed
        for day, letters in told.items():
            counts[day] = counts.get(day, 0) + len(re.findall("X+", letters))
    return {day: count for day, count in counts.items() if count}


@pytest.mark.req("G-06")
@given(executions=EXECUTIONS)
@settings(max_examples=300, deadline=None)
def test_day_trades_counted_are_those_of_a_recount(
    executions: Sequence[tuple[int, InstrumentId, Side, int]],
) -> None:
    counted, day, done = DayTrades(), 1, list[tuple[int, InstrumentId, int]]()
    held = {ALPHA: 0, BETA: 0}
    for step, key, side, quantity in executions:
        day += step
        signed = quantity if side is Side.BUY else -quantity
        counted.execute(key, day, Decimal(held[key]), Decimal(signed))
        held[key] += signed
        done.append((day, key, signed))
    assert counted.counts == recount(done)


DAY_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["order", "order", "fill", "fill", "fill", "cancel", "night"]),
        st.sampled_from([ALPHA, BETA]),
        SIDES,
        QUANTITIES,
        st.integers(0, 50),
    ),
    min_size=10,
    max_size=80,
)


@pytest.mark.req("G-06")
@given(steps=DAY_STEPS)
@settings(max_examples=150, deadline=None)
def test_a_small_account_never_makes_a_fourth_day_trade_in_five_days(
    steps: Sequence[tuple[str, InstrumentId, Side, int, int]],
) -> None:
    rig = RulesRig(day_trading=DayTrading.PATTERN_DAY_TRADER, calendar="24x7")
    open_: list[Fate] = []
    done: list[tuple[int, InstrumentId, int]] = []
    executed: dict[str, int] = {}
    for number, (what, key, side, quantity, pick) in enumerate(steps):
        rig.at(rig.now_ns + (DAY_NS if what == "night" else S_NS))
        rig.quote(instrument=BETA)
        rig.mark("20000")
        day = rig.now_ns // DAY_NS
        if what == "order":
            order = approved(
                rig, rig.signal(f"s{number}", side=side, quantity=str(quantity), instrument=key)
            )
            open_ += [] if order is None else [Fate(order)]
        elif open_ and what != "night":
            fate = open_[pick % len(open_)]
            before = fate.filled
            end_or_fill(rig, fate, what, quantity)
            if taken := fate.filled - before:
                executed.setdefault(fate.order.order_id, day)
                signed = taken if fate.order.side is Side.BUY else -taken
                done.append((day, fate.order.instrument, signed))
            open_ = [each for each in open_ if each.is_open]
        window = [count for each, count in recount(done).items() if each > day - DAYS]
        trades = sum(1 for each in executed.values() if each > day - DAYS)
        assert sum(window) < 4 or sum(window) <= trades * Decimal("0.06")


ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["order", "order", "order", "order", "end", "restart"]),
        SIDES,
        st.sampled_from([OrderType.LIMIT, OrderType.LIMIT, OrderType.MARKET, OrderType.STOP]),
        st.integers(98, 102),
        st.sampled_from([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC]),
        st.integers(0, 50),
    ),
    max_size=40,
)


@pytest.mark.req("G-06")
@given(steps=ORDERS)
@settings(max_examples=150, deadline=None)
def test_no_order_ever_meets_one_of_the_same_owner(
    steps: Sequence[tuple[str, Side, OrderType, int, TimeInForce, int]],
) -> None:
    rig = RulesRig(self_trade=SelfTrade.REJECT_NEWEST, price_collar_bps=dec(10_000))
    resting: list[Order] = []
    for number, (what, side, kind, price, time_in_force, pick) in enumerate(steps):
        if what == "order":
            order = approved(
                rig, rig.signal(f"s{number}", **terms(side, kind, price, time_in_force))
            )
            if order is not None:
                assert not any(meet(order, each) for each in resting)
                resting += [order] if is_resting(order) else []
        elif what == "restart":
            rig.restart()
            rig.tell(book(*(view(each) for each in resting), at_ns=rig.now_ns))
            rig.quote()
        elif resting:
            rig.cancelled(resting.pop(pick % len(resting)), "1")


def terms(side: Side, kind: OrderType, price: int, time_in_force: TimeInForce) -> dict[str, Any]:
    prices = {OrderType.LIMIT: "limit", OrderType.STOP: "stop"}
    said = {prices[kind]: f"{price}.00"} if kind in prices else {}
    return {
        "side": side,
        "order_type": kind,
        "time_in_force": time_in_force,
        "quantity": "1",
        **said,
    }


def is_resting(order: Order) -> bool:
    return order.order_type is not OrderType.MARKET and order.time_in_force is TimeInForce.GTC


def meet(order: Order, other: Order) -> bool:
    """Return whether two orders of different sides could trade with each other, by their prices."""
    if order.side is other.side:
        return False
    buy, sell = (order, other) if order.side is Side.BUY else (other, order)
    if buy.limit_price is None or sell.limit_price is None:
        return True
    return buy.limit_price >= sell.limit_price


def test_the_recount_counts_what_the_rule_says() -> None:
    days = [
        ((10, -10), 1),
        ((10, -5, -5), 1),
        ((10, -5, 5, -10), 2),
        ((10, -20, 10), 2),
    ]
    for (executions, count), key in product(days, (ALPHA, BETA)):
        assert recount([(1, key, each) for each in executions]) == {1: count}
    over_night = [(1, ALPHA, 10), (2, ALPHA, -4), (2, ALPHA, 1), (2, ALPHA, -1)]
    assert recount(over_night) == {2: 1}
