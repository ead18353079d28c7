"""Beside a journal that `queries` writes: a store fed from it, and asked without pause."""

import os
import sys
import threading
from pathlib import Path

from schemas.base import AccountId
from schemas.reports import QueryRequest
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from services.recorder.queries.named import NAMED

NICENESS = 10
"""The reports service's own."""


def _wait(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def main() -> None:
    """Feed and ask until standard input ends; then print how often was asked."""
    os.nice(NICENESS)
    keeper = Keeper(Path(sys.argv[1]), ReportsConfig(scheduled=()), AccountId("paper"))
    keeper.is_wanted = True
    over = threading.Event()
    threading.Thread(target=_wait, args=(over,), daemon=True).start()
    keeper.feed(0)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    asked_count = 0
    while not over.is_set():
        keeper.feed(0)
        for name in NAMED:
            if keeper.ask(QueryRequest(named=name, timeout_ms=60_000)).error is not None:
                sys.exit(1)
            asked_count += 1
            if over.is_set():
                break
    sys.stdout.write(f"{asked_count}\n")
    keeper.close()


if __name__ == "__main__":
    main()
