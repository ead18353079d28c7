"""Watches the whole market for what is worth a look, and says it once (M-04). Pure.

Quotes are not looked at one by one: now and then the newest of every instrument is, so that many
instruments cost little and the way of a quote costs nothing more. What began is said when it
begins; it is said again only after it has ended, and not within `quiet_s`.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_MS, NS_PER_S, Event, InstrumentId
from schemas.instruments import AssetClass, Instrument
from schemas.market import FundingPublished, QuoteReceived, TradeReceived
from schemas.scan import OpportunityFound, ScanRule
from services.feed.config import ScannerConfig

ZERO = Decimal(0)
BPS = Decimal(10_000)
HALF = Decimal("0.5")
PERIODS_MIN = 3
"""Periods of volume before it is known what is usual."""

USUAL_WEIGHT = Decimal("0.2")
"""Weight of the newest period in what is usual."""


class _Found(msgspec.Struct, frozen=True):
    """One measurement that a rule compares."""

    rule: ScanRule
    value: Decimal
    threshold: Decimal
    detail: str
    against: InstrumentId | None = None


class _Volume:
    """What was traded of one instrument: in this period, and usually."""

    __slots__ = ("ends_ns", "now", "periods", "usual")

    def __init__(self) -> None:
        self.now = self.usual = ZERO
        self.periods = 0
        self.ends_ns = 0

    def turn(self, now_ns: int, period_ns: int) -> None:
        """Begin a new period, if this one is over."""
        if now_ns < self.ends_ns:
            return
        if self.ends_ns:
            share = USUAL_WEIGHT if self.periods else Decimal(1)
            self.usual += (self.now - self.usual) * share
            self.periods += 1
        self.now, self.ends_ns = ZERO, now_ns + period_ns


class Scanner:
    """All rules over all instruments.

    Args:
        config: which rules, and from when on they speak.
        instruments: what there is; pairs of spot and perpetual are found by their symbols.

    Attributes:
        wake_at_ns: when to look next; None before the first quote, and where it is switched off.
    """

    def __init__(self, config: ScannerConfig, instruments: Sequence[Instrument]) -> None:
        self.wake_at_ns: int | None = None
        self._config = config
        self._samples_max = max(1, config.window_s * 1_000 // config.every_ms)
        self._mids: dict[InstrumentId, deque[Decimal]] = {}
        self._volumes: dict[InstrumentId, _Volume] = {}
        self._fundings: dict[InstrumentId, FundingPublished] = {}
        self._spots = _pairs(instruments)
        self._going_on: dict[tuple[ScanRule, InstrumentId], None] = {}
        self._quiet_until_ns: dict[tuple[ScanRule, InstrumentId], int] = {}

    def take(self, event: Event, now_ns: int) -> None:
        """Note that something was published; a quote only sets the first look."""
        if not self._config.is_on:
            return
        if self.wake_at_ns is None:
            self.wake_at_ns = now_ns + self._config.every_ms * NS_PER_MS
        if isinstance(event, TradeReceived):
            volume = self._volumes.setdefault(event.instrument, _Volume())
            volume.turn(now_ns, self._config.window_s * NS_PER_S)
            volume.now += event.quantity
        elif isinstance(event, FundingPublished):
            self._fundings[event.instrument] = event

    def look(
        self, quotes: Mapping[InstrumentId, QuoteReceived], now_ns: int
    ) -> list[OpportunityFound]:
        """Return what has begun since the last look, and set the next one."""
        self.wake_at_ns = now_ns + self._config.every_ms * NS_PER_MS
        said: list[OpportunityFound] = []
        for instrument, quote in quotes.items():
            for found in self._measured(instrument, quote, quotes, now_ns):
                self._judge(instrument, found, now_ns, said)
        return said

    def _measured(
        self,
        instrument: InstrumentId,
        quote: QuoteReceived,
        quotes: Mapping[InstrumentId, QuoteReceived],
        now_ns: int,
    ) -> Iterator[_Found]:
        """Yield every measurement of one instrument that can be made now."""
        config = self._config
        mid = _mid(quote)
        if mid is not None:
            yield from self._moved(instrument, mid)
            width = (quote.ask - quote.bid) / mid * BPS
            detail = f"{quote.bid} to {quote.ask}"
            yield _Found(ScanRule.SPREAD, width, config.spread_bps_min, detail)
            yield from self._basis(instrument, mid, quotes)
        if (funding := self._fundings.get(instrument)) is not None:
            detail = f"{funding.rate} of notional at each payment"
            yield _Found(ScanRule.FUNDING, funding.rate * BPS, config.funding_bps_min, detail)
        if (volume := self._volumes.get(instrument)) is not None:
            volume.turn(now_ns, config.window_s * NS_PER_S)
            if volume.periods >= PERIODS_MIN and volume.usual:
                times = volume.now / volume.usual
                detail = f"{volume.now} in {config.window_s} s, usually {volume.usual:.2f}"
                yield _Found(ScanRule.VOLUME, times, config.volume_times_min, detail)

    def _moved(self, instrument: InstrumentId, mid: Decimal) -> Iterator[_Found]:
        mids = self._mids.get(instrument)
        if mids is None:
            mids = self._mids[instrument] = deque(maxlen=self._samples_max + 1)
        mids.append(mid)
        if len(mids) > self._samples_max:
            before, config = mids[0], self._config
            detail = f"{before} to {mid} in {config.window_s} s"
            yield _Found(ScanRule.MOVE, (mid / before - 1) * BPS, config.move_bps_min, detail)

    def _basis(
        self, instrument: InstrumentId, mid: Decimal, quotes: Mapping[InstrumentId, QuoteReceived]
    ) -> Iterator[_Found]:
        spot = self._spots.get(instrument)
        if spot is None or spot not in quotes or (price := _mid(quotes[spot])) is None:
            return
        basis = (mid / price - 1) * BPS
        detail = f"{mid} against {price} of {spot}"
        yield _Found(ScanRule.BASIS, basis, self._config.basis_bps_min, detail, spot)

    def _judge(
        self, instrument: InstrumentId, found: _Found, now_ns: int, said: list[OpportunityFound]
    ) -> None:
        """Say what has begun; forget what has ended."""
        key = (found.rule, instrument)
        if not found.threshold or abs(found.value) < found.threshold:
            self._going_on.pop(key, None)
            return
        is_new = key not in self._going_on
        self._going_on[key] = None
        if not is_new or now_ns < self._quiet_until_ns.get(key, 0):
            return
        self._quiet_until_ns[key] = now_ns + self._config.quiet_s * NS_PER_S
        said.append(
            OpportunityFound(
                at_ns=now_ns,
                instrument=instrument,
                rule=found.rule,
                value=found.value.quantize(Decimal("0.01")),
                threshold=found.threshold,
                against=found.against,
                detail=found.detail,
            )
        )


def _mid(quote: QuoteReceived) -> Decimal | None:
    return (quote.bid + quote.ask) * HALF if quote.bid > 0 and quote.ask > 0 else None


def _pairs(instruments: Sequence[Instrument]) -> dict[InstrumentId, InstrumentId]:
    """Return the spot of each perpetual that has one of the same symbol; the first, if several."""
    spots: dict[str, InstrumentId] = {}
    for each in instruments:
        if each.asset_class is AssetClass.SPOT:
            spots.setdefault(each.symbol, each.id)
    return {
        each.id: spots[each.symbol]
        for each in instruments
        if each.asset_class is AssetClass.PERPETUAL and each.symbol in spots
    }
