"""Halts of a part, on a real server: what they name stops, what they do not name goes on."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from schemas import wire
from schemas.control import LeaseAnswered
from schemas.restrictions import (
    Level,
    Restriction,
    RestrictionAcknowledged,
    RestrictionRequested,
)
from schemas.subjects import EPOCH_RECORD, RESET, UNLOCK
from services.runtime.link import ControlLink
from tests.control_rig import lock
from tests.integration.guarded import GuardedServer
from tests.integration.order_path import OrderPath, Trader, order_path
from tests.integration.test_arbiter_live import WAIT_S

pytestmark = pytest.mark.req("G-09", "O-05", "B-05")

SCOPES = {
    "account.paper": {"account": "other"},
    "session.s1": {"session": "s2"},
    "venue.sim": {"instrument": "other:ALPHA"},
    "symbol.sim.ALPHA": {"instrument": "sim:BETA"},
}
"""A scope that the first order is in, and what about another order makes it none of it."""


def run(what: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(what, 6 * WAIT_S))


@pytest.mark.parametrize("payload", [b"", b"\xff", b'{"scope":"all"}', b"[" * 100_000])
@pytest.mark.parametrize("scope", SCOPES)
def test_a_halt_of_a_part_stops_that_part_and_leaves_the_rest_trading(
    tmp_path: Path, server: GuardedServer, scope: str, payload: bytes
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            await it.trade()
            await it.restrict(f"control.halt.{scope}", payload)
            assert it.may() == f"halt of {scope}"
            assert it.may(**SCOPES[scope]) == ""
            await it.leased_anew()  # leases go on behind it
            assert (it.may(), it.may(**SCOPES[scope])) == (f"halt of {scope}", "")

    run(scenario())


@pytest.mark.parametrize("scope", ["planet.mars", "symbol.ALPHA", "session.a.b", "all"])
def test_a_halt_of_a_scope_nobody_knows_stops_everything(
    tmp_path: Path, server: GuardedServer, scope: str
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            await it.trade()
            await it.halt(b'{"reason": "mistyped"}', f"control.halt.{scope}")
            await it.until(lambda: it.opinions() == {"halted"})
            assert it.may("other", "s2", "other:BETA") == "halted"

    run(scenario())


def test_a_reduction_is_on_everything_and_nobody_stops(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            await it.trade()
            await it.restrict("control.reduce", b'{"scope": "venue.nowhere"}')
            await it.leased_anew()
            assert it.may("any", "any", "any:ANY") == "reduce of all"

    run(scenario())


def test_whoever_restricts_gets_an_acknowledgement_as_the_answer(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            answer = await it.connections["viewer"].request("control.halt.venue.sim", b"")
            [found] = wire.decode(answer.data, subject=answer.subject)
            assert isinstance(found, RestrictionAcknowledged)
            assert (found.scope, found.level) == ("venue.sim", Level.HALT)

    run(scenario())


def test_the_core_is_told_what_to_cancel_with_the_scope_of_the_subject(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            await it.restrict("control.halt.venue.sim", b'{"scope":"venue.x","reason":"odd"}')
            [told] = it.traders["executor"].posted
            assert isinstance(told, RestrictionRequested)
            assert (told.scope, told.level, told.reason) == ("venue.sim", Level.HALT, "odd")

    run(scenario())


async def everybody_restarts(it: OrderPath) -> None:
    """Kill arbiter, gate and executor, and bring them back; only journal and stream are left."""
    await it.stop()
    for trader in it.traders.values():
        await trader.restart()
    await it.start()


def test_a_restriction_survives_the_restart_of_every_process(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            await it.trade()
            await it.restrict("control.halt.session.s1", b'{"reason":"odd","operator":"lee"}')
            await everybody_restarts(it)
            epoch = await it.trade()
            assert [(each.number, each.operator) for each in epoch.restrictions] == [(1, "lee")]
            assert (it.may(), it.may(session="s2")) == ("halt of session.s1", "")

    run(scenario())


def test_a_restriction_that_nobody_heard_is_in_force_from_the_next_lease(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            await it.trade()
            await it.stop()  # the arbiter is away; gate and executor are made deaf below
            for trader in it.traders.values():
                trader.guard.restrictions = {}
            it.connections["viewer"].send("control.halt.session.s1", b"")
            await it.connections["viewer"].flush()
            await it.until(lambda: len(it.of(RestrictionAcknowledged)) == 2)
            for trader in it.traders.values():  # as if its message had been lost on the way
                trader.guard.restrictions = {}
                trader.posted.clear()
            await it.start()
            await it.trade()
            assert it.may() == "halt of session.s1"
            for trader in it.traders.values():
                assert [type(each) for each in trader.posted] == [RestrictionRequested]

    run(scenario())


def test_a_reset_by_number_frees_the_part_with_the_next_start(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            await it.trade()
            await it.restrict("control.halt.session.s1")
            assert not (await it.ask(RESET, reason="looked", halt=9)).is_ok
            assert (await it.ask(RESET, reason="looked", halt=1)).is_ok
            assert it.may() == "halt of session.s1", "inside an epoch nothing is taken away"
            await it.trade()
            assert it.may() == ""
            assert await it.stored() == [EPOCH_RECORD, "control.halt.session.s1", EPOCH_RECORD]

    run(scenario())


def test_leases_carry_the_number_that_a_reset_must_name(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            await it.trade()
            await it.restrict("control.reduce.venue.sim", b'{"reason":"thin"}')
            await it.leased_anew()
            newest = it.of(LeaseAnswered)[-1]
            [found] = newest.restrictions
            assert isinstance(found, Restriction)
            assert (found.number, found.reason, found.level) == (1, "thin", Level.REDUCE)

    run(scenario())


def test_a_lock_refuses_reset_and_start_until_a_person_unlocks(
    tmp_path: Path, server: GuardedServer
) -> None:
    async def scenario() -> None:
        async with order_path(tmp_path, server) as it:
            await it.trade()
            await it.halt(b'{"reason":"one id, two orders","operator":"executor"}')
            it.say("executor", lock())
            await it.locked()
            assert not (await it.ask(RESET, reason="looked", halt=1)).is_ok
            await it.stop()
            await it.start()
            assert len((await it.report()).locks) == 1, "a restart unlocks nothing"
            assert not (await it.ask(UNLOCK, reason="", lock=2)).is_ok
            assert (await it.ask(UNLOCK, reason="the venue confirmed one", lock=2)).is_ok
            assert (await it.ask(RESET, reason="looked", halt=1)).is_ok
            await it.trade()
            assert it.may() == ""

    run(scenario())


class DecodesFirst(ControlLink):
    """A control link that restricts only what it can read."""

    def _on_halt(self, subject: str, data: bytes, reply: str) -> None:
        try:
            wire.halt_from(data, subject=subject, at_ns=0)
        except RuntimeError:
            return
        super()._on_halt(subject, data, reply)


@pytest.mark.parametrize(("kind", "is_in_force"), [(ControlLink, True), (DecodesFirst, False)])
def test_without_the_subject_deciding_before_a_byte_is_read_a_broken_decoder_lets_all_pass(
    tmp_path: Path,
    server: GuardedServer,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[ControlLink],
    is_in_force: bool,
) -> None:
    def broken(*_: object, **__: object) -> RestrictionRequested:
        raise RuntimeError("the decoder is broken")

    async def scenario() -> None:
        monkeypatch.setattr("tests.integration.order_path.ControlLink", kind)
        trader = Trader("gate", server)
        await trader.open()
        viewer = await server.connect("viewer")
        monkeypatch.setattr(wire, "halt_from", broken)
        viewer.send("control.halt.session.s1", b"anything")
        await viewer.flush()
        await trader.caught_up()
        assert bool(trader.guard.restrictions) is is_in_force
        await trader.link.close()
        await viewer.close()

    run(scenario())
