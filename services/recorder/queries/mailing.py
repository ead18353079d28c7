"""Reports handed over by mail: each to each address, once the server has taken it; tried again.

The mail server is somebody else's: it may be away for hours, or say no. What it took is noted in a
file, so that a restart mails nothing twice; a crash just between its yes and the note mails that
one again, under the same message id.
"""

import hashlib
import mimetypes
import os
import smtplib
import ssl
from collections.abc import Iterable
from email.message import EmailMessage
from email.utils import formatdate
from ipaddress import ip_address
from pathlib import Path

import msgspec

from schemas.base import NS_PER_S
from schemas.errors import UserError
from schemas.reports import DeliveriesLooked, ReportDelivered
from services.recorder.queries.config import MailConfig, Security
from services.recorder.queries.making import REPORTS_FOLDER
from services.runtime.keys import FILE_MODE, refuse_readable
from services.runtime.paths import is_there

MAILED_FILE = ".mailed.jsonl"
"""Below the reports: what was mailed to whom."""

WAIT_NS, WAIT_NS_MAX = 60 * NS_PER_S, 3_600 * NS_PER_S
"""How long after a failure it is tried again; each further one doubles it, up to an hour."""

_OF_ONE_MAIL = (
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPSenderRefused,  # so a server says that one is too large
    smtplib.SMTPDataError,
    smtplib.SMTPNotSupportedError,  # an address that is not ASCII
)
_FAILURES = (OSError, smtplib.SMTPException, UserError)


class _Mailed(msgspec.Struct, frozen=True):
    """One report that a server has taken for one address."""

    file: str
    sha256: str
    to: str


def refuse_bad_mail(mail: MailConfig) -> None:
    """Refuse what nobody could be mailed by, and what would show reports or a password to others.

    Raises:
        UserError: SLU-100 names the field.
    """
    if not mail.host:
        return
    for path, text in (("sender", mail.sender), *(("to", each) for each in mail.to)):
        name, at, domain = text.partition("@")
        if not (name and at and domain) or any(c.isspace() or c in ",<>@" for c in name + domain):
            _refuse(path, text, "an address: reports@example.com")
    if not mail.to:
        _refuse("to", "nobody", "an address that reports are mailed to")
    if mail.security is Security.NONE and (mail.user or not _is_loopback(mail.host)):
        found = "none, with a password" if mail.user else f"none, to {mail.host}"
        _refuse("security", found, "starttls or tls; none only to a relay on this machine")
    if bool(mail.user) != bool(mail.password_file):
        _refuse("password_file", mail.password_file or "nothing", "a file, where there is a user")
    if mail.password_file:
        _password(mail)


def _refuse(field: str, found: str, wanted: str) -> None:
    raise UserError("SLU-100", path=f"reports.mail.{field}", found=found, wanted=wanted)


class Mailer:
    """Mails reports; called from one thread, which it may hold up for `timeout_s` a mail."""

    def __init__(self, data_dir: Path, mail: MailConfig) -> None:
        self._data_dir, self._mail = data_dir, mail
        self._notes = data_dir / REPORTS_FOLDER / MAILED_FILE
        self._mailed: dict[_Mailed, None] | None = None
        self._not_before_ns, self._wait_ns = 0, WAIT_NS
        self._trouble = ""

    def deliver(self, reports: Iterable[Path], now_ns: int) -> DeliveriesLooked:
        """Mail what was not mailed as it is now; say what was, and what is in the way.

        Args:
            reports: files below the data folder.
            now_ns: the time, ns since the epoch.
        """
        if now_ns < self._not_before_ns:
            return DeliveriesLooked(at_ns=now_ns, trouble=self._trouble)
        delivered: list[ReportDelivered] = []
        try:
            wanted = self._wanted(reports)
            if wanted:
                self._send(wanted, delivered, now_ns)
            self._trouble, self._wait_ns, self._not_before_ns = "", WAIT_NS, 0
        except _FAILURES as error:
            self._trouble = f"mail by {self._mail.host}: {_said(error)}"
            self._not_before_ns = now_ns + self._wait_ns
            self._wait_ns = min(2 * self._wait_ns, WAIT_NS_MAX)
        return DeliveriesLooked(at_ns=now_ns, delivered=tuple(delivered), trouble=self._trouble)

    def _wanted(self, reports: Iterable[Path]) -> list[tuple[_Mailed, bytes]]:
        """Return what is to be mailed: again where the report was made anew."""
        if self._mailed is None:
            _mend(self._notes)
            self._mailed = dict.fromkeys(_read(self._notes))
        found = []
        for path in reports:
            file, data = str(path.relative_to(self._data_dir)), path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            wanted = (_Mailed(file, digest, to) for to in self._mail.to)
            found += [(each, data) for each in wanted if each not in self._mailed]
        return found

    def _send(
        self, wanted: list[tuple[_Mailed, bytes]], delivered: list[ReportDelivered], now_ns: int
    ) -> None:
        """Mail them over one connection; one that is not taken keeps nothing from the others."""
        refused: list[str] = []
        with _connection(self._mail) as server:
            for each, data in wanted:
                try:
                    server.send_message(_message(self._mail, each, data, now_ns))
                except _OF_ONE_MAIL as error:
                    refused.append(f"{each.to}: {Path(each.file).name}: {_said(error)}")
                    server.rset()
                    continue
                self._note(each)
                told = ReportDelivered(
                    at_ns=now_ns, file=each.file, sha256=each.sha256, to=f"mailto:{each.to}"
                )
                delivered.append(told)
        if refused:
            raise smtplib.SMTPException("; ".join(refused))

    def _note(self, mailed: _Mailed) -> None:
        assert self._mailed is not None, "read before anything is mailed"
        with self._notes.open("ab") as file:
            file.write(msgspec.json.encode(mailed) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._mailed[mailed] = None


def _connection(mail: MailConfig) -> smtplib.SMTP:
    """Return a connection that is encrypted and logged in, as configured."""
    if mail.security is Security.NONE:
        return smtplib.SMTP(mail.host, mail.port, timeout=mail.timeout_s)
    context = ssl.create_default_context(cafile=mail.ca_file or None)
    server: smtplib.SMTP
    if mail.security is Security.TLS:
        server = smtplib.SMTP_SSL(mail.host, mail.port, timeout=mail.timeout_s, context=context)
    else:
        server = smtplib.SMTP(mail.host, mail.port, timeout=mail.timeout_s)
    try:
        if mail.security is Security.STARTTLS:
            server.starttls(context=context)
        if mail.user:
            server.login(mail.user, _password(mail))
    except BaseException:
        server.close()
        raise
    return server


def _message(mail: MailConfig, mailed: _Mailed, data: bytes, now_ns: int) -> EmailMessage:
    _, day, name = mailed.file.split("/")
    kind = Path(name).stem
    identity = hashlib.sha256(msgspec.json.encode(mailed)).hexdigest()[:32]
    message = EmailMessage()
    message["From"], message["To"] = mail.sender, mailed.to
    message["Subject"] = f"{kind} of {day}"
    message["Date"] = formatdate(now_ns / NS_PER_S)
    message["Message-ID"] = f"<{identity}@{mail.sender.partition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence note answers it
    message.set_content(
        f"{name} of {day} is attached.\n\nSHA-256 {mailed.sha256}\n\n"
        f"`sluice report verify` with the file says whether the record made it.\n"
    )
    kind_of_data = mimetypes.guess_type(name)[0] or "application/octet-stream"
    maintype, _, subtype = kind_of_data.partition("/")
    message.add_attachment(data, maintype=maintype, subtype=subtype, filename=f"{day}-{name}")
    return message


def _password(mail: MailConfig) -> str:
    """Return the password, once it is certain that nobody else could have read it.

    Raises:
        UserError: SLU-102 the file cannot be read, or others can.
    """
    path = Path(mail.password_file).expanduser()
    try:
        refuse_readable(path, FILE_MODE)
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        wanted = f"the password of {mail.user} at {mail.host}, in a file with mode {FILE_MODE:04o}"
        found = getattr(error, "strerror", None) or type(error).__name__
        raise UserError("SLU-102", path=path, found=found, wanted=wanted) from error


def _mend(notes: Path) -> None:
    """Take away what a crash left of a line: the next note must begin one of its own."""
    if is_there(notes):
        data = notes.read_bytes()
        os.truncate(notes, data.rfind(b"\n") + 1)


def _read(notes: Path) -> list[_Mailed]:
    """Return what was mailed; a line that nobody can read says nothing."""
    found = []
    for line in notes.read_bytes().splitlines() if is_there(notes) else ():
        try:
            found.append(msgspec.json.decode(line, type=_Mailed))
        except msgspec.MsgspecError:
            continue
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _said(error: Exception) -> str:
    """Return what went wrong in the server's words, without anything that we have sent."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, text = next(iter(error.recipients.values()))
        return _words(code, text.decode("utf-8", "replace"))
    if isinstance(error, smtplib.SMTPResponseException):
        words: object = error.smtp_error  # bytes of the server, or smtplib's own text
        said = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
        return _words(error.smtp_code, said)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _words(code: int, said: object) -> str:
    """Return a server's answer as one trouble: what stands between two would make it several."""
    return f"{code} {said}".replace("; ", ", ")
