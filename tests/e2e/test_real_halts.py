"""Halts of real processes, judged by the log of a venue that has none of our code in it."""

import asyncio
import random
from pathlib import Path

import msgspec
import pytest

from schemas.base import AccountId, InstrumentId
from schemas.control import EpochStarted
from schemas.orders import OrderApproved
from schemas.subjects import HALT, subject_of
from schemas.wire import encode
from services.control import LEASE_NS
from services.runtime.clock import Clock
from tests.builders import order
from tests.e2e.proof import Proof, boottime_ns, proof

QUOTES_PER_S = 20_000
PAYLOADS = (b"", b"\xff", b'{"halt": false}', b'{"reason": "proof"}', b"0" * 65_536)
SLACK_NS = 100_000_000
"""For the venue's own process to be given a core: its clock is read when it reads."""


async def halt_at_random(found: Proof, halts: int, chance: random.Random) -> None:
    """Halt so many times at random moments of a market; start again each time."""
    found.noise(QUOTES_PER_S)
    for number in range(halts):
        await found.start()
        await asyncio.sleep(chance.uniform(0, 0.3))
        await found.bus.publish(HALT, chance.choice(PAYLOADS))
        await found.acknowledgement("executor")
        found.mark(f"halted {number}")
        await asyncio.sleep(chance.uniform(0, 0.1))
        found.mark(f"starts {number}")
    found.judge()
    for number in range(halts):
        after = found.orders_between(f"halted {number}", f"starts {number}")
        assert after == [], f"orders after the executor's acknowledgement of halt {number}"
    assert len(found.orders()) >= halts // 2, "hardly any order: nothing was shown"


@pytest.mark.req("G-09", "O-05", "B-05")
def test_nothing_reaches_the_venue_after_an_acknowledged_halt(tmp_path: Path) -> None:
    async def main() -> None:
        async with proof(tmp_path) as found:
            await halt_at_random(found, 15, random.Random(1))

    asyncio.run(main())


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.req("G-09", "O-05", "B-05")
def test_nothing_reaches_the_venue_after_200_acknowledged_halts(tmp_path: Path) -> None:
    async def main() -> None:
        async with proof(tmp_path) as found:
            await halt_at_random(found, 200, random.Random(200))

    asyncio.run(main())


async def pause_and_halt(found: Proof, name: str, pause_s: float) -> None:
    """Stop a process in full trade, halt meanwhile, let it go on: nothing more may come."""
    await found.start()
    await found.orders_flow()
    found.pause(name)
    halted_ns = boottime_ns()
    if name != "nats":
        await found.bus.publish(HALT, b"")
        await found.bus.flush()
    await asyncio.sleep(pause_s)
    found.go_on(name)
    if name == "nats":
        await found.halt_until_heard()
    else:
        await found.acknowledgement("executor")
    found.mark(f"{name} {pause_s}")
    await asyncio.sleep(0.2)
    found.mark("end")
    assert found.orders_between(f"{name} {pause_s}", "end") == []
    if pause_s * 1e9 > LEASE_NS + SLACK_NS and name != "nats":
        late_ns = halted_ns + LEASE_NS + SLACK_NS
        assert [each for at_ns, each in found.orders() if at_ns > late_ns] == []
    found.judge()


PAUSED = ("executor", "gate", "breaker", "nats")


@pytest.mark.parametrize(
    "pauses_s",
    [
        (0.1, 2.0),
        pytest.param((10.0,), marks=pytest.mark.long),
        pytest.param((30.0,), marks=pytest.mark.long),
    ],
)
@pytest.mark.timeout(300)
@pytest.mark.req("X-10", "O-05")
def test_a_paused_process_sends_nothing_stale_when_it_goes_on(
    tmp_path: Path, pauses_s: tuple[float, ...]
) -> None:
    async def main() -> None:
        async with proof(tmp_path) as found:
            found.noise(2_000)
            for name in PAUSED:
                for pause_s in pauses_s:
                    await pause_and_halt(found, name, pause_s)

    asyncio.run(main())


@pytest.mark.req("X-10")
def test_without_its_arbiter_nothing_is_sent_beyond_one_lease(tmp_path: Path) -> None:
    async def main() -> None:
        async with proof(tmp_path) as found:
            found.noise(2_000)
            await found.start()
            await found.orders_flow()
            found.pause("breaker")
            stopped_ns = boottime_ns()
            await asyncio.sleep(2.5)
            found.mark("end")
            late_ns = stopped_ns + LEASE_NS + SLACK_NS
            assert [each for at_ns, each in found.orders() if at_ns > late_ns] == []
            found.judge()

    asyncio.run(main())


@pytest.mark.req("X-10")
def test_a_killed_bus_ends_all_sending_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with proof(tmp_path) as found:
            found.noise(2_000)
            await found.start()
            await found.orders_flow()
            found.server.process.kill()
            found.server.process.wait()
            await asyncio.sleep(0.1)
            found.mark("killed")
            await asyncio.sleep(1.5)
            found.mark("end")
            assert found.orders_between("killed", "end") == []
            found.judge()

    asyncio.run(main())


async def approve_without_end(found: Proof, epoch: EpochStarted) -> None:
    """Approve orders as the gate does, past the gate: whatever else happens, they keep coming."""
    clock, number = Clock(), 0
    while True:
        number += 1
        now_ns = clock()
        made = order(
            f"forged-{number}",
            instrument=InstrumentId("bench:S0001"),
            expires_at_ns=now_ns + 2_000_000_000,
        )
        forged = msgspec.structs.replace(made, account=AccountId("bench"))
        approved = OrderApproved(
            at_ns=now_ns, order=forged, epoch=epoch.epoch, gate_token=epoch.gate_token
        )
        await found.bus.publish(subject_of(approved), encode(approved))
        await asyncio.sleep(0.005)


async def orders_beyond_the_lease(found: Proof) -> list[str]:
    """Halt an executor that cannot hear it; return the orders later than one lease after that.

    Its control connection is half open, its data connection brings approvals all the time.
    """
    epoch = await found.start()
    approving = asyncio.ensure_future(approve_without_end(found, epoch))
    try:
        await found.orders_flow(20)
        found.proxy.freeze()
        await found.bus.publish(HALT, b"")
        halted_ns = boottime_ns()
        await asyncio.sleep(2.5)
        found.mark("end")
    finally:
        approving.cancel()
    orders = found.orders()
    assert any(at_ns > halted_ns for at_ns, _ in orders), "it heard of the halt at once"
    late_ns = halted_ns + LEASE_NS + SLACK_NS
    return [each["order_id"] for at_ns, each in orders if at_ns > late_ns]


@pytest.mark.req("X-10", "O-05")
def test_an_executor_that_never_hears_the_halt_stops_within_its_lease(tmp_path: Path) -> None:
    async def main() -> None:
        async with proof(tmp_path) as found:
            assert await orders_beyond_the_lease(found) == []
            found.judge()

    asyncio.run(main())


def test_without_the_lease_an_executor_that_hears_nothing_trades_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with proof(tmp_path, executor="tests.e2e.careless_executor") as found:
            assert len(await orders_beyond_the_lease(found)) > 20

    asyncio.run(main())
