"""The gate's part in a start: exposure rebuilt from the executor's book, then `Prepared`."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from schemas.base import AccountId, Event
from schemas.control import BookWanted, PrepareAsked, Prepared, StartRequest
from schemas.errors import FieldError
from schemas.executions import BookReported
from schemas.instruments import symbol_of
from schemas.sessions import SessionLimits
from services.control import ControlGuard
from services.core import NOTHING
from services.gate.account import Account
from services.gate.exposure import Lane
from services.gate.state import GateState
from services.session_limits import PATH, session_limits

_LIKE = {
    "order_notional_max": ("order_notional_max",),
    "position_notional_max": ("position_notional_max", "session_position_notional_max"),
    "gross_notional_max": ("gross_notional_max", "session_gross_notional_max"),
}
"""What a session's own limits are compared with, by name."""


class Preparation:
    """Bring the arbiter's question and the executor's book together, whichever comes first."""

    def __init__(self, state: GateState, guard: ControlGuard) -> None:
        self._state = state
        self._guard = guard
        self._asked: PrepareAsked | None = None
        self._book: BookReported | None = None
        self._overtaken: AccountId | None = None

    def asked(self, event: PrepareAsked, now_ns: int) -> Sequence[Event]:
        """Take the arbiter's question; an older one that is still open is forgotten."""
        self._asked, self._overtaken = event, None
        return self._answer(now_ns)

    def booked(self, book: BookReported, now_ns: int) -> Sequence[Event]:
        """Take a book that was reported for a start, after it was folded."""
        if book.request_id or self._overtaken == book.account:
            self._book = book
        return self._answer(now_ns)

    def _answer(self, now_ns: int) -> Sequence[Event]:
        asked, book = self._asked, self._book
        if asked is None or book is None:
            return NOTHING
        if book.request_id != asked.start_id and self._overtaken != book.account:
            return NOTHING
        account = self._state.accounts.get(book.account)
        if account is not None and account.is_stale(book):
            return self._again(book, now_ns)
        self._asked = self._book = None
        guard = self._guard
        errors = tuple({each.path: each for each in self._errors(asked.request, book)}.values())
        prepared = Prepared(
            at_ns=now_ns,
            start_id=asked.start_id,
            component=guard.component,
            boot_id=guard.boot_id,
            limits_hash=guard.limits_hash,
            halts=guard.halts,
            restriction_count=guard.restriction_count,
            unconfirmed=guard.unconfirmed(),
            epoch_max=guard.epoch_max,
            is_reconciled=book.is_reconciled,
            errors=errors,
        )
        return [prepared]

    def _again(self, book: BookReported, now_ns: int) -> Sequence[Event]:
        """Ask for a newer book, once: an execution came between the question and the answer.

        The account's next book that is news is the answer: it is younger than the question.
        """
        if self._overtaken == book.account:
            return NOTHING
        self._overtaken = book.account
        return [BookWanted(at_ns=now_ns, account=book.account)]

    def _errors(self, request: StartRequest, book: BookReported) -> Iterator[FieldError]:
        """Yield everything that would make the gate deny what this start asks for."""
        own, wrong = session_limits(request.risk_limits)
        yield from wrong
        account = self._state.accounts.get(book.account)
        if account is None:
            path = f"gate.accounts.{book.account}"
            yield FieldError(path=path, found="nothing", wanted="a row of limits for the account")
            return
        if account.doubt:
            yield FieldError(
                path="the executor's book",
                found=account.doubt,
                wanted="a reconciled book of configured instruments",
            )
        lanes = _asked_for(account, request.symbols)
        for lane in lanes:
            yield from lane.limits.errors()
            yield from self._state.hours.unchosen.get(lane.instrument.id, ())
        yield from _looser(own, lanes)


def _asked_for(account: Account, symbols: Sequence[str]) -> list[Lane]:
    return [
        lane for key, lane in account.lanes.items() if key in symbols or symbol_of(key) in symbols
    ]


def _looser(own: SessionLimits, lanes: Sequence[Lane]) -> Iterator[FieldError]:
    """Yield each limit of a session that is looser than its account's: it would hold nothing.

    A limit that the account has by instrument is compared with that of the loosest one.
    """
    for name, of_account in _LIKE.items():
        chosen: Decimal | None = getattr(own, name)
        limits = [
            min((getattr(lane.limits, each) for each in of_account), key=lambda bound: bound.value)
            for lane in lanes
            if not lane.limits.errors()
        ]
        if chosen is None or not limits:
            continue
        most = max(limits, key=lambda bound: bound.value)
        if chosen > most.value:
            wanted = f"at most {most.text}: the tightest of the account's {', '.join(of_account)}"
            yield FieldError(path=f"{PATH}.{name}", found=str(chosen), wanted=wanted)
