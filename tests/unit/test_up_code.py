"""How `sluice up` ends says whether there was trading, whoever started it."""

import asyncio
from typing import Any

import pytest

from schemas.control import EpochStarted
from services.cli import up as command
from services.cli.exits import Exit
from services.cli.output import Output
from services.cli.up_watch import UpWatch
from tests.unit.test_cli_unknown import Last

pytestmark = pytest.mark.req("O-01")


class Supervisor:
    """Has nothing to stop."""

    async def stop(self, *, after: str | None = None) -> None:
        return None


@pytest.mark.parametrize(
    ("is_later", "was_failed", "code"),
    [
        (False, False, Exit.REFUSED),
        (True, False, Exit.OK),
        (True, True, Exit.FAILED),
        (False, True, Exit.FAILED),
    ],
)
def test_a_start_that_was_refused_is_no_end_where_somebody_started_later(
    monkeypatch: pytest.MonkeyPatch, is_later: bool, was_failed: bool, code: Exit
) -> None:
    async def refused(*_: object) -> tuple[bool, list[str]]:
        return False, ["HALTED"]

    async def show(self: Any, watch: UpWatch) -> None:
        if was_failed:
            self._code = Exit.FAILED
        if is_later:
            start = EpochStarted(at_ns=1, epoch=1, start_id="s", operator="kim", members={})
            watch._hear(start)

    monkeypatch.setattr(command, "start_by_itself", refused)
    monkeypatch.setattr(command._Up, "_show", show)
    found: Any = command._Up.__new__(command._Up)
    found._run, found._output, found._supervisor = None, Output(is_json=True), Supervisor()
    found._is_starting, found._for_s, found._until_end = True, 1.0, False
    found._began_s, found._code, found._is_stopping = 0.0, Exit.OK, False
    desk: Any = Last("")
    asyncio.run(found._trade(desk))
    assert found._code == code
