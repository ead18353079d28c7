"""Open a connection to the bus that never buffers, never goes deaf unseen, and dies loudly."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from schemas.errors import BusError, UserError
from services.runtime.config import BusConfig
from services.runtime.fastpath import BusConnection

CONNECT_TIMEOUT_S = 10.0
OPTIONS: dict[str, Any] = {
    "no_echo": True,
    "pending_size": -1,  # a publish while disconnected raises, and is never delivered late
    "ping_interval": 0.5,  # with one ping outstanding, a frozen server is left within 1 s
    "max_outstanding_pings": 1,
    "reconnect_time_wait": 0.05,
    "max_reconnect_attempts": -1,
}
"""Settings of every connection; nats-py's own would take 360 s to leave a frozen server."""

REFUSALS_KEPT_MAX = 100
NOT_LET_IN = "authorization violation"
RIGHT_REFUSED = "permissions violation"


async def connect(
    name: str, bus: BusConfig, *, what_for: str = "", timeout_s: float = CONNECT_TIMEOUT_S
) -> BusConnection:
    """Return an open connection of the bus user `name`.

    Args:
        name: the bus user; its nkey seed is `<keys_dir>/<name>.nk`.
        bus: where the server is.
        what_for: shown beside the name in the server's monitoring, for example `control`.
        timeout_s: how long to try, in seconds.

    Raises:
        BusError: SLU-122 the server was not reached in time; SLU-121 it does not let us in.
        UserError: SLU-102 the key file is missing; SLU-100 the address is no address.
    """
    seed = _seed_file(name, bus)
    connection = BusConnection()
    watch = _Watch(connection)
    opening = asyncio.ensure_future(_open(connection, watch, name, bus, what_for, seed))
    done, _ = await asyncio.wait(
        (opening, watch.shut_out), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
    )
    if opening in done:
        opening.result()
        watch.is_open = True
        return connection
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await opening
    await connection.close()
    found = watch.last_error or f"no answer in {timeout_s:g} s"
    if watch.shut_out.done():
        raise BusError("SLU-121", user=name, url=bus.url, found=found, wanted=_key_text(seed))
    raise BusError("SLU-122", user=name, url=bus.url, found=found, wanted="a nats-server there")


async def _open(
    connection: BusConnection,
    watch: "_Watch",
    name: str,
    bus: BusConfig,
    what_for: str,
    seed: Path | None,
) -> None:
    await connection.connect(
        bus.url,
        name=f"{name} {what_for}".strip(),
        error_cb=watch.on_error,
        disconnected_cb=watch.on_disconnected,
        reconnected_cb=watch.on_reconnected,
        nkeys_seed=None if seed is None else str(seed),
        inbox_prefix=f"_INBOX.{name}",
        **OPTIONS,
    )


class _Watch:
    """The callbacks of one connection. They never raise: nats-py's reader would die of it."""

    def __init__(self, connection: BusConnection) -> None:
        self.is_open = False
        self.last_error = ""
        self.shut_out: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = connection

    async def on_error(self, error: Exception) -> None:
        """Note what the server refused; a refused right is told nowhere else."""
        text = str(error) or type(error).__name__
        self.last_error = text
        lower = text.lower()
        if NOT_LET_IN in lower and not self.shut_out.done():
            self.shut_out.set_result(None)
        if RIGHT_REFUSED in lower and len(self._connection.refusals) < REFUSALS_KEPT_MAX:
            self._connection.refusals.append(text)

    async def on_disconnected(self) -> None:
        if self.is_open:
            self._tell(False, self._connection.lost_because)

    async def on_reconnected(self) -> None:
        self._tell(True, self._connection.lost_because)

    def _tell(self, is_up: bool, detail: str) -> None:
        for listener in self._connection.on_link:
            try:
                listener(is_up, detail)
            except Exception as error:  # a listener's fault must not cost the connection
                self.last_error = repr(error)


def _seed_file(name: str, bus: BusConfig) -> Path | None:
    if bus.keys_dir is None:
        return None
    file = bus.keys_dir / f"{name}.nk"
    if not file.is_file():
        wanted = "the nkey seed of this bus user; `sluice up` makes it"
        raise UserError("SLU-102", path=file, found="no such file", wanted=wanted)
    return file


def _key_text(seed: Path | None) -> str:
    return f"a user that the server knows; our key is {seed or 'none (bus.keys_dir is not set)'}"
