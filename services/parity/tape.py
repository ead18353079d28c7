"""What a session lived through, read back from the record: market, people, its own decisions."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schemas.base import NS_PER_MS, Event, InstrumentId, SessionId, SignalId
from schemas.confirmations import SignalAwaiting, SignalConfirmed, SignalWithdrawn
from schemas.control import EpochEnded, Prepared
from schemas.errors import UserError, WireError
from schemas.executions import BookReported, ExecutionEvent
from schemas.instruments import symbol_of, venue_of
from schemas.market import MarketEvent
from schemas.market_rules import MarketWideHaltDeclared
from schemas.orders import SignalDecided, SignalRaised
from schemas.sessions import PositionsAdopted, SessionCreated, SessionState, SessionStateChanged
from schemas.subjects import SUBJECTS
from schemas.wire import decode, is_halting
from services.parity.compare import NEAR_NS
from services.performance.takeovers import name_of
from services.recorder.reader import records
from services.runtime.rights import covers

ENDED = SUBJECTS[EpochEnded]
PREPARED = "control.prepared.gate"
MARKET, MARKET_WIDE = "market.", SUBJECTS[MarketWideHaltDeclared]
TOLD = ("exec.", "book.", "risk.account.", "risk.health.", "risk.locate.")
"""Where strategy and gate hear what the venue did, and what the account is worth."""

LAG_NS = 5 * NS_PER_MS
"""From a message's arrival at the server until a busy service takes it in, in ns."""

OVER = (SessionState.STOPPED, SessionState.COMPLETED, SessionState.FAILED)


class Noted(NamedTuple):
    """One message of the record, or of a stream."""

    subject: str
    stored_ns: int
    data: bytes


class Heard(NamedTuple):
    """One event of the record, and when the server had it.

    It was said at `event.at_ns`, and left when what it follows from was on the disk: whoever heard
    it had heard by then what reached the server meanwhile.
    """

    arrived_ns: int
    event: Event


def arrived(heard: Heard) -> int:
    """Return when the server had it, in ns since the epoch: the order that all heard it in."""
    return heard.arrived_ns


def said(heard: Heard) -> int:
    """Return when it was said, in ns since the epoch."""
    return heard.event.at_ns


def market_late(heard: Heard) -> int:
    """Return when it was heard by who was busy: the market a moment later than it arrived."""
    return heard.arrived_ns + (LAG_NS if isinstance(heard.event, MarketEvent) else 0)


class Tape(msgspec.Struct, kw_only=True):
    """One session's time, until it ended, was halted, or the record does."""

    created: SessionCreated
    market: list[Heard]
    """Of its instruments and of all that the account held or traded, as it arrived, also from
    before it began: the gate knows no exposure in what has no price. Halts of whole markets too."""

    told: list[Heard]
    """What executor and breakers told meanwhile, of the whole account, as it arrived."""

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

    is_over: bool = True
    """False: the session goes on, and of its last moments the record may not have all yet."""

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
    until_ns, cut_by, is_over = _end(created, kept)
    found = [e for e in _events(kept) if created.at_ns <= e.at_ns <= until_ns]
    own: list[Any] = [e for e in found if getattr(e, "session", None) == session]
    told = sorted(_told(kept, until_ns), key=arrived)
    heads = _heads(created, told)
    played = [*_market(heads, kept)] or [*_market(heads, market)]
    own_market = {*created.instruments}
    if not any(getattr(each.event, "instrument", None) in own_market for each in played):
        wanted = "recorder.chain_market = true, or the running system that still has the stream"
        raise UserError("SLU-103", path=session, found="no market data recorded", wanted=wanted)
    return Tape(
        created=created,
        market=sorted((each for each in played if said(each) <= until_ns), key=arrived),
        told=told,
        adopted=_adopted(own, created.at_ns),
        changes=_by_people(own),
        confirmed=[e for e in own if isinstance(e, SignalConfirmed)],
        refused=[e for e in own if isinstance(e, SignalWithdrawn) and e.operator],
        signals=wishes(own),
        decided=[e for e in own if isinstance(e, SignalDecided)],
        until_ns=until_ns,
        cut_by=cut_by,
        is_over=is_over,
        limits_hash=_limits_hash(created, kept),
    )


def wanted(session: SessionId, messages: list[Noted]) -> tuple[tuple[str, ...], int]:
    """Return which subjects of the market a session is decided again with, and until when.

    Raises:
        UserError: SLU-103 there is no such session.
    """
    created = created_of(session, messages)
    until_ns, *_ = _end(created, messages)
    heads = _heads(created, _told(messages, until_ns))
    return (*(f"{head}>" for head in heads), MARKET_WIDE), until_ns


def late_ms(tape: Tape, at_ns: int) -> int:
    """Return how much later than said something was heard around a time, in ms, rounded up."""
    near = (e for e in (*tape.market, *tape.told) if abs(said(e) - at_ns) <= NEAR_NS)
    return max((-((said(e) - arrived(e)) // NS_PER_MS) for e in near), default=0)


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
    answers = (event for message in asked for event in _decoded(message))
    mine = [e for e in answers if isinstance(e, Prepared) and e.start_id == created.start_id]
    return mine[-1].limits_hash if mine else ""


def _end(created: SessionCreated, messages: list[Noted]) -> tuple[int, str, bool]:
    """Return until when the replay can follow, why it is no longer, and whether that is an end."""
    last_ns = created.at_ns
    for message in messages:
        if message.stored_ns <= created.at_ns:
            continue
        last_ns = max(last_ns, message.stored_ns)
        if is_halting(message.subject):
            return message.stored_ns, f"a message on {message.subject}", True
        if message.subject == ENDED:
            return message.stored_ns, "the end of its epoch", True
        if message.subject == f"session.{created.session}.adopted":
            for event in _decoded(message):
                if event.at_ns > created.at_ns:
                    return event.at_ns, "what it held changed by no order of its own", True
        if message.subject == f"session.{created.session}.state":
            for event in _decoded(message):
                assert isinstance(event, SessionStateChanged)
                if event.state in OVER:
                    return event.at_ns, "", True
    return last_ns, "", False


def _adopted(own: list[Any], at_ns: int) -> list[PositionsAdopted]:
    """Return what it took over at this time; one that is recorded again is none more."""
    found = (e for e in own if isinstance(e, PositionsAdopted) and e.at_ns == at_ns)
    return [*{name_of(each): each for each in found}.values()]


def _by_people(own: list[Any]) -> list[SessionStateChanged]:
    changes = [e for e in own if isinstance(e, SessionStateChanged)]
    return [e for e in changes[1:] if e.operator]


def _told(messages: list[Noted], until_ns: int) -> Iterator[Heard]:
    for message in messages:
        if message.subject.startswith(TOLD):
            yield from (each for each in _heard(message) if said(each) <= until_ns)


def _moved(told: Iterable[Heard]) -> Iterator[InstrumentId]:
    """Yield what the account held or traded, also as another session."""
    for _, event in told:
        if isinstance(event, BookReported):
            yield from (view.instrument for view in event.positions)
        elif isinstance(event, ExecutionEvent):
            yield event.instrument


def _heads(created: SessionCreated, told: Iterable[Heard]) -> tuple[str, ...]:
    """Return how the subjects of the market begin that the session is decided again with."""
    known = {*created.instruments, *_moved(told)}
    return tuple(f"{MARKET}{venue_of(each)}.{symbol_of(each)}." for each in sorted(known))


def _market(heads: tuple[str, ...], messages: Iterable[Noted]) -> Iterator[Heard]:
    for message in messages:
        if message.subject.startswith(heads) or covers(MARKET_WIDE, message.subject):
            yield from _heard(message)


def _events(messages: Iterable[Noted]) -> Iterator[Event]:
    """Yield what services said of signals and sessions."""
    for message in messages:
        if message.subject.startswith(("session.", "signal.", "risk.decision.")):
            yield from _decoded(message)


def _heard(message: Noted) -> Iterator[Heard]:
    """Yield the events of a message; where nobody knows when it arrived, it did as it was said."""
    for event in _decoded(message):
        yield Heard(message.stored_ns or event.at_ns, event)


def _decoded(message: Noted) -> tuple[Event, ...]:
    try:
        return decode(message.data, subject=message.subject)
    except WireError:
        return ()  # what nobody could read then decided nothing
