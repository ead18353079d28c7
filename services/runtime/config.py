"""Where the bus is, and who this process is on it."""

from pathlib import Path

import msgspec


class BusConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach nats-server."""

    url: str = "nats://127.0.0.1:4222"
    """Address for clients: `nats://HOST:PORT` or `tls://HOST:PORT`; of a cluster several, separated
    by commas: one that answers is enough."""

    keys_dir: Path | None = None
    """Folder with one nkey seed a bus user, `<user>.nk`; None where the server asks for none."""

    monitor_url: str = ""
    """Address of the server's monitoring, `http://HOST:PORT`; of a cluster that of each server,
    separated by commas; empty where there is none."""

    @property
    def urls(self) -> list[str]:
        """The addresses for clients, one each."""
        return _parts(self.url)

    @property
    def monitor_urls(self) -> list[str]:
        """The addresses of the monitoring, one a server."""
        return _parts(self.monitor_url)


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the processes of a system serve their metrics."""

    is_on: bool = True
    """Whether there is an endpoint at all."""

    host: str = "127.0.0.1"
    """Address to listen on; whoever reaches it reads equity and positions."""

    ports: dict[str, int] = {}
    """Service -> port; if it is taken, or not named, a free one."""


def _parts(text: str) -> list[str]:
    return [each for part in text.split(",") if (each := part.strip())]
