"""Facts about reports and figures, and what people ask of the record."""

import enum
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from schemas.base import AccountId, Event, SessionId
from schemas.errors import FieldError
from schemas.instruments import Instrument


class ReportKind(enum.StrEnum):
    """What a report of one day shows."""

    ORDERS = "orders"
    """Every order from decision to end, with the fields of the order-audit rules."""

    TRADES = "trades"
    """Every execution, with the fields of the transaction-reporting rules."""

    BEST_EXECUTION = "best-execution"
    """What each order's execution was worth against the market that it met."""

    STATEMENT = "statement"
    """The client's page: holdings, profit and loss, costs, every trade."""


class ReportMade(Event, frozen=True, kw_only=True):
    """A report was written. The same records make the same bytes again: so it can be verified."""

    kind: ReportKind
    day: str
    """The trading day it is of, `YYYY-MM-DD`."""

    account: AccountId
    file: str
    """Below the data folder."""

    sha256: str
    """Hash of the file's bytes."""

    size_bytes: int
    until_seq: int
    """Number of the last record of the chain that it was made from."""

    form: str = "1"
    """Number of the form it was made by; a later release may show more."""

    is_scheduled: bool = False
    operator: str = ""
    """Who asked for it; empty where the schedule did."""

    from_ns: int = 0
    until_ns: int = 0
    """The stretch of time that the day was, in ns since the epoch, its end outside: the calendar
    may be another one by now. 0: made by a release that did not say."""

    calendar: str = ""
    """Whose day it was."""


class TermsDeclared(Event, frozen=True, kw_only=True):
    """What an account trades, and what it began with; figures are made by these."""

    account: AccountId
    currency: str
    """Of cash, equity and figures."""

    initial_cash: Decimal
    """Before the first execution."""

    calendar: str
    """Whose open begins the trading day."""

    instruments: tuple[Instrument, ...]
    currency_values: dict[str, Decimal] = {}
    """What one unit of another currency counts for in the account's."""


class UptimeMeasured(Event, frozen=True, kw_only=True):
    """How long the system and each service were ready within a stretch of time.

    What no event measures is not known: nobody was there to hear the health reports.
    """

    from_ns: int
    until_ns: int
    up_ns: int
    """All services of the order path were ready at the same time."""

    ready_ns: dict[str, int]
    """By service."""


class ReportsReported(Event, frozen=True, kw_only=True):
    """The answer to `query.reports`."""

    recorded_count: int = 0
    """Records of the chain that queries see."""

    lag_bytes: int = 0
    """Of the chain, and not yet seen by queries."""

    detail: str = ""
    made: tuple[ReportMade, ...] = ()
    """The newest reports, newest last."""


class ReportRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `control.report` takes."""

    operator: str
    kind: ReportKind
    day: str
    """`YYYY-MM-DD`."""

    account: AccountId = AccountId("")
    """Empty: the account of this system."""


class ReportAsked(Event, frozen=True, kw_only=True):
    """A person wants a report now; from the shell to the core."""

    request_id: str
    request: ReportRequest


class ReportWanted(Event, frozen=True, kw_only=True):
    """The core tells its shell to make a report."""

    request_id: str
    """Empty where the schedule wants it."""

    request: ReportRequest


class ReportWritten(Event, frozen=True, kw_only=True):
    """The shell tells what became of a report; `made` is None where it could not be made."""

    request_id: str
    kind: ReportKind
    day: str
    made: ReportMade | None = None
    error: FieldError | None = None


class ReportsDue(Event, frozen=True, kw_only=True):
    """The shell has read which reports of days past were never made."""

    requests: tuple[ReportRequest, ...]


class ResultsWanted(Event, frozen=True, kw_only=True):
    """A session has ended: the core tells its shell to write what it did."""

    session: SessionId


class ResultsWritten(Event, frozen=True, kw_only=True):
    """The shell tells what became of the results of a session."""

    session: SessionId
    error: str = ""
    """Empty where they were written."""


class ReportDelivered(Event, frozen=True, kw_only=True):
    """A report lies where it is to be handed over, byte for byte, or a mail server has taken it."""

    file: str
    """Below the data folder."""

    sha256: str
    to: str
    """The folder, as configured; of a mail `mailto:` and the address."""


class DeliveriesLooked(Event, frozen=True, kw_only=True):
    """The shell has looked whether reports lie where they are to be handed over."""

    delivered: tuple[ReportDelivered, ...] = ()
    """Those that did not yet, and do now."""

    trouble: str = ""
    """What could not be delivered, and why; it is tried again. Empty when all is there."""


class StoreMarked(Event, frozen=True, kw_only=True):
    """How far the query store has followed the chain."""

    recorded_count: int
    lag_bytes: int
    detail: str = ""
    """Why it does not follow; empty while it does."""


RowCount = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=60_000)]


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `query.sql` takes: a SELECT, or the name of one."""

    sql: str = ""
    named: str = ""
    rows_count_max: RowCount = 1_000
    timeout_ms: Milliseconds = 5_000


class QueryAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a query found, or why it did not."""

    columns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """The type of each column, as the store names it."""

    rows: tuple[tuple[Any, ...], ...] = ()
    """Exact decimals are strings."""

    is_cut: bool = False
    """Whether there are more rows than were asked for."""

    took_ms: float = 0.0
    recorded_count: int = 0
    """Records of the chain that it has seen."""

    error: FieldError | None = None
