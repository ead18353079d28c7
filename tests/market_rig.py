"""A market by the clock of New York, for tests of what its rules make the gate do."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from schemas.base import Event, InstrumentId
from schemas.instruments import AssetClass, Instrument
from schemas.market import TradeReceived
from schemas.market_rules import ClosingPricePublished
from schemas.orders import Order, OrderApproved, SignalDecided, SignalRaised
from services.gate.config_market import (
    ExtendedHours,
    LimitTier,
    MarketWide,
    ShortSaleRule,
)
from services.gate.core import GateCore
from tests import gate_rig
from tests.builders import S_NS, dec, instrument, quote, signal

IBM = InstrumentId("nyse:IBM")
SPX = InstrumentId("cboe:SPX")
MINUTE_NS = 60 * S_NS
STOCK = instrument(IBM, calendar="XNYS")
INDEX = instrument(SPX, calendar="XNYS", asset_class=AssetClass.OPTION)
CLOSED = "2025-11-18 16:00"
"""The close of the day before the day that tests are about."""


def at(text: str, zone: str = "America/New_York") -> int:
    """Return a local time as ns since the epoch."""
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * S_NS


OPEN_NS = at("2025-11-19 09:30")
CLOSE_NS = at("2025-11-19 16:00")
RULES: dict[str, Any] = {
    "extended_hours": ExtendedHours.NONE,
    "luld_tier": LimitTier.NONE,
    "market_wide": MarketWide.NONE,
    "short_sale_rule": ShortSaleRule.NONE,
}


def trade(price: str, at_ns: int, key: InstrumentId = IBM) -> TradeReceived:
    """Return a trade."""
    return TradeReceived(at_ns=at_ns, instrument=key, price=dec(price), quantity=dec(1))


def closing(price: str, close_ns: int, key: InstrumentId = IBM) -> ClosingPricePublished:
    """Return the closing price of a day."""
    return ClosingPricePublished(
        at_ns=close_ns, instrument=key, price=Decimal(price), close_ns=close_ns
    )


class MarketRig(gate_rig.Rig):
    """A gate that trades one US stock, and follows an index beside it."""

    def __init__(
        self,
        now_ns: int = OPEN_NS,
        kind: type[GateCore] = GateCore,
        stock: Instrument = STOCK,
        **rules: Any,
    ) -> None:
        self.config = gate_rig.config(**(RULES | rules))
        self.kind = kind
        self.guard = gate_rig.running_guard()
        self.known = {IBM: stock, SPX: INDEX}
        self.now_ns = now_ns
        self.kept: list[Event] = []
        self.restart()

    def restart(self) -> None:
        """Go on with a new process that has what was kept, a book and a quote."""
        self.gate = self.kind(self.config, self.known, self.guard)
        for event in self.kept:
            self.gate.restore(event)
        self.tell(gate_rig.book(at_ns=self.now_ns))
        self.quote()

    def go(self, now_ns: int) -> list[Event]:
        """Let time pass, every deadline at its own time; return what was said."""
        said: list[Event] = []
        while (due_ns := self.gate.wake_at_ns) is not None and due_ns <= now_ns:
            self.now_ns = max(self.now_ns, due_ns)
            woken = list(self.gate.wake(self.now_ns))
            self.kept += [each for each in woken if type(each) in self.gate.keeps]
            said += woken
        self.now_ns = now_ns
        return said

    def quote(self, bid: str = "99.90", ask: str = "100.00", **more: Any) -> None:
        """Move the market of the stock."""
        more.setdefault("instrument", IBM)
        self.tell(quote(bid, ask, at_ns=self.now_ns, **more))

    def trade(self, price: str, key: InstrumentId = IBM) -> None:
        """Tell of a trade now."""
        self.tell(trade(price, self.now_ns, key))

    def close(self, price: str, key: InstrumentId = IBM, day: str = CLOSED) -> None:
        """Tell of the closing price of the day before."""
        self.tell(closing(price, at(day), key))

    def ask(self, signal_id: str, **more: Any) -> SignalDecided:
        """Return the decision on a signal in the stock."""
        return self.decide(self.raised(signal_id, **more))

    def verdict(self, signal_id: str, **more: Any) -> str:
        """Return the rule that decides, on a market that was quoted just now."""
        return self.ask(signal_id, **more).rule

    def take(self, signal_id: str, **more: Any) -> Order:
        """Return the order of a signal that must be approved."""
        said = self.tell(self.raised(signal_id, **more))
        return gate_rig.only(OrderApproved, said).order

    def raised(self, signal_id: str, **more: Any) -> SignalRaised:
        """Return a signal in the stock, raised now."""
        more.setdefault("instrument", IBM)
        return signal(signal_id, at_ns=self.now_ns, **more)
