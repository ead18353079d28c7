"""Decisions of a session on paper and of its replay, one by one. Pure."""

import enum
from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import NS_PER_MS, InstrumentId
from schemas.orders import OrderType, Outcome, Side, SignalDecided, SignalRaised


class Verdict(enum.StrEnum):
    """How the two sides of one decision stand to each other."""

    EQUAL = "equal"
    ORDER = "equal in another order"
    """As it arrived it was decided otherwise; as it was said, or heard a moment later, the same.
    Who heard what first, within so many milliseconds, the record does not know."""

    DIFFERS = "differs"
    ONLY_PAPER = "only on paper"
    ONLY_REPLAY = "only in the replay"


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One signal and the gate's word on it."""

    at_ns: int
    instrument: InstrumentId
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    why: str = ""
    outcome: Outcome | None = None
    """None: nobody decided."""

    rule: str = ""
    approved_quantity: Decimal | None = None


WISH = ("instrument", "side", "quantity", "order_type", "limit_price", "stop_price")
"""What a strategy decided: times differ by how long a message travels, and say nothing."""

NEAR_NS = 500 * NS_PER_MS
"""So long a message may travel on a machine that is busy, in ns: what is further apart are two
decisions, even where the same was wished for."""

WORD = ("outcome", "rule", "approved_quantity")
"""What the gate decided."""


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision, both sides."""

    verdict: Verdict
    paper: Decision | None = None
    replay: Decision | None = None
    fields: tuple[str, ...] = ()
    """What they differ in."""

    within_ms: int = 0
    """Of `Verdict.ORDER`: within how much time the record does not know what was heard first."""

    @property
    def at_ns(self) -> int:
        """When it was decided, in ns since the epoch: on paper, where it was."""
        return self._side.at_ns

    @property
    def instrument(self) -> InstrumentId:
        """What it is about."""
        return self._side.instrument

    @property
    def _side(self) -> Decision:
        side = self.paper or self.replay
        assert side is not None, "a row has one side at least"
        return side


def decisions(signals: Sequence[SignalRaised], decided: Sequence[SignalDecided]) -> list[Decision]:
    """Return the decisions of one side, in the order of their signals."""
    words = {each.signal_id: each for each in decided}
    return [_decision(signal, words.get(signal.signal_id)) for signal in signals]


def compared(paper: Sequence[Decision], replay: Sequence[Decision]) -> list[Row]:
    """Return every decision of either side, in the order of time.

    Two are a pair that wish for the same at nearly the same time; of what is left, two on one side
    of one instrument, then any two in it. Which of two instruments came first within a moment says
    nothing.
    """
    rows: list[Row] = []
    left, right = [*paper], [*replay]
    for key in (wish_of, lambda each: (each.instrument, each.side), lambda each: each.instrument):
        pairs, left, right = _matched(left, right, key)
        rows += [_pair(one, other) for one, other in pairs]
    rows += [Row(verdict=Verdict.ONLY_PAPER, paper=each) for each in left]
    rows += [Row(verdict=Verdict.ONLY_REPLAY, replay=each) for each in right]
    return sorted(rows, key=lambda row: row.at_ns)


def reordered(
    rows: Sequence[Row], others: Sequence[Row], within_ms: Callable[[int], int]
) -> list[Row]:
    """Return the rows, with those marked that are equal where the same was heard in another order.

    Args:
        rows: of the replay that heard everything as it arrived.
        others: of the one that heard it in another order that may have been.
        within_ms: how far what was heard is shifted around a time.
    """
    equal = {row.paper for row in others if row.verdict is Verdict.EQUAL}
    apart = [row for row in others if row.verdict is not Verdict.EQUAL]

    def is_equal(row: Row) -> bool:
        if row.paper is not None:
            return row.paper in equal
        near = (each for each in apart if abs(each.at_ns - row.at_ns) <= NEAR_NS)
        return all(each.instrument != row.instrument for each in near)

    return [
        msgspec.structs.replace(row, verdict=Verdict.ORDER, within_ms=within_ms(row.at_ns))
        if row.verdict not in (Verdict.EQUAL, Verdict.ORDER) and is_equal(row)
        else row
        for row in rows
    ]


def settled(rows: Sequence[Row], until_ns: int) -> list[Row]:
    """Return the rows without those apart that the record may not have all of yet.

    Args:
        rows: of a session that goes on.
        until_ns: where the record of it ends.
    """
    last_ns = until_ns - NEAR_NS
    return [row for row in rows if row.verdict is Verdict.EQUAL or row.at_ns <= last_ns]


def wish_of(each: Any) -> tuple[Any, ...]:
    """Return what a decision, or a signal, wishes for."""
    return tuple(getattr(each, name) for name in WISH)


def _matched(
    paper: Sequence[Decision], replay: Sequence[Decision], key: Callable[[Decision], Any]
) -> tuple[list[tuple[Decision, Decision]], list[Decision], list[Decision]]:
    """Return the pairs of one key that are near in time, in their order, and what is left."""
    waiting: dict[Any, list[Decision]] = defaultdict(list)
    for each in sorted(replay, key=lambda each: each.at_ns, reverse=True):
        waiting[key(each)].append(each)
    pairs: list[tuple[Decision, Decision]] = []
    left: list[Decision] = []
    right: list[Decision] = []
    for each in sorted(paper, key=lambda each: each.at_ns):
        others = waiting[key(each)]  # the earliest is the last of them
        while others and others[-1].at_ns < each.at_ns - NEAR_NS:
            right.append(others.pop())
        if others and others[-1].at_ns <= each.at_ns + NEAR_NS:
            pairs.append((each, others.pop()))
        else:
            left.append(each)
    return pairs, left, right + [each for others in waiting.values() for each in others]


def _pair(paper: Decision, replay: Decision) -> Row:
    names = (*WISH, *WORD)
    differ = tuple(n for n in names if getattr(paper, n) != getattr(replay, n))
    verdict = Verdict.DIFFERS if differ else Verdict.EQUAL
    return Row(verdict=verdict, paper=paper, replay=replay, fields=differ)


def _decision(signal: SignalRaised, word: SignalDecided | None) -> Decision:
    return Decision(
        at_ns=signal.at_ns,
        instrument=signal.instrument,
        side=signal.side,
        quantity=signal.quantity,
        order_type=signal.order_type,
        limit_price=signal.limit_price,
        stop_price=signal.stop_price,
        why=signal.why,
        outcome=None if word is None else word.outcome,
        rule="" if word is None else word.rule,
        approved_quantity=None if word is None else word.approved_quantity,
    )
