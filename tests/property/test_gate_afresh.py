"""Whatever the gate remembers between decisions, it decides as if it remembered none of it.

Two gates are told the same. One of them forgets, before each event, every way of a session's orders
that it has found, and goes through the whole table for each signal, check by check, with no plan of
it and nothing compared at once. What the two say is the same, byte for byte.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from schemas.base import AccountId, Event, InstrumentId, SessionId, SignalId
from schemas.control import AccountMarked, EpochStarted
from schemas.executions import OrderFilled, OrderStatus
from schemas.health import GapSeen
from schemas.instruments import AssetClass
from schemas.limits import LimitsAsked, LimitsRequest
from schemas.market import InstrumentStatusChanged, Trading
from schemas.orders import (
    CancelRequested,
    Order,
    OrderApproved,
    OrderType,
    Reading,
    Side,
    SignalRaised,
    TimeInForce,
)
from schemas.restrictions import Level
from schemas.sessions import SessionCreated, SessionLimits
from schemas.wire import encode
from services.bench.open_limits import COMPLIANCE, open_limits
from services.core import tell
from services.gate.account import Account
from services.gate.answers import Denial
from services.gate.case import Case
from services.gate.config import GateConfig
from services.gate.config_compliance import SelfTrade, WashSale
from services.gate.config_groups import GroupLimits, OnExcess
from services.gate.config_market import LimitTier, ShortSaleRule
from services.gate.config_portfolio import PortfolioLimits, Sampling, TighteningStep
from services.gate.core import GateCore
from services.gate.exposure import Lane
from services.gate.judge import Judge
from services.gate.limits import LimitMissingError
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, S_NS, dec, instrument, quote
from tests.gate_rig import (
    ACCOUNT_ROW,
    ROW,
    book,
    canceled,
    filled,
    running_guard,
    submitted,
    view,
)
from tests.market_rig import IBM, OPEN_NS, STOCK, closing, trade

PERP = InstrumentId("sim:PERP")
KNOWN = {
    ALPHA: instrument(ALPHA),
    BETA: instrument(BETA, multiplier="2"),
    PERP: instrument(PERP, lot="0.1", asset_class=AssetClass.PERPETUAL),
    IBM: STOCK,
}
SESSIONS = [SessionId(f"s{number}") for number in range(4)]
OTHERS = [SessionId("nobody"), SessionId("a b")]


def groups(gross: int, net: int) -> dict[str, GroupLimits]:
    return {"default": GroupLimits(gross_notional_max=dec(gross), net_notional_max=dec(net))}


TIGHT = {name: getattr(ROW, name) for name in ROW.__struct_fields__} | {
    name: getattr(ACCOUNT_ROW, name) for name in ACCOUNT_ROW.__struct_fields__
}
TIGHT["stale_after_ms"] = 3_000
ALL_GROUPS: dict[str, Any] = {
    "sectors": {},
    "asset_classes": groups(25_000, 15_000),
    "venues": groups(26_000, 16_000),
    "strategies": groups(18_000, 14_000),
}
OVER_TIME: dict[str, Any] = {
    "period_ms": 2_000,
    "period_collar_bps": dec(50),
    "session_period_quantity_max": dec(120),
    "account_period_quantity_max": dec(500),
    "session_period_notional_max": dec(40_000),
    "account_period_notional_max": dec(60_000),
    "duplicate_window_ms": 600,
    "strategy_executions_max": 12,
    "strategy_messages_max": 9,
    "venue_messages_max": 14,
    "cancel_messages_reserved": 2,
    "credit_limit_max": dec(15_000),
}
RULES = msgspec.structs.replace(
    COMPLIANCE, self_trade=SelfTrade.REJECT_NEWEST, wash_sale=WashSale.WARN
)
PORTFOLIO = PortfolioLimits(
    margin_ratio_min=dec("0.5"),
    risk_budget=dec(40_000),
    drawdown_steps=(TighteningStep(at=dec("0.05"), factor=dec("0.5")),),
)
CONFIGS: dict[str, Callable[[], GateConfig]] = {
    "open": lambda: open_limits(ACCOUNT, **ALL_GROUPS),
    "tight": lambda: open_limits(ACCOUNT, **(TIGHT | ALL_GROUPS)),
    "reduced": lambda: open_limits(
        ACCOUNT, **(TIGHT | ALL_GROUPS | {"on_excess": OnExcess.REDUCE})
    ),
    "over time": lambda: open_limits(ACCOUNT, **(TIGHT | OVER_TIME)),
    "market": lambda: open_limits(
        ACCOUNT,
        luld_tier=LimitTier.ONE,
        short_sale_rule=ShortSaleRule.RULE_201,
        jump_bps_max=dec(150),
        jump_quotes_min=2,
        **TIGHT,
    ),
    "portfolio": lambda: open_limits(
        ACCOUNT,
        portfolio={ACCOUNT: PORTFOLIO},
        sampling=Sampling(every_s=1, window=50, samples_min=5),
        compliance={ACCOUNT: RULES},
        **(TIGHT | ALL_GROUPS),
    ),
    "unchosen": lambda: open_limits(
        ACCOUNT,
        **(TIGHT | {"price_collar_bps": None, "currency_values": {}, "jump_bps_max": None}),
    ),
}
MOVED = (
    "gate.default.position_quantity_max",
    "gate.default.duplicate_window_ms",
    "gate.accounts.paper.gross_notional_max",
    "gate.accounts.paper.strategies.default.gross_notional_max",
    "gate.accounts.paper.period_ms",
)


class AfreshJudge(Judge):
    """Goes through the table of checks as it stands."""

    def judge(self, case: Case) -> tuple[tuple[Reading, ...], Denial | None]:
        """Make check after check, of those that apply."""
        checks = self._whole.checks
        if case.is_instrument_known:
            checks = self._applying[case.lane]
        readings: list[Reading] = []
        for check in checks:
            try:
                is_ok, value, limit = check.read(case)
            except Exception as error:
                readings.append(Reading(check.name, False))
                cause = case.cause_of(error)
                if isinstance(cause, LimitMissingError):
                    return tuple(readings), Denial("limit_missing", str(cause))
                return tuple(readings), Denial.after(check.name, cause)
            readings.append(Reading(check.name, is_ok, value, limit))
            if not is_ok:
                return tuple(readings), Denial.by(check, value, limit)
        return tuple(readings), None


class AfreshGate(GateCore):
    """A gate that finds everything anew for every event."""

    def __init__(self, *made_from: Any) -> None:
        super().__init__(*made_from)
        self._judge = AfreshJudge(self.checks, self.state)

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Forget what was found, then take the event in."""
        for account in self.state.accounts.values():
            account.routes.clear()
            for lane in self._lanes(account):
                lane._valued_at = None
        for market in self.state.markets.values():
            market.sane, market.spread = None, (None, dec(0))
        return super().handle(event, now_ns)

    def _lanes(self, account: Account) -> list[Lane]:
        """Return all that the account, its sessions and their strategies hold."""
        holders = account.holders
        parts = [*holders.sessions.values(), *holders._strategies.values()]
        held = [account.lanes, *(each.lanes for each in parts)]
        return [lane for lanes in held for lane in lanes.values()]


class Stream:
    """What happens, drawn by chance: to both gates the same."""

    def __init__(self, config: GateConfig, seed: int, kind: type[GateCore]) -> None:
        self.chance = Random(seed)
        self.guard = running_guard()
        self.gates = (
            kind(config, KNOWN, self.guard),
            AfreshGate(config, KNOWN, self.guard),
        )
        self.now_ns = OPEN_NS + 600 * S_NS
        self.orders: list[Order] = []
        self.rules: set[str] = set()
        self.written_count = self.count = 0
        for key, price in dict.fromkeys(KNOWN, "100").items():
            self.tell(closing(price, OPEN_NS - 63_000 * S_NS, key))
        self.tell(book(at_ns=self.now_ns))
        for number, session in enumerate(SESSIONS[:3]):
            self.tell(self.created(session, number))
        for key in KNOWN:
            self.tell(quote("99.90", "100.00", at_ns=self.now_ns, instrument=key))

    def tell(self, event: Event) -> None:
        """Tell both gates; assert that they say the same."""
        one, other = (tell(gate, event, self.now_ns) for gate in self.gates)
        assert [encode(each) for each in one] == [encode(each) for each in other], event
        for said in one:
            if isinstance(said, OrderApproved):
                self.orders.append(said.order)
            self.rules.add(getattr(said, "rule", type(said).__name__))

    def created(self, session: SessionId, number: int) -> SessionCreated:
        """Return the creation of a session, with or without limits of its own."""
        own = SessionLimits(order_notional_max=dec(7_000), gross_notional_max=dec(11_000))
        return SessionCreated(
            at_ns=self.now_ns,
            session=session,
            start_id="start",
            strategy=f"strategy-{number % 2}",
            account=ACCOUNT,
            instruments=tuple(KNOWN),
            initial_capital=dec(1),
            risk_limits=own if number == 2 else SessionLimits(),
        )

    def signal(self) -> SignalRaised:
        """Return a signal: mostly sensible."""
        pick, self.count = self.chance.choice, self.count + 1
        is_odd = self.chance.random() < 0.06
        kind = pick([OrderType.MARKET, OrderType.LIMIT, OrderType.LIMIT, OrderType.STOP_LIMIT])
        is_priced = kind is not OrderType.MARKET
        is_slice = self.chance.random() < 0.05
        return SignalRaised(
            at_ns=self.now_ns,
            signal_id=SignalId(f"g{self.count - (self.chance.random() < 0.03)}"),
            account=AccountId("other") if is_odd and pick([1, 0, 0, 0]) else ACCOUNT,
            session=pick([*SESSIONS, *OTHERS] if is_odd else SESSIONS),
            instrument=pick([*KNOWN, InstrumentId("sim:NONE")] if is_odd else list(KNOWN)),
            side=pick(list(Side)),
            quantity=Decimal(pick(["NaN", "sNaN", "0", "-1", "1e20", "0.5"]))
            if is_odd
            else Decimal(pick(["1", "5.0", "3", "20", "60", "1E+1"])),
            order_type=kind,
            time_in_force=pick([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.FOK]),
            limit_price=Decimal(pick(["99.90", "100", "100.50", "NaN" if is_odd else "99"]))
            if is_priced
            else None,
            stop_price=Decimal("100.10") if kind is OrderType.STOP_LIMIT else None,
            is_reduce_only=self.chance.random() < 0.08,
            expires_at_ns=self.now_ns + pick([3_000] * 12 + [900, 0]) * MS_NS,
            replaces=pick([*self.orders[-3:], *self.orders[-3:]]).order_id
            if self.orders and self.chance.random() < 0.04
            else None,
            parent_id=SignalId("parent") if is_slice else None,
            parent_quantity=dec(100) if is_slice and self.chance.random() < 0.8 else None,
        )

    def market(self) -> None:
        """Move one market, or say something about it."""
        pick, key = self.chance.choice, self.chance.choice(list(KNOWN))
        bid, ask = pick(
            [("99.90", "100.00"), ("99.9", "100.1"), ("100", "100.05"), ("98", "98.123")] * 6
            + [("100", "100"), ("101", "100"), ("NaN", "100"), ("99", "NaN"), ("0", "0")]
        )
        self.tell(quote(bid, ask, at_ns=self.now_ns, instrument=key))
        if self.chance.random() < 0.2:
            self.tell(trade(pick(["100", "95", "89"]), self.now_ns, key))
        if self.chance.random() < 0.05:
            trading = pick([Trading.OPEN] * 5 + [Trading.HALTED])
            self.tell(InstrumentStatusChanged(at_ns=self.now_ns, instrument=key, trading=trading))

    def fate(self) -> None:
        """Tell what became of an order."""
        if not self.orders:
            return
        order = self.chance.choice(self.orders[-12:])
        self.count += 1
        name = self.chance.choice(["submitted", "filled", "filled", "canceled", "cancel"])
        if name == "submitted":
            self.tell(submitted(order, at_ns=self.now_ns))
        elif name == "cancel":
            self.tell(
                CancelRequested(
                    at_ns=self.now_ns,
                    account=ACCOUNT,
                    session=order.session,
                    instrument=order.instrument,
                    order_id=order.order_id,
                )
            )
        else:
            self.tell(self.execution(order, name))

    def execution(self, order: Order, name: str) -> Event:
        """Return one execution of an order, or its end."""
        if name == "canceled":
            return canceled(order, str(order.quantity), at_ns=self.now_ns)
        price = self.chance.choice(["100", "99.5", "101.25"])
        quantity = self.chance.choice(["1", str(order.quantity)])
        made: OrderFilled = filled(
            order, quantity, f"x{self.count}", price=price, at_ns=self.now_ns
        )
        return made

    def control(self) -> None:
        """Let something happen that is rare."""
        self.count += 1
        usual = ["limits", "marked", "session", "book", "epoch"]
        name = self.chance.choice([*usual, *usual, *usual, "restrict"])
        if name == "limits":
            path = self.chance.choice(MOVED)
            to = self.chance.choice(["0", "40", "9000"]) if "ms" not in path else 0
            request = LimitsRequest(operator="kim", reason="x", changes={path: to})
            self.tell(LimitsAsked(at_ns=self.now_ns, request_id=f"r{self.count}", request=request))
        elif name == "marked":
            self.tell(self.marked())
        elif name == "restrict":
            scope = self.chance.choice(["session.s1", "symbol.sim.ALPHA", "venue.nyse"])
            self.guard.restrict(scope, self.chance.choice(list(Level)))
        elif name == "session":
            self.tell(self.created(SESSIONS[3], 2))
        elif name == "book":
            self.tell(self.gap())
            shown = [view(each, status=OrderStatus.ACCEPTED) for each in self.orders[-2:]]
            self.tell(book(*shown, held={ALPHA: "5"}, at_ns=self.now_ns))
        else:
            self.tell(self.epoch())

    def gap(self) -> GapSeen:
        """Return the loss of news."""
        return GapSeen(
            at_ns=self.now_ns, publisher="x", subject="exec.x", expected_seq=1, got_seq=3
        )

    def epoch(self) -> EpochStarted:
        """Return an authorised start."""
        return EpochStarted(
            at_ns=0, epoch=self.count, start_id="b", operator="kim", members={}, gate_token=1
        )

    def marked(self) -> AccountMarked:
        """Return a valuation, with or without a drawdown that tightens limits."""
        return AccountMarked(
            at_ns=self.now_ns,
            account=ACCOUNT,
            equity=dec(30_000),
            cash=dec(30_000),
            high_water_mark=dec(30_000),
            drawdown=Decimal(self.chance.choice(["0", "0.06"])),
        )

    def go_on(self) -> None:
        """Let one thing happen."""
        self.now_ns += self.chance.choice([0, 1, 7, 20, 150]) * MS_NS
        drawn = self.chance.random()
        if drawn < 0.6:
            raised = self.signal()
            self.tell(raised)
            if drawn < 0.06:
                self.tell(msgspec.structs.replace(raised, signal_id=SignalId(f"r{self.count}")))
        elif drawn < 0.72:
            self.market()
        elif drawn < 0.96:
            self.fate()
        else:
            self.control()


def play(name: str, seed: int, kind: type[GateCore] = GateCore) -> set[str]:
    """Return the rules that decided in one stream, after its gates have said the same."""
    stream = Stream(CONFIGS[name](), seed, kind)
    for _ in range(200):
        stream.go_on()
    return stream.rules


DECIDING: dict[str, set[str]] = {
    "open": {"all", "signal_confirmed", "session_gross", "venue_net"},
    "tight": {"all", "price_collar", "order_notional", "asset_class_net"},
    "reduced": {"all", "position_quantity", "reduce_only", "strategy_net"},
    "over time": {"all", "duplicate_intent", "period_collar", "strategy_messages", "credit_limit"},
    "market": {"all", "market_jump", "short_sale", "price_bands"},
    "portfolio": {"all", "self_trade", "volatility_size", "margin_ratio", "LimitsTightened"},
    "unchosen": {"limit_missing"},
}
"""What decides somewhere in the streams of a configuration, or is said: they are no idle ones."""


@pytest.mark.req("G-08", "G-09")
@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_remembered_changes_no_byte_of_what_is_said(name: str) -> None:
    found = set[str]().union(*(play(name, seed) for seed in range(5)))
    assert found >= DECIDING[name]


class Stubborn(dict[Any, Any]):
    """Routes that are never forgotten."""

    def clear(self) -> None:
        """Keep them."""


class StubbornGate(GateCore):
    """A gate that goes on with what it found, whatever takes its place."""

    def __init__(self, *made_from: Any) -> None:
        super().__init__(*made_from)
        for account in self.state.accounts.values():
            account.routes = Stubborn()


def test_without_forgetting_what_has_changed_the_word_is_another() -> None:
    with pytest.raises(AssertionError):
        [play("tight", seed, StubbornGate) for seed in range(5)]
