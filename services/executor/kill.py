"""Cancel everything at the venue, out of band: no bus, no service and no journal is needed.

For the moment when nothing else answers. It connects with the executor's own credentials, takes
the executor's place for as long as it works, cancels all and asks, until nothing rests any more.
Positions stay as they are: closing them is trading, and that goes through the gate.
"""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import msgspec

from schemas import wire
from schemas.base import InstrumentId, OrderId
from schemas.errors import SluiceError, VenueError
from schemas.venue import (
    BookQueried,
    CancelAllPlaced,
    VenueBook,
    VenueCanceled,
    VenueMessage,
    VenueOpenOrder,
)
from services.executor.venues.protocol import REPORT_BYTES_MAX
from services.venue_door import VENUE_KILL, Hello, Welcome, address_file, read_address

TIMEOUT_S = 10.0
CONNECT_S_MAX = 2.0
AGAIN_S = 0.1
"""How long to wait before cancelling again what still rests."""

EVERYTHING_NS = 1 << 62
"""Executions from this time on: none. Only what is held and what rests is wanted."""


class KillReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue-kill has done, by the venue's own word."""

    is_clear: bool
    """Whether the venue, asked after the last cancel, showed no order."""

    cancelled: tuple[OrderId, ...]
    """Orders whose end the venue confirmed, in that order."""

    resting: tuple[VenueOpenOrder, ...]
    """What the venue showed last; not known to be all where `detail` says so."""

    positions: dict[InstrumentId, Decimal]
    """Signed quantity held, by instrument: untouched by this."""

    detail: str = ""
    """Why it is not clear, and what to do next; empty when it is."""


async def kill(data_dir: Path, timeout_s: float = TIMEOUT_S) -> KillReport:
    """Cancel all at the venue whose address lies in `data_dir`; return what is left.

    Raises:
        VenueError: SLU-130 the venue cannot be reached or does not let us in: nothing was
            cancelled, and nothing is known.
    """
    found = _Found()
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await _connect(data_dir)
            try:
                await _clear(reader, writer, found)
            finally:
                writer.close()
    except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
        if found.book is None:
            wanted = "a venue that answers: is its process alive? else cancel at the venue by hand"
            raise VenueError("SLU-130", found=repr(error), wanted=wanted) from error
        return found.report(f"the venue stopped answering: {error!r}; ask again, or cancel by hand")
    return found.report("")


class _Found:
    """What the venue has said so far."""

    def __init__(self) -> None:
        self.book: VenueBook | None = None
        self.cancelled: dict[OrderId, None] = {}

    def report(self, why: str) -> KillReport:
        assert self.book is not None, "reported only once the venue has answered"
        resting = self.book.open_orders
        return KillReport(
            is_clear=not resting and not why,
            cancelled=tuple(self.cancelled),
            resting=resting,
            positions=self.book.positions,
            detail=why,
        )


async def _connect(data_dir: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection that was welcomed.

    Raises:
        VenueError: there is no address, or the venue says no.
        OSError: nobody listens there.
    """
    address = read_address(address_file(data_dir))
    async with asyncio.timeout(CONNECT_S_MAX):
        reader, writer = await asyncio.open_connection(
            address.host, address.port, limit=REPORT_BYTES_MAX
        )
        try:
            hello = Hello(token=address.token, client=VENUE_KILL)
            writer.write(msgspec.json.encode(hello) + b"\n")
            _read_welcome(await reader.readuntil(b"\n"))
        except BaseException:
            writer.close()
            raise
    return reader, writer


def _read_welcome(line: bytes) -> None:
    try:
        welcome = msgspec.json.decode(line, type=Welcome)
    except msgspec.MsgspecError as error:
        raise VenueError("SLU-130", found=error, wanted="a welcome") from error
    if not welcome.is_ok:
        raise VenueError("SLU-130", found=welcome.detail, wanted="a welcome")


async def _clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, found: _Found) -> None:
    """Cancel all and ask, until the venue shows that nothing rests."""
    reports = _reports(reader)
    number = 0
    while found.book is None or found.book.open_orders:
        if number:
            await asyncio.sleep(AGAIN_S)
        number += 1
        name = f"{VENUE_KILL}-{number}"
        requests = (
            CancelAllPlaced(at_ns=0),
            BookQueried(at_ns=0, request_id=name, since_ns=EVERYTHING_NS),
        )
        for request in requests:
            writer.write(wire.encode(request) + b"\n")
        async for report in reports:
            if isinstance(report, VenueCanceled):
                found.cancelled[report.order_id] = None
            if isinstance(report, VenueBook) and report.request_id == name:
                found.book = report
                break


async def _reports(reader: asyncio.StreamReader) -> AsyncIterator[VenueMessage]:
    """Yield what the venue says; what cannot be read is left out: it is no book."""
    while True:
        line = await reader.readuntil(b"\n")
        try:
            event = wire.decode_kept(line, where="the venue's connection")
        except SluiceError:
            continue
        if isinstance(event, VenueMessage):
            yield event
