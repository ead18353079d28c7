"""Flatten: REDUCE first, then cancel, then close through the gate, then look at the venue. Pure.

The order of these is the safeguard. With REDUCE in force here, the last check lets nothing pass
that could make a position larger, so that nobody can buy while all is being sold. A position is
closed by a signal like any other (I14): the gate decides on it. And "flat" is said only after a
look at the venue, asked for after all that, showed no order and no position.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_MS, AccountId, Event, InstrumentId, OrderId, SessionId, SignalId
from schemas.control import ControlAnswered
from schemas.errors import FieldError
from schemas.executions import PositionView
from schemas.health import Severity
from schemas.ids import flatten_session, order_id_of
from schemas.instruments import Instrument
from schemas.orders import OrderType, Side, SignalRaised, TimeInForce
from schemas.restrictions import (
    ALL,
    FlattenAsked,
    FlattenReported,
    Level,
    RestrictionRequested,
    known_scope,
)
from schemas.venue import CancelPlaced, VenueBook, VenueOpenOrder
from services.control import ControlGuard
from services.core import NOTHING
from services.executor.alarms import Alarm, Alarms
from services.executor.clearing import Scopes
from services.executor.config import ExecutorConfig
from services.executor.facts import alert
from services.executor.orders import Orders, Record
from services.executor.rounds import Rounds
from services.executor.shares import part_of
from services.people import blanks

ZERO = Decimal(0)
HALTED = (
    "halted: nothing may be sent, so nothing can be closed. `sluice reduce` (it lasts), `sluice "
    "reset`, `sluice start`, and then `sluice flatten`; orders alone: `sluice venue-kill`"
)
NO_EPOCH = "trading was not started since this executor began: `sluice start`, then flatten"
RESTARTED = "the executor restarted meanwhile: ask again"


class Task(msgspec.Struct, kw_only=True):
    """One flatten that goes on."""

    number: int
    asked: FlattenAsked
    is_waiting: bool
    """Whether it waits for an epoch; only one that a person's word on a difference began."""

    tries: int = 0
    """Since there was progress."""

    look: str = ""
    """The question asked after REDUCE was in force; empty before."""

    listed: tuple[VenueOpenOrder, ...] = ()
    held: dict[InstrumentId, Decimal] | None = None
    """By the venue's last word; None before the first."""

    signals: dict[InstrumentId, OrderId] = {}
    """The newest closing order of each."""

    parts: dict[InstrumentId, int] = {}
    """In how many parts a position is closed: doubled while the gate lets no order through."""

    cancelled: dict[OrderId, None] = {}

    @property
    def scope(self) -> str:
        """What is to be flat."""
        return self.asked.request.scope

    @property
    def session(self) -> SessionId:
        """What its closing orders are signed with."""
        return flatten_session(self.number, part_of(self.scope))


class Flattener:
    """Makes one scope flat at a time.

    Attributes:
        task: the flatten that goes on; None while there is none.
    """

    def __init__(
        self,
        config: ExecutorConfig,
        account: AccountId,
        instruments: Mapping[InstrumentId, Instrument],
        scopes: Scopes,
        orders: Orders,
        rounds: Rounds,
        guard: ControlGuard,
        alarms: Alarms,
    ) -> None:
        self.task: Task | None = None
        self._every_ns = config.flatten_every_ms * NS_PER_MS
        self._tries_max = config.flatten_tries_max
        self._account = account
        self._instruments = instruments
        self._scopes = scopes
        self._orders = orders
        self._rounds = rounds
        self._guard = guard
        self._alarms = alarms
        self._unended: dict[str, FlattenReported] = {}  # by request, of before a restart

    def ask(self, event: FlattenAsked, now_ns: int, *, may_wait: bool = False) -> list[Event]:
        """Begin, or say why not; the answer goes to who asked.

        Args:
            event: the request.
            now_ns: the time.
            may_wait: whether it may wait for an epoch.
        """
        if self.task is not None and self.task.asked.request_id == event.request_id:
            return []  # our own word, come back to us
        self._orders.apply(event)
        if errors := self.objections(event, may_wait=may_wait):
            return [_answer(event, errors[0].found, now_ns, errors)]
        said: list[Event] = []
        if self.task is not None:
            said += self._end(f"overtaken by one of {event.request.scope}", now_ns)
        number = self._orders.shares.flatten_count
        self.task = Task(number=number, asked=event, is_waiting=may_wait)
        resting = self._scopes.resting(event.request.scope, ())
        self.task.cancelled |= {each.order_id: None for each in resting}
        text = f"{self.task.session} of {event.request.scope} began: REDUCE, cancel, close, look"
        said += [_answer(event, text, now_ns), self._report(text, now_ns)]
        return [*said, *self.go_on(now_ns)]

    def go_on(self, now_ns: int) -> Sequence[Event]:
        """Take the next step: see that REDUCE is in force, cancel what rests, look."""
        task = self.task
        if task is None:
            return NOTHING
        self._alarms.arm(Alarm.FLATTEN, now_ns + self._every_ns)
        if task.is_waiting and self._guard.permits(now_ns):
            return NOTHING
        if self._guard.is_halted:
            return self._end(HALTED, now_ns)
        task.is_waiting = False
        task.tries += 1
        if task.tries > self._tries_max:
            return self._end(f"no progress in {self._tries_max} tries", now_ns)
        if not self._is_reduced(task.scope):
            return [self._reduction(task, now_ns)]
        if not self._rounds.is_linked:
            return NOTHING
        resting = [each.order_id for each in self._scopes.resting(task.scope, task.listed)]
        task.cancelled |= dict.fromkeys(resting)
        cancels = [CancelPlaced(at_ns=now_ns, order_id=order_id) for order_id in resting]
        task.look = task.look or f"{task.session}-look-{now_ns}"
        return [*cancels, self._rounds.question(task.look, now_ns, is_thorough=False)]

    def hurry(self, now_ns: int) -> None:
        """Take the next step at once: what it waits for has happened."""
        if self.task is not None and not self.task.is_waiting:
            self._alarms.arm(Alarm.FLATTEN, now_ns + 1)

    def filled(self, record: Record, now_ns: int) -> None:
        """Look again at once when a closing order of ours has traded."""
        if self.task is not None and record.order.session == self.task.session:
            self.hurry(now_ns)

    def hear(self, book: VenueBook, now_ns: int) -> list[Event]:
        """Take the venue's word: flat, or what to close; and end what a restart cut short."""
        said: list[Event] = []
        for report in self._unended.values():
            said += self._cut_short(report, book, now_ns)
        self._unended.clear()
        task = self.task
        if task is None or not task.look or book.request_id != task.look:
            return said
        task.look = ""
        before_count = len(self._scopes.resting(task.scope, task.listed))
        task.listed = book.open_orders
        resting = self._scopes.resting(task.scope, task.listed)
        held = self._held_in(task.scope, book.positions)
        if not held and not resting:
            task.held = held
            return [*said, *self._end("", now_ns)]
        if _is_less(held, task.held) or len(resting) < before_count:
            task.tries = 0
        task.held = held
        return said if resting else [*said, *self._close(task, held, now_ns)]

    def halted(self, now_ns: int) -> list[Event]:
        """End: a halt keeps positions as they are."""
        if self.task is None or self.task.is_waiting:
            return []
        return self._end(HALTED, now_ns)

    def apply(self, report: FlattenReported) -> None:
        """Fold one kept report in: what has not ended did not survive the restart."""
        if report.is_ended:
            self._unended.pop(report.request_id, None)
        else:
            self._unended[report.request_id] = report

    def objections(self, event: FlattenAsked, *, may_wait: bool) -> tuple[FieldError, ...]:
        """Return what stands against a request; empty when nothing does. See `ask`."""
        request = event.request
        kind, _, name = request.scope.partition(".")
        is_known = request.scope == ALL or known_scope(request.scope) != ALL
        wanted = "all, account.<id>, session.<id>, venue.<name> or symbol.<venue>.<symbol>"
        if not is_known:
            return (FieldError(path="$.scope", found=request.scope, wanted=wanted),)
        if kind == "account" and name != self._account:
            return (FieldError(path="$.scope", found=name, wanted=f"account.{self._account}"),)
        if blanks(request.operator, request.reason, "asks", "why"):
            found = f"operator {request.operator!r}, reason {request.reason!r}"
            return (FieldError(path="$", found=found, wanted="who asks, and why"),)
        if self.task is not None and self.task.scope == ALL and request.scope != ALL:
            found = f"{self.task.session} of all goes on, and covers it"
            return (FieldError(path="$.scope", found=found, wanted="nothing: wait for its end"),)
        if self._guard.is_halted and not may_wait:
            found = HALTED if self._guard.halts else NO_EPOCH
            return (FieldError(path="trading", found=found, wanted="an epoch in force"),)
        return ()

    def _is_reduced(self, scope: str) -> bool:
        known = self._guard.restrictions
        return any((each, Level.REDUCE) in known for each in (scope, ALL))

    def _reduction(self, task: Task, now_ns: int) -> RestrictionRequested:
        request = task.asked.request
        return RestrictionRequested(
            at_ns=now_ns,
            level=Level.REDUCE,
            scope=task.scope,
            reason=f"{task.session}: {request.reason}",
            operator=request.operator,
        )

    def _held_in(
        self, scope: str, positions: Mapping[InstrumentId, Decimal]
    ) -> dict[InstrumentId, Decimal]:
        """Return what is to be closed; a session's part is our own count, no venue knows it."""
        part = part_of(scope)
        if part is not None:
            return dict(self._orders.shares.held.get(part, {}))
        nobody = SessionId("")
        covers = self._scopes.covers
        return {key: q for key, q in positions.items() if q and covers(scope, nobody, key)}

    def _close(self, task: Task, held: Mapping[InstrumentId, Decimal], now_ns: int) -> list[Event]:
        signals = [
            signal
            for instrument, quantity in held.items()
            if (signal := self._closing(task, instrument, quantity, now_ns)) is not None
        ]
        asked = ", ".join(f"{each.side} {each.quantity} {each.instrument}" for each in signals)
        return [*signals, self._report(f"closing: {asked or 'nothing that can be'}", now_ns)]

    def _closing(
        self, task: Task, instrument: InstrumentId, held: Decimal, now_ns: int
    ) -> SignalRaised | None:
        """Return the signal that closes a position, or a part of it; None where none can."""
        known = self._instruments.get(instrument)
        if known is None:
            return None
        last = task.signals.get(instrument)
        if last is not None and not self._orders.is_used(last):  # the gate let it not through
            task.parts[instrument] = task.parts.get(instrument, 1) * 2
        at_account = self._orders.portfolio.quantity(instrument)
        quantity = min(abs(held), abs(at_account) if at_account * held > 0 else ZERO)
        part = quantity / task.parts.get(instrument, 1)
        part = max(part - part % known.lot_size, min(quantity, known.lot_size))
        if not part:
            return None
        signal = SignalRaised(
            at_ns=now_ns,
            signal_id=SignalId(f"{task.session}-{instrument}-{now_ns}"),
            account=self._account,
            session=task.session,
            instrument=instrument,
            side=Side.SELL if held > 0 else Side.BUY,
            quantity=part,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.IOC,
            is_reduce_only=True,
            expires_at_ns=now_ns + self._every_ns,
            why=f"flatten of {task.scope} by {task.asked.request.operator}",
        )
        task.signals[instrument] = order_id_of(
            signal.account, signal.session, signal.signal_id, signal.leg
        )
        return signal

    def _end(self, why: str, now_ns: int) -> list[Event]:
        """Return the last report: flat if nothing is said against it, else NOT FLAT and why."""
        task = self.task
        assert task is not None, "ended only while one goes on"
        is_flat = not why
        last_words = "" if is_flat else f"{why}{self._last_words(task)}"
        text = (
            last_words
            or f"flat: nothing is held or rests; {len(task.cancelled)} orders were cancelled"
        )
        report = self._report(text, now_ns, is_ended=True, is_flat=is_flat)
        self.task = None
        self._alarms.disarm(Alarm.FLATTEN)
        return [report] if is_flat else [report, _alarm(report, now_ns)]

    def _last_words(self, task: Task) -> str:
        """Return what became of the last closing order of each position, for people."""
        told: list[str] = []
        for instrument, order_id in task.signals.items():
            record = self._orders.records.get(order_id)
            if record is None:
                said = f"no order came of the signal: see the gate's decisions for {task.session}"
            else:
                said = f"{record.status} {record.detail}".strip()
            told.append(f"{instrument}: {said}")
        return f" ({'; '.join(told)})" if told else ""

    def _report(
        self, detail: str, now_ns: int, *, is_ended: bool = False, is_flat: bool = False
    ) -> FlattenReported:
        task = self.task
        assert task is not None, "reported only while one goes on"
        ours = self._held_in(task.scope, self._orders.held())
        held = ours if task.held is None else task.held
        resting = self._scopes.resting(task.scope, task.listed)
        return FlattenReported(
            at_ns=now_ns,
            request_id=task.asked.request_id,
            scope=task.scope,
            is_flat=is_flat,
            is_ended=is_ended,
            positions=_views(held),
            resting=tuple(each.order_id for each in resting),
            detail=detail,
        )

    def _cut_short(self, report: FlattenReported, book: VenueBook, now_ns: int) -> list[Event]:
        resting = self._scopes.resting(report.scope, book.open_orders)
        ended = FlattenReported(
            at_ns=now_ns,
            request_id=report.request_id,
            scope=report.scope,
            is_flat=False,
            is_ended=True,
            positions=_views(self._held_in(report.scope, book.positions)),
            resting=tuple(each.order_id for each in resting),
            detail=RESTARTED,
        )
        return [ended, _alarm(ended, now_ns)]


def _is_less(
    held: Mapping[InstrumentId, Decimal], before: Mapping[InstrumentId, Decimal] | None
) -> bool:
    """Return whether some position has become smaller."""
    if before is None:
        return False
    return any(abs(held.get(key, ZERO)) < abs(quantity) for key, quantity in before.items())


def _views(held: Mapping[InstrumentId, Decimal]) -> tuple[PositionView, ...]:
    return tuple(PositionView(instrument=key, quantity=q) for key, q in held.items() if q)


def _answer(
    event: FlattenAsked, text: str, now_ns: int, errors: tuple[FieldError, ...] = ()
) -> ControlAnswered:
    message = f"nothing was done: {text}" if errors else text
    return ControlAnswered(
        at_ns=now_ns,
        request_id=event.request_id,
        request="flatten",
        is_ok=not errors,
        message=message,
        errors=errors,
    )


def _alarm(report: FlattenReported, now_ns: int) -> Event:
    held = {f"position {each.instrument}": str(each.quantity) for each in report.positions}
    fields = {**held, **{f"order {order_id}": "rests" for order_id in report.resting}}
    message = f"NOT FLAT in {report.scope}: {report.detail}"
    return alert("SLU-134", message, now_ns, Severity.CRITICAL, fields)
