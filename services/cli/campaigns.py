"""`sluice bench` and `sluice sim`: how fast it is, and what it survives."""

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from schemas.errors import UserError
from services.cli.exits import Exit
from services.cli.locate import Place, default_root
from services.cli.output import Output
from services.cli.quick_banner import quick_banner


def bench(
    *names: Annotated[str, Parameter(help="chain, gate, fused, halt, ...; none means all.")],
    json_file: Annotated[
        Path | None, Parameter(name="--json", help="Write the figures to this file.")
    ] = None,
) -> Exit:
    """Measure, each figure beside a yardstick taken in the same run. Never part of the tests."""
    found = importlib.import_module("services.bench.main").run(list(names), json_file)
    return Exit(found or 0)


def sim(
    *,
    seeds: Annotated[int, Parameter(help="How many seeds to try, from 0.")] = 50,
    seed: Annotated[int | None, Parameter(help="Replay this one.")] = None,
    place: Place | None = None,
) -> Exit:
    """Run the system on a bus that loses, delays, repeats and reorders; invariants must hold.

    Uses the simulation tests of the checkout: `./ops/setup --dev` first.
    """
    output = Output((place or Place()).as_json)
    quick_banner(place or Place(), output)
    root = default_root()
    folder = root / "tests" / "sim"
    if not folder.is_dir() or importlib.util.find_spec("pytest") is None:
        wanted = "a checkout with the developer's tools: ./ops/setup --dev"
        raise UserError("SLU-102", path=folder, found="no simulation tests", wanted=wanted)
    command = [sys.executable, "-m", "pytest", "-q", str(folder)]
    command += ["--seed", str(seed)] if seed is not None else ["--seeds", str(seeds)]
    is_quiet = output.is_json
    done = subprocess.run(command, cwd=root, check=False, capture_output=is_quiet, text=True)
    tail = done.stdout.strip().splitlines()[-1:] if is_quiet else []
    if output.is_json:
        print(json.dumps({"is_ok": done.returncode == 0, "seeds": seeds, "said": tail}))
    if done.returncode != 0 and seed is None:
        output.next_step("sluice sim --seed N of the failing one")
    return Exit.OK if done.returncode == 0 else Exit.FAILED
