"""A disk that is full while the query store tidies its file stops it only for as long as it is."""

import base64
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from schemas.health import AlertRaised, Severity
from schemas.reports import QueryRequest
from services.recorder.queries import store as store_module
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import STORE_FOLDER, Keeper
from services.recorder.queries.opening import FILE, connected
from tests.builders import ACCOUNT
from tests.report_rig import NOON_NS, Recorded

pytestmark = pytest.mark.req("R-04")
CHANCE = random.Random(1)
LOG_BYTES_MAX, SPARE_BYTES = 1 << 20, 1 << 18


def alerts(count: int) -> Iterator[AlertRaised]:
    """Yield alerts of some kilobytes that cannot be compressed."""
    for _ in range(count):
        message = base64.b64encode(CHANCE.randbytes(6_000)).decode()
        yield AlertRaised(
            at_ns=NOON_NS, severity=Severity.INFO, component="gate", code="SLU-1", message=message
        )


@contextmanager
def no_file_beyond(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def with_a_short_log(*where: Any, **how: Any) -> Any:
    """Open a store that tidies its file sixteen times as often, so that the test is short."""
    connection = connected(*where, **how)
    connection.execute(f"SET wal_autocheckpoint = '{LOG_BYTES_MAX}B'")
    return connection


def test_once_there_is_room_again_it_follows_the_record_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "connected", with_a_short_log)
    recorded, file = Recorded(tmp_path), tmp_path / STORE_FOLDER / FILE
    keeper = Keeper(tmp_path, ReportsConfig(), ACCOUNT)
    keeper.is_wanted = True
    count = 0
    while not file.exists() or file.stat().st_size < 2 * LOG_BYTES_MAX:  # the log fits
        recorded.add(*alerts(50))
        count += 50
        assert keeper.feed(0).recorded_count == count
    troubles = []
    for _ in range(6):
        recorded.add(*alerts(50))
        count += 50
        with no_file_beyond(file.stat().st_size + SPARE_BYTES):
            troubles.append(keeper.feed(0).detail)
    assert any("Failed to create checkpoint" in each for each in troubles)
    assert "File too large" in troubles[-1]
    assert keeper.ask(QueryRequest(named="alerts")).error is None, "what is there can be asked for"
    mark = keeper.feed(0)
    assert (mark.detail, mark.recorded_count) == ("", count)
    [row] = keeper.ask(QueryRequest(named="alerts")).rows
    assert row[:4] == ("SLU-1", "info", "gate", count)
    keeper.close()
