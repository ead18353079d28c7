"""Market access controls over a time, as the gate follows them.

What was approved, what it counted for, and what it executed. All of it is a fold of kept events by
their own times, so that a restart brings it back; cancels are counted and not kept (I9).
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from heapq import nsmallest
from typing import Any, TypeVar

from schemas.base import AccountId, Event, InstrumentId, SessionId
from schemas.control import EpochStarted
from schemas.executions import (
    BookAdopted,
    ExecutionEvent,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
)
from schemas.health import AlertRaised, Severity
from schemas.instruments import venue_of
from schemas.orders import CancelApproved, Order, OrderApproved
from services.gate.access_credit import Realised
from services.gate.access_parents import Parents
from services.gate.access_prices import PricePath
from services.gate.access_throttle import Throttle
from services.gate.access_windows import IntentMemory, SumWindow
from services.gate.account import Account
from services.gate.config import GateConfig
from services.gate.exposure import Lane, Market
from services.gate.limits import LimitMissingError, Limits
from services.gate.memory import MessageWindow

SESSIONS_MAX = 10_000
"""Sessions of one account that are remembered; of more, a tenth goes: those silent for longest."""


_ENDS: frozenset[type[Event]] = frozenset(
    {OrderCanceled, OrderExpired, OrderRejected, OrderRefused, OrderReplaced}
)


class Traffic:
    """Orders and cancels of one strategy, or to one venue."""

    __slots__ = ("cancels", "has_cancels", "orders")

    def __init__(self, messages_max: int) -> None:
        self.orders = MessageWindow(messages_max)
        self.cancels = MessageWindow(messages_max)
        self.has_cancels = False

    @property
    def newest_ns(self) -> int:
        """When the last of either was; 0 when nothing counts any more."""
        return max(self.orders.newest_ns, self.cancels.newest_ns)

    def cancel(self, at_ns: int) -> None:
        """Count a cancel."""
        self.cancels.add(at_ns)
        self.has_cancels = True


class Sent:
    """What was approved in a period: of one session, or of the whole account.

    Attributes:
        notional: of all instruments.
        quantities: by instrument.
    """

    __slots__ = ("notional", "quantities")

    def __init__(self) -> None:
        self.notional = SumWindow()
        self.quantities: dict[InstrumentId, SumWindow] = {}

    @property
    def newest_ns(self) -> int:
        """When the last approval was; 0 when nothing counts any more."""
        return self.notional.newest_ns

    def add(self, order: Order, notional: Decimal, at_ns: int) -> None:
        """Count an approval."""
        self.notional.add(at_ns, notional)
        window = self.quantities.get(order.instrument)
        if window is None:
            window = self.quantities[order.instrument] = SumWindow()
        window.add(at_ns, order.quantity)


_Kept = TypeVar("_Kept", Sent, Traffic)


class AccountAccess:
    """What one account has sent.

    Attributes:
        intents: what may not come twice.
        parents: of slices.
        throttle: of strategies that execute over and over.
        realised: profit and loss.
        strategies, venues: messages, by name.
        sent, sessions: what was approved in a period, and the same by session.
    """

    def __init__(self, account: Account, messages_max: int) -> None:
        self.account = account
        self.intents = IntentMemory()
        self.parents = Parents()
        self.throttle = Throttle()
        self.realised = Realised(account.lanes)
        self.strategies: dict[str, Traffic] = {}
        self.venues: dict[str, Traffic] = {}
        self.sent = Sent()
        self.sessions: dict[SessionId, Sent] = {}
        self._messages_max = messages_max
        self._fill_count = 0

    def strategy_of(self, session: SessionId) -> str:
        """Return the strategy that a session runs; one that nobody created stands for itself."""
        return self.account.holders.strategy_of.get(session, session)

    def approve(self, event: OrderApproved) -> None:
        """Count an approval in every window."""
        order, at_ns, notional = event.order, event.at_ns, event.notional
        if order.parent_id is not None:
            self.parents.approve(order, at_ns)
        lane = self.account.lanes.get(order.instrument)
        if lane is not None:
            self._remember(event, lane)
        route = self.account.routes.get((order.session, order.instrument))
        if route is not None:
            route.count(order.quantity, notional, at_ns)
            return
        self._traffic(self.venues, venue_of(order.instrument)).orders.add(at_ns)
        self._traffic(self.strategies, self.strategy_of(order.session)).orders.add(at_ns)
        self.sent.add(order, notional, at_ns)
        session = self.sessions.get(order.session)
        if session is None:
            session = self._meet(order.session)
        session.add(order, notional, at_ns)

    def cancel(self, event: CancelApproved) -> None:
        """Count a cancel as a message of its order's strategy, and to the venue."""
        self._traffic(self.venues, venue_of(event.instrument)).cancel(event.at_ns)
        entry = self.account.orders.get(event.order_id)
        if entry is not None:
            strategy = self.strategy_of(entry.order.session)
            self._traffic(self.strategies, strategy).cancel(event.at_ns)

    def fill(self, event: OrderFilled) -> str:
        """Fold an execution once; return the strategy that it stops, or nothing."""
        count = self.account.portfolio.fill_count
        if count == self._fill_count:
            return ""  # the account did not take it either: a repeat, or in its book already
        self._fill_count = count
        self.parents.fill(event.order_id, event.quantity)
        self.realised.fill(event)
        limits = self.account.lanes[event.instrument].limits
        executions_max = chosen(limits, "strategy_executions_max")
        window_ms = chosen(limits, "execution_window_ms")
        if executions_max is None or window_ms is None:
            return ""  # nothing passes anyway
        strategy = self.strategy_of(event.session)
        is_stopped = self.throttle.execute(strategy, event.at_ns, executions_max, window_ms)
        return strategy if is_stopped else ""

    def end(self, event: ExecutionEvent) -> None:
        """Give back what of a slice will never fill."""
        if not self.account.is_news(event):
            return
        match event:
            case OrderCanceled(leaves=leaves) | OrderExpired(leaves=leaves):
                self.parents.release(event.order_id, leaves)
            case _:
                self.parents.release(event.order_id)

    def adopt(self, event: BookAdopted) -> None:
        """Take the executor's book; a slice that it does not show any more is closed."""
        self.realised.adopt(event.book)
        told = {view.order.order_id: view for view in event.book.recent_orders}
        for order_id, part in list(self.parents.slices.items()):
            entry = self.account.orders.get(order_id)
            if entry is not None:
                self.parents.fill(order_id, max(Decimal(0), part.leaves - entry.leaves))
            elif order_id in told:
                view = told[order_id]
                self.parents.release(order_id, view.order.quantity - view.filled)
                self.parents.gone(order_id)
            else:
                self.parents.gone(order_id)

    def _remember(self, event: OrderApproved, lane: Lane) -> None:
        window_ms = chosen(lane.limits, "duplicate_window_ms")
        if window_ms:
            self.intents.add(event, window_ms)

    def _traffic(self, by_name: dict[str, Traffic], name: str) -> Traffic:
        traffic = by_name.get(name)
        if traffic is None:
            self._make_room(by_name)
            traffic = by_name[name] = Traffic(self._messages_max)
        return traffic

    def _meet(self, session: SessionId) -> Sent:
        self._make_room(self.sessions)
        sent = self.sessions[session] = Sent()
        return sent

    def _make_room(self, memory: dict[Any, _Kept]) -> None:
        """Forget who was silent for longest, where there are too many: the busy go on counting."""
        if len(memory) < SESSIONS_MAX:
            return
        count = len(memory) // 10 + 1
        for name in nsmallest(count, memory, key=lambda name: memory[name].newest_ns):
            del memory[name]
        self.account.routes.clear()


class Access:
    """The family's memory: one part an account, and the path of prices.

    Attributes:
        accounts: by id; every account with a row of limits.
        path: where markets were; None while no limit looks back.
    """

    keeps: frozenset[type[Event]] = frozenset(
        {
            OrderApproved,
            OrderFilled,
            *_ENDS,
            BookAdopted,
            EpochStarted,
        }
    )
    hears: frozenset[type[Event]] = keeps | {CancelApproved}

    def __init__(
        self,
        config: GateConfig,
        markets: Mapping[InstrumentId, Market],
        accounts: Mapping[AccountId, Account],
    ) -> None:
        self.accounts = {
            key: AccountAccess(account, _messages_max(config, key))
            for key, account in accounts.items()
        }
        period_ms = max((row.period_ms or 0 for row in config.accounts.values()), default=0)
        self.path = PricePath(markets, period_ms) if period_ms else None
        self._stopped: dict[tuple[AccountId, str], int] = {}
        self._folds: dict[type[Event], Callable[[Any, int], None]] = {
            OrderApproved: self._on_approval,
            CancelApproved: self._on_cancel,
            OrderFilled: self._on_fill,
            **dict.fromkeys(_ENDS, self._on_end),
            BookAdopted: self._on_book,
            EpochStarted: self._on_start,
        }
        self._samples_at_ns: int | None = 0 if self.path is not None else None
        self.wake_at_ns: int | None = self._samples_at_ns

    def apply(self, event: Event, now_ns: int) -> None:
        """Fold one event in; what it counts for goes by its own time, as in a restart."""
        self._folds[type(event)](event, now_ns)

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Take the prices when it is time, and say which strategies were stopped."""
        due_ns = self._samples_at_ns
        if self.path is not None and due_ns is not None and due_ns <= now_ns:
            self.path.sample(now_ns)
            self._samples_at_ns = now_ns + self.path.step_ns
        said = [self._alert(account, strategy, now_ns) for account, strategy in self._stopped]
        self._stopped.clear()
        self.wake_at_ns = self._samples_at_ns
        return said

    def _on_approval(self, event: OrderApproved, now_ns: int) -> None:
        account = self.accounts.get(event.order.account)
        if account is not None:
            account.approve(event)

    def _on_cancel(self, event: CancelApproved, now_ns: int) -> None:
        account = self.accounts.get(event.account)
        if account is not None:
            account.cancel(event)

    def _on_fill(self, event: OrderFilled, now_ns: int) -> None:
        account = self.accounts.get(event.account)
        if account is not None and (strategy := account.fill(event)):
            self._stopped[event.account, strategy] = event.at_ns
            self._set_alarm(now_ns)

    def _on_end(self, event: ExecutionEvent, now_ns: int) -> None:
        account = self.accounts.get(event.account)
        if account is not None:
            account.end(event)

    def _on_book(self, event: BookAdopted, now_ns: int) -> None:
        account = self.accounts.get(event.book.account)
        if account is not None:
            account.adopt(event)

    def _on_start(self, event: EpochStarted, now_ns: int) -> None:
        for account in self.accounts.values():
            account.throttle.start(event)
        for key in list(self._stopped):
            if key[1] not in self.accounts[key[0]].throttle.stopped:
                del self._stopped[key]
        if not self._stopped:
            self.wake_at_ns = self._samples_at_ns

    def _set_alarm(self, now_ns: int) -> None:
        due_ns = self._samples_at_ns
        self.wake_at_ns = now_ns if due_ns is None else min(now_ns, due_ns)

    def _alert(self, account: AccountId, strategy: str, now_ns: int) -> AlertRaised:
        why = self.accounts[account].throttle.stopped[strategy]
        return AlertRaised(
            at_ns=now_ns,
            severity=Severity.CRITICAL,
            component="gate",
            code="SLU-185",
            message=f"strategy {strategy} is stopped in account {account}: {why}; its orders are"
            " denied until somebody starts it again: sluice start",
            fields={"account": account, "strategy": strategy, "found": why},
        )


def chosen(limits: Limits, name: str) -> int | None:
    """Return a whole number that a fold needs; None where nobody has chosen it."""
    try:
        value: int = getattr(limits, name).value
    except LimitMissingError:
        return None
    return value


def _messages_max(config: GateConfig, account: AccountId) -> int:
    """Return how many messages must be told apart: limits are never moved beyond this."""
    rows = (config.accounts[account], config.hard.account)
    return max(max(row.strategy_messages_max or 0, row.venue_messages_max or 0) for row in rows)
