"""`sluice bench`: runs benchmarks by name, prints each figure beside its yardstick."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from schemas.errors import SluiceError, UserError
from services.bench import (
    chain,
    footprint,
    fused,
    gate,
    halt,
    record,
    recover,
    sessions,
    throughput,
)
from services.bench.result import Result, machine


def _queries(rounds: int) -> Result:
    """Run `queries`; its store is loaded only then."""
    from services.bench import queries

    return queries.run(rounds)


BENCHMARKS: dict[str, Callable[[int], Result]] = {
    "chain": chain.run,
    "gate": gate.run,
    "throughput": throughput.run,
    "fused": fused.run,
    "halt": halt.run,
    "recover": recover.run,
    "footprint": footprint.run,
    "sessions": sessions.run,
    "queries": _queries,
    "record": record.run,
}
ROUNDS = 5


def run(names: Sequence[str], json_path: Path | None = None, rounds: int = ROUNDS) -> bool:
    """Run the named benchmarks, all if none is named; return whether every goal was reached.

    Raises:
        UserError: SLU-103 there is no benchmark of such a name.
    """
    for name in names:
        if name not in BENCHMARKS:
            raise UserError("SLU-103", found=name, wanted="one of " + ", ".join(BENCHMARKS))
    results: dict[str, Any] = {"machine": machine()}
    is_ok = True
    for name in names or BENCHMARKS:
        try:
            result = BENCHMARKS[name](rounds)
        except SluiceError as error:
            empty: dict[str, float] = {}
            result = Result(
                value=empty,
                yardstick=empty,
                ratio=empty,
                goal="",
                ok=False,
                rounds=0,
                failure=str(error),
            )
        results[name] = result
        is_ok = is_ok and result.ok
        sys.stdout.write(_text(name, result))
        sys.stdout.flush()
    if json_path is not None:
        json_path.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    return is_ok


def _text(name: str, result: Result) -> str:
    lines = [f"{name}: {'reached' if result.ok else 'NOT REACHED'}: {result.goal}"]
    if result.failure:
        lines = [f"{name}: FAILED, no figure: {result.failure}"]
    for title, figures in (
        ("value", result.value),
        ("yardstick", result.yardstick),
        ("ratio", result.ratio),
    ):
        if figures:
            lines.append(f"  {title:10}" + "  ".join(f"{k} {v:,.10g}" for k, v in figures.items()))
    return "\n".join(lines) + "\n"
