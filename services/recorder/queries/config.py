"""What the reports service may be told."""

import enum
from typing import Annotated

import msgspec

from schemas.reports import ReportKind

Positive = Annotated[int, msgspec.Meta(gt=0)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class Security(enum.StrEnum):
    """How the way to a mail server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


class MailConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How reports are mailed; none are without a host."""

    host: str = ""
    """The SMTP server; empty: nothing is mailed."""

    port: Port = 587
    """Where it listens: 587 with starttls, 465 with tls, as a rule."""

    security: Security = Security.STARTTLS
    """`none` only to a relay on this machine, without a password."""

    ca_file: str = ""
    """Certificates that the server's must follow from; empty: those of this machine."""

    user: str = ""
    """Who logs in; empty: nobody has to."""

    password_file: str = ""
    """Holds the password and can be read by nobody else; it stands in no configuration."""

    sender: str = ""
    """Address that mails come from."""

    to: tuple[str, ...] = ()
    """Addresses; each report goes to each, in a mail of its own."""

    kinds: tuple[ReportKind, ...] = tuple(ReportKind)
    """Reports that are mailed."""

    timeout_s: Positive = 30
    """Longest wait for a word of the server, in seconds."""


class ReportsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is reported, when, and what queries may use."""

    calendar: str = "24x7"
    """Whose open begins the trading day of reports; `24x7` is midnight UTC."""

    scheduled: tuple[ReportKind, ...] = tuple(ReportKind)
    """Reports that are made by themselves after the end of each trading day."""

    delay_s: NotNegative = 60
    """How long after the day's end, in seconds: what is late is then in the record too."""

    catch_up_days: Positive = 7
    """Trading days past whose scheduled reports are made up for after a downtime; a count."""

    deliver_to: tuple[str, ...] = ()
    """Folders, absolute, into which each report is put once it is made: a share, one that is sent
    on. Below each a folder a day, as below `reports`."""

    mail: MailConfig = MailConfig()
    """How each report is mailed once it is made."""

    follow_every_ms: Positive = 1_000
    """How often the query store takes in what was recorded, in ms."""

    query_memory_mb: Positive = 256
    """Memory that the query store may use, in MiB."""

    closed_orders_max: Positive = 20_000
    """Closed orders that the query store remembers for what is still told of them, 2 KB each; what
    comes of an older one is in `events`, and not in its row of `orders`. A count."""

    query_threads: Positive = 1
    """Cores that queries may use; a count."""

    uptime_every_s: Positive = 60
    """How often the measured uptime is recorded, in seconds."""
