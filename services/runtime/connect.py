"""Open a connection to the bus that never buffers, never goes deaf unseen, and dies loudly."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from schemas.errors import BusError, UserError
from services.runtime.config import BusConfig
from services.runtime.fastpath import BusConnection
from services.runtime.keys import load_seed

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

RETRY_S = 0.1
SCHEMES = ("nats", "tls")
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
        UserError: SLU-100 the address is no address; SLU-102 the key cannot be used.
    """
    servers = bus.urls or [bus.url]
    for each in servers:
        _check_address(each)
    seed = None if bus.keys_dir is None else load_seed(bus.keys_dir, name)
    connection = BusConnection()
    watch = _Watch(connection)
    opening = asyncio.ensure_future(
        connection.connect(
            servers,
            name=f"{name} {what_for}".strip(),
            inbox_prefix=f"_INBOX.{name}",
            nkeys_seed_str=seed,
            error_cb=watch.on_error,
            disconnected_cb=watch.on_disconnected,
            reconnected_cb=watch.on_reconnected,
            **OPTIONS,
        )
    )
    ends: set[asyncio.Future[Any]] = {opening, watch.shut_out}
    is_opened = False
    try:
        await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        is_opened = opening.done() and opening.exception() is None
    finally:
        if not is_opened:  # it would try for ever, or stay open with nobody to close it
            await _give_up(connection, opening)
    if not is_opened and (opening.cancelled() or opening.exception() is None):
        raise _why_not(name, bus, watch, timeout_s)
    opening.result()
    watch.is_open = True
    return connection


async def _give_up(connection: BusConnection, opening: "asyncio.Future[None]") -> None:
    while not opening.done():  # `asyncio.wait_for` can swallow a cancellation that comes late
        opening.cancel()
        await asyncio.wait({opening}, timeout=RETRY_S)
    await connection.close()


def _why_not(name: str, bus: BusConfig, watch: "_Watch", timeout_s: float) -> BusError:
    if watch.shut_out.done():
        key = "no key (bus.keys_dir is not set)" if bus.keys_dir is None else f"{bus.keys_dir}"
        wanted = f"a user that the server knows; the key of {name} is from: {key}"
        found = watch.shut_out.result()
        return BusError("SLU-121", url=bus.url, user=name, found=found, wanted=wanted)
    found = watch.last_error or f"no answer in {timeout_s:g} s"
    return BusError("SLU-122", url=bus.url, user=name, found=found, wanted="a nats-server there")


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port is not None
    except ValueError:  # the port is no number, or an address in brackets is none
        is_good = False
    if not is_good:
        raise UserError("SLU-100", path="bus.url", found=repr(url), wanted="nats://HOST:PORT")


class _Watch:
    """The callbacks of one connection. They never raise: nats-py's reader would die of it."""

    def __init__(self, connection: BusConnection) -> None:
        self.is_open = False
        self.last_error = ""
        self.shut_out: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection = connection

    async def on_error(self, error: Exception) -> None:
        """Note what the server refused; a refused right is told nowhere else."""
        is_silence = isinstance(error, TimeoutError) and not str(
            error
        )  # whoever waits knows how long
        text = "" if is_silence else str(error) or type(error).__name__
        self.last_error = text
        lower = text.lower()
        if NOT_LET_IN in lower and not self.shut_out.done():
            self.shut_out.set_result(text)  # what follows it is only noise
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
