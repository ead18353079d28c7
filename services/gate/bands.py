"""What follows the prices of single instruments: limit up-limit down, and short-sale restriction.

Nothing is looked at in an instrument for which neither is chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.base import AccountId, Event, InstrumentId
from schemas.executions import BookAdopted
from schemas.health import GapSeen, LinkChanged
from schemas.market import BarClosed, QuoteReceived, StatesTold, TradeReceived
from schemas.market_rules import (
    ClosingPriceNoted,
    ClosingPricePublished,
    MarketRule,
    MarketRuleInvoked,
    MarketWideHaltDeclared,
    PriceBandPublished,
    ShortSaleRestrictionChanged,
)
from services.calendars.named import ALIASES, NAMES
from services.gate.account import Account
from services.gate.bands_row import BandsRow
from services.gate.config import GateConfig
from services.gate.config_market import row_of
from services.gate.exposure import Market
from services.gate.restart import Restart


class Bands:
    """Every instrument under the plan or under Rule 201.

    Attributes:
        of: by instrument; every configured one.
    """

    keeps: frozenset[type[Event]] = frozenset(
        {
            ClosingPricePublished,
            ClosingPriceNoted,
            ShortSaleRestrictionChanged,
            MarketRuleInvoked,
            MarketWideHaltDeclared,
            BookAdopted,
        }
    )
    """A book is adopted at every start: it tells that a process was there before this one."""

    def __init__(
        self,
        config: GateConfig,
        markets: Mapping[InstrumentId, Market],
        accounts: Mapping[AccountId, Account],
    ) -> None:
        self.of = {
            key: BandsRow(market.instrument, row_of(config.market, key))
            for key, market in markets.items()
        }
        self._markets_of_references = {
            reference: ALIASES.get(market, market)
            for market, reference in config.market_references.items()
        }
        self._watched = {key: row for key, row in self.of.items() if row.is_watched}
        self._banded = {key: row for key, row in self.of.items() if row.bands is not None}
        self._restart = Restart()
        self.wake_at_ns: int | None = 0 if self._watched else None
        self.hears = self._told()
        self._folds: dict[type[Event], Callable[[Any, int], None]] = {
            QuoteReceived: self._on_quote,
            TradeReceived: self._on_trade,
            BarClosed: self._on_bar,
            PriceBandPublished: self._on_bands,
            ClosingPricePublished: self._on_closing,
            ClosingPriceNoted: self._on_closing,
            ShortSaleRestrictionChanged: self._on_restriction,
            MarketRuleInvoked: self._on_rule,
            MarketWideHaltDeclared: self._on_market_halt,
            BookAdopted: self._on_book,
            GapSeen: self._on_gap,
            LinkChanged: self._on_link,
            StatesTold: self._on_states,
        }

    def apply(self, event: Event, now_ns: int) -> None:
        """Fold one event in."""
        self._folds[type(event)](event, now_ns)

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Say what prices have brought about, to be kept: a restart must not forget it."""
        said: list[Event] = []
        if self._restart.begins(now_ns):
            for row in self._watched.values():
                row.missed(self._restart.seen_ns, now_ns)
        self.wake_at_ns = None
        for row in self._watched.values():
            said += row.due(now_ns)
            self._wake_by(row.due_ns)
        return said

    def _told(self) -> frozenset[type[Event]]:
        """Return what it must hear: prices only where somebody follows them."""
        told: list[type[Event]] = [
            PriceBandPublished,
            ClosingPricePublished,
            ShortSaleRestrictionChanged,
            MarketWideHaltDeclared,
            GapSeen,
            LinkChanged,
        ]
        if self._watched:
            told += [TradeReceived, BarClosed, StatesTold]
        if self._banded:
            told.append(QuoteReceived)
        return frozenset(told)

    def _wake_by(self, due_ns: int | None) -> None:
        if due_ns is not None and (self.wake_at_ns is None or due_ns < self.wake_at_ns):
            self.wake_at_ns = due_ns

    def _on_quote(self, event: QuoteReceived, now_ns: int) -> None:
        row = self._banded.get(event.instrument)
        if row is not None:
            row.quoted(event, now_ns)
            self._wake_by(row.due_ns)

    def _on_trade(self, event: TradeReceived, now_ns: int) -> None:
        row = self._watched.get(event.instrument)
        if row is not None:
            row.traded(event.price, now_ns)
            self._wake_by(row.due_ns)

    def _on_bar(self, event: BarClosed, now_ns: int) -> None:
        row = self._watched.get(event.instrument)
        if row is not None:
            row.barred(event, now_ns)
            self._wake_by(row.due_ns)

    def _on_bands(self, event: PriceBandPublished, now_ns: int) -> None:
        row = self._banded.get(event.instrument)
        if row is not None:
            row.published(event.lower, event.upper, now_ns)
            self._wake_by(row.due_ns)

    def _on_closing(self, event: ClosingPricePublished | ClosingPriceNoted, now_ns: int) -> None:
        self._restart.note(event)
        row = self._watched.get(event.instrument)
        if row is not None:
            row.closing.take(event)

    def _on_restriction(self, event: ShortSaleRestrictionChanged, now_ns: int) -> None:
        self._restart.note(event)
        row = self.of.get(event.instrument)
        if row is not None:
            row.restrict(is_restricted=event.is_restricted, now_ns=now_ns)

    def _on_rule(self, event: MarketRuleInvoked, now_ns: int) -> None:
        self._restart.note(event)
        if event.rule is MarketRule.MARKET_WIDE:
            market = self._markets_of_references.get(event.instrument, "")
            self._pause_all(market, event.from_ns, event.until_ns)
        elif event.instrument in self.of:
            self.of[event.instrument].recall(event)

    def _on_market_halt(self, event: MarketWideHaltDeclared, now_ns: int) -> None:
        self._restart.note(event)
        self._pause_all(ALIASES.get(event.market, event.market), now_ns, event.resumes_ns)

    def _on_book(self, event: BookAdopted, now_ns: int) -> None:
        self._restart.note(event)

    def _on_gap(self, event: GapSeen, now_ns: int) -> None:
        """Forget published bands of which one never came: they may not be the newest."""
        for row in self._banded.values():
            if event.subject == row.bands_subject:
                row.forget_published()

    def _on_link(self, event: LinkChanged, now_ns: int) -> None:
        for row in self._banded.values():
            row.forget_published()
        deaf_ns = self._restart.deaf_ns(event, now_ns)
        if deaf_ns is not None:
            for row in self._watched.values():
                row.missed(deaf_ns, now_ns)
                self._wake_by(row.due_ns)

    def _on_states(self, event: StatesTold, now_ns: int) -> None:
        """Learn of what was missed how low prices were, and what the listing market said."""
        for key, row in self._watched.items():
            if row.is_missing and key in event.trading:
                row.told_again(event, now_ns)
                self._wake_by(row.due_ns)

    def _pause_all(self, market: str, from_ns: int, until_ns: int) -> None:
        """Begin anew after a halt of the whole market: each instrument reopens at a new price.

        A market that we have no calendar of may be any.
        """
        for row in self._banded.values():
            if row.market == market or market not in NAMES:
                row.pause(from_ns, until_ns)
