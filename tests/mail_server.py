"""A mail server of our own on a real socket: SMTP with STARTTLS and AUTH PLAIN (RFC 5321, 4954)."""

import base64
import datetime
import ipaddress
import socketserver
import ssl
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import BinaryIO, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail, in memory.

    Attributes:
        mails: those taken, with the address that each was for, in order.
        refused: addresses that nobody has here.
        password: of the user `reports`; empty: nobody has to log in.
        is_tls: whether the way is encrypted from its first byte on.
        clear: what was said by clients before the way was encrypted.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, *, certificate: Path | None = None, port: int = 0, is_tls: bool = False
    ) -> None:
        super().__init__((HOST, port), _Talk)
        self.is_tls = is_tls
        self.mails: list[tuple[str, EmailMessage]] = []
        self.refused: set[str] = set()
        self.password = ""
        self.clear: list[bytes] = []
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def stop(self) -> None:
        """Take no more."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Talk(socketserver.StreamRequestHandler):
    """One connection of a client."""

    server: MailServer

    def handle(self) -> None:
        self.is_encrypted, self.is_known = False, not self.server.password
        try:
            if self.server.is_tls:
                self._encrypt()
            self._say(b"220 here")
        except (ssl.SSLError, OSError):
            return
        while line := self.rfile.readline():
            if not self.is_encrypted:
                self.server.clear.append(line)
            try:
                if not self._answer(line.strip()):
                    return
            except ssl.SSLError:  # a client that does not trust us hangs up
                return

    def finish(self) -> None:
        """Close what stands in the place of the plain connection, too."""
        super().finish()
        self.connection.close()

    def _say(self, *lines: bytes) -> None:
        for line in lines:
            self.wfile.write(line + b"\r\n")
        self.wfile.flush()

    def _answer(self, line: bytes) -> bool:
        word = line.split(b" ")[0].upper()
        if word == b"EHLO":
            offers = [b"250-STARTTLS"] if self.server.context and not self.is_encrypted else []
            self._say(b"250-here", *offers, b"250 AUTH PLAIN")
        elif word == b"STARTTLS":
            self._say(b"220 go on")
            self._encrypt()
        elif word == b"AUTH":
            self._log_in(line)
        elif word in (b"MAIL", b"RSET"):
            self._to = ""
            self._say(b"250 yes" if self.is_known else b"530 5.7.0 log in first")
        elif word == b"RCPT":
            self._take_address(line)
        elif word == b"DATA":
            self._take_mail()
        else:
            self._say(b"221 bye")
            return False
        return True

    def _encrypt(self) -> None:
        assert self.server.context is not None
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile = cast("BinaryIO", self.connection.makefile("rb"))  # type: ignore[assignment]
        self.wfile = cast("BinaryIO", self.connection.makefile("wb"))  # type: ignore[assignment]
        self.is_encrypted = True

    def _log_in(self, line: bytes) -> None:
        wanted = f"\0reports\0{self.server.password}".encode()
        self.is_known = base64.b64decode(line.split(b" ")[2]) == wanted
        self._say(b"235 yes" if self.is_known else b"535 5.7.8 no such user or password")

    def _take_address(self, line: bytes) -> None:
        address = line.partition(b"<")[2].partition(b">")[0].decode()
        if address in self.server.refused:
            self._say(b"550 5.1.1 nobody of that name")
            return
        self._to = address
        self._say(b"250 yes")

    def _take_mail(self) -> None:
        self._say(b"354 go on")
        lines: list[bytes] = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        found = message_from_bytes(b"".join(lines), policy=policy.default)
        self.server.mails.append((self._to, found))
        self._say(b"250 taken")


def certificate(folder: Path) -> Path:
    """Return a key and a certificate of this host's, which vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail of a test")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(host, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "mail.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
