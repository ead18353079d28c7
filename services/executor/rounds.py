"""The executor's rounds with the venue: comparing books, preparing a start, clearing after a halt.

Each round is one question for the venue's whole book and what its answer proves. Pure.
"""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from schemas.base import AccountId, Event, InstrumentId, OrderId
from schemas.control import HaltConfirmed, HaltRequested, PrepareAsked, Prepared
from schemas.errors import FieldError
from schemas.executions import BookReported
from schemas.health import AlertRaised, Severity
from schemas.venue import BookQueried, VenueBook, VenueOpenOrder
from services.control import ControlGuard
from services.executor.facts import COMPONENT
from services.executor.orders import Orders
from services.executor.reconcile import Comparison, as_resting, exposing

LISTED_MAX = 5
"""How many orders a text names before it only counts them."""


class Halting(msgspec.Struct):
    """A halt whose orders are being cleared away."""

    request_id: str
    cancelled: dict[OrderId, None] = {}
    """Orders asked to be cancelled since the halt, in order of asking."""

    listed: tuple[VenueOpenOrder, ...] = ()
    """What the venue showed last, orders that are not ours included."""


class Rounds:
    """What was asked of the venue, and whether its book and ours agree.

    Attributes:
        is_linked: whether the venue can be reached.
        is_compared: whether the books agreed when they were last compared, on this connection.
        preparing: the start that waits for the venue's answer.
        halting: the halt that is not yet confirmed.
    """

    def __init__(self, account: AccountId, orders: Orders, guard: ControlGuard) -> None:
        self.is_linked = False
        self.is_compared = False
        self.preparing: PrepareAsked | None = None
        self.halting: Halting | None = None
        self._account = account
        self._orders = orders
        self._guard = guard
        self._asked_count = 0
        self._second_looks: set[str] = set()  # asked for membership only, never iterated
        self._last_difference = ""

    def question(
        self, request_id: str, now_ns: int, *, is_thorough: bool = True, since_ns: int | None = None
    ) -> BookQueried:
        """Return the question for the venue's book.

        Args:
            request_id: comes back in the answer; empty gets a number.
            now_ns: the time.
            is_thorough: whether orders of unknown fate are asked for, and the book once more,
                before anything is concluded.
            since_ns: from when executions are wanted; None from the last one folded.
        """
        self._asked_count += 1
        name = request_id or f"round-{self._asked_count}"
        if is_thorough:
            self._second_looks.add(name)
        since_ns = self._orders.last_fill_ns if since_ns is None else since_ns
        return BookQueried(at_ns=now_ns, request_id=name, since_ns=since_ns)

    def deserves_second_look(self, request_id: str) -> bool:
        """Return, once for each thorough question, whether to look again before concluding."""
        is_first = request_id in self._second_looks
        self._second_looks.discard(request_id)
        return is_first

    def turn(self, *, is_linked: bool) -> None:
        """Begin with a new connection, or with none: what was asked and proven is void."""
        self.is_linked, self.is_compared = is_linked, False
        self._second_looks.clear()

    def conclude(self, book: VenueBook, found: Comparison, now_ns: int) -> list[Event]:
        """Return what follows from a comparison: alert and halt, or the answer that waited for it.

        A difference halts (I11): with two truths about a position no limit means anything.
        """
        said: list[Event] = []
        text = "; ".join(f"{name}: {both}" for name, both in found.differences.items())
        self.is_compared = not text
        if text and text != self._last_difference:
            said.append(self._mismatch(found.differences, now_ns))
            if not self._guard.is_halted:
                reason = f"the venue's book differs from ours: {text}"
                said.append(HaltRequested(at_ns=now_ns, reason=reason, operator=COMPONENT))
        self._last_difference = text
        if self.preparing is not None and book.request_id == self.preparing.start_id:
            said += self.answer(self._obstacles(found.differences), now_ns)
        if self.halting is not None and book.request_id == self.halting.request_id:
            said += self._cleared(self.halting, book, now_ns)
        return said

    def answer(self, errors: tuple[FieldError, ...], now_ns: int) -> list[Event]:
        """Return the book and the word on the start that is being prepared."""
        assert self.preparing is not None, "nobody asked"
        start_id, guard = self.preparing.start_id, self._guard
        self.preparing = None
        prepared = Prepared(
            at_ns=now_ns,
            start_id=start_id,
            component=COMPONENT,
            boot_id=guard.boot_id,
            limits_hash=guard.limits_hash,
            halts=guard.halts,
            epoch_max=guard.epoch_max,
            is_reconciled=not errors,
            errors=errors,
        )
        return [self.report(start_id, now_ns), prepared]

    def report(self, request_id: str, now_ns: int) -> BookReported:
        """Return the whole book."""
        orders = self._orders
        unknown = len(orders.unknown())
        return BookReported(
            at_ns=now_ns,
            account=self._account,
            request_id=request_id,
            is_reconciled=self.is_compared and not unknown,
            detail=self._last_difference or (f"{unknown} of unknown fate" if unknown else ""),
            cash=orders.portfolio.cash,
            fees=orders.portfolio.fees,
            positions=orders.portfolio.views({}),
            open_orders=tuple(record.view() for record in orders.open.values()),
            order_count=len(orders.records),
            fill_count=orders.portfolio.fill_count,
            recent_orders=tuple(record.view() for record in orders.recent),
        )

    def begin_halt(self) -> None:
        """Start clearing away what rests; a halt that is being cleared begins again."""
        self._asked_count += 1
        self.halting = Halting(request_id=f"halt-{self._asked_count}")

    def to_cancel(self) -> list[OrderId]:
        """Return what the halt must cancel: of our open orders, and of what the venue showed."""
        assert self.halting is not None, "asked only while halting"
        resting = {each.order_id: each for each in self.halting.listed}
        resting |= {each.order_id: each for each in as_resting(self._orders.open.values())}
        chosen = exposing(resting.values(), self._held(), self._reducing())
        self.halting.cancelled |= dict.fromkeys(chosen)
        return chosen

    def _cleared(self, halting: Halting, book: VenueBook, now_ns: int) -> list[Event]:
        """Return the confirmation, if the venue shows nothing that could increase exposure."""
        halting.listed = book.open_orders
        if exposing(book.open_orders, book.positions, self._reducing()):
            return []
        self.halting = None
        return [
            HaltConfirmed(
                at_ns=now_ns,
                component=COMPONENT,
                cancelled_count=len(halting.cancelled),
                resting_count=len(book.open_orders),
                detail=_listed([each.order_id for each in book.open_orders]),
            )
        ]

    def _obstacles(self, differences: Mapping[str, str]) -> tuple[FieldError, ...]:
        found = [
            FieldError(path=f"{COMPONENT}.{name}", found=both, wanted="both equal")
            for name, both in differences.items()
        ]
        if unknown := self._orders.unknown():
            ids = _listed([record.order.order_id for record in unknown])
            wanted = "none: they are queried, and closed once their deadline has passed"
            found.append(
                FieldError(path=f"{COMPONENT}.orders of unknown fate", found=ids, wanted=wanted)
            )
        if self.halting is not None:
            ids = _listed(list(self.halting.cancelled))
            wanted = "none that increases exposure: cancels are repeated each second"
            found.append(
                FieldError(
                    path=f"{COMPONENT}.orders resting since the halt", found=ids, wanted=wanted
                )
            )
        return tuple(found)

    def _mismatch(self, differences: dict[str, str], now_ns: int) -> AlertRaised:
        return AlertRaised(
            at_ns=now_ns,
            severity=Severity.CRITICAL,
            component=COMPONENT,
            code="SLU-131",
            message=f"our book and the venue's differ in {', '.join(differences)}",
            fields=differences,
        )

    def _held(self) -> dict[InstrumentId, Decimal]:
        portfolio = self._orders.portfolio
        return {key: position.quantity for key, position in portfolio.positions.items()}

    def _reducing(self) -> list[OrderId]:
        open_orders = self._orders.open.items()
        return [order_id for order_id, record in open_orders if record.order.is_reduce_only]


def _listed(ids: list[OrderId]) -> str:
    more = len(ids) - LISTED_MAX
    return ", ".join(ids[:LISTED_MAX]) + (f" and {more} more" if more > 0 else "")
