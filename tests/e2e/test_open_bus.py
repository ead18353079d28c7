"""`sluice up` on somebody's nats-server says whether that asks anybody who he is."""

from pathlib import Path

import pytest

from tests.conftest import NatsServer
from tests.e2e.system import System

pytestmark = pytest.mark.req("A-01")


def warnings_of(folder: Path, *arguments: str) -> list[str]:
    done = System(folder).run("up", "--no-start", "--for", "0", *arguments)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stderr.splitlines() if "WARNING" in line]


def test_up_on_an_open_bus_warns_that_anybody_may_trade(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    assert warnings_of(tmp_path, "--nats-url", nats_server.url) == [
        f"sluice: WARNING: the bus at {nats_server.url} lets anybody in, without a key: rights and "
        "roles do not hold there; use ops/nats/server.conf: whoever reaches this bus may trade"
    ]


def test_up_with_a_server_of_its_own_has_nothing_to_warn_of(tmp_path: Path) -> None:
    assert warnings_of(tmp_path) == []
