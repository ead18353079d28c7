"""Executions that nobody told of: found where the executor's book shows more than was heard.

What was missed while this process was away, or its link was, is an execution like any other to the
law. The book tells less of it than an execution would: how much of an order has filled, and when
there was last news of that order, but not at which prices, nor in which order. Where that matters,
the worse is taken for true.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import permutations

import msgspec

from schemas.base import InstrumentId, OrderId
from schemas.executions import BookReported
from schemas.instruments import AssetClass
from services.gate.exposure import Lane
from services.gate.holders import FILLS_MAX
from services.portfolio import Position

ZERO = Decimal(0)
TURNS_MAX = 5
"""Orders of one instrument of which all turns are tried; of more, what opens comes first."""


class Execution(msgspec.Struct, frozen=True):
    """One execution as compliance counts it, or what of one order nobody told of."""

    signed: Decimal
    """What was bought, negative what was sold."""

    at_ns: int
    """When it was; of what nobody told of, when there was last news of its order."""

    is_first: bool
    """Whether nothing of the order was known to have filled before."""

    before: Decimal = ZERO
    """What was held before, signed."""

    befores: tuple[Decimal, ...] = ()
    """The most and the least that may have been held before; one where it is known."""

    unsold: Decimal = ZERO
    """What was held before if nothing had been bought: what goes below 0 was sold short."""

    is_apart: bool = False
    """Whether something may have opened between it and what came before it, or after it."""

    @property
    def is_closing(self) -> bool:
        """Whether it closed something."""
        return self.signed * self.before < ZERO


class Told:
    """How much of each order is known to have filled.

    Attributes:
        filled: quantity by order; as many orders as `Holders` remembers.
    """

    def __init__(self) -> None:
        self.filled: dict[OrderId, Decimal] = {}

    def tell(self, order_id: OrderId, quantity: Decimal) -> bool:
        """Note an execution; return whether it is the first of its order."""
        filled = self.filled
        before = filled.get(order_id)
        filled[order_id] = (before or ZERO) + quantity
        if len(filled) > FILLS_MAX:
            del filled[next(iter(filled))]
        return before is None

    def missed(
        self,
        book: BookReported,
        lanes: Mapping[InstrumentId, Lane],
        known: Mapping[InstrumentId, Position] | None,
    ) -> dict[InstrumentId, list[Execution]]:
        """Return what the book shows and nobody told of, and note it as told.

        Args:
            book: that was adopted.
            lanes: what the account holds, as the book says.
            known: what it held before, by what was told; None while no book was known.
        """
        found: dict[InstrumentId, list[Execution]] = {}
        for view in (*book.recent_orders, *book.open_orders):
            order = view.order
            quantity = view.filled - self.filled.get(order.order_id, ZERO)
            if order.instrument not in lanes or quantity <= ZERO:
                continue
            is_first = self.tell(order.order_id, quantity)
            signed = order.side.signed(quantity)
            at_ns = min(view.at_ns, book.at_ns) or book.at_ns
            found.setdefault(order.instrument, []).append(Execution(signed, at_ns, is_first))
        if known is not None:
            for key, lane in lanes.items():
                _add_unshown(found, lane, known.get(key), book.at_ns)
        return {key: _in_turn(each, lanes[key].position) for key, each in found.items()}


def gain_of(lane: Lane, before: Position | None, after: Position | None) -> Decimal | None:
    """Return what was realised between two states of a position, after fees.

    In the account's currency; None where it is not known.
    """
    if after is None or lane.unit_value is None:
        return None
    net = after.realized - after.fees
    if before is not None:
        net -= before.realized - before.fees
    return net * lane.unit_value / lane.instrument.multiplier


def _add_unshown(
    found: dict[InstrumentId, list[Execution]], lane: Lane, known: Position | None, at_ns: int
) -> None:
    """Add what changed in a position without an order that the book shows: it shows the last ones.

    Of equities only: options expire, and that is no trade.
    """
    if lane.instrument.asset_class is not AssetClass.EQUITY:
        return
    key = lane.instrument.id
    before = ZERO if known is None else known.quantity
    unshown = lane.position - before - _total(found.get(key, ()))
    if unshown:
        found.setdefault(key, []).append(Execution(unshown, at_ns, is_first=False))


def _in_turn(missed: list[Execution], position: Decimal) -> list[Execution]:
    """Return it by time, with what was held before each.

    Nobody knows how purchases and sales took turns: where there are both, they are taken in the
    turns that close most, each on its own, and what was sold is taken for sold first.
    """
    held = unsold = position - _total(missed)
    turns = sorted(missed, key=lambda each: each.at_ns)
    sold, bought = (_total(e for e in turns if (e.signed > ZERO) is side) for side in (False, True))
    is_apart = bool(sold and bought)
    befores = (held + bought, held + sold) if is_apart else ()
    if is_apart:
        turns = _closing_most(turns, held)
    found: list[Execution] = []
    for each in turns:
        found.append(
            msgspec.structs.replace(
                each, before=held, befores=befores or (held,), unsold=unsold, is_apart=is_apart
            )
        )
        held += each.signed
        unsold += min(each.signed, ZERO) if is_apart else each.signed
    return found


def _closing_most(turns: list[Execution], held: Decimal) -> list[Execution]:
    """Return the order in which most of it closes something; what opens comes first, if it can."""
    is_long = (held or turns[0].signed) > ZERO
    opening_first = sorted(turns, key=lambda each: (each.signed > ZERO) is not is_long)
    if len(turns) > TURNS_MAX:
        return opening_first
    return list(max(permutations(opening_first), key=lambda each: _closing_count(each, held)))


def _closing_count(turns: Iterable[Execution], held: Decimal) -> int:
    count = 0
    for each in turns:
        count += each.signed * held < ZERO
        held += each.signed
    return count


def _total(missed: Iterable[Execution]) -> Decimal:
    return sum((each.signed for each in missed), ZERO)
