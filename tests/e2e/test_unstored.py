"""A bus that stores nothing more, and tells nobody, ends trading by the recorder's own eyes."""

import asyncio
from pathlib import Path

import pytest

from schemas.control import TradingState
from schemas.health import ArbiterReported
from services.control import LEASE_NS
from tests.conftest import NatsServer
from tests.e2e import proof as system
from tests.e2e.proof import Proof, boottime_ns, proof
from tests.e2e.test_real_halts import SLACK_NS

STORE = "jetstream {{ max_file_store: {} }}\n"
FULL_AT_BYTES = 12 * 1024 * 1024
PIECE_BYTES = 200_000
NOWHERE = "scan.rule.sim.ALPHA"
"""Stored by the stream of the beats, and heard by nobody."""


async def fill(found: Proof) -> None:
    """Publish until the store must be full: JetStream refuses what is beyond, and tells nobody."""
    for _ in range(2 * FULL_AT_BYTES // PIECE_BYTES):
        await found.bus.publish(NOWHERE, b"x" * PIECE_BYTES)
        await found.bus.flush()


WHY = "recorder: not ready: the bus does not store what is published: risk.account.bench "


async def refused(found: Proof) -> ArbiterReported:
    """Return the first report of an arbiter that lets nobody trade because nothing is stored."""
    async with asyncio.timeout(system.PATIENCE_S):
        while True:
            report = await found.arbiter()
            if report is not None and WHY in report.detail:
                return report
            await asyncio.sleep(0.05)


@pytest.mark.req("R-01", "O-05")
def test_trading_stops_when_the_bus_stores_nothing_more_and_no_monitoring_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = tmp_path / "limited.conf"
    limited.write_text(STORE.format(FULL_AT_BYTES))
    monkeypatch.setattr(system, "NatsServer", lambda folder: NatsServer(folder, "-c", str(limited)))

    async def main() -> None:
        async with proof(tmp_path) as found:
            found.noise(200)
            await found.start()
            await found.orders_flow()
            await fill(found)
            report = await refused(found)
            late_ns = boottime_ns() + LEASE_NS + SLACK_NS
            assert report.trading_state is TradingState.HALTED
            await asyncio.sleep(2.5)
            found.mark("end")
            assert [each for at_ns, each in found.orders() if at_ns > late_ns] == []
            found.judge()

    asyncio.run(main())
