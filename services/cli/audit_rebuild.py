"""`sluice audit rebuild`: the query store made anew from the record."""

import time
from pathlib import Path

from schemas.base import AccountId
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of, works_alone
from services.cli.output import Output
from services.cli.progress import progress
from services.recorder.queries.config import ReportsConfig


def rebuild(*, place: Place | None = None) -> Exit:
    """Make the store that queries read anew from the record, which is not touched.

    In a running system the reports service does it at once, and answers meanwhile with what is
    there; else it is done here.
    """
    from services.recorder.queries.keeper import REBUILD, STORE_FOLDER
    from services.recorder.queries.making import require_record

    where = place or Place()
    output, data_dir = Output(where.as_json), data_dir_of(where)
    folder = require_record(data_dir)
    marker = data_dir / STORE_FOLDER / REBUILD
    marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    marker.touch()
    if not works_alone(where):
        output.data({"is_done": False, "by": "the reports service"})
        output.line("asked the reports service to make it anew; see `sluice query --named events`")
        return Exit.OK
    began_s = time.monotonic()
    n = _rebuilt(data_dir, folder)
    took_s = time.monotonic() - began_s
    output.data({"is_done": True, "recorded_count": n, "took_s": round(took_s, 3)})
    output.line(f"{n:,} records in {took_s:,.1f} s")
    return Exit.OK


def _rebuilt(data_dir: Path, folder: Path) -> int:
    from services.recorder.queries.keeper import Keeper

    total = sum(path.stat().st_size for path in folder.glob("chain-*"))
    keeper = Keeper(data_dir, ReportsConfig(scheduled=()), AccountId(""))
    try:
        with progress("rebuilding", total) as on_bytes:
            return keeper.follow_all(on_bytes)
    finally:
        keeper.close()
