"""What a backtest plays: recordings, or the simulated market; named, hashed, and cut to dates."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import lru_cache
from pathlib import Path

import msgspec

from schemas.base import NS_PER_S, InstrumentId
from schemas.errors import UserError
from schemas.instruments import AssetClass, Instrument
from schemas.market import MarketEvent
from services.backtest.daily import DAY_NS, with_opens
from services.calendars.named import ALL_DAY, calendar_named
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
    """Return an instrument of a recording with the hours of its own market, and its end.

    A recording is replayed live at any hour; a backtest runs on the recorded clock. An option ends
    with the regular hours of its last day, a future when its owner says so (`expires_ns`).
    """
    calendar = HOURS.get((instrument.venue, instrument.asset_class))
    if instrument.calendar != ALL_DAY or calendar is None:
        return instrument
    expires_ns = instrument.expires_ns
    if instrument.asset_class is AssetClass.OPTION and not expires_ns:
        expires_ns = _end_of(instrument.expiry, calendar)
    return msgspec.structs.replace(instrument, calendar=calendar, expires_ns=expires_ns)


@lru_cache(maxsize=1_024)
def _end_of(day: str, calendar: str) -> int:
    """Return when the regular hours of a day end, in ns; 0 where nobody knows."""
    noon = datetime.combine(date.fromisoformat(day), time(17), UTC)
    session = calendar_named(calendar).session_at(round(noon.timestamp()) * NS_PER_S)
    return session.close_ns if session else 0


def needed_by(
    instruments: Sequence[Instrument], symbols: Sequence[InstrumentId]
) -> dict[InstrumentId, Instrument]:
    """Return the instruments of `symbols`, and those that tell what an option is worth at its end.

    These are its underlying and the other options of that day (`services.executor.venues.expiry`).
    """
    chosen = [each for each in instruments if each.id in symbols]
    ends = {(each.underlying, each.expiry): None for each in chosen if each.right is not None}
    spots = [underlying for underlying, _ in ends]
    return {
        each.id: each
        for each in instruments
        if each.id in symbols or each.id in spots or (each.underlying, each.expiry) in ends
    }


def played(
    source: Source,
    terms: DataTerms,
    instruments: Mapping[InstrumentId, Instrument],
) -> Iterator[MarketEvent]:
    """Yield what is played of `instruments`, oldest first, at its recorded time.

    Raises:
        UserError: while iterating: a file cannot be read.
    """
    events: Iterable[MarketEvent] = source
    if isinstance(source, Recording):
        events = source.only(instruments)
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
        if at_ns >= terms.from_ns and getattr(event, "instrument", None) in instruments:
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
