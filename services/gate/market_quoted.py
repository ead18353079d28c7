"""What quotes tell, when not all was heard, of a halt of a whole market.

A trade shows at once that a market goes on. A feed of quotes alone shows it too, but later:

- A halt of level 1 or 2 lasts 15 minutes, and none begins in the last 35 minutes of the day (NYSE
  rule 7.12): what began unheard is over 15 minutes after we hear again, or 20 minutes before the
  close where that is sooner. Until then no quote shows anything: towards the end of a halt the
  exchanges take quotes, and do not trade.
- A halt of level 3 lasts for the rest of the day, and nothing reopens: nobody may publish a
  quotation while trading is halted (FINRA rule 5260). So what is quoted on both sides then, and
  otherwise than when we first looked after those 15 minutes, is not halted. A quote that stands as
  it stood may be the last one of before, told again.
- Where a reference is followed it is the reference that must be quoted, and its bid above level 2:
  level 3 leaves it at 20 % down, and what stands there is not bid at less than 13 % down.

What is never shown is not taken for shown: the doubt lasts for the day.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from schemas.base import NS_PER_S, InstrumentId
from schemas.market import QuoteReceived
from services.calendars.calendar import Phase, Session
from services.gate.exposure import Market, is_plain

HALT_NS = 15 * 60 * NS_PER_S
"""A halt of level 1 or 2."""

LAST_HALT_NS = 35 * 60 * NS_PER_S
"""From so shortly before the close on, only level 3 halts."""

LOOK_EVERY_NS = NS_PER_S

_Told = tuple[Decimal, Decimal, Decimal, Decimal, int, int]


class QuotedAnew:
    """Looks, on a day of which not all was heard, for what is quoted when no halt can be short.

    Attributes:
        due_ns: when to look; None once the regular hours are over.
    """

    def __init__(self, markets: Sequence[Market], session: Session, heard_ns: int) -> None:
        """Take those that may show it, the day, and since when all is heard."""
        last_ns = min(heard_ns, session.close_ns - LAST_HALT_NS)
        self._markets = markets
        self._session = session
        self._from_ns = max(heard_ns, last_ns + HALT_NS)
        self._stood: dict[InstrumentId, _Told] = {}
        self.due_ns: int | None = self._from_ns

    def look(self, now_ns: int) -> Iterator[QuoteReceived]:
        """Yield the quotes that show that their instruments are not halted."""
        if self.due_ns is None or now_ns < self.due_ns:
            return
        if self._session.phase_at(now_ns) is not Phase.OPEN:
            self.due_ns = None if now_ns >= self._session.close_ns else now_ns + LOOK_EVERY_NS
            return
        self.due_ns = now_ns + LOOK_EVERY_NS
        for market in self._markets:
            quote = market.quote
            if quote is None:
                continue
            stood = self._stood.setdefault(quote.instrument, _told(quote))
            if stood != _told(quote) and _is_firm(quote):
                yield quote


def _told(quote: QuoteReceived) -> _Told:
    """Return all that the venue told: what is told again differs in nothing of it."""
    return (
        quote.bid,
        quote.ask,
        quote.bid_size,
        quote.ask_size,
        quote.venue_ns,
        quote.update_id,
    )


def _is_firm(quote: QuoteReceived) -> bool:
    """Return whether somebody offers to buy and somebody to sell."""
    return is_plain(quote.bid) and is_plain(quote.ask) and quote.bid <= quote.ask
