"""The same targets under atheris, which looks for payloads by the code they reach: a program.

    python -m tests.fuzz.guided halt|start [-runs=N] [-max_total_time=S] [CORPUS_FOLDER]

Needs atheris, of the extra `dev`. Ends with code 77, and the payload in a file, once one breaks the
promise.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

from tests.fuzz.mutations import SEEDS


def main(arguments: list[str]) -> None:
    """Fuzz one target until the runs are done, or a payload breaks it."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["schemas", "services.runtime", "services.control"]):
        targets = importlib.import_module("tests.fuzz.targets")
    halting, starting = targets.Halting(), targets.Starting()
    subjects = (*targets.HALTS, *targets.PARTS)

    def halt(data: bytes) -> None:
        halting.one(data[1:], subjects[(data[0] if data else 0) % len(subjects)])

    def start(data: bytes) -> None:
        starting.one(data)

    for folder in [each for each in arguments[2:] if not each.startswith("-")]:
        for number, seed in enumerate(SEEDS):
            Path(folder, f"seed-{number}").write_bytes(seed)
    target = {"halt": halt, "start": start}[arguments[1]]
    atheris.Setup([arguments[0], *arguments[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
