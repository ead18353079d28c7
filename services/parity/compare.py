"""Decisions of a session on paper and of its replay, one by one. Pure."""

import enum
from collections.abc import Sequence
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any

import msgspec

from schemas.base import InstrumentId
from schemas.orders import OrderType, Outcome, Side, SignalDecided, SignalRaised


class Verdict(enum.StrEnum):
    """How the two sides of one decision stand to each other."""

    EQUAL = "equal"
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

WORD = ("outcome", "rule", "approved_quantity")
"""What the gate decided."""


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision, both sides."""

    verdict: Verdict
    paper: Decision | None = None
    replay: Decision | None = None
    fields: tuple[str, ...] = ()
    """What they differ in."""


def decisions(signals: Sequence[SignalRaised], decided: Sequence[SignalDecided]) -> list[Decision]:
    """Return the decisions of one side, in the order of their signals."""
    words = {each.signal_id: each for each in decided}
    return [_decision(signal, words.get(signal.signal_id)) for signal in signals]


def compared(paper: Sequence[Decision], replay: Sequence[Decision]) -> list[Row]:
    """Return every decision of either side, in the order of time.

    Those of one instrument are paired in their order, by what the strategy wished for; which of two
    instruments came first within a moment says nothing.
    """
    instruments = dict.fromkeys(each.instrument for each in (*paper, *replay))
    rows: list[Row] = []
    for instrument in instruments:
        rows += _paired(
            [each for each in paper if each.instrument == instrument],
            [each for each in replay if each.instrument == instrument],
        )
    return sorted(rows, key=_time)


def _paired(paper: Sequence[Decision], replay: Sequence[Decision]) -> list[Row]:
    left, right = [_wish(each) for each in paper], [_wish(each) for each in replay]
    rows: list[Row] = []
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for _, i, i_end, j, j_end in matcher.get_opcodes():
        both = min(i_end - i, j_end - j)
        rows += [_pair(paper[i + n], replay[j + n]) for n in range(both)]
        rows += [Row(verdict=Verdict.ONLY_PAPER, paper=each) for each in paper[i + both : i_end]]
        rows += [Row(verdict=Verdict.ONLY_REPLAY, replay=each) for each in replay[j + both : j_end]]
    return rows


def _time(row: Row) -> int:
    side = row.paper or row.replay
    assert side is not None, "a row has one side at least"
    return side.at_ns


def _pair(paper: Decision, replay: Decision) -> Row:
    names = (*WISH, *WORD)
    differ = tuple(n for n in names if getattr(paper, n) != getattr(replay, n))
    verdict = Verdict.DIFFERS if differ else Verdict.EQUAL
    return Row(verdict=verdict, paper=paper, replay=replay, fields=differ)


def _wish(each: Decision) -> tuple[Any, ...]:
    return tuple(getattr(each, name) for name in WISH)


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
