"""Whatever strategies do and hear, the service goes on, and its books are right."""

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any, cast

import pytest

from schemas.base import ExecutionId, InstrumentId, OrderId, SessionId
from schemas.confirmations import ConfirmAsked, ConfirmRequest
from schemas.control import HaltRequested
from schemas.executions import (
    Liquidity,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderStatus,
)
from schemas.ids import order_id_of
from schemas.orders import Outcome, Side, SignalRaised
from schemas.restrictions import Level, RestrictionRequested
from services.strategy.config import UNHELD, ExecutionLimits, RiskLimits
from services.strategy.context import Terms, at_limit
from services.strategy.interface import Parameters, Strategy
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, quote
from tests.strategy_rig import StrategyRig, config, decision, every, request

STEPS = 120
SESSIONS_MAX = 6
ENDS = (OrderCanceled, OrderExpired)
LIMITS = (
    UNHELD,
    ExecutionLimits(),
    ExecutionLimits(max_concurrent_trades=1),
    ExecutionLimits(risk_limits=RiskLimits(max_daily_loss=dec(50), max_positions=dec(1))),
)


class Whims(Strategy[Parameters]):
    """Do what chance says, at every hook there is; now and then, fail."""

    chance = Random(0)

    def act(self, *told: object) -> None:
        """Do up to three things."""
        for _ in range(self.chance.choice((0, 0, 1, 1, 2, 3))):
            key = self.chance.choice([*self.context.instruments])
            self.chance.choice(self._choices())(key)

    def recall(self, state: dict[str, Any] | None) -> str:
        """Now and then, lack something."""
        return self.chance.choice(("", "", "its stop"))

    on_start = on_quote = on_decision = on_blocked = on_withdrawn = cast(Any, act)
    on_execution = on_position = on_timer = on_stop = cast(Any, act)

    def _choices(self) -> list[Callable[[InstrumentId], object]]:
        often = (*[self._trade] * 6, *[self._cancel] * 3)
        return [*often, self.context.close, self._timer, self._remember, self._fail]

    def _trade(self, key: InstrumentId) -> None:
        terms = (
            Terms(),
            Terms(is_reduce_only=True),
            at_limit(dec(self.chance.choice((90, 100, 110)))),
            Terms(expiry_ms=self.chance.choice((-5_000, 0, 100, 60_000))),
        )
        side, quantity = self.chance.choice(tuple(Side)), dec(self.chance.choice((5, 10, 500)))
        self.context.submit(key, side, quantity, self.chance.choice(terms))
        self.context.equity()

    def _cancel(self, key: InstrumentId) -> None:
        if orders := self.context.open_orders(key):
            self.context.cancel(self.chance.choice(orders).order_id)

    def _timer(self, key: InstrumentId) -> None:
        self.context.set_timer(self.context.now_ns + self.chance.choice((0, S_NS, 10 * S_NS)))

    def _remember(self, key: InstrumentId) -> None:
        self.context.remember("level", self.chance.randrange(5))

    def _fail(self, key: InstrumentId) -> None:
        if self.chance.random() < 0.3:
            raise self.chance.choice((ValueError, SystemExit, GeneratorExit))("a whim")


class World:
    """The service, and a naive book of what was executed of every session."""

    def __init__(self, seed: int) -> None:
        self.chance = Whims.chance = Random(seed)
        self.rig = StrategyRig(
            config(
                classes={"whims": "tests.property.test_strategy_runner:Whims"},
                execution=self.chance.choice(LIMITS),
                session_timeout_s=self.chance.choice((0, 300)),
                sessions_max=SESSIONS_MAX,
            )
        )
        self.told: list[OrderFilled] = []
        self.left: dict[OrderId, Decimal] = {}
        self.held: dict[tuple[SessionId, InstrumentId], Decimal] = {}

    def step(self) -> None:
        """Let some time pass, and one thing happen."""
        self.rig.now_ns += self.chance.choice((0, 1, 1_000_000, S_NS, 10 * S_NS))
        usual = [self._quote] * 7 + [self._fill] * 4 + [self._decide, self._end, self._time] * 2
        rare = [self._start, self._ask, self._confirm, self._again, self._halt, self._go]
        self.chance.choice([*usual, *rare, self._stop, self._restart])()
        self.check()

    def check(self) -> None:
        """Compare every session with the naive book; nothing is overdue, nothing is left unsaid."""
        for name, session in self.rig.core.sessions.items():
            for key in session.context.instruments:
                expected = self.held.get((name, key), Decimal(0))
                assert session.book.portfolio.quantity(key) == expected
            assert session.context.said == []
            due_ns, wake_ns = session.deadline_ns, self.rig.core.wake_at_ns
            if session.is_active and due_ns is not None:
                assert wake_ns is not None
                assert wake_ns <= due_ns
            if not session.is_active:
                assert session.waiting.views() == ()

    def _signal(self) -> SignalRaised | None:
        raised = every(SignalRaised, self.rig.said)[-5:]
        return self.chance.choice(raised) if raised else None

    def _quote(self) -> None:
        bid, key = self.chance.choice(("90", "99", "100")), self.chance.choice((ALPHA, BETA))
        self.rig.tell(quote(bid, "101", instrument=key, at_ns=self.rig.now_ns))

    def _fill(self) -> None:
        if (signal := self._signal()) is None:
            return
        order_id = order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)
        left = self.left.setdefault(order_id, signal.quantity)
        if not left:
            return
        quantity = self.chance.choice((left, min(left, dec(5))))
        self.left[order_id] = left - quantity
        fill = OrderFilled(
            at_ns=self.rig.now_ns,
            account=ACCOUNT,
            session=signal.session,
            instrument=signal.instrument,
            order_id=order_id,
            execution_id=ExecutionId(f"x{len(self.told)}"),
            side=signal.side,
            price=dec(self.chance.choice((95, 100, 105))),
            quantity=quantity,
            leaves=left - quantity,
            fee=dec(1),
            liquidity=Liquidity.TAKER,
            status=OrderStatus.PARTIALLY_FILLED if left > quantity else OrderStatus.FILLED,
        )
        self.told.append(fill)
        key = fill.session, fill.instrument
        self.held[key] = self.held.get(key, Decimal(0)) + fill.signed_quantity
        self.rig.tell(fill)

    def _again(self) -> None:
        if self.told:
            self.rig.tell(self.chance.choice(self.told))

    def _decide(self) -> None:
        if (signal := self._signal()) is not None:
            self.rig.tell(decision(signal, self.chance.choice(tuple(Outcome))))

    def _end(self) -> None:
        if (signal := self._signal()) is None:
            return
        common: dict[str, Any] = {
            "at_ns": self.rig.now_ns,
            "account": ACCOUNT,
            "session": signal.session,
            "instrument": signal.instrument,
            "order_id": order_id_of(ACCOUNT, signal.session, signal.signal_id, signal.leg),
        }
        ended = [kind(leaves=dec(0), **common) for kind in ENDS]
        self.rig.tell(self.chance.choice([*ended, OrderRejected(reason="no margin", **common)]))

    def _time(self) -> None:
        self.rig.tell(None)

    def _start(self) -> None:
        modes, symbols = ("AUTO", "SEMI_AUTO", "MANUAL"), ("sim:ALPHA", "sim:BETA")
        asked = request(
            "whims",
            symbols=symbols[: self.chance.choice((1, 2))],
            execution_mode=self.chance.choice(modes),
        )
        answer = self.rig.prepare(asked)
        if not answer.errors:
            self.rig.tell(self.rig.epoch_of(answer, asked))

    def _go(self) -> None:
        asked = request(None)
        self.rig.tell(self.rig.epoch_of(self.rig.prepare(asked), asked))

    def _ask(self) -> None:
        named = self.chance.choice([None, *self.rig.core.sessions])
        self.rig.ask(self.chance.choice(("stop", "pause", "resume", "resume")), named)

    def _confirm(self) -> None:
        waits = self.rig.core.describe(0).awaiting
        if waits:
            signal = self.chance.choice(waits).awaiting.signal.signal_id
            is_refused = self.chance.random() < 0.3
            word = ConfirmRequest(operator="kim", signal=signal, is_refused=is_refused)
            self.rig.tell(ConfirmAsked(at_ns=0, request_id="r2", request=word))

    def _halt(self) -> None:
        self.rig.tell(HaltRequested(at_ns=0))

    def _stop(self) -> None:
        if self.rig.core.sessions:
            scope = f"session.{self.chance.choice([*self.rig.core.sessions])}"
            self.rig.tell(RestrictionRequested(at_ns=0, scope=scope, level=Level.HALT))

    def _restart(self) -> None:
        before = {name: each.state for name, each in self.rig.core.sessions.items()}
        self.rig.restart()
        assert {name: each.state for name, each in self.rig.core.sessions.items()} == before
        self.rig.tell(None)


@pytest.mark.req("S-03", "S-10", "S-13", "S-14")
@pytest.mark.parametrize("seed", range(120))
def test_the_service_outlives_the_whims_of_its_strategies_and_keeps_their_books(seed: int) -> None:
    world = World(seed)
    for _ in range(STEPS):
        world.step()
