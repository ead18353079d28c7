"""What a backtest plays: recordings, or the simulated market; named, hashed, and cut to dates."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from schemas.base import NS_PER_S, InstrumentId
from schemas.errors import UserError
from schemas.instruments import AssetClass, Instrument
from schemas.market import MarketEvent
from services.backtest.daily import DAY_NS, with_opens
from services.calendars.named import ALL_DAY
from services.feed.opening import open_recording
from services.feed.simulated import START_NS, Simulated
from services.feed.source import Recording, Source, recorded

HOUR_NS = 3_600 * NS_PER_S
SUFFIXES = (".gz", ".zip", ".csv")
HOURS: dict[tuple[str, AssetClass], str] = {
    ("usa", AssetClass.EQUITY): "XNYS",
    ("usa", AssetClass.OPTION): "XNYS",
    ("cme", AssetClass.FUTURE): "CMES",
    ("fxcm", AssetClass.FX): "FX",
}
"""The hours of markets whose recordings are played at their own time, by venue."""


class DataTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is played."""

    paths: tuple[str, ...] = ()
    """Recordings, merged in time order; none: the simulated market."""

    from_ns: int = 0
    to_ns: int = 1 << 62
    """The first ns that is not played any more."""

    seed: int = 1
    """Of the simulated market."""

    hours: float = 1.0
    """How much of the simulated market is played, in simulated hours."""


def source_of(terms: DataTerms) -> Source:
    """Return what is played, from its beginning.

    Raises:
        UserError: SLU-102 nothing is there; SLU-110 what is there is no recording.
    """
    if not terms.paths:
        return Simulated(seed=terms.seed)
    found = [open_recording(Path(path)) for path in terms.paths]
    return found[0] if len(found) == 1 else Recording.joined(found)


def hash_of(terms: DataTerms) -> str:
    """Return the hash over the bytes of every file, in the order of their names.

    Of the simulated market: over what it is made from.
    """
    digest = hashlib.sha256()
    if not terms.paths:
        digest.update(f"simulated {terms.seed} {terms.hours}".encode())
    for path in map(Path, terms.paths):
        for file in _files(path):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def with_hours(instrument: Instrument) -> Instrument:
    """Return an instrument of a recording with the hours of its own market.

    A recording is replayed live at any hour; a backtest runs on the recorded clock.
    """
    calendar = HOURS.get((instrument.venue, instrument.asset_class))
    if instrument.calendar != ALL_DAY or calendar is None:
        return instrument
    return msgspec.structs.replace(instrument, calendar=calendar)


def played(
    source: Source,
    terms: DataTerms,
    instruments: Mapping[InstrumentId, Instrument],
    symbols: Sequence[InstrumentId],
) -> Iterator[MarketEvent]:
    """Yield what is played of `symbols`, oldest first, at its recorded time.

    Raises:
        UserError: while iterating: a file cannot be read.
    """
    wanted = frozenset(symbols)
    events: Iterable[MarketEvent] = source
    if isinstance(source, Recording):
        events = source.only(wanted)
        if source.silence_ns >= DAY_NS:
            events = with_opens(events, instruments)
    else:  # it has no end of its own
        end_ns = START_NS + int(terms.hours * HOUR_NS)
        terms = msgspec.structs.replace(terms, to_ns=min(terms.to_ns, end_ns))
        events = () if terms.from_ns >= terms.to_ns else source
    for event in recorded(events):
        at_ns = event.at_ns
        if at_ns >= terms.to_ns:
            return
        if at_ns >= terms.from_ns and getattr(event, "instrument", None) in wanted:
            yield event


def nothing_played(terms: DataTerms, first_ns: int | None) -> UserError:
    """Return the error of dates between which nothing was recorded."""
    path = ", ".join(terms.paths) or "simulated"
    found = "no event" if first_ns is None else f"no event; the first one is at {first_ns} ns"
    return UserError("SLU-110", path=path, found=found, wanted="some between --from and --to")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
