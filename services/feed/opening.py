"""From what a person wrote (`simulated`, `replay:PATH`) to a source of market data."""

from pathlib import Path

from schemas.errors import UserError
from services.feed.binance import BinanceCapture
from services.feed.config import FeedConfig
from services.feed.lean import series_of
from services.feed.lean_names import WANTED_NAME, lean_file
from services.feed.lines import missing, unreadable
from services.feed.plain_csv import CsvSeries
from services.feed.simulated import Simulated
from services.feed.source import Recording, Series, Source

SIMULATED = "simulated"
REPLAY = "replay:"
WANTED_SPEC = "simulated, or replay:PATH"
WANTED_RECORDING = (
    "a wire capture (.gz), a LEAN zip (.zip), a CSV file (.csv), or a folder that holds some"
)


def open_source(spec: str, config: FeedConfig | None = None) -> Source:
    """Return the source that `spec` names; its path says what kind of recording it is.

    Args:
        spec: `simulated`, or `replay:PATH`.
        config: for the simulated market's seed, symbols and rate; defaults if there is none.

    Raises:
        UserError: SLU-100 `spec` is neither; SLU-102 nothing is there; SLU-110 what is there is
            not a recording.
    """
    config = FeedConfig() if config is None else config
    if spec == SIMULATED:
        return Simulated(
            seed=config.seed,
            symbols=config.symbols,
            quotes_per_s=config.quotes_per_s,
            pools=config.pools,
        )
    if not spec.startswith(REPLAY) or spec == REPLAY:
        raise UserError("SLU-100", path="feed.source", found=repr(spec), wanted=WANTED_SPEC)
    return open_recording(Path(spec.removeprefix(REPLAY)).expanduser())


def open_recording(path: Path) -> Recording:
    """Return the recording at `path`: of one file, or of all in a folder and its folders.

    Raises:
        UserError: SLU-102 nothing is there; SLU-110 it is not a recording.
    """
    if path.is_dir():
        return Recording(path.name, _series_in(path))
    if not path.is_file():
        raise missing(path, "nothing there", WANTED_RECORDING)
    if path.suffix == ".gz":
        return Recording(path.name, [BinanceCapture(path)])
    if path.suffix == ".csv" and not _is_lean(path):
        return Recording(path.name, [CsvSeries(path)])
    if path.suffix not in (".zip", ".csv"):
        raise unreadable(path, f"a file {path.suffix or 'without ending'}", WANTED_RECORDING)
    file = lean_file(path)
    if file is None:
        raise unreadable(path, path.name, WANTED_NAME)
    return Recording(path.name, series_of([file]))


def _series_in(folder: Path) -> list[Series]:
    """Return every recording in `folder`; other files (a README) may stand beside them."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    captures: list[Series] = [BinanceCapture(path) for path in paths if path.suffix == ".gz"]
    sheets = [CsvSeries(p) for p in paths if p.suffix == ".csv" and not _is_lean(p)]
    zips = [lean_file(p) for p in paths if p.suffix == ".zip" or _is_lean(p)]
    lean = series_of(file for file in zips if file is not None)
    found = [*captures, *sheets, *lean]
    if not found:
        names = ", ".join(path.name for path in paths[:5]) or "an empty folder"
        raise unreadable(folder, names, WANTED_RECORDING)
    return found


def _is_lean(path: Path) -> bool:
    return path.suffix == ".csv" and path.parent.name == "margin_interest"
