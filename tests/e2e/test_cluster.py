"""The whole system on a cluster of three real nats-servers, one of which is killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import NAMES, Cluster, running_cluster
from tests.e2e.system import System
from tests.e2e.test_kill_and_halt import placed_at_the_venue

pytestmark = [pytest.mark.req("O-04", "R-01", "A-05"), pytest.mark.timeout(180)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path) as found:
        yield found


def test_trading_goes_on_by_itself_when_a_server_of_the_cluster_is_killed(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No lease is granted while the control stream has no leader; then trading goes on (O-04)."""
    system = System(tmp_path_factory.mktemp("on-a-cluster"))
    try:
        system.up(
            *("--nats-url", ",".join(cluster.urls)),
            *("--set", f"bus.monitor_url={','.join(cluster.monitors)}"),
            *("--set", "recorder.replicas=3"),
        )
        before = system.wait_for_fills(3)
        assert (before["durable"], before["silent"]) == (True, [])
        epoch = before["epoch"]
        cluster.servers[NAMES[0]].kill()
        wanted = before["fills"] + 10  # some of them in the last second of the lease that it had
        after = system.wait_until(
            lambda s: s["trading_state"] == "RUNNING" and (s.get("fills") or 0) >= wanted
        )
        assert (after["trading_state"], after["epoch"], after["halt"]) == ("RUNNING", epoch, None)
        assert max(placed_at_the_venue(system).values()) == 1
        audit = system.run("audit", "verify", "--json")
        assert '"is_whole": true' in audit.stdout
    finally:
        system.close()
