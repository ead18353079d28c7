"""A gate with rules of market access and compliance, and a session's day of trading with it."""

from decimal import Decimal
from typing import Any

from schemas.base import AccountId, InstrumentId, OrderId, SessionId
from schemas.compliance import LocateGranted
from schemas.control import AccountMarked, EpochStarted, StartRequest
from schemas.executions import OrderReplaced
from schemas.orders import CancelRequested, Order, Side
from schemas.sessions import SessionCreated
from services.gate.access import AccountAccess
from services.gate.access_windows import SumWindow
from services.gate.compliance_account import AccountCompliance
from services.gate.compliance_days import date_ns
from services.gate.core import GateCore
from tests.builders import ACCOUNT, ALPHA, S_NS, SESSION, dec
from tests.gate_rig import Rig, canceled, config

HOUR_NS = 3_600 * S_NS
OPEN_NS = 14 * HOUR_NS
"""Ten in the morning in New York in summer, as ns since midnight UTC."""

WIDE: dict[str, Any] = {
    "order_quantity_max": dec(10**6),
    "order_notional_max": dec(10**9),
    "position_quantity_max": dec(10**6),
    "position_notional_max": dec(10**9),
    "gross_notional_max": dec(10**9),
    "session_messages_max": 10**6,
    "account_messages_max": 10**6,
}
"""Limits that these tests are not about."""


class RulesRig(Rig):
    """A gate whose limits are wide, but for those that a test is about."""

    def __init__(self, kind: type[GateCore] = GateCore, **changes: Any) -> None:
        self._fills = 0
        super().__init__(config(**(WIDE | changes)), kind)

    @property
    def access(self) -> AccountAccess:
        """What the account has sent."""
        return self.gate.state.access.accounts[ACCOUNT]

    @property
    def rules(self) -> AccountCompliance:
        """What holds for the account."""
        return self.gate.state.compliance.accounts[ACCOUNT]

    def on(self, date: str, after_ns: int = OPEN_NS) -> None:
        """Go to a date, ten in the morning in New York unless told otherwise."""
        self.at(date_ns(date) + after_ns)

    def at(self, now_ns: int) -> None:
        """Go to a time; the market is quoted anew there."""
        self.now_ns = now_ns
        self.quote()

    def trade(
        self, signal_id: str, side: Side, quantity: str, price: str = "100", **more: Any
    ) -> Order:
        """Return an order that was approved and has filled."""
        order = self.approve(signal_id, side=side, quantity=quantity, **more)
        self.filled(order, quantity, price)
        return order

    def buy(self, signal_id: str, quantity: str = "10", price: str = "100", **more: Any) -> Order:
        """Return a purchase."""
        return self.trade(signal_id, Side.BUY, quantity, price, **more)

    def sell(self, signal_id: str, quantity: str = "10", price: str = "100", **more: Any) -> Order:
        """Return a sale."""
        return self.trade(signal_id, Side.SELL, quantity, price, **more)

    def filled(self, order: Order, quantity: str, price: str = "100") -> None:
        """Tell of an execution that nobody told of before."""
        self._fills += 1
        self.fill(order, quantity, f"execution {self._fills}", price)

    def cancel(self, order: Order) -> None:
        """Ask for a cancel; the gate passes it on."""
        self.tell(
            CancelRequested(
                at_ns=self.now_ns,
                account=order.account,
                session=order.session,
                instrument=order.instrument,
                order_id=order.order_id,
            )
        )

    def cancelled(self, order: Order, leaves: str) -> None:
        """Tell that the venue cancelled what is left of an order."""
        self.tell(canceled(order, leaves, at_ns=self.now_ns))

    def replaced(self, order: Order) -> None:
        """Tell that another order stands in the place of this one."""
        self.tell(
            OrderReplaced(
                at_ns=self.now_ns,
                account=order.account,
                session=order.session,
                instrument=order.instrument,
                order_id=order.order_id,
                by=OrderId("another"),
            )
        )

    def mark(self, equity: str, *unmarked: str) -> None:
        """Value the account."""
        self.tell(
            AccountMarked(
                at_ns=self.now_ns,
                account=ACCOUNT,
                equity=Decimal(equity),
                cash=Decimal(equity),
                high_water_mark=Decimal(equity),
                drawdown=Decimal(0),
                unmarked=unmarked,
            )
        )

    def session(self, session: SessionId = SESSION, strategy: str = "ema_cross") -> None:
        """Create a session of a strategy."""
        self.tell(
            SessionCreated(
                at_ns=self.now_ns,
                session=session,
                start_id="start",
                strategy=strategy,
                account=ACCOUNT,
                instruments=(ALPHA,),
                initial_capital=Decimal(1),
            )
        )

    def start(self, epoch: int, strategy: str | None = None) -> None:
        """Begin an epoch, as an authorised start does."""
        request = None if strategy is None else StartRequest(operator="kim", strategy=strategy)
        self.tell(
            EpochStarted(
                at_ns=self.now_ns,
                epoch=epoch,
                start_id=f"start-{epoch}",
                operator="kim",
                members={},
                request=request,
            )
        )

    def locate(
        self, locate_id: str, quantity: str, key: InstrumentId = ALPHA, at_ns: int | None = None
    ) -> None:
        """Tell of shares located for short sales."""
        self.tell(
            LocateGranted(
                at_ns=self.now_ns if at_ns is None else at_ns,
                locate_id=locate_id,
                account=AccountId(ACCOUNT),
                instrument=key,
                quantity=Decimal(quantity),
            )
        )

    def due(self) -> list[Any]:
        """Return what the gate says when its deadline comes."""
        assert self.gate.wake_at_ns is not None, "nothing is due"
        self.now_ns = max(self.now_ns, self.gate.wake_at_ns)
        said = list(self.gate.wake(self.now_ns))
        self.kept += [each for each in said if type(each) in self.gate.keeps]
        return said


def known(rig: RulesRig) -> dict[str, Any]:
    """Return what a restart must bring back of what the account sent and did."""
    access, rules = rig.access, rig.rules
    row = rig.config.accounts[ACCOUNT]
    period_ms, window_ms = row.period_ms or 0, row.execution_window_ms or 0
    for strategy in access.throttle.entries():
        access.throttle.count(strategy, rig.now_ns, window_ms)

    def entries(window: SumWindow) -> tuple[tuple[int, Decimal], ...]:
        window.total(rig.now_ns, period_ms)  # what is out of it counts no more
        return window.entries()

    return {
        "quantities": {
            (session, key): entries(window)
            for session, sent in access.sessions.items()
            for key, window in sent.quantities.items()
        },
        "of the account": {k: entries(w) for k, w in access.sent.quantities.items()},
        "notionals": {k: entries(sent.notional) for k, sent in access.sessions.items()},
        "notional": entries(access.sent.notional),
        "stopped": dict(access.throttle.stopped),
        "executed": access.throttle.entries(),
        "parents": {k: repr(each) for k, each in access.parents.parents.items()},
        "slices": {k: repr(each) for k, each in access.parents.slices.items()},
        "profit": access.realised.profit,
        "day trades": (rules.day_trades.counts, rules.day_trades.trades, rules.designated),
        "runs": {k: repr(each) for k, each in rules.day_trades.runs.items()},
        "pending": dict(rules.pending),
        "watched": {k: repr(each) for k, each in rules.watched.items()},
        "losses": dict(rules.wash.losses),
        "opened": {k: tuple(each) for k, each in rules.wash.opened.items()},
        "locates": {k: repr(each) for k, each in rules.locates.days.items()},
        "deficits": {k: repr(each) for k, each in rules.margin.deficits.items()},
        "frozen": rules.margin.frozen_until_ns,
        "resting": rules.resting.orders(),
    }
