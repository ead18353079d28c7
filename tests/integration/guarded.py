"""A real nats-server with the product's own configuration, for one test."""

import os
import subprocess
import sys
from pathlib import Path

from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.keys import SYNC_DEFAULT, ensure_keys, server_environment
from tests.conftest import ROOT, NatsServer

CONFIGURATION = ROOT / "ops" / "nats" / "server.conf"


class GuardedServer(NatsServer):
    """Started as the supervisor starts it; `configuration` is the committed one unless given.

    Attributes:
        bus: how to reach it, keys included.
    """

    def __init__(
        self,
        folder: Path,
        *,
        configuration: str = "",
        sync_interval: str = SYNC_DEFAULT,
        port: int = -1,
        store_key: str = "",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        keys = folder / "keys"
        file = CONFIGURATION
        if configuration:
            file = folder / "server.conf"
            file.write_text(configuration)
        command = [str(Path(sys.executable).with_name("nats-server")), "-c", str(file)]
        command += ["-a", "127.0.0.1", "-p", str(port), "-m", "-1", "--ports_file_dir", str(folder)]
        command += ["-sd", str(folder / "nats"), "-l", str(folder / "nats.log")]
        told = server_environment(
            ensure_keys(keys), sync_interval=sync_interval, store_key=store_key
        )
        self.process = subprocess.Popen(command, env={**os.environ, **told})
        self.url = self._announced_url()
        self.bus = BusConfig(url=self.url, keys_dir=keys)

    async def connect(self, user: str) -> BusConnection:
        """Return a connection of this user."""
        return await connect(user, self.bus)


def without_right(user: str, right: str) -> str:
    """Return the committed configuration with one right of one user taken away."""
    text = CONFIGURATION.read_text()
    start = text.index(f"$SLUICE_NKEY_{user.upper()},")
    end = text.index("$SLUICE_NKEY_", start + 1) if "$SLUICE_NKEY_" in text[start + 1 :] else -1
    block = text[start:end]
    assert f'"{right}"' in block, (user, right)
    return text[:start] + block.replace(f'"{right}"', '"no.such.right"') + text[end:]
