"""What the scanner finds reaches whoever listens, over the guarded bus (M-04)."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg

from tests.integration.feed_process import feed_process
from tests.integration.guarded import GuardedServer

WAIT_S = 30.0
WIDE_BPS = Decimal("0.001")
"""Every market is wider than this: each instrument is worth a look, once."""


@contextmanager
def feed(folder: Path, server: GuardedServer, **scanner: Any) -> Iterator[None]:
    """The feed as a process, with a market of its own; the other rules are off."""
    off = dict.fromkeys(("move_bps_min", "basis_bps_min", "funding_bps_min"), "0")
    resolved = {
        "bus": {"url": server.url, "keys_dir": str(server.bus.keys_dir)},
        "account": {"id": "paper", "currency": "USD", "initial_cash": "1"},
        "feed": {"scanner": {"every_ms": 100, "volume_times_min": "0", **off, **scanner}},
        "metrics": {"is_on": False},
        "paths": {"data_dir": str(folder / "var")},
    }
    config = folder / "config.json"
    config.write_text(json.dumps(resolved))
    with feed_process(config):
        yield


def listened(folder: Path, count: int, **scanner: Any) -> dict[str, dict[str, Any]]:
    """Return by subject what a plain client of a viewer hears on `scan.>`, once it is so much."""
    server = GuardedServer(folder / "bus")
    heard: dict[str, dict[str, Any]] = {}

    async def main() -> None:
        is_enough = asyncio.Event()

        async def take(message: Msg) -> None:
            heard[message.subject] = json.loads(message.data)
            if len(heard) == count:
                is_enough.set()

        seed = server.folder / "keys" / "viewer.nk"
        client = await nats.connect(server.url, nkeys_seed=str(seed))
        try:
            await client.subscribe("scan.>", cb=take)
            await client.flush()
            with feed(folder, server, **scanner):
                await asyncio.wait_for(is_enough.wait(), WAIT_S)
        finally:
            await client.close()

    try:
        asyncio.run(main())
    finally:
        server.stop()
    return heard


@pytest.mark.req("M-04")
def test_whoever_listens_on_scan_hears_of_every_opportunity_once_it_begins(tmp_path: Path) -> None:
    names = ("ALPHA", "BETA", "DELTA", "GAMMA")
    heard = listened(tmp_path, len(names), spread_bps_min=str(WIDE_BPS))
    assert heard.keys() == {f"scan.spread.sim.{name}" for name in names}
    for subject, told in heard.items():
        assert (told["type"], told["rule"]) == ("OpportunityFound", "spread")
        assert told["instrument"] == f"sim:{subject.rpartition('.')[2]}"
        assert Decimal(told["value"]) > Decimal(told["threshold"]) == WIDE_BPS
        assert told["src"].startswith("feed-")
