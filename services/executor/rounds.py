"""The executor's rounds with the venue: comparing books, preparing a start, reporting.

Each round is one question for the venue's whole book and what its answer proves. Pure.
"""

import msgspec

from schemas.base import AccountId, Event
from schemas.control import HaltRequested, PrepareAsked, Prepared
from schemas.errors import FieldError
from schemas.executions import BookReported
from schemas.health import Severity
from schemas.reconciliation import Difference, ReconciliationReported
from schemas.restrictions import LockRequested
from schemas.venue import BookQueried
from services.control import ControlGuard
from services.executor.clearing import Clearings, listed
from services.executor.facts import COMPONENT, alert
from services.executor.orders import Orders

CODE, WITHIN = "SLU-131", "SLU-137"
WANTED = "equal, or decided: `sluice reconcile adopt {id}`, or flatten, or ignore"
NEXT = "decide about each with `sluice reconcile`, then `sluice unlock` and `sluice start`"


class Rounds:
    """What was asked of the venue, and whether its book and ours agree.

    Attributes:
        is_linked: whether the venue can be reached.
        is_compared: whether the books agreed when they were last compared, on this connection.
        preparing: the start that waits for the venue's answer.
        differences: what the last comparison found, by id.
    """

    def __init__(
        self, account: AccountId, orders: Orders, guard: ControlGuard, clearings: Clearings
    ) -> None:
        self.is_linked = False
        self.is_compared = False
        self.preparing: PrepareAsked | None = None
        self.differences: dict[str, Difference] = {}
        self._account = account
        self._orders = orders
        self._guard = guard
        self._clearings = clearings
        self._asked_count = 0
        self._second_looks: set[str] = set()  # asked for membership only, never iterated
        self._whole: set[str] = set()  # the same

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
        if not since_ns:
            self._whole.add(name)
        return BookQueried(at_ns=now_ns, request_id=name, since_ns=since_ns)

    def deserves_second_look(self, request_id: str) -> bool:
        """Return, once for each thorough question, whether to look again before concluding."""
        is_first = request_id in self._second_looks
        self._second_looks.discard(request_id)
        return is_first

    def has_every_execution(self, request_id: str) -> bool:
        """Return, once for each, whether a question asked for every execution there ever was.

        A difference means nothing before: an execution reported out of order, or by a venue whose
        clock went back, may be older than the newest that is known here.
        """
        is_whole = request_id in self._whole
        self._whole.discard(request_id)
        return is_whole

    def is_news(self, differences: tuple[Difference, ...]) -> bool:
        """Return whether these are differences, and others than those already known."""
        return bool(differences) and [e.id for e in differences] != list(self.differences)

    def turn(self, *, is_linked: bool) -> None:
        """Begin with a new connection, or with none: what was asked and proven is void."""
        self.is_linked, self.is_compared = is_linked, False
        self._second_looks.clear()
        self._whole.clear()

    def conclude(self, differences: tuple[Difference, ...], now_ns: int) -> list[Event]:
        """Return what follows from a comparison: nothing, while it finds what it found before.

        A difference over tolerance locks (I11): with two truths about a position no limit means
        anything. What was ignored is so until it changes.
        """
        before = self.differences
        found = [before.get(each.id, each) for each in differences]
        told = ReconciliationReported(
            at_ns=now_ns,
            account=self._account,
            is_agreed=not any(each.is_in_the_way for each in found),
            differences=tuple(found),
        )
        news = [each for each in found if each.id not in before]
        is_changed = list(before) != [each.id for each in found]
        self.apply(told)
        said: list[Event] = [told] if is_changed else []
        if news:
            said += self._mismatch(news, now_ns)
        return said

    def apply(self, report: ReconciliationReported) -> None:
        """Take over what was found; after a restart, so that what was ignored stays so."""
        self.differences = {each.id: each for each in report.differences}
        self.is_compared = self.is_linked and report.is_agreed

    def ignore(self, id_: str, operator: str, reason: str, now_ns: int) -> ReconciliationReported:
        """Let one difference stand until it changes; return the report that says so."""
        ignored = msgspec.structs.replace(
            self.differences[id_], ignored_by=operator, ignored_because=reason
        )
        found = tuple({**self.differences, id_: ignored}.values())
        report = ReconciliationReported(
            at_ns=now_ns,
            account=self._account,
            is_agreed=not any(each.is_in_the_way for each in found),
            differences=found,
        )
        self.apply(report)
        return report

    def answer(self, now_ns: int, no_book: FieldError | None = None) -> list[Event]:
        """Return the book and the word on the start that is being prepared.

        Args:
            now_ns: the time.
            no_book: why there is no book of the venue's to compare with.
        """
        assert self.preparing is not None, "nobody asked"
        errors = self._obstacles() if no_book is None else (no_book,)
        start_id, guard = self.preparing.start_id, self._guard
        self.preparing = None
        prepared = Prepared(
            at_ns=now_ns,
            start_id=start_id,
            component=COMPONENT,
            boot_id=guard.boot_id,
            limits_hash=guard.limits_hash,
            halts=guard.halts,
            restriction_count=guard.restriction_count,
            unconfirmed=guard.unconfirmed(),
            epoch_max=guard.epoch_max,
            is_reconciled=not errors,
            errors=errors,
        )
        return [self.report(start_id, now_ns), prepared]

    def report(self, request_id: str, now_ns: int) -> BookReported:
        """Return the whole book."""
        orders = self._orders
        unknown = len(orders.unknown())
        differing = "; ".join(f"{each.name}: {each.both}" for each in self.differences.values())
        return BookReported(
            at_ns=now_ns,
            account=self._account,
            request_id=request_id,
            is_reconciled=self.is_compared and not unknown,
            detail=differing or (f"{unknown} of unknown fate" if unknown else ""),
            cash=orders.portfolio.cash,
            fees=orders.portfolio.fees,
            positions=orders.portfolio.views({}),
            open_orders=tuple(record.view() for record in orders.open.values()),
            order_count=orders.count,
            fill_count=orders.portfolio.fill_count,
            recent_orders=tuple(record.view() for record in orders.ended(now_ns)),
            differences=tuple(self.differences.values()),
        )

    def _obstacles(self) -> tuple[FieldError, ...]:
        """Return what stands in the way of a start; each with what must be done about it."""
        found = [
            FieldError(
                path=f"{COMPONENT}.{each.name}", found=each.both, wanted=WANTED.format(id=each.id)
            )
            for each in self.differences.values()
            if each.is_in_the_way
        ]
        if unknown := self._orders.unknown():
            ids = listed([record.order.order_id for record in unknown])
            wanted = "none: they are queried, and closed once their deadline has passed"
            found.append(
                FieldError(path=f"{COMPONENT}.orders of unknown fate", found=ids, wanted=wanted)
            )
        if self._clearings.halting is not None:
            ids = listed(list(self._clearings.halting.cancelled))
            wanted = "none that increases exposure: cancels are repeated each second"
            found.append(
                FieldError(
                    path=f"{COMPONENT}.orders resting since the halt", found=ids, wanted=wanted
                )
            )
        return tuple(found)

    def _mismatch(self, news: list[Difference], now_ns: int) -> list[Event]:
        """Return the alert, and where something is over tolerance the halt and the lock."""
        fields = {each.name: each.both for each in news}
        is_over = any(each.is_over_tolerance for each in news)
        severity = Severity.CRITICAL if is_over else Severity.WARNING
        within = "" if is_over else ", within tolerance"
        message = f"our book and the venue's differ in {', '.join(fields)}{within}"
        code = CODE if is_over else WITHIN
        said: list[Event] = [alert(code, message, now_ns, severity, fields)]
        if is_over:
            text = "; ".join(f"{name}: {both}" for name, both in fields.items())
            said += lock(CODE, f"the venue's book differs from ours: {text}", now_ns, fields)
        return said


def lock(code: str, reason: str, now_ns: int, fields: dict[str, str]) -> list[Event]:
    """Return a halt, and then the lock that only a person can take away."""
    return [
        HaltRequested(at_ns=now_ns, reason=reason, operator=COMPONENT),
        LockRequested(
            at_ns=now_ns,
            component=COMPONENT,
            code=code,
            reason=reason,
            fields={**fields, "next": NEXT} if code == CODE else fields,
        ),
    ]
