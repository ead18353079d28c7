"""Reports mailed to a server on a real socket: each once to each address, tried again, told."""

import hashlib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest
import trustme

from schemas.errors import UserError
from schemas.reports import DeliveriesLooked, ReportDelivered
from services.recorder.queries.config import MailConfig, Security
from services.recorder.queries.core import APART
from services.recorder.queries.delivering import reports_of
from services.recorder.queries.mailing import (
    MAILED_FILE,
    WAIT_NS,
    WAIT_NS_MAX,
    Mailer,
    refuse_bad_mail,
)
from tests.mail_server import HOST, MailServer, known_to

pytestmark = pytest.mark.req("R-05")
DAYS = ("2026-11-24", "2026-11-25")
KIM, LEE = "kim@example.com", "lee@example.com"


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with a statement of each of two days."""
    folder = tmp_path / "var"
    for day in DAYS:
        path = folder / "reports" / day / "statement-paper.html"
        path.parent.mkdir(parents=True)
        path.write_text(f"<p>{day}\n.\n" + "x" * 2_000)  # a lonely point, and a long line
    return folder


@pytest.fixture
def server() -> Iterator[MailServer]:
    started = MailServer()
    try:
        yield started
    finally:
        started.stop()


def config(server: MailServer, **more: object) -> MailConfig:
    given: dict[str, object] = {
        "host": HOST,
        "port": server.port,
        "security": Security.NONE,
        "sender": "reports@example.com",
        "to": (KIM, LEE),
    }
    return MailConfig(**given | more)  # type: ignore[arg-type]


def text_of(day: str) -> bytes:
    return f"<p>{day}\n.\n{'x' * 2_000}".encode()


def told(day: str, to: str, at_ns: int) -> ReportDelivered:
    digest = hashlib.sha256(text_of(day)).hexdigest()
    file = f"reports/{day}/statement-paper.html"
    return ReportDelivered(at_ns=at_ns, file=file, sha256=digest, to=f"mailto:{to}")


def mail(data_dir: Path, mailer: Mailer, now_ns: int) -> DeliveriesLooked:
    return mailer.deliver(reports_of(data_dir, 9), now_ns)


def attached(message: EmailMessage) -> tuple[str | None, str, bytes]:
    """Return name, kind and bytes of what a mail carries."""
    [part] = message.iter_attachments()
    assert isinstance(part, EmailMessage)
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return part.get_filename(), part.get_content_type(), data


def test_each_report_is_mailed_to_each_address_byte_for_byte_and_told(
    data_dir: Path, server: MailServer
) -> None:
    looked = mail(data_dir, Mailer(data_dir, config(server)), 5)
    wanted = tuple(told(day, to, 5) for day in DAYS for to in (KIM, LEE))
    assert looked == DeliveriesLooked(at_ns=5, delivered=wanted)
    assert [(to, m["To"], m["Subject"], *attached(m)) for to, m in server.mails] == [
        (to, to, f"statement-paper of {d}", f"{d}-statement-paper.html", "text/html", text_of(d))
        for d in DAYS
        for to in (KIM, LEE)
    ]
    body = server.mails[0][1].get_body(("plain",))
    assert body is not None
    assert wanted[0].sha256 in body.get_content()


def test_a_restart_mails_nothing_twice_and_what_was_made_anew_again(
    data_dir: Path, server: MailServer
) -> None:
    mail(data_dir, Mailer(data_dir, config(server)), 5)
    again = Mailer(data_dir, config(server))
    assert mail(data_dir, again, 6) == DeliveriesLooked(at_ns=6)
    (data_dir / "reports" / DAYS[0] / "statement-paper.html").write_text("more is known")
    assert [e.to for e in mail(data_dir, again, 7).delivered] == [f"mailto:{KIM}", f"mailto:{LEE}"]
    names = [m["Message-ID"] for _, m in server.mails]
    assert len({*names}) == len(names) == 6


def test_a_note_that_a_crash_cut_off_mails_that_one_again_by_the_same_name(
    data_dir: Path, server: MailServer
) -> None:
    mail(data_dir, Mailer(data_dir, config(server)), 5)
    notes = data_dir / "reports" / MAILED_FILE
    notes.write_bytes(notes.read_bytes()[:-9])
    assert mail(data_dir, Mailer(data_dir, config(server)), 6).delivered == (told(DAYS[1], LEE, 6),)
    assert server.mails[-1][1]["Message-ID"] == server.mails[-2][1]["Message-ID"]
    assert mail(data_dir, Mailer(data_dir, config(server)), 7).delivered == ()


def test_a_server_that_is_away_is_told_and_tried_again_ever_more_seldom(data_dir: Path) -> None:
    server = MailServer()
    settings = config(server)
    server.stop()
    mailer, now_ns, wait_ns = Mailer(data_dir, settings), 0, WAIT_NS
    away = f"mail by {HOST}: Connection refused"
    for _ in range(7):  # 1, 2, 4, 8, 16, 32, 60 minutes later
        assert mail(data_dir, mailer, now_ns) == DeliveriesLooked(at_ns=now_ns, trouble=away)
        now_ns, wait_ns = now_ns + wait_ns, min(2 * wait_ns, WAIT_NS_MAX)
    assert wait_ns == WAIT_NS_MAX
    server = MailServer(port=settings.port)
    try:
        early = mail(data_dir, mailer, now_ns - 1)
        assert (early.delivered, early.trouble) == ((), away)
        looked = mail(data_dir, mailer, now_ns)
        assert (looked.trouble, len(looked.delivered)) == ("", 4)
    finally:
        server.stop()


def test_an_address_that_is_refused_keeps_nothing_from_the_others(
    data_dir: Path, server: MailServer
) -> None:
    server.refused = {KIM}
    mailer = Mailer(data_dir, config(server))
    looked = mail(data_dir, mailer, 5)
    assert looked.delivered == tuple(told(day, LEE, 5) for day in DAYS)
    why = f"{KIM}: statement-paper.html: 550 5.1.1 nobody of that name"
    assert looked.trouble == f"mail by {HOST}: {why}; {why}"
    server.refused = set()
    later_ns = 5 + WAIT_NS
    assert mail(data_dir, mailer, later_ns) == DeliveriesLooked(
        at_ns=later_ns, delivered=tuple(told(day, KIM, later_ns) for day in DAYS)
    )


def test_what_a_server_says_in_two_parts_is_one_trouble(
    data_dir: Path, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> str:
        return "550 5.7.1 blocked; ask postmaster; see RFC 5321"

    monkeypatch.setattr(server, "handle_RCPT", refuse)
    looked = mail(data_dir, Mailer(data_dir, config(server)), 5)
    why = "statement-paper.html: 550 5.7.1 blocked, ask postmaster, see RFC 5321"
    assert looked.trouble.removeprefix(f"mail by {HOST}: ").split(APART) == [
        f"{to}: {why}" for _ in DAYS for to in (KIM, LEE)
    ]


def test_a_report_that_is_too_large_for_the_server_keeps_nothing_from_the_others(
    data_dir: Path, server: MailServer
) -> None:
    large = data_dir / "reports" / DAYS[0] / "statement-paper.html"
    large.write_bytes(b"x" * 26_000_000)  # a third more by its encoding; the server takes 33.5
    looked = mail(data_dir, Mailer(data_dir, config(server)), 5)
    assert looked.delivered == tuple(told(DAYS[1], to, 5) for to in (KIM, LEE))
    assert looked.trouble.count("statement-paper.html: 552 ") == 2


def test_an_address_that_the_server_cannot_write_keeps_nothing_from_the_others(
    data_dir: Path, server: MailServer
) -> None:
    mailer = Mailer(data_dir, config(server, to=("jörg@example.com", LEE)))
    looked = mail(data_dir, mailer, 5)
    assert looked.delivered == tuple(told(day, LEE, 5) for day in DAYS)
    assert looked.trouble.count("jörg@example.com: statement-paper.html: ") == 2


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_the_password_goes_only_over_an_encrypted_way_to_the_server_that_is_meant(
    data_dir: Path, tmp_path: Path, security: Security
) -> None:
    authority, secret = trustme.CA(), tmp_path / "password"
    secret.write_text("hunter2\n")
    secret.chmod(0o600)
    server = MailServer(authority=authority, is_tls=security is Security.TLS)
    server.password = "hunter2"
    encrypted = config(server, security=security, user="reports", password_file=str(secret))
    try:
        stranger = mail(data_dir, Mailer(data_dir, encrypted), 5)
        assert "CERTIFICATE_VERIFY_FAILED" in stranger.trouble
        known = msgspec.structs.replace(encrypted, ca_file=str(known_to(authority, tmp_path)))
        assert len(mail(data_dir, Mailer(data_dir, known), 6).delivered) == 4
        server.password = "another"
        (data_dir / "reports" / MAILED_FILE).unlink()
        refused = mail(data_dir, Mailer(data_dir, known), 7)
        assert refused.trouble == f"mail by {HOST}: 535 5.7.8 Authentication credentials invalid"
        secret.chmod(0o644)
        shown = mail(data_dir, Mailer(data_dir, known), 8)
        assert "others can reach this secret" in shown.trouble
    finally:
        server.stop()
    said = {line.split()[0] for line in server.clear}
    assert said == ({b"ehlo", b"STARTTLS"} if security is Security.STARTTLS else set())


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"sender": "reports"}, "sender"),
        ({"to": ("kim@example.com\nBcc: all@example.com",)}, "to"),
        ({"to": ()}, "to"),
        ({"host": "mail.example.com"}, "security"),
        ({"user": "reports", "password_file": "x"}, "security"),
        ({"user": "reports", "security": Security.TLS}, "password_file"),
    ],
)
def test_mail_that_could_not_go_or_would_show_too_much_is_refused_at_the_start(
    server: MailServer, change: dict[str, object], path: str
) -> None:
    with pytest.raises(UserError, match=rf"reports\.mail\.{path}"):
        refuse_bad_mail(config(server, **change))
    refuse_bad_mail(config(server))
    refuse_bad_mail(MailConfig())
