"""What `sluice up` knows of the system it shows: gathered from the bus, drawn elsewhere."""

import asyncio
import time
from collections import Counter, deque
from decimal import Decimal

import msgspec

from schemas.base import Event, InstrumentId
from schemas.control import AccountMarked, BreakerStateChanged, EpochEnded, EpochStarted
from schemas.errors import WireError
from schemas.executions import BookReported, ExecutionEvent, OrderFilled, OrderView, PositionView
from schemas.health import AlertRaised, ArbiterReported, FeedReported, GateReported, ServiceView
from schemas.market import FeedEnded
from schemas.orders import Outcome, SignalDecided
from schemas.sessions import SessionStateChanged
from schemas.subjects import SUBJECTS
from schemas.wire import decode
from services.cli.desk import Desk
from services.cli.output import trading_state_of

HEARD: tuple[type[Event], ...] = (
    *ExecutionEvent.__subclasses__(),
    BookReported,
    AccountMarked,
    AlertRaised,
    BreakerStateChanged,
    EpochStarted,
    EpochEnded,
    SessionStateChanged,
    SignalDecided,
    FeedEnded,
)
EVENTS_KEPT = 6
NOTES_KEPT = 5
CLOSING_TRIES, CLOSING_EVERY_S = 6, 0.05
UNREAD_MAX = 50
"""Notes between two lines of a terminal that is none; a count."""


class Rates(msgspec.Struct, frozen=True):
    """How much happened in the last second, by kind."""

    market_per_s: float | None = None
    """None while the feed does not say."""

    decisions_per_s: float = 0.0
    fills_per_s: float = 0.0


class UpWatch:
    """The state of the system as it was last heard of.

    Attributes:
        fills: executions heard since the start of this run.
        denied: signals that the gate rejected, by rule.
        first_fill_s: seconds from the start of the command to the first of them.
        is_feed_ended: whether the recording is at its end.
        has_started: whether trading was started since, by whomever.
        notes: the newest alerts and notes, oldest first.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._began_s = time.monotonic()
        self.arbiter: ArbiterReported | None = None
        self.gate: GateReported | None = None
        self.feed: FeedReported | None = None
        self.book: BookReported | None = None
        self.equity: Decimal | None = None
        self.first_equity: Decimal | None = None
        self.fills = self.decisions = 0
        self.denied: Counter[str] = Counter()
        self.first_fill_s: float | None = None
        self.is_feed_ended = self.has_started = False
        self.is_news = asyncio.Event()
        self.rates = Rates()
        self.last_fills: deque[OrderFilled] = deque(maxlen=EVENTS_KEPT)
        self.notes: deque[str] = deque(maxlen=NOTES_KEPT)
        self._unread: deque[str] = deque(maxlen=UNREAD_MAX)
        self._counted_s, self._counted = time.monotonic(), (0, 0)

    @property
    def elapsed_s(self) -> float:
        """Seconds since this began."""
        return time.monotonic() - self._began_s

    @property
    def trading_state(self) -> str:
        """The word for the whole, as `sluice status` says it."""
        return trading_state_of(self.arbiter, self.gate, self.book)

    @property
    def positions(self) -> list[PositionView]:
        """What is held now."""
        return [each for each in self.book.positions if each.quantity] if self.book else []

    @property
    def last_orders(self) -> list[OrderView]:
        """The open orders, and the last that closed; newest last."""
        if self.book is None:
            return []
        return [*self.book.recent_orders[-EVENTS_KEPT:], *self.book.open_orders[:EVENTS_KEPT]]

    @property
    def silent(self) -> list[str]:
        """Who did not answer when asked last: what is told of them then is not known."""
        asked = {
            "breaker": self.arbiter,
            "gate": self.gate,
            "feed": self.feed,
            "executor": self.book,
        }
        return [name for name, said in asked.items() if said is None]

    @property
    def is_settled(self) -> bool:
        """Whether no order is open."""
        return self.book is not None and not self.book.open_orders

    async def open(self, began_s: float) -> None:
        """Begin to listen; times count from `began_s` on the monotonic clock."""
        self._began_s = began_s
        for subject in dict.fromkeys(SUBJECTS[event] for event in HEARD):
            await self._desk.connection.take(subject, self._take)

    async def refresh(self) -> None:
        """Ask everybody: who does not answer is not known to be as he was last heard of."""
        heard = self.book
        self.arbiter, self.gate, self.feed, book = await asyncio.gather(
            self._desk.arbiter(), self._desk.gate(), self._desk.feed(), self._desk.book()
        )
        if book is not None or self.book is heard:  # else it was published meanwhile
            self.book = book
        if self.feed is not None:
            self.is_feed_ended = self.is_feed_ended or self.feed.is_ended
        self._mark(self.arbiter.equity if self.arbiter else None)
        self._count()

    async def close(self) -> None:
        """Ask what the account is left with, when nothing is ordered any more.

        An order that was just sent has some moments to fill; what rests then is told as open.
        """
        for _ in range(CLOSING_TRIES):
            self.arbiter, self.book = await asyncio.gather(self._desk.arbiter(), self._desk.book())
            self._mark(self.arbiter.equity if self.arbiter else None)
            if self.book is None or self.is_settled:
                return
            await asyncio.sleep(CLOSING_EVERY_S)

    def note(self, text: str) -> None:
        """Keep something for the person to read."""
        self.notes.append(text)
        self._unread.append(text)
        self.is_news.set()

    def unread(self) -> list[str]:
        """Return the notes since the last call, oldest first."""
        found = list(self._unread)
        self._unread.clear()
        return found

    @property
    def feed_failure(self) -> str:
        """What ended the feed before its end; empty if nothing did, as far as is known."""
        return self.feed.detail if self.feed else ""

    def marks(self) -> dict[InstrumentId, str]:
        """Return the latest `bid/ask` by instrument."""
        quotes = self.feed.quotes if self.feed else {}
        return {InstrumentId(name): quote for name, quote in quotes.items()}

    def _count(self) -> None:
        now_s = time.monotonic()
        passed_s = max(now_s - self._counted_s, 1e-3)
        decisions, fills = self._counted
        self.rates = Rates(
            market_per_s=self.feed.rate_per_s if self.feed else None,
            decisions_per_s=(self.decisions - decisions) / passed_s,
            fills_per_s=(self.fills - fills) / passed_s,
        )
        self._counted_s, self._counted = now_s, (self.decisions, self.fills)

    def _take(self, subject: str, data: bytes, _reply: str) -> int:
        try:
            events = decode(data, subject=subject)
        except WireError:
            return 1  # the services dead-letter it
        for event in events:
            self._hear(event)
        return len(events)

    def _hear(self, event: Event) -> None:
        match event:
            case OrderFilled():
                self._on_fill(event)
            case SignalDecided(outcome=outcome, rule=rule):
                self.decisions += 1
                if outcome is Outcome.REJECTED:
                    self.denied[rule] += 1
            case BookReported():
                self.book = event
            case AccountMarked():
                self._mark(None if event.unmarked else event.equity)
            case AlertRaised(severity=severity, component=component, message=message):
                self.note(f"{severity}: {component}: {message}")
            case BreakerStateChanged(state=state, reason=reason):
                self.note(f"breaker {state}: {reason}")
            case EpochEnded(epoch=epoch, reason=reason):
                self.note(f"epoch {epoch} ended: {reason}")
            case EpochStarted(epoch=epoch, operator=operator):
                self.has_started = True
                self.note(f"epoch {epoch} started by {operator}")
            case SessionStateChanged(session=session, state=state, reason=reason):
                self.note(f"session {session} {state} {reason}".strip())
            case FeedEnded():
                self.is_feed_ended = True

    def _on_fill(self, fill: OrderFilled) -> None:
        self.fills += 1
        self.last_fills.append(fill)
        if self.first_fill_s is None:
            self.first_fill_s = self.elapsed_s
            self.note(f"first fill after {self.first_fill_s:.1f} s")

    def _mark(self, equity: Decimal | None) -> None:
        """Take what the account is worth; None: nobody can say, whatever was said before."""
        self.equity = equity
        if self.first_equity is None:
            self.first_equity = equity


def unwell(services: tuple[ServiceView, ...]) -> list[str]:
    """Return the services that do not run, with their state."""
    return [f"{view.name} {view.state}" for view in services if view.state != "running"]
