"""Many backtests of one plan with other parameters: in several processes, and to be gone on with.

Each result is a line of a file of its own for this very plan, written and synced as it comes. Run
again, what is in the file is not run again. The last line of a run that was killed may be torn:
that one is run again. How many processes work, and in which order they finish, changes nothing.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.errors import SluiceError, UserError
from schemas.results import Figures
from services.backtest.run import Plan, run
from services.runtime.workers import shared

FIGURES = tuple(
    each.name
    for each in msgspec.structs.fields(Figures)
    if each.name not in ("initial_capital", "refusals")
)
"""What results can be ordered by."""

SMALL_IS_GOOD = frozenset({"drawdown_max", "drawdown_ns_max", "volatility", "fees", "slippage"})
NAME_CHARS = 16


class Tried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One backtest of a sweep."""

    parameters: dict[str, Any]
    """Those that differ between the backtests of the sweep."""

    figures: Figures | None = None
    """None where it could not be run."""

    journal_hash: str = ""
    failure: str = ""
    """Why it could not be run, or why its strategy ended early."""


class _Raised(NamedTuple):
    """What a worker raised, in parts: a pool breaks at an error that it cannot copy."""

    kind: type[SluiceError]
    code: str
    fields: dict[str, str]


def grid(choices: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination of choices, the last name changing fastest."""
    return [dict(zip(choices, each, strict=True)) for each in product(*choices.values())]


class Sweep:
    """A plan, the combinations to be tried, and the file of those that were.

    Args:
        plan: what all of them have in common.
        combinations: parameters, each laid over the plan's.
        folder: where the file is, or will be.
    """

    def __init__(self, plan: Plan, combinations: Sequence[dict[str, Any]], folder: Path) -> None:
        self._plan = plan
        self._combinations = combinations
        encoded = msgspec.json.encode(plan, order="deterministic")
        name = hashlib.sha256(encoded).hexdigest()[:NAME_CHARS]
        self.file = folder / f"{plan.strategy.rpartition(':')[2]}-{name}.jsonl"
        self.tried = self._read()

    def __len__(self) -> int:
        """Return how many combinations there are."""
        return len(self._combinations)

    @property
    def left(self) -> list[dict[str, Any]]:
        """Combinations that were not tried yet, in order."""
        return [each for each in self._combinations if _key(each) not in self.tried]

    def work(self, jobs: int) -> Iterator[Tried]:
        """Try what is left, and yield each as it is done and stored.

        Raises:
            UserError: SLU-110 nothing was recorded between its dates, or a file cannot be read;
                SLU-213 a process that worked on it was ended from outside.
        """
        left = self.left
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            _begin_line(self.file, file)
            for tried in _trials(self._plan, left, jobs):
                file.write(msgspec.json.encode(tried) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                self.tried[_key(tried.parameters)] = tried
                yield tried

    def ranked(self, figure: str) -> list[Tried]:
        """Return all that were tried, the best by `figure` first, the unknown last.

        Of the same rank in the order of the grid.
        """
        found = [
            self.tried[key] for each in self._combinations if (key := _key(each)) in self.tried
        ]
        sign = 1 if figure in SMALL_IS_GOOD else -1

        def rank(tried: Tried) -> tuple[bool, float]:
            value = None if tried.figures is None else getattr(tried.figures, figure)
            return (True, 0.0) if value is None else (False, sign * float(value))

        return sorted(found, key=rank)

    def _read(self) -> dict[bytes, Tried]:
        found: dict[bytes, Tried] = {}
        if not self.file.exists():
            return found
        for line in self.file.read_bytes().splitlines():
            try:
                tried = msgspec.json.decode(line, type=Tried)
            except msgspec.MsgspecError:
                continue  # torn when its run was killed: it is tried again
            found[_key(tried.parameters)] = tried
        return found


def trial(plan: Plan, parameters: dict[str, Any]) -> Tried:
    """Run one combination; one that the strategy refuses is a result too."""
    own = msgspec.structs.replace(plan, parameters={**plan.parameters, **parameters})
    try:
        outcome = run(own)
    except UserError as error:
        if error.code != "SLU-151":
            raise
        return Tried(parameters=parameters, failure=error.fields["found"])
    return Tried(
        parameters=parameters,
        figures=outcome.figures,
        journal_hash=outcome.journal_hash,
        failure=outcome.failure,
    )


def _trials(plan: Plan, left: Sequence[dict[str, Any]], jobs: int) -> Iterator[Tried]:
    if jobs <= 1 or len(left) <= 1:
        for each in left:
            yield trial(plan, each)
        return
    encoded = msgspec.json.encode(plan)
    for found in shared(_trial, left, jobs, begin=_know, args=(encoded,)):
        if isinstance(found, _Raised):
            raise found.kind(found.code, **found.fields)
        yield found


_plan: Plan | None = None


def _know(encoded: bytes) -> None:
    """Begin a worker: it knows the plan."""
    global _plan
    _plan = msgspec.json.decode(encoded, type=Plan)


def _trial(parameters: dict[str, Any]) -> Tried | _Raised:
    assert _plan is not None, "a worker knows the plan before it works"
    try:
        return trial(_plan, parameters)
    except SluiceError as error:
        return _Raised(type(error), error.code, error.fields)


def _begin_line(path: Path, file: Any) -> None:
    """End a torn last line, so that the next result stands on one of its own."""
    content = path.read_bytes()[-1:]
    if content not in (b"", b"\n"):
        file.write(b"\n")


def _key(parameters: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(parameters, order="deterministic", enc_hook=str)
