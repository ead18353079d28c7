"""What a person decides about a difference between our book and the venue's. Pure.

Nothing is settled by itself. What is adopted is said and kept as an event of its own, so that
every position stays the sum of what the journal holds, and anybody can see who decided what.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from schemas.base import AccountId, Event, InstrumentId, OrderId, SessionId, SignalId
from schemas.control import ControlAnswered
from schemas.errors import FieldError
from schemas.executions import OrderFilled, OrderStatus
from schemas.instruments import Instrument, symbol_of, venue_of
from schemas.orders import Order, OrderType
from schemas.reconciliation import (
    BookAdjusted,
    Difference,
    DifferenceKind,
    ReconcileAction,
    ReconcileAsked,
)
from schemas.restrictions import FlattenAsked, FlattenRequest
from schemas.venue import CancelPlaced, VenueBook, VenueFilled, VenueOpenOrder
from services.executor.flatten import Flattener
from services.executor.orders import Orders
from services.executor.rounds import Rounds
from services.executor.teller import Teller
from services.people import blanks

ADOPTED = SessionId("adopted")
"""Session of orders and executions that nobody here had ordered."""

Changes = dict[str, Any]
"""The fields of a `BookAdjusted` that say what changes."""

NO_MONEY = "cash is no position", "adopt or ignore it"
NO_ADOPTING = "an order of ours that has ended never comes back", "flatten cancels it at the venue"
NO_TWINS = "two orders with one id cannot be adopted", "flatten cancels both at the venue"
ADOPTED_ALREADY = "it was adopted just now", "the look at the venue that proves it is still to come"
NOT_TRADED = "the instrument is not configured here", "close it at the venue, or configure it"


class RefusedError(Exception):
    """What was wanted cannot be done about a difference.

    Attributes:
        found: what stands against it.
        wanted: what can be done.
    """

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(f"{found}: {wanted}")
        self.found, self.wanted = found, wanted


class Settling:
    """Adopts, flattens or ignores one difference at a time.

    Args:
        account: the only one.
        instruments: what can be held here.
        orders: our book.
        rounds: knows the differences.
        teller: folds what is adopted.
        flattener: closes what is not wanted.
    """

    def __init__(
        self,
        account: AccountId,
        instruments: Mapping[InstrumentId, Instrument],
        orders: Orders,
        rounds: Rounds,
        teller: Teller,
        flattener: Flattener,
    ) -> None:
        self._account = account
        self._instruments = instruments
        self._orders = orders
        self._rounds = rounds
        self._teller = teller
        self._flattener = flattener
        self._book: VenueBook | None = None
        self._adopted: dict[str, None] = {}  # differences, since the books were compared last
        self._adopts: dict[DifferenceKind, Callable[[Difference], Changes]] = {
            DifferenceKind.POSITION: self._position,
            DifferenceKind.CASH: self._money,
            DifferenceKind.FEES: self._money,
            DifferenceKind.ORDER: self._order,
            DifferenceKind.EXECUTION: self._execution,
            DifferenceKind.DUPLICATE: self._twins,
        }

    def hear(self, book: VenueBook) -> None:
        """Note the venue's book that the differences were found in."""
        self._adopted.clear()
        self._book = book if self._rounds.differences else None

    def decide(self, event: ReconcileAsked, now_ns: int) -> list[Event]:
        """Do what a person has decided, and answer; or answer why not: it never raises that."""
        request = event.request
        found = self._rounds.differences.get(request.difference)
        try:
            if found is None:
                raise self._no_such(request.difference)
            if unsaid := blanks(request.operator, request.reason, "decides", "why"):
                said_of = ", ".join(each.path.removeprefix("$.") for each in unsaid)
                text = f"nothing was done: who decides, and why, is wanted; nothing in {said_of}"
                return [_answer(event, text, now_ns, tuple(unsaid))]
            said = self._decided(event, found, now_ns)
        except RefusedError as why:
            error = FieldError(path="$.difference", found=why.found, wanted=why.wanted)
            return [_answer(event, f"nothing was done: {why}", now_ns, (error,))]
        self._teller.changed(now_ns)
        done = f"{request.action}: {found.name}, {found.both}"
        # The look that follows proves it; thorough, because nothing is sent before.
        return [*said, _answer(event, done, now_ns), self._rounds.question("", now_ns)]

    def _decided(self, event: ReconcileAsked, found: Difference, now_ns: int) -> list[Event]:
        request = event.request
        if found.id in self._adopted:  # the same command may come twice before a look
            raise RefusedError(*ADOPTED_ALREADY)
        match request.action:
            case ReconcileAction.IGNORE:
                by, why = request.operator, request.reason
                return [self._rounds.ignore(found.id, by, why, now_ns)]
            case ReconcileAction.ADOPT:
                return self._adopt(event, found, now_ns)
        return self._flatten(event, found, now_ns)

    def _adopt(self, event: ReconcileAsked, found: Difference, now_ns: int) -> list[Event]:
        adjusted = BookAdjusted(
            at_ns=now_ns,
            account=self._account,
            difference=found,
            operator=event.request.operator,
            reason=event.request.reason,
            **self._adopts[found.kind](found),
        )
        said = list(self._teller.say(adjusted, now_ns))
        if found.kind is DifferenceKind.EXECUTION:
            said += self._teller.say(self._fact(self._fill(found), now_ns), now_ns)
        self._adopted[found.id] = None
        return said

    def _flatten(self, event: ReconcileAsked, found: Difference, now_ns: int) -> list[Event]:
        request = event.request
        match found.kind:
            case DifferenceKind.CASH | DifferenceKind.FEES:
                raise RefusedError(*NO_MONEY)
            case DifferenceKind.ORDER | DifferenceKind.DUPLICATE:
                ids = [each.order_id for each in self._there(found)]
                return [CancelPlaced(at_ns=now_ns, order_id=each) for each in dict.fromkeys(ids)]
        is_position = found.kind is DifferenceKind.POSITION
        instrument = InstrumentId(found.what) if is_position else self._fill(found).instrument
        scope = f"symbol.{venue_of(instrument)}.{symbol_of(instrument)}"
        wish = FlattenRequest(operator=request.operator, reason=request.reason, scope=scope)
        asked = FlattenAsked(at_ns=now_ns, request_id=f"{event.request_id}-flatten", request=wish)
        self._check_flattener(asked)
        said = self._adopt(event, found, now_ns)
        return [*said, asked, *self._flattener.ask(asked, now_ns, may_wait=True)]

    def _check_flattener(self, asked: FlattenAsked) -> None:
        """Refuse what would not be closed once it is adopted, or what would end another's closing.

        Raises:
            RefusedError: a flatten goes on, or this one cannot be.
        """
        task = self._flattener.task
        if task is not None:
            goes_on = f"{task.session} of {task.scope} goes on, and there is one at a time"
            raise RefusedError(goes_on, "adopt this, and `sluice flatten` it after the other")
        for error in self._flattener.objections(asked, may_wait=True):
            raise RefusedError(f"no flatten: {error.path} is {error.found}", error.wanted)

    def _position(self, found: Difference) -> Changes:
        instrument = InstrumentId(found.what)
        if instrument not in self._instruments:
            raise RefusedError(*NOT_TRADED)
        others = self._rounds.differences.values()
        for each in others:
            is_part = each.kind is DifferenceKind.EXECUTION
            if is_part and self._fill(each).instrument == instrument:
                raise RefusedError("it comes from an execution", f"decide about {each.id} first")
        return {"instrument": instrument, "quantity": _gap(found)}

    def _money(self, found: Difference) -> Changes:
        return {found.kind: _gap(found)}

    def _order(self, found: Difference) -> Changes:
        order_id = OrderId(found.what)
        there = self._there(found)[0]
        record = self._orders.open.get(order_id)
        if record is not None:
            filled = record.order.quantity - there.leaves
            return {"order_id": order_id, "filled": filled}
        if self._orders.is_used(order_id):
            raise RefusedError(*NO_ADOPTING)
        if there.instrument not in self._instruments:
            raise RefusedError(*NOT_TRADED)
        order = Order(
            order_id=order_id,
            account=self._account,
            session=ADOPTED,
            signal_id=SignalId(order_id),
            instrument=there.instrument,
            side=there.side,
            quantity=there.leaves,
            order_type=OrderType.MARKET,  # nobody says what it is: the worst is taken for it
            expires_at_ns=0,  # and it is never sent
        )
        return {"order": order}

    def _execution(self, found: Difference) -> Changes:
        if self._fill(found).instrument not in self._instruments:
            raise RefusedError(*NOT_TRADED)
        return {}  # the execution itself follows, as a fact like any other

    def _twins(self, found: Difference) -> Changes:
        raise RefusedError(*NO_TWINS)

    def _there(self, found: Difference) -> list[VenueOpenOrder]:
        """Return the venue's orders that a difference is about."""
        orders = () if self._book is None else self._book.open_orders
        there = [each for each in orders if found.what in (each.order_id, each.venue_order_id)]
        if not there:
            raise self._no_such(found.id)
        return there

    def _fill(self, found: Difference) -> VenueFilled:
        executions = () if self._book is None else self._book.executions
        for each in executions:
            if each.execution_id == found.what:
                return each
        raise self._no_such(found.id)

    def _fact(self, fill: VenueFilled, now_ns: int) -> OrderFilled:
        return OrderFilled(
            at_ns=now_ns,
            account=self._account,
            session=ADOPTED,
            instrument=fill.instrument,
            order_id=fill.order_id,
            execution_id=fill.execution_id,
            side=fill.side,
            price=fill.price,
            quantity=fill.quantity,
            leaves=fill.leaves,
            fee=fill.fee,
            liquidity=fill.liquidity,
            status=OrderStatus.PARTIALLY_FILLED if fill.leaves else OrderStatus.FILLED,
            venue_ns=fill.venue_ns,
        )

    def _no_such(self, id_: str) -> RefusedError:
        there = ", ".join(f"{e.id} ({e.name})" for e in self._rounds.differences.values())
        wanted = f"one of {there}" if there else "nothing: no difference is open"
        return RefusedError(f"{id_}, which changed or is gone", wanted)


def _gap(found: Difference) -> Decimal:
    return Decimal(found.theirs) - Decimal(found.ours)


def _answer(
    event: ReconcileAsked, text: str, now_ns: int, errors: tuple[FieldError, ...] = ()
) -> ControlAnswered:
    return ControlAnswered(
        at_ns=now_ns,
        request_id=event.request_id,
        request="reconcile",
        is_ok=not errors,
        message=text,
        errors=errors,
    )
