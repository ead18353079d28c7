"""What the paper exchange takes for an execution, and which side a trade hit. Pure."""

from decimal import Decimal

from schemas.instruments import Instrument
from schemas.market import TradeReceived
from schemas.orders import Side
from services.executor.config import VenueConfig
from services.executor.venues.resting import Shelf


def fee_rates(instrument: Instrument, config: VenueConfig) -> tuple[Decimal, Decimal]:
    """Return the maker's and taker's fee for one of price times quantity."""
    maker = instrument.maker_fee_bps if config.maker_fee_bps is None else config.maker_fee_bps
    taker = instrument.taker_fee_bps if config.taker_fee_bps is None else config.taker_fee_bps
    return maker.scaleb(-4) * instrument.multiplier, taker.scaleb(-4) * instrument.multiplier


def side_hit(event: TradeReceived, shelf: Shelf) -> Side | None:
    """Return which resting side a trade hit; None where neither the venue nor the quote says."""
    if event.aggressor is not None:
        return Side.SELL if event.aggressor is Side.BUY else Side.BUY
    bid, ask = shelf.outside.touch(Side.BUY), shelf.outside.touch(Side.SELL)
    if bid is not None and event.price <= bid[0]:
        return Side.BUY
    return Side.SELL if ask is not None and event.price >= ask[0] else None
