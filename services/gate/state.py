"""All the gate remembers. Only `apply` changes it, so replaying what was kept rebuilds it."""

from collections.abc import Callable, Mapping
from typing import Any

from schemas.base import AccountId, Event, InstrumentId
from schemas.executions import (
    BookAdopted,
    ExecutionEvent,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
)
from schemas.health import GapSeen, LinkChanged
from schemas.instruments import Instrument
from schemas.market import InstrumentStatusChanged
from schemas.orders import CancelApproved, OrderApproved, Outcome, SignalDecided
from services.gate.account import Account
from services.gate.config import GateConfig
from services.gate.exposure import Market
from services.gate.memory import IdMemory

EXECUTIONS: frozenset[type[Event]] = frozenset(
    {
        OrderSubmitted,
        OrderFilled,
        OrderCanceled,
        OrderExpired,
        OrderRejected,
        OrderRefused,
        OrderReplaced,
        OrderMarkedUnknown,
    }
)
"""What the executor tells that changes exposure. The rest of it changes nothing here."""


class GateState:
    """Markets, accounts, and the ids that are used up.

    Attributes:
        markets: by instrument; every configured one.
        accounts: those with a row of limits.
        ids: order ids that are used up.
        decided_count: signals decided since this process started.
        rejected_counts: rejections since this process started, by rule.
    """

    def __init__(self, config: GateConfig, instruments: Mapping[InstrumentId, Instrument]) -> None:
        self.markets = {key: Market(each) for key, each in instruments.items()}
        self.accounts: dict[AccountId, Account] = {
            key: Account(key, config, self.markets) for key in config.accounts
        }
        self.ids = IdMemory(config.approved_ids_max, config.rejected_ids_max)
        self.decided_count = 0
        self.rejected_counts: dict[str, int] = {}
        self._folds: dict[type[Event], Callable[[Any], None]] = {
            OrderApproved: self._on_approval,
            SignalDecided: self._on_decision,
            CancelApproved: self._on_cancel,
            InstrumentStatusChanged: self._on_status,
            BookAdopted: self._on_book,
            GapSeen: self._on_gap,
            LinkChanged: self._on_link,
            **dict.fromkeys(EXECUTIONS, self._on_execution),
        }

    def apply(self, event: Event) -> None:
        """Fold one event in. Repeats, and events of no concern, change nothing."""
        fold = self._folds.get(type(event))
        if fold is not None:
            fold(event)

    def distrust(self, reason: str) -> None:
        """Deny for all accounts until the executor's next reconciled book."""
        for account in self.accounts.values():
            account.doubt = reason

    @property
    def is_doubtful(self) -> bool:
        """Whether the exposure of any account is not known."""
        return any(account.doubt for account in self.accounts.values())

    def _on_approval(self, event: OrderApproved) -> None:
        order = event.order
        self.ids.approve(order.order_id, order.expires_at_ns)
        account = self.accounts.get(order.account)
        if account is not None:
            account.approve(order, event.at_ns)

    def _on_decision(self, event: SignalDecided) -> None:
        self.decided_count += 1
        if event.outcome is Outcome.REJECTED:
            counts = self.rejected_counts
            counts[event.rule] = counts.get(event.rule, 0) + 1
            self.ids.reject(event.order_id)

    def _on_cancel(self, event: CancelApproved) -> None:
        account = self.accounts.get(event.account)
        if account is not None:
            account.cancel(event.order_id, event.at_ns)

    def _on_status(self, event: InstrumentStatusChanged) -> None:
        market = self.markets.get(event.instrument)
        if market is not None:
            market.trading = event.trading

    def _on_book(self, event: BookAdopted) -> None:
        account = self.accounts.get(event.book.account)
        if account is not None:
            account.adopt(event.book, self.ids)

    def _on_gap(self, event: GapSeen) -> None:
        if event.subject.startswith(("exec.", "order.")):
            missing = f"{event.expected_seq} to {event.got_seq - 1}"
            self.distrust(f"events {missing} on {event.subject} never came")

    def _on_link(self, event: LinkChanged) -> None:
        if not event.is_up:
            self.distrust("the bus connection was lost")

    def _on_execution(self, event: ExecutionEvent) -> None:
        account = self.accounts.get(event.account)
        if account is None or not account.is_news(event):
            return
        match event:
            case OrderSubmitted():
                account.submitted(event, self.ids)
            case OrderFilled():
                account.filled(event)
            case OrderCanceled() | OrderExpired():
                account.ended(event)
            case OrderRejected() | OrderRefused() | OrderReplaced():
                account.closed(event.order_id)
            case OrderMarkedUnknown():
                account.lost(event.order_id, self.ids)
