"""A cluster of three real nats-servers on loopback."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.recorder.jetstream import read_varz
from services.runtime.supervisor_server import free_port

HOST, NAMES = "127.0.0.1", ("one", "two", "three")
CONFIG = """
server_name: {name}
listen: "{host}:{port}"
http: "{host}:{monitor}"
jetstream {{ store_dir: "{folder}", sync_interval: always }}
cluster {{ name: C, listen: "{host}:{route}", routes: [{routes}] }}
"""


class Cluster:
    """Three servers on loopback that keep what they store together."""

    def __init__(self, folder: Path) -> None:
        ports = [[free_port(HOST, 0) for _ in range(3)] for _ in NAMES]
        routes = ", ".join(f'"nats-route://{HOST}:{each[2]}"' for each in ports)
        self.urls = [f"nats://{HOST}:{each[0]}" for each in ports]
        self.monitors = [f"http://{HOST}:{each[1]}" for each in ports]
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        binary = Path(sys.executable).with_name("nats-server")
        for name, (port, monitor, route) in zip(NAMES, ports, strict=True):
            file = folder / f"{name}.conf"
            file.write_text(
                CONFIG.format(
                    name=name,
                    host=HOST,
                    port=port,
                    monitor=monitor,
                    route=route,
                    routes=routes,
                    folder=folder / name,
                )
            )
            command = [str(binary), "-c", str(file), "-l", str(folder / f"{name}.log")]
            self.servers[name] = subprocess.Popen(command)

    def is_whole(self) -> bool:
        """Return whether a leader knows all three."""
        found = [read_varz(each) or {} for each in self.monitors]
        metas = [each.get("jetstream", {}).get("meta") or {} for each in found]
        return all(meta.get("leader") and meta.get("cluster_size") == 3 for meta in metas)

    def has_died(self) -> bool:
        """Return whether a server is gone: somebody else has taken a port meanwhile."""
        return any(each.poll() is not None for each in self.servers.values())

    def close(self) -> None:
        for server in self.servers.values():
            server.kill()
            server.wait()


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster of which each server knows all."""
    found = Cluster(folder)
    try:
        until(lambda: found.is_whole() or found.has_died())
        if found.has_died():
            found.close()
            found = Cluster(folder)
            until(found.is_whole)
        yield found
    finally:
        found.close()


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline_s, "it never came about"
        time.sleep(0.05)
