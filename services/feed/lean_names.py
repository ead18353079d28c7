"""What the names of LEAN's folders, files and members say: what is traded, and how it is written.

<asset>/<market>/<resolution>/<symbol>/<yyyymmdd>_<kind>[_<style>].zip    tick, second, minute
<asset>/<market>/<resolution>/<symbol>[_<kind>[_<style>]].zip             hour, daily
cryptofuture/<market>/margin_interest/<symbol>.csv
members of options: ..._<right>_<strike>_<expiry>.csv; of futures: ..._<expiry>.csv
"""

from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from schemas.instruments import AssetClass, Instrument, OptionRight, instrument_id
from services.calendars.named import ALL_DAY
from services.feed.lines import unreadable

ASSETS = {
    "equity": AssetClass.EQUITY,
    "option": AssetClass.OPTION,
    "future": AssetClass.FUTURE,
    "forex": AssetClass.FX,
    "crypto": AssetClass.SPOT,
    "cryptofuture": AssetClass.PERPETUAL,
}
RESOLUTIONS_NS = {
    "tick": 0,
    "second": 1_000_000_000,
    "minute": 60_000_000_000,
    "hour": 3_600_000_000_000,
    "daily": 86_400_000_000_000,
    "margin_interest": 28_800_000_000_000,
}
"""The length of a bar by resolution, in ns."""

DAY_PER_FILE = ("tick", "second", "minute")
WANTED_NAME = (
    "a path like equity/usa/minute/spy/20131007_quote.zip, equity/usa/daily/spy.zip "
    "or cryptofuture/binance/margin_interest/btcusd.csv"
)
FUTURES = {
    # root: tick size, multiplier, as the exchange has them
    "es": ("0.25", "50"),
    "nq": ("0.25", "20"),
    "ym": ("1", "5"),
    "rty": ("0.1", "50"),
    "cl": ("0.01", "1000"),
    "gc": ("0.1", "100"),
    "zn": ("0.015625", "1000"),
    "zb": ("0.03125", "1000"),
    "6e": ("0.00005", "125000"),
}
WANTED_MEMBER = (
    "a member named by right, strike and expiry (option) or by expiry (future), and a future of "
    + ", ".join(FUTURES)
)
OPTION_TICK, EQUITY_TICK, CRYPTO_TICK = Decimal("0.01"), Decimal("0.01"), Decimal("0.01")
CRYPTO_LOT = Decimal("1e-8")
SCALE = 10_000
"""Prices of US equities and options, and strikes, are written in units of 1 / SCALE USD."""

STABLE_COINS = ("usdt", "usdc", "busd", "fdusd")


class LeanFile(NamedTuple):
    """One file, as its name describes it."""

    path: Path
    asset: str
    market: str
    resolution: str
    symbol: str
    day: str
    """`yyyymmdd`; empty where one file holds all days."""

    kind: str
    """`quote`, `trade` or `funding`."""

    @property
    def series(self) -> tuple[str, ...]:
        """What all files of one series have in common; quotes sort before trades."""
        return (self.asset, self.market, self.resolution, self.symbol, self.kind)


def lean_file(path: Path) -> LeanFile | None:
    """Return what the names in `path` say; None for a kind of data we have no use for.

    Raises:
        UserError: the path is not one of LEAN's.
    """
    parts = path.resolve().parts
    at = _resolution_index(parts)
    if at is None:
        raise unreadable(path, str(Path(*parts[-5:])), WANTED_NAME)
    asset, market, resolution = parts[at - 2 : at + 1]
    words = path.stem.lower().split("_")
    if resolution == "margin_interest":
        return LeanFile(path, asset, market, resolution, words[0], "", "funding")
    if resolution in DAY_PER_FILE:
        day, symbol, kind = words[0], parts[at + 1].lower(), words[1] if len(words) > 1 else ""
        if len(parts) != at + 3 or len(day) != 8 or not day.isdigit():
            raise unreadable(path, str(Path(*parts[-5:])), WANTED_NAME)
    else:
        day, symbol, kind = "", words[0], words[1] if len(words) > 1 else "trade"
    if kind not in ("quote", "trade"):
        return None
    return LeanFile(path, asset, market, resolution, symbol, day, kind)


def instrument_of(file: LeanFile, member: str) -> Instrument:
    """Return the instrument that `member` of `file` holds data of.

    Raises:
        UserError: the name of the member does not say which contract it is, or nobody knows the
            size of that contract.
    """
    try:
        return _MAKERS[file.asset](file, member)
    except (KeyError, ValueError, ArithmeticError, IndexError) as error:
        raise unreadable(f"{file.path}: {member}", error, WANTED_MEMBER) from error


def _resolution_index(parts: tuple[str, ...]) -> int | None:
    for at in range(len(parts) - 2, 1, -1):
        if parts[at] in RESOLUTIONS_NS and parts[at - 2] in ASSETS:
            return at
    return None


def _equity(file: LeanFile, member: str) -> Instrument:
    return _instrument(file, file.symbol, EQUITY_TICK, Decimal(1))


def _option(file: LeanFile, member: str) -> Instrument:
    right, strike, expiry = member.removesuffix(".csv").split("_")[-3:]
    if right not in ("call", "put") or len(expiry) != 8:
        raise ValueError(member)
    price = format(Decimal(strike) / SCALE, "f").replace(".", "_")
    symbol = f"{file.symbol}-{expiry}-{right[0]}-{price}"
    option = _instrument(file, symbol, OPTION_TICK, Decimal(1), multiplier=Decimal(100))
    return replace(
        option,
        expiry=f"{expiry[:4]}-{expiry[4:6]}-{expiry[6:]}",
        underlying=instrument_id(file.market, file.symbol.upper()),
        strike=Decimal(strike) / SCALE,
        right=OptionRight(right),
    )


def _future(file: LeanFile, member: str) -> Instrument:
    expiry = member.removesuffix(".csv").split("_")[-1]
    if not expiry.isdigit():
        raise ValueError(member)
    tick_size, multiplier = FUTURES[file.symbol]
    symbol = f"{file.symbol}-{expiry}"
    tick = Decimal(tick_size)
    future = _instrument(file, symbol, tick, Decimal(1), multiplier=Decimal(multiplier))
    return replace(future, expiry=f"{expiry[:4]}-{expiry[4:6]}")


def _forex(file: LeanFile, member: str) -> Instrument:
    pip = Decimal("0.001") if file.symbol.endswith("jpy") else Decimal("0.00001")
    return _instrument(file, file.symbol, pip, Decimal(1))


def _crypto(file: LeanFile, member: str) -> Instrument:
    return _instrument(file, file.symbol, CRYPTO_TICK, CRYPTO_LOT)


_MAKERS = {
    "equity": _equity,
    "option": _option,
    "future": _future,
    "forex": _forex,
    "crypto": _crypto,
    "cryptofuture": _crypto,
}


def _instrument(
    file: LeanFile, symbol: str, tick: Decimal, lot: Decimal, *, multiplier: Decimal = Decimal(1)
) -> Instrument:
    """Return it; a perpetual's venue is told from the same exchange's spot market by its name."""
    venue = f"{file.market}-futures" if file.asset == "cryptofuture" else file.market
    return Instrument(
        id=instrument_id(venue, symbol.upper()),
        asset_class=ASSETS[file.asset],
        currency=_currency(file),
        tick_size=tick,
        lot_size=lot,
        multiplier=multiplier,
        calendar=ALL_DAY,  # a recording is replayed at any hour of the day
    )


@lru_cache(maxsize=1_024)
def _pair_currency(symbol: str) -> str:
    stable = next((coin for coin in STABLE_COINS if symbol.endswith(coin)), symbol[-3:])
    return stable.upper()


def _currency(file: LeanFile) -> str:
    if file.asset in ("forex", "crypto", "cryptofuture"):
        return _pair_currency(file.symbol)
    return "USD"
