"""What a session lived through, read back from the record: market, people, its own decisions."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.base import Event, InstrumentId, SessionId, SignalId
from schemas.confirmations import SignalAwaiting, SignalConfirmed, SignalWithdrawn
from schemas.control import EpochEnded, Prepared
from schemas.errors import UserError, WireError
from schemas.executions import BookReported, ExecutionEvent
from schemas.instruments import symbol_of, venue_of
from schemas.orders import SignalDecided, SignalRaised
from schemas.sessions import PositionsAdopted, SessionCreated, SessionState, SessionStateChanged
from schemas.subjects import SUBJECTS
from schemas.wire import decode, is_halting
from services.recorder.reader import records

ENDED = SUBJECTS[EpochEnded]
PREPARED = "control.prepared.gate"
MARKET = "market."
TOLD = ("exec.", "book.", "risk.account.", "risk.health.", "risk.locate.")
"""Where strategy and gate hear what the venue did, and what the account is worth."""


class Noted(NamedTuple):
    """One message of the record, or of a stream."""

    subject: str
    stored_ns: int
    data: bytes


class Tape(msgspec.Struct, kw_only=True):
    """One session's time, until it ended, was halted, or the record does."""

    created: SessionCreated
    market: list[Event]
    """Of its instruments and of all that the account held or traded, oldest first, also from before
    it began: the gate knows no exposure in what has no price."""

    told: list[Event]
    """What executor and breakers told meanwhile, of the whole account, oldest first."""

    adopted: list[PositionsAdopted]
    """What it took over, when it began."""

    changes: list[SessionStateChanged]
    """By people, after it first ran."""

    confirmed: list[SignalConfirmed]
    refused: list[SignalWithdrawn]
    """By people."""

    signals: list[SignalRaised]
    decided: list[SignalDecided]
    until_ns: int
    """What came later is not compared."""

    cut_by: str = ""
    """Why it ends before the session does; empty where it does not."""

    limits_hash: str = ""
    """Of the gate that its start was prepared by; empty where the record does not say."""


def noted(folder: Path) -> Iterator[Noted]:
    """Yield the messages of the chained journal in this folder, oldest first."""
    for record in records(folder):
        yield Noted(record.subject, record.stored_ns or record.recv_ns, record.data)


def tape_of(session: SessionId, messages: Iterable[Noted], market: Iterable[Noted]) -> Tape:
    """Return what is recorded of a session.

    Args:
        session: its id; of several with one id, the newest.
        messages: of the record.
        market: messages with market data, where the record has none.

    Raises:
        UserError: SLU-103 there is no such session, or no market data of its time.
    """
    kept = [*messages]
    created = created_of(session, kept)
    until_ns, cut_by = _end(created, kept)
    found = [e for e in _events(kept) if created.at_ns <= e.at_ns <= until_ns]
    own: list[Any] = [e for e in found if getattr(e, "session", None) == session]
    told = sorted(_told(kept, until_ns), key=lambda event: event.at_ns)
    known = {*created.instruments, *_moved(told)}
    played = [*_market(known, kept)] or [*_market(known, market)]
    if not any(getattr(event, "instrument", None) in created.instruments for event in played):
        wanted = "recorder.chain_market = true, or the running system that still has the stream"
        raise UserError("SLU-103", path=session, found="no market data recorded", wanted=wanted)
    played = sorted((e for e in played if e.at_ns <= until_ns), key=lambda event: event.at_ns)
    return Tape(
        created=created,
        market=played,
        told=told,
        adopted=[e for e in own if isinstance(e, PositionsAdopted) and e.at_ns == created.at_ns],
        changes=_by_people(own),
        confirmed=[e for e in own if isinstance(e, SignalConfirmed)],
        refused=[e for e in own if isinstance(e, SignalWithdrawn) and e.operator],
        signals=wishes(own),
        decided=[e for e in own if isinstance(e, SignalDecided)],
        until_ns=until_ns,
        cut_by=cut_by,
        limits_hash=_limits_hash(created, kept),
    )


def wishes(events: Iterable[Event]) -> list[SignalRaised]:
    """Return each signal that a strategy raised, once: what only waited for a person, too."""
    found: dict[SignalId, SignalRaised] = {}
    for event in events:
        if isinstance(event, SignalAwaiting):
            found.setdefault(event.signal.signal_id, event.signal)
        elif isinstance(event, SignalRaised):
            found[event.signal_id] = event
    return [*found.values()]


def created_of(session: SessionId, messages: Iterable[Noted]) -> SessionCreated:
    """Return how a session began; of several with one id, the newest.

    Raises:
        UserError: SLU-103 there is no such session.
    """
    found = [e for e in _events(messages) if isinstance(e, SessionCreated)]
    same = [e for e in found if e.session == session]
    if not same:
        known = ", ".join(dict.fromkeys(e.session for e in found)) or "none"
        raise UserError("SLU-103", path="SESSION", found=session, wanted=f"one of {known}")
    return same[-1]


def _limits_hash(created: SessionCreated, messages: list[Noted]) -> str:
    asked = (m for m in messages if m.subject == PREPARED)
    said = (event for message in asked for event in _decoded(message))
    mine = [e for e in said if isinstance(e, Prepared) and e.start_id == created.start_id]
    return mine[-1].limits_hash if mine else ""


def _end(created: SessionCreated, messages: list[Noted]) -> tuple[int, str]:
    """Return until when the replay can follow, and why it is no longer."""
    last_ns = created.at_ns
    for message in messages:
        if message.stored_ns <= created.at_ns:
            continue
        last_ns = max(last_ns, message.stored_ns)
        if is_halting(message.subject):
            return message.stored_ns, f"a message on {message.subject}"
        if message.subject == ENDED:
            return message.stored_ns, "the end of its epoch"
        if message.subject == f"session.{created.session}.adopted":
            for event in _decoded(message):
                if event.at_ns > created.at_ns:
                    return event.at_ns, "what it held changed by no order of its own"
        if message.subject == f"session.{created.session}.state":
            for event in _decoded(message):
                assert isinstance(event, SessionStateChanged)
                if event.state in (SessionState.STOPPED, SessionState.COMPLETED):
                    return event.at_ns, ""
                if event.state is SessionState.FAILED:
                    return event.at_ns, ""
    return last_ns, ""


def _by_people(own: list[Any]) -> list[SessionStateChanged]:
    changes = [e for e in own if isinstance(e, SessionStateChanged)]
    return [e for e in changes[1:] if e.operator]


def _told(messages: list[Noted], until_ns: int) -> Iterator[Event]:
    for message in messages:
        if message.subject.startswith(TOLD):
            yield from (e for e in _decoded(message) if e.at_ns <= until_ns)


def _moved(told: list[Event]) -> Iterator[InstrumentId]:
    """Yield what the account held or traded, also as another session."""
    for event in told:
        if isinstance(event, BookReported):
            yield from (view.instrument for view in event.positions)
        elif isinstance(event, ExecutionEvent):
            yield event.instrument


def _market(known: set[InstrumentId], messages: Iterable[Noted]) -> Iterator[Event]:
    heads = tuple(f"{MARKET}{venue_of(k)}.{symbol_of(k)}." for k in sorted(known))
    for message in messages:
        if message.subject.startswith(heads):
            yield from _decoded(message)


def _events(messages: Iterable[Noted]) -> Iterator[Event]:
    """Yield what services said of signals and sessions."""
    for message in messages:
        if message.subject.startswith(("session.", "signal.", "risk.decision.")):
            yield from _decoded(message)


def _decoded(message: Noted) -> tuple[Event, ...]:
    try:
        return decode(message.data, subject=message.subject)
    except WireError:
        return ()  # what nobody could read then decided nothing
