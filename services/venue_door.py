"""The door of a venue of this machine: where it is, and what is said first at it.

Whoever reaches it says `Hello` with the token, and is answered with a `Welcome`. A `PROBE` is
answered and shown out: it takes nobody's place, and asks for nothing but who is there.
"""

import asyncio
from pathlib import Path

import msgspec

from schemas.errors import VenueError

HELLO_BYTES_MAX = 1_024
VENUE_KILL = "venue-kill"
"""Says hello as this to cancel out of band: while it stays, no executor is let in."""

PROBE = "probe"
"""Says hello as this to learn who is there, and is shown out with the answer."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where the paper exchange listens, and what opens it."""

    host: str
    port: int
    token: str
    """Random, new at every start of the exchange."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line of a connection."""

    token: str
    client: str = ""
    """Who connects; for the log, and `VENUE_KILL` is let in by nobody's leave but the token's."""

    cancel_on_disconnect: bool = False
    """Whether everything that rests is to be cancelled when this connection ends."""


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the first line, or the last words before the end."""

    is_ok: bool
    detail: str = ""
    environment: str = ""
    """What trades behind it: `paper`, `testnet` or `production`; empty where it did not say."""

    requests_per_s_max: int | None = None
    """What it takes from one client in a second; None: without limit."""


def address_file(data_dir: Path) -> Path:
    """Return where the paper exchange writes its address."""
    return data_dir / "run" / "venue.json"


def read_address(path: Path) -> Address:
    """Return the address that the paper exchange wrote.

    Raises:
        VenueError: there is none, or it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Address)
    except (OSError, msgspec.MsgspecError) as error:
        wanted = "the address of a running paper exchange: is the venue service up?"
        raise VenueError("SLU-130", path=path, found=str(error), wanted=wanted) from error


async def probed(address: Address, timeout_s: float) -> Welcome:
    """Return what the venue at this address answers to a probe that knows its token.

    Raises:
        VenueError: SLU-130 nobody is there, or what is there is no venue.
    """
    where = f"{address.host}:{address.port}"
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                hello = Hello(token=address.token, client=PROBE)
                writer.write(msgspec.json.encode(hello) + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError) as error:
        found = str(error) or f"no answer in {timeout_s:g} s"
        raise VenueError("SLU-130", found=f"{where}: {found}", wanted="a venue") from error
    try:
        return msgspec.json.decode(line, type=Welcome)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        found = f"{where} said {line[:80]!r}"
        raise VenueError("SLU-130", found=found, wanted="a welcome") from error
