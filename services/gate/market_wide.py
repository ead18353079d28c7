"""Market-wide breakers: 7, 13 and 20 % below the previous close of a reference index.

Which instruments they hold for, and what tells of them; `services.gate.market_halt` has the rule.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from schemas.base import AccountId, Event, InstrumentId
from schemas.errors import UserError
from schemas.executions import BookAdopted
from schemas.health import LinkChanged
from schemas.instruments import AssetClass, DataKind, Instrument
from schemas.market import BarClosed, StatesTold, TradeReceived
from schemas.market_rules import (
    ClosingPriceNoted,
    ClosingPricePublished,
    MarketRule,
    MarketRuleInvoked,
    MarketWideHaltDeclared,
)
from services.calendars.named import ALIASES, NAMES
from services.gate.account import Account
from services.gate.config import GateConfig
from services.gate.config_market import MarketWide as Regime
from services.gate.config_market import row_of
from services.gate.exposure import Market
from services.gate.market_halt import MarketHalt
from services.gate.market_rows import US, is_us, missing
from services.gate.restart import Restart

_FOLLOWED = frozenset({DataKind.TRADES, DataKind.BARS})


def _references(
    config: GateConfig, markets: Mapping[InstrumentId, Market]
) -> dict[str, Instrument]:
    """Return the reference of each market; one that cannot be followed would halt nothing, unseen.

    Raises:
        UserError: SLU-100 it is not there, is of another market, or nobody tells what it trades at.
    """
    found: dict[str, Instrument] = {}
    for name, key in config.market_references.items():
        market, path = ALIASES.get(name, name), f"gate.market_references.{name}"
        if market != US:
            raise UserError("SLU-100", path=path, found=name, wanted=f"{US}: no other is known")
        if key not in markets:
            wanted = "an instrument of the feed, or of a row [[instruments]]"
            raise UserError("SLU-100", path=path, found=key, wanted=wanted)
        instrument = found[market] = markets[key].instrument
        if instrument.offers and not _FOLLOWED & set(instrument.offers):
            told = f"{key}, of which the feed tells {', '.join(instrument.offers)} alone"
            wanted = "an instrument of which it tells trades or bars, or none: then only its word"
            raise UserError("SLU-100", path=path, found=told, wanted=f"{wanted} on halts counts")
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
            UserError: SLU-100 a reference is not configured, of a market without such halts, or
                one that nobody tells the price of.
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
        self._instruments = markets
        is_followed = any(self.of.values())
        self._restart = Restart()
        self.wake_at_ns: int | None = 0 if is_followed else None
        told: list[type[Event]] = [MarketWideHaltDeclared, ClosingPricePublished]
        if self._by_reference or is_followed:
            told += [TradeReceived, BarClosed, LinkChanged, StatesTold]
        self.hears: frozenset[type[Event]] = frozenset(told)
        self._folds: dict[type[Event], Callable[[Any, int], None]] = {
            MarketWideHaltDeclared: self._on_declared,
            MarketRuleInvoked: self._on_rule,
            ClosingPricePublished: self._on_closing,
            ClosingPriceNoted: self._on_closing,
            TradeReceived: self._on_trade,
            BarClosed: self._on_bar,
            LinkChanged: self._on_link,
            StatesTold: self._on_states,
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
        if type(event) in self.keeps:
            self._restart.note(event)
        fold = self._folds.get(type(event))
        if fold is not None:
            fold(event, now_ns)

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Say what prices have brought about, to be kept: a restart must not forget it."""
        if self._restart.begins(now_ns):
            for halt in self.markets.values():
                halt.missed(self._restart.seen_ns, now_ns, self._members(halt))
        for halt in self.markets.values():
            halt.look(now_ns)
        said = [event for halt in self.markets.values() for event in halt.due(now_ns)]
        self._set_alarm()
        return said

    def _members(self, halt: MarketHalt) -> Sequence[Market]:
        """Return those whose quotes show that the market goes on."""
        if halt.reference is not None:
            return (self._instruments[halt.reference.id],)
        return [each for key, each in self._instruments.items() if self.of[key] is halt]

    def _set_alarm(self) -> None:
        dues_ns = [halt.due_ns for halt in self.markets.values()]
        self.wake_at_ns = min((each for each in dues_ns if each is not None), default=None)

    def _on_declared(self, event: MarketWideHaltDeclared, now_ns: int) -> None:
        for name, halt in self.markets.items():
            if _is_of(event, name):
                halt.declared(event, now_ns)

    def _on_rule(self, event: MarketRuleInvoked, now_ns: int) -> None:
        halt = self._by_reference.get(event.instrument)
        if halt is not None and event.rule is MarketRule.MARKET_WIDE:
            halt.recall(event)

    def _on_closing(self, event: ClosingPricePublished | ClosingPriceNoted, now_ns: int) -> None:
        halt = self._by_reference.get(event.instrument)
        if halt is not None and halt.closing is not None:
            halt.closing.take(event)

    def _on_link(self, event: LinkChanged, now_ns: int) -> None:
        deaf_ns = self._restart.deaf_ns(event, now_ns)
        if deaf_ns is not None:
            for halt in self.markets.values():
                halt.missed(deaf_ns, now_ns, self._members(halt))
            self._set_alarm()

    def _on_states(self, event: StatesTold, now_ns: int) -> None:
        """Learn what was missed, where this feed is the one that tells of the market."""
        for name, halt in self.markets.items():
            if self._is_told_by(event, halt):
                halt.told_again(event, [h for h in event.halts if _is_of(h, name)], now_ns)
        self._set_alarm()

    def _is_told_by(self, event: StatesTold, halt: MarketHalt) -> bool:
        """Return whether it tells of the reference; where there is none, of all that is quoted."""
        if halt.reference is not None:
            return halt.reference.id in event.trading
        quoted = [each.instrument.id for each in self._members(halt) if each.quote is not None]
        return bool(quoted) and all(each in event.trading for each in quoted)

    def _on_trade(self, event: TradeReceived, now_ns: int) -> None:
        halt = self._by_reference.get(event.instrument)
        if halt is not None:
            halt.traded(event.price, now_ns)
            self._set_alarm()
        else:
            self._goes_on(event.instrument, now_ns, now_ns)

    def _on_bar(self, event: BarClosed, now_ns: int) -> None:
        """Take in what traded in its time; the bar of an index has no volume."""
        halt = self._by_reference.get(event.instrument)
        if halt is not None:
            halt.barred(event, now_ns)
            self._set_alarm()
        elif event.volume:
            self._goes_on(event.instrument, event.open_ns, now_ns)

    def _goes_on(self, instrument: InstrumentId, since_ns: int, now_ns: int) -> None:
        halt = self.of.get(instrument)
        if halt is not None and halt.reference is None:
            halt.goes_on(since_ns, now_ns)


def _is_of(event: MarketWideHaltDeclared, name: str) -> bool:
    """Return whether a halt is of that market; one that we have no calendar of may be any."""
    market = ALIASES.get(event.market, event.market)
    return name == market or market not in NAMES
