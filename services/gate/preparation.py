"""The gate's part in a start: exposure rebuilt from the executor's book, then `Prepared`."""

from collections.abc import Iterator, Sequence

from schemas.base import Event
from schemas.control import PrepareAsked, Prepared, StartRequest
from schemas.errors import FieldError
from schemas.executions import BookReported
from schemas.instruments import symbol_of
from services.control import ControlGuard
from services.core import NOTHING
from services.gate.account import Account
from services.gate.state import GateState


class Preparation:
    """Bring the arbiter's question and the executor's book together, whichever comes first."""

    def __init__(self, state: GateState, guard: ControlGuard) -> None:
        self._state = state
        self._guard = guard
        self._asked: PrepareAsked | None = None
        self._book: BookReported | None = None

    def asked(self, event: PrepareAsked, now_ns: int) -> Sequence[Event]:
        """Take the arbiter's question; an older one that is still open is forgotten."""
        self._asked = event
        return self._answer(now_ns)

    def booked(self, book: BookReported, now_ns: int) -> Sequence[Event]:
        """Take a book that was reported for a start, after it was folded."""
        if book.request_id:
            self._book = book
        return self._answer(now_ns)

    def _answer(self, now_ns: int) -> Sequence[Event]:
        asked, book = self._asked, self._book
        if asked is None or book is None or book.request_id != asked.start_id:
            return NOTHING
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
            epoch_max=guard.epoch_max,
            is_reconciled=book.is_reconciled,
            errors=errors,
        )
        return [prepared]

    def _errors(self, request: StartRequest, book: BookReported) -> Iterator[FieldError]:
        """Yield everything that would make the gate deny what this start asks for."""
        if request.risk_limits:
            yield FieldError(
                path="$.risk_limits",
                found=", ".join(request.risk_limits),
                wanted="nothing: limits are chosen in the gate's configuration",
            )
        account = self._state.accounts.get(book.account)
        if account is None:
            path = f"gate.accounts.{book.account}"
            yield FieldError(path=path, found="nothing", wanted="a row of limits for the account")
            return
        if account.is_stale(book):
            found = "older than what the executor told since"
            yield FieldError(path="the executor's book", found=found, wanted="try the start again")
        elif account.doubt:
            yield FieldError(
                path="the executor's book",
                found=account.doubt,
                wanted="a reconciled book of configured instruments",
            )
        yield from _missing(account, request.symbols)


def _missing(account: Account, symbols: Sequence[str]) -> Iterator[FieldError]:
    for key, lane in account.lanes.items():
        if key in symbols or symbol_of(key) in symbols:
            yield from lane.limits.errors()
