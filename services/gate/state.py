"""All the gate remembers. Only `apply` changes it, so replaying what was kept rebuilds it."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from schemas.base import AccountId, Event, InstrumentId, SessionId
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
from schemas.market import InstrumentStatusChanged, Trading
from schemas.orders import CancelApproved, OrderApproved, Outcome, SignalDecided
from schemas.sessions import PositionsAdopted, SessionCreated
from services.gate.access import Access
from services.gate.account import Account
from services.gate.bands import Bands
from services.gate.compliance import Compliance
from services.gate.config import GateConfig
from services.gate.confirmed import Confirmations
from services.gate.data_quality import DataQuality
from services.gate.dynamic_limits import DynamicLimits
from services.gate.exposure import Market, Unvalued
from services.gate.family import Family, Silent
from services.gate.hours import Hours
from services.gate.market_wide import MarketWide
from services.gate.memory import IdMemory
from services.gate.portfolio_risk import PortfolioRisk
from services.gate.route import ROUTES_MAX, Route

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
        unvalued: those whose move is not in the sums yet: to be valued before a sum is read.
        accounts: those with a row of limits.
        ids: order ids that are used up.
        decided_count: signals decided since this process started.
        rejected_counts: rejections since this process started, by rule.
        risk, dynamic, hours, bands, market_wide, quality, access, compliance, confirmations:
            what families of checks remember.
        families: those of them that remember anything, in the order in which they are told.
    """

    def __init__(self, config: GateConfig, instruments: Mapping[InstrumentId, Instrument]) -> None:
        self.unvalued = Unvalued()
        self.markets = {key: Market(each, self.unvalued) for key, each in instruments.items()}
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
            SessionCreated: self._on_session,
            PositionsAdopted: self._on_takeover,
            **dict.fromkeys(EXECUTIONS, self._on_execution),
        }
        self._fates = self._by_fate()
        made_from = (config, self.markets, self.accounts)
        self.risk = PortfolioRisk(*made_from)
        self.dynamic = DynamicLimits(config, self.accounts, self.risk)
        self.hours = Hours(*made_from)
        self.bands = Bands(*made_from)
        self.market_wide = MarketWide(*made_from)
        self.quality = DataQuality(*made_from)
        self.access = Access(*made_from)
        self.compliance = Compliance(*made_from)
        self.confirmations = Confirmations(*made_from)
        self.families = self._speaking()
        self.hearers = _by_type(self.families, lambda family: family.hears | family.keeps)
        self._keepers = _by_type(self.families, lambda family: family.keeps)

    def apply(self, event: Event, now_ns: int, *, said_by: Family | None = None) -> None:
        """Fold one event in. Repeats, and events of no concern, change nothing.

        A family that says something has folded it in itself.
        """
        kind = type(event)
        fold = self._folds.get(kind)
        if fold is not None:
            fold(event)
        for family in self.hearers.get(kind, ()):
            if family is not said_by:
                family.apply(event, now_ns)

    def restore(self, event: Event) -> None:
        """Fold one kept event in again, at its own time; a family hears what it keeps.

        What was open then may have been halted since: nobody here was there for it.
        """
        if isinstance(event, InstrumentStatusChanged) and event.trading is Trading.OPEN:
            event = msgspec.structs.replace(event, trading=Trading.UNKNOWN)
        kind = type(event)
        fold = self._folds.get(kind)
        if fold is not None:
            fold(event)
        for family in self._keepers.get(kind, ()):
            family.apply(event, event.at_ns)

    def route(self, account: Account, session: SessionId, key: InstrumentId) -> Route | None:
        """Return the way of a session's orders; None where the account has no such instrument.

        It is remembered once an approval has made all there is to find.
        """
        lane = account.lanes.get(key)
        if lane is None:
            return None
        route = Route(account, self.access.accounts[account.id], lane, session)
        if route.is_whole:
            if len(account.routes) >= ROUTES_MAX:
                account.routes.clear()
            account.routes[session, key] = route
        return route

    def distrust(self, reason: str) -> None:
        """Deny for all accounts until the executor's next reconciled book."""
        for account in self.accounts.values():
            account.doubt = reason

    def _speaking(self) -> tuple[Family, ...]:
        families: tuple[Family, ...] = (
            self.risk,
            self.dynamic,
            self.hours,
            self.bands,
            self.market_wide,
            self.quality,
            self.access,
            self.compliance,
            self.confirmations,
        )
        return tuple(family for family in families if not isinstance(family, Silent))

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

    def _on_session(self, event: SessionCreated) -> None:
        account = self.accounts.get(event.account)
        if account is not None:
            account.create(event)

    def _on_takeover(self, event: PositionsAdopted) -> None:
        for account in self.accounts.values():
            if event.session in account.holders.strategy_of:
                account.holders.take_over(event, may_wait=bool(account.doubt))

    def _on_gap(self, event: GapSeen) -> None:
        if event.subject.startswith(("exec.", "order.")):
            missing = f"{event.expected_seq} to {event.got_seq - 1}"
            self.distrust(f"events {missing} on {event.subject} never came")

    def _on_link(self, event: LinkChanged) -> None:
        if not event.is_up:
            self.distrust("the bus connection was lost")

    def _by_fate(self) -> dict[type[Event], Callable[[Account, Any], None]]:
        return {
            OrderSubmitted: lambda account, event: account.submitted(event, self.ids),
            OrderFilled: Account.filled,
            OrderCanceled: Account.ended,
            OrderExpired: Account.ended,
            OrderRejected: _close,
            OrderRefused: _close,
            OrderReplaced: _close,
            OrderMarkedUnknown: lambda account, event: account.lost(event.order_id, self.ids),
        }

    def _on_execution(self, event: ExecutionEvent) -> None:
        account = self.accounts.get(event.account)
        if account is not None and account.is_news(event):
            self._fates[type(event)](account, event)


def _close(account: Account, event: ExecutionEvent) -> None:
    account.closed(event.order_id)


def _by_type(
    families: tuple[Family, ...], kinds_of: Callable[[Family], frozenset[type[Event]]]
) -> dict[type[Event], tuple[Family, ...]]:
    """Return who is to be told of each type of event, in the order of the families."""
    found: dict[type[Event], tuple[Family, ...]] = {}
    for family in families:
        for kind in sorted(kinds_of(family), key=lambda kind: kind.__name__):
            found[kind] = (*found.get(kind, ()), family)
    return found
