"""Messages that wait: as many as wanted, in the server's hands before the next thing is said."""

import asyncio
from urllib.parse import urlsplit

from schemas.market import QuoteReceived
from schemas.subjects import subject_of
from schemas.wire import encode

PONG = b"PONG\r\n"


class Backlog:
    """A connection of its own that publishes the same quotes at once, again and again."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lines: bytes):
        self._reader, self._writer, self._lines = reader, writer, lines

    @classmethod
    async def of(cls, url: str, quotes: list[QuoteReceived]) -> "Backlog":
        """Return one of these quotes: written out beforehand, for it must be fast."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b'CONNECT {"verbose":false}\r\n')
        lines = []
        for quote in quotes:
            data = encode(quote)
            lines.append(b"PUB %b %d\r\n%b\r\n" % (subject_of(quote).encode(), len(data), data))
        return cls(reader, writer, b"".join(lines))

    async def publish(self) -> None:
        """Return once the server has all of them: nobody has had the time to take them in."""
        self._writer.write(self._lines + b"PING\r\n")
        await self._reader.readuntil(PONG)

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()
