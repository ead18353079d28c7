"""Kinds of records: what each is called in the store, and what it is found again by."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from schemas.errors import StateError
from schemas.records import SessionChangeRecord, SessionRecord
from schemas.results import BacktestResult, PaperDay

R = TypeVar("R", bound=msgspec.Struct)


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What one record is found by."""

    key: str
    """Unique within its kind: a record with the same key takes the place of the former one."""

    at_ns: int
    """When it came to be, ns since the epoch; answers are ordered by it."""

    strategy: str = ""
    session: str = ""
    account: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One record as it is stored."""

    kind: str
    index: Index
    body: str
    """The record, as JSON."""


@dataclass(frozen=True)
class Kind(Generic[R]):
    """One kind of record.

    Attributes:
        name: in the store; never changed once records of it exist.
        type: the Struct. New fields need a default, and none is ever removed, as on the wire.
        index_of: returns what a record is found by.
    """

    name: str
    type: type[R]
    index_of: Callable[[R], Index]

    def row(self, record: R) -> Row:
        """Return the record as it is stored."""
        body = msgspec.json.encode(record).decode()
        return Row(kind=self.name, index=self.index_of(record), body=body)

    def record(self, body: str) -> R:
        """Return the record that was stored.

        Raises:
            StateError: SLU-202 it is not what this release knows as this kind.
        """
        try:
            return msgspec.json.decode(body, type=self.type)
        except msgspec.MsgspecError as error:
            raise StateError(
                "SLU-202", kind=self.name, found=error, wanted=self.type.__name__
            ) from (error)


def _session(record: SessionRecord) -> Index:
    created = record.created
    return Index(
        key=f"{created.account}/{created.session}",
        at_ns=created.at_ns,
        strategy=created.strategy,
        session=created.session,
        account=created.account,
    )


def _change(record: SessionChangeRecord) -> Index:
    change = record.change
    return Index(
        key=f"{change.account}/{change.session}/{record.number:06}",
        at_ns=change.at_ns,
        strategy=change.strategy,
        session=change.session,
        account=change.account,
    )


def _backtest(record: BacktestResult) -> Index:
    return Index(key=record.id, at_ns=record.recorded_ns, strategy=record.terms.strategy)


def _paper_day(record: PaperDay) -> Index:
    return Index(
        key=record.id,
        at_ns=record.from_ns,
        strategy=record.terms.strategy,
        session=record.session,
        account=record.account,
    )


BACKTESTS = Kind("backtest", BacktestResult, _backtest)
PAPER_DAYS = Kind("paper_day", PaperDay, _paper_day)
SESSIONS = Kind("session", SessionRecord, _session)
SESSION_CHANGES = Kind("session_change", SessionChangeRecord, _change)
