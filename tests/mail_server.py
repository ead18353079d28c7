"""A real mail server (aiosmtpd) on a port of this machine, which remembers what it took."""

import asyncio
import ssl
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

HOST = "127.0.0.1"


class MailServer:
    """Takes mail, in memory.

    Attributes:
        port: where it listens.
        mails: those taken, with the address that each was for, in order.
        refused: addresses that nobody has here.
        password: of the user `reports`.
        clear: what clients said before the way was encrypted.

    Args:
        authority: vouches for it; without one the way is not encrypted, and nobody has to log in.
        port: where to listen; 0 is any.
        is_tls: whether the way is encrypted from its first byte on, and not by STARTTLS.
    """

    def __init__(
        self, *, authority: trustme.CA | None = None, port: int = 0, is_tls: bool = False
    ) -> None:
        self.mails: list[tuple[str, EmailMessage]] = []
        self.refused: set[str] = set()
        self.password = ""
        self.clear: list[bytes] = []
        self._context = None if authority is None else _context(authority)
        self._is_tls = is_tls
        self._loop = asyncio.new_event_loop()
        of_first_byte = self._context if is_tls else None
        opening = self._loop.create_server(self._talk, HOST, port, ssl=of_first_byte)
        self._server = self._loop.run_until_complete(opening)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def stop(self) -> None:
        """Take no more."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        talks = asyncio.all_tasks() - {asyncio.current_task()}
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)

    def _talk(self) -> SMTP:
        is_upgraded = self._context is not None and not self._is_tls
        return _Talk(
            self,
            loop=self._loop,
            tls_context=self._context if is_upgraded else None,
            require_starttls=is_upgraded,
            auth_required=is_upgraded,
            auth_require_tls=is_upgraded,  # of a way encrypted from its first byte it knows nothing
            authenticator=self._log_in,
        )

    def _log_in(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _way: str, said: object
    ) -> AuthResult:
        wanted = LoginPassword(b"reports", self.password.encode())
        return AuthResult(success=said == wanted, handled=False)

    async def handle_RCPT(  # noqa: N802  (aiosmtpd looks for this name)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: object
    ) -> str:
        """Answer whether somebody has this address here."""
        if address in self.refused:
            return "550 5.1.1 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 yes"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Take a mail."""
        assert isinstance(envelope.content, bytes)
        for address in envelope.rcpt_tos:
            mail = message_from_bytes(envelope.content, policy=policy.default)
            self.mails.append((address, mail))
        return "250 taken"


class _Talk(SMTP):
    """One connection of a client."""

    event_handler: MailServer

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        if self.transport.get_extra_info("ssl_object") is None:
            self.event_handler.clear.append(data)
        super().data_received(data)


def _context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    return context


def known_to(authority: trustme.CA, folder: Path) -> Path:
    """Return a file with which a client knows whom the authority vouches for."""
    path = folder / "mail.pem"
    authority.cert_pem.write_to_path(path)
    return path
