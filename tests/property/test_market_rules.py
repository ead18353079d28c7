"""Whatever prices do: what the gate approves cannot trade outside bands, hours, pauses or halts."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.market_rules import PriceBandPublished
from schemas.orders import Order, OrderApproved, OrderType, Side
from services.gate.bands_rules import bands, is_doubled, rule_at
from services.gate.config_market import LimitTier, MarketWide, ShortSaleRule
from services.gate.market_halt import level_of
from tests.builders import S_NS, dec
from tests.market_rig import CLOSE_NS, IBM, OPEN_NS, SPX, MarketRig, at

CENTS = st.one_of(st.integers(9_400, 10_600), st.integers(8_000, 12_000)).map(
    lambda cents: Decimal(cents) / 100
)
STEP_NS = st.one_of(
    st.integers(0, 40 * S_NS), st.sampled_from([0, 1, 15 * S_NS, 300 * S_NS, 900 * S_NS])
)
SIDES = st.sampled_from(list(Side))
KINDS = st.sampled_from(["trade", "trade", "quote", "band", "index", "restart", *["signal"] * 4])
STEPS = st.lists(
    st.tuples(KINDS, STEP_NS, CENTS, st.integers(0, 200), SIDES, st.booleans()), max_size=60
)
STARTS = st.sampled_from(
    [OPEN_NS, OPEN_NS + 3_600 * S_NS, CLOSE_NS - 1_600 * S_NS, CLOSE_NS - 620 * S_NS]
)


class Plan:
    """The plan told again from its text, over the whole history and without any state machine."""

    def __init__(self) -> None:
        self.prices: list[Decimal] = []
        self.published: list[tuple[Decimal, Decimal]] = []
        self.halted_until_ns = 0
        self.is_restricted = False

    def widest(self, now_ns: int) -> tuple[Decimal, Decimal]:
        """Return what no bands of these trades and publications could be wider than.

        A reference price is a mean of trades, so it lies between the cheapest and the dearest.
        """
        since_ns, to_ns = now_ns - OPEN_NS, CLOSE_NS - now_ns
        double = is_doubled(rule_at(now_ns), LimitTier.ONE, dec(100), since_ns, to_ns)
        found = list(self.published)
        for price in (min(self.prices), max(self.prices)) if self.prices else ():
            found.append(bands(LimitTier.ONE, dec(100), price, doubled=double))
        assert found, "approved although nobody could know any bands"
        return min(lower for lower, _ in found), max(upper for _, upper in found)


def check(rig: MarketRig, plan: Plan, order: Order, bid: Decimal, ask: Decimal) -> None:
    """Assert that this approval may be."""
    now_ns = rig.now_ns
    assert OPEN_NS <= now_ns < CLOSE_NS
    assert now_ns >= plan.halted_until_ns
    limits = plan.widest(now_ns)
    is_buy = order.side is Side.BUY
    price = order.limit_price or (ask if is_buy else bid)
    assert price <= limits[1] if is_buy else price >= limits[0]
    state = rig.gate.state.bands.of[order.instrument].bands
    assert state is not None
    assert not state.pause_from_ns <= now_ns < state.pause_until_ns
    exact = state.bands_at(now_ns)
    assert exact is not None
    assert price <= exact[1] if is_buy else price >= exact[0]
    if plan.is_restricted and not is_buy:
        assert order.limit_price is not None
        assert order.limit_price > bid


@settings(max_examples=150, deadline=None)
@given(start_ns=STARTS, steps=STEPS)
def test_no_approved_order_can_trade_outside_the_rules_of_its_market(
    start_ns: int, steps: list[tuple[str, int, Decimal, int, Side, bool]]
) -> None:
    rig = MarketRig(
        start_ns,
        luld_tier=LimitTier.ONE,
        market_wide=MarketWide.US,
        short_sale_rule=ShortSaleRule.RULE_201,
        market_references={"XNYS": SPX},
        price_collar_bps=dec(9_000),
        spread_bps_max=dec(9_000),
        stale_after_ms=10**9,
        position_quantity_max=dec(10**6),
        position_notional_max=dec(10**9),
        gross_notional_max=dec(10**9),
        session_messages_max=10**6,
        account_messages_max=10**6,
    )
    plan, level = Plan(), 0
    bid, ask = dec("99.90"), dec("100.00")
    rig.close("100")
    rig.close("100", SPX)
    rig.trade("100")
    plan.prices.append(dec(100))
    for number, (kind, step_ns, price, width, side, has_limit) in enumerate(steps):
        rig.go(rig.now_ns + step_ns)
        now_ns = rig.now_ns
        is_regular = OPEN_NS <= now_ns < CLOSE_NS
        if kind == "trade":
            rig.trade(str(price))
            if is_regular:
                plan.prices.append(price)
                plan.is_restricted |= price <= 90
        elif kind == "quote":
            bid, ask = price, price + Decimal(width + 1) / 100
            rig.quote(str(bid), str(ask))
        elif kind == "band":
            told = (price - Decimal(width) / 100, price + Decimal(width) / 100)
            rig.tell(PriceBandPublished(at_ns=now_ns, instrument=IBM, lower=told[0], upper=told[1]))
            plan.published.append(told)
        elif kind == "index":
            value = (price + 100) / 2  # an index moves less than a stock
            rig.trade(str(value), SPX)
            reached = level_of(value, dec(100))
            is_late = now_ns >= at("2025-11-19 15:25")
            if is_regular and reached > level and (reached == 3 or not is_late):
                level = reached
                until_ns = CLOSE_NS if reached == 3 else now_ns + 900 * S_NS
                plan.halted_until_ns = max(plan.halted_until_ns, until_ns)
                plan.prices.clear()
                plan.published.clear()
        elif kind == "restart":
            rig.restart()
            bid, ask = dec("99.90"), dec("100.00")
        elif kind == "signal":
            limit = {"order_type": OrderType.LIMIT, "limit": str(price)} if has_limit else {}
            said = rig.tell(rig.raised(f"s{number}", side=side, quantity="1", **limit))
            for event in said:
                if isinstance(event, OrderApproved):
                    check(rig, plan, event.order, bid, ask)
