"""Limits changed on a running gate, over a real and guarded bus, and there after a restart."""

import asyncio
import json
import re
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from schemas import wire
from schemas.base import BootId, Event
from schemas.control import ControlAnswered
from schemas.health import GateReported
from schemas.limits import LimitChange, LimitsChanged
from schemas.subjects import LIMITS
from services.control import ControlGuard
from services.gate.__main__ import REQUESTS
from services.gate.books import BookQuery
from services.gate.core import GateCore
from services.runtime.fastpath import BusConnection
from services.runtime.journal import Journal
from services.runtime.live import Live
from services.runtime.rights import check_rights, rights_needed
from tests.gate_rig import INSTRUMENTS, config
from tests.integration.guarded import GuardedServer
from tests.limits_rig import GROSS

pytestmark = pytest.mark.req("G-12", "A-01", "A-06")
WAIT_S = 10.0


def run(what: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(what, 3 * WAIT_S))


def request(value: str, **more: Any) -> bytes:
    asked = {"operator": "kim", "reason": "a calm market", "changes": {GROSS: value}, **more}
    return json.dumps(asked).encode()


class Gate:
    """The gate in the test's own loop, and people around it.

    Attributes:
        changed: what a viewer hears on `risk.limits`, in order.
    """

    def __init__(self, folder: Path, server: GuardedServer) -> None:
        self.folder, self.server = folder, server
        self.changed: list[Event] = []
        self.people: dict[str, BusConnection] = {}

    async def start(self) -> None:
        """Start from what the journal holds."""
        guard = ControlGuard("gate", BootId("g1"), "hash")
        core = GateCore(config(), INSTRUMENTS, guard)
        self.journal = Journal(self.folder / "gate.jsonl")
        for event in self.journal.read():
            core.restore(event)
        self.own = await self.server.connect("gate")
        needed = rights_needed("gate", core.hears, requests=REQUESTS, guard=guard)
        assert await check_rights(self.own, "gate", needed)
        live = Live(
            core,
            self.own,
            name="gate",
            boot_id=BootId("g1"),
            clock=time.time_ns,
            adapter=BookQuery(self.own),
            journal=self.journal,
            requests=REQUESTS,
        )
        self.task = asyncio.create_task(live.run())
        await live.listening.wait()

    async def stop(self) -> None:
        """End the gate; nothing of it is left but its journal."""
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.own.close()
        self.journal.close()

    async def open(self) -> None:
        for user in ("viewer", "operator", "console", "strategy"):
            self.people[user] = await self.server.connect(user)
        await self.people["viewer"].take("risk.limits", self._hear)
        await self.people["viewer"].flush()

    async def close(self) -> None:
        await self.stop()
        for each in self.people.values():
            await each.close()

    async def ask(self, payload: bytes) -> ControlAnswered:
        answer = await self.people["operator"].request(LIMITS, payload, timeout=WAIT_S)
        [found] = wire.decode(answer.data, subject=LIMITS)
        assert isinstance(found, ControlAnswered)
        return found

    async def report(self) -> GateReported:
        answer = await self.people["viewer"].request("query.gate", timeout=WAIT_S)
        [found] = wire.decode(answer.data, subject="query.gate")
        assert isinstance(found, GateReported)
        return found

    async def gross_max(self) -> tuple[str, str, str]:
        """Return what is in force, what is configured, and why they differ."""
        report = await self.report()
        [view] = [each for each in report.in_force if each.name == "gross_notional_max"]
        return view.in_force, view.configured, view.why

    def _hear(self, subject: str, data: bytes, reply: str) -> int:
        self.changed += wire.decode(data, subject=subject)
        return 1


def test_an_operators_change_is_answered_audited_in_force_and_outlives_the_gate(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def story() -> None:
        gate = Gate(tmp_path, server)
        await gate.open()
        await gate.start()
        assert await gate.gross_max() == ("30000", "30000", "")
        answer = await gate.ask(request("25000"))
        assert (answer.is_ok, answer.request, answer.errors) == (True, "limits", ())
        await gate.people["viewer"].flush()
        [heard] = gate.changed
        assert isinstance(heard, LimitsChanged)
        assert (heard.change_seq, heard.operator, heard.reason) == (1, "kim", "a calm market")
        assert heard.changes == (
            LimitChange(path=GROSS, before="30000", after="25000", configured="30000"),
        )
        await gate.stop()
        await gate.start()
        assert await gate.gross_max() == ("25000", "30000", "kim: a calm market")
        assert (await gate.report()).limits_hash == "hash", "it names the file, not the change"
        await gate.close()

    run(story())


def test_a_request_that_cannot_be_done_changes_nothing_and_says_everything(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def story() -> None:
        gate = Gate(tmp_path, server)
        await gate.open()
        await gate.start()
        beyond = await gate.ask(request("30001"))
        assert [error.path for error in beyond.errors] == [GROSS]
        unread = await gate.ask(request("1", opperator="kim"))
        assert (unread.is_ok, len(unread.errors)) == (False, 1)
        assert not (await gate.ask(b"\xff")).is_ok
        assert await gate.gross_max() == ("30000", "30000", "")
        assert gate.changed == []
        await gate.close()

    run(story())


@pytest.mark.parametrize("user", ["viewer", "console", "strategy"])
def test_who_is_no_operator_changes_no_limit(
    tmp_path: Path, server: GuardedServer, user: str
) -> None:
    async def story() -> None:
        gate = Gate(tmp_path, server)
        await gate.open()
        await gate.start()
        person = gate.people[user]
        person.send(LIMITS, request("1"))
        await person.flush()
        refused = [re.findall('"([^"]+)"', text)[-1] for text in person.refusals]
        assert refused == [LIMITS]
        assert await gate.gross_max() == ("30000", "30000", "")
        await gate.close()

    run(story())
