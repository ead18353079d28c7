"""Market-wide breakers: 7, 13 and 20 % below the previous close of a reference index.

Source: NYSE rule 7.12, Nasdaq rule 4121, Cboe BZX rule 11.18, in force in this form since 8 April
2013 and permanent since 2022. Level 1 and 2: 15 minutes, each once a day, only before 15:25 in New
York (12:25 on half days: 35 minutes before the close). Level 3: for the rest of the day.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from schemas.base import NS_PER_S, AccountId, Event, InstrumentId
from schemas.errors import UserError
from schemas.executions import BookAdopted
from schemas.instruments import AssetClass, Instrument
from schemas.market import BarClosed, TradeReceived
from schemas.market_rules import (
    ClosingPriceNoted,
    ClosingPricePublished,
    MarketRule,
    MarketRuleInvoked,
    MarketWideHaltDeclared,
)
from services.calendars.calendar import Phase, Session
from services.calendars.named import ALIASES, NAMES, calendar_named
from services.gate.account import Account
from services.gate.config import GateConfig
from services.gate.config_market import MarketWide as Regime
from services.gate.config_market import row_of
from services.gate.exposure import Market, is_plain
from services.gate.market_rows import US, Closing, Days, is_us, missing
from services.gate.restart import Restart

FALLS = (Decimal("0.07"), Decimal("0.13"), Decimal("0.20"))
"""Of level 1, 2 and 3, from the closing price of the day before."""

HALT_NS = 15 * 60 * NS_PER_S
LAST_HALT_NS = 35 * 60 * NS_PER_S
"""From so shortly before the close on, only level 3 halts."""

LEVEL_MAX = 3
_LEVELS = tuple((level, 1 - fall) for level, fall in reversed(list(enumerate(FALLS, start=1))))


class MarketHalt:
    """The breaker of one market.

    Attributes:
        reference: whose trades are followed; None where only the feed's word counts.
        level: of the last halt; 0 of one without a level.
        from_ns, until_ns: of the last halt.
    """

    def __init__(self, market: str, reference: Instrument | None) -> None:
        self._calendar = calendar_named(market)
        self.reference = reference
        self._days = None if reference is None else Days(reference)
        self.closing = (
            None if reference is None or self._days is None else Closing(reference.id, self._days)
        )
        self.level = 0
        self.from_ns = self.until_ns = 0
        self.pending: list[Event] = []
        self._missed: Session | None = None  # a day of which not all was heard, and no trade since

    def is_halted(self, now_ns: int) -> bool:
        """Return whether it is known to be halted."""
        return self.from_ns <= now_ns < self.until_ns

    def objection(self, now_ns: int) -> str:
        """Return why nothing in this market may be traded; empty when it may."""
        if self.is_halted(now_ns):
            return f"halted, level {self.level}, until {self.until_ns} ns"
        if self._missed is not None and now_ns < self._missed.post_close_ns:
            whose = f"of {self.reference.id}" if self.reference else "in this market"
            return f"not known since the restart whether it is halted: no trade {whose} yet"
        session = self._days.regular(now_ns) if self._days else None
        if session and self.closing and self.closing.of_day_before(session) is None:
            return "no closing price of the reference"
        return ""

    def traded(self, price: Decimal, now_ns: int) -> None:
        """Take a trade of the reference in."""
        days, closing, reference = self._days, self.closing, self.reference
        session = days.regular(now_ns) if days else None
        if session is None or closing is None or reference is None or not is_plain(price):
            return
        self._missed = None
        noted = closing.note(now_ns)
        if noted is not None:
            self.pending.append(noted)
        closing.traded(session, price)
        before = closing.of_day_before(session)
        reached = 0 if before is None else level_of(price, before)
        used = self.level if self.from_ns >= session.pre_open_ns else 0
        is_late = now_ns >= session.close_ns - LAST_HALT_NS
        if reached <= used or (is_late and reached < LEVEL_MAX):
            return
        is_last = reached == LEVEL_MAX
        until_ns = session.post_close_ns if is_last else now_ns + HALT_NS
        self.level, self.from_ns, self.until_ns = reached, now_ns, until_ns
        self.pending.append(
            MarketRuleInvoked(
                at_ns=now_ns,
                rule=MarketRule.MARKET_WIDE,
                instrument=reference.id,
                from_ns=now_ns,
                until_ns=until_ns,
                level=reached,
                price=price,
            )
        )

    def missed(self, from_ns: int, until_ns: int) -> None:
        """Doubt that trading goes on: a halt between those times was not heard of.

        Until something trades: what was reached then and still halts, that price is beyond too.
        """
        session = self._calendar.session_at(until_ns)
        if session is not None and session.open_ns_between(from_ns, until_ns):
            self._missed = session

    def goes_on(self, now_ns: int) -> None:
        """Take it that something in this market trades."""
        session = self._missed
        if session is not None and session.phase_at(now_ns) is Phase.OPEN:
            self._missed = None

    def declared(self, event: MarketWideHaltDeclared, now_ns: int) -> None:
        """Take the word of the market: it replaces what was in force."""
        session = self._calendar.session_at(now_ns)
        end_ns = session.post_close_ns if session else now_ns
        self.level = event.level
        self.from_ns, self.until_ns = now_ns, event.resumes_ns or end_ns
        self._missed = None

    def recall(self, event: MarketRuleInvoked) -> None:
        """Take in again what was found out before a restart."""
        self.level, self.from_ns, self.until_ns = event.level, event.from_ns, event.until_ns

    @property
    def due_ns(self) -> int | None:
        """When there is something to be said; None when nothing is due."""
        if self.pending:
            return self.pending[0].at_ns
        return self.closing.due_ns if self.closing else None

    def due(self, now_ns: int) -> list[Event]:
        """Return what is to be kept: a halt that prices brought about, a closing price."""
        said, self.pending = self.pending, []
        noted = self.closing.note(now_ns) if self.closing else None
        return said if noted is None else [*said, noted]


def level_of(price: Decimal, closing: Decimal) -> int:
    """Return the level that a price is at or below; 0 above all of them."""
    return next((level for level, left in _LEVELS if price <= closing * left), 0)


def _references(
    config: GateConfig, markets: Mapping[InstrumentId, Market]
) -> dict[str, Instrument]:
    """Return the reference of each market; one that is not there would halt nothing, unseen."""
    found: dict[str, Instrument] = {}
    for name, key in config.market_references.items():
        market, path = ALIASES.get(name, name), f"gate.market_references.{name}"
        if market != US:
            raise UserError("SLU-100", path=path, found=name, wanted=f"{US}: no other is known")
        if key not in markets:
            wanted = "an instrument of the feed, or of a row [[instruments]]"
            raise UserError("SLU-100", path=path, found=key, wanted=wanted)
        found[market] = markets[key].instrument
    return found


class MarketWide:
    """The breakers of all markets, and which instruments they hold for.

    Attributes:
        markets: by the market's calendar; those that an instrument trades in.
        of: the market of each instrument; None where no such halt holds.
        unchosen: instruments for which somebody must choose.
    """

    keeps: frozenset[type[Event]] = frozenset(
        {
            MarketWideHaltDeclared,
            MarketRuleInvoked,
            ClosingPricePublished,
            ClosingPriceNoted,
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
        """Take the configuration and the instruments.

        Raises:
            UserError: SLU-100 a reference is not configured, or of a market without such halts.
        """
        references = _references(config, markets)
        self.markets = {US: MarketHalt(US, references.get(US))}
        regimes = {key: row_of(config.market, key).market_wide for key in markets}
        us = (AssetClass.EQUITY, AssetClass.OPTION)
        self.unchosen = {
            key: True
            for key, market in markets.items()
            if regimes[key] is None and is_us(market.instrument, *us)
        }
        self.of = {key: self.markets[US] if regimes[key] is Regime.US else None for key in markets}
        self._by_reference = {
            halt.reference.id: halt for halt in self.markets.values() if halt.reference
        }
        is_followed = any(self.of.values())
        self._restart = Restart()
        self.wake_at_ns: int | None = 0 if is_followed else None
        told: list[type[Event]] = [MarketWideHaltDeclared, ClosingPricePublished]
        if self._by_reference or is_followed:
            told += [TradeReceived, BarClosed]
        self.hears: frozenset[type[Event]] = frozenset(told)
        self._folds: dict[type[Event], Callable[[Any, int], None]] = {
            MarketWideHaltDeclared: self._on_declared,
            MarketRuleInvoked: self._on_rule,
            ClosingPricePublished: self._on_closing,
            ClosingPriceNoted: self._on_closing,
            TradeReceived: self._on_trade,
            BarClosed: self._on_bar,
        }

    def is_never_halted(self, instrument: InstrumentId) -> bool:
        """Return whether it was chosen that such halts do not hold for the instrument."""
        return self.of[instrument] is None and instrument not in self.unchosen

    def objection(self, instrument: InstrumentId, now_ns: int) -> str:
        """Return why the whole market stands still; empty when it does not.

        Raises:
            LimitMissingError: nobody has chosen whether such halts hold for the instrument.
        """
        halt = self.of[instrument]
        if halt is not None:
            return halt.objection(now_ns)
        if instrument in self.unchosen:
            raise missing(instrument, "market_wide")
        return ""

    def is_halted(self, instrument: InstrumentId, now_ns: int) -> bool:
        """Return whether the whole market is known to stand still."""
        halt = self.of[instrument]
        return halt is not None and halt.is_halted(now_ns)

    def apply(self, event: Event, now_ns: int) -> None:
        """Fold one event in."""
        if type(event) not in (TradeReceived, BarClosed):
            self._restart.note(event)
        fold = self._folds.get(type(event))
        if fold is not None:
            fold(event, now_ns)

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Say what prices have brought about, to be kept: a restart must not forget it."""
        if self._restart.begins(now_ns):
            for halt in self.markets.values():
                halt.missed(self._restart.seen_ns, now_ns)
        said = [event for halt in self.markets.values() for event in halt.due(now_ns)]
        self._set_alarm()
        return said

    def _set_alarm(self) -> None:
        dues_ns = [halt.due_ns for halt in self.markets.values()]
        self.wake_at_ns = min((each for each in dues_ns if each is not None), default=None)

    def _on_declared(self, event: MarketWideHaltDeclared, now_ns: int) -> None:
        """Take it in; a market that we have no calendar of may be any."""
        market = ALIASES.get(event.market, event.market)
        for name, halt in self.markets.items():
            if name == market or market not in NAMES:
                halt.declared(event, now_ns)

    def _on_rule(self, event: MarketRuleInvoked, now_ns: int) -> None:
        halt = self._by_reference.get(event.instrument)
        if halt is not None and event.rule is MarketRule.MARKET_WIDE:
            halt.recall(event)

    def _on_closing(self, event: ClosingPricePublished | ClosingPriceNoted, now_ns: int) -> None:
        halt = self._by_reference.get(event.instrument)
        if halt is not None and halt.closing is not None:
            halt.closing.take(event)

    def _on_trade(self, event: TradeReceived, now_ns: int) -> None:
        self._traded(event.instrument, event.price, now_ns)

    def _on_bar(self, event: BarClosed, now_ns: int) -> None:
        """Take a bar for the trade that closed it; that of an index has no volume."""
        if event.volume or event.instrument in self._by_reference:
            self._traded(event.instrument, event.close, now_ns)

    def _traded(self, instrument: InstrumentId, price: Decimal, now_ns: int) -> None:
        halt = self._by_reference.get(instrument)
        if halt is not None:
            halt.traded(price, now_ns)
            self._set_alarm()
            return
        halt = self.of.get(instrument)
        if halt is not None and halt.reference is None:
            halt.goes_on(now_ns)
