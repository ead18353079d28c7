"""Which signal of the record a replayed one is, by what was wished for, and when.

Running numbers would do as long as nothing is ever missing: one signal more or less, and each that
follows has the number of another. What became of that one would then be told of this one.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from schemas.base import Event, OrderId, SignalId
from schemas.executions import ExecutionEvent, OrderRefused
from schemas.ids import order_id_of
from schemas.orders import SignalRaised
from services.parity.compare import NEAR_NS, wish_of
from services.strategy.context import Context

NOT_SENT = "parity"
"""The rule of a refusal that no executor said."""


class Pairs:
    """Gives each replayed signal the id of its pair, else one that no signal of the record has.

    Args:
        signals: of the record.
    """

    def __init__(self, signals: Sequence[SignalRaised]) -> None:
        self._free: dict[tuple[Any, ...], dict[SignalId, SignalRaised]] = {}
        self._ids = {each.signal_id for each in signals}
        self._number = 0
        self._alone: dict[OrderId, SignalRaised] = {}
        for each in signals:
            self._free.setdefault(wish_of(each), {})[each.signal_id] = each

    def id_of(self, signal: SignalRaised) -> SignalId:
        """Return the id that a signal would have; `take` uses it up."""
        near = (
            (abs(each.at_ns - signal.at_ns), each.signal_id)
            for each in self._free.get(wish_of(signal), {}).values()
        )
        distance_ns, found = min(near, default=(NEAR_NS + 1, signal.signal_id), key=lambda e: e[0])
        if distance_ns <= NEAR_NS:
            return found
        return SignalId(f"{signal.session}-alone-{self._number + 1}")

    def take(self, signal: SignalRaised) -> None:
        """Note that a signal was raised: no other is this one."""
        if signal.signal_id in self._ids:
            self._free[wish_of(signal)].pop(signal.signal_id, None)
        else:
            self._number += 1

    def sent(self, signal: SignalRaised) -> None:
        """Note that a signal went to the gate: of one without a pair nothing will be heard."""
        if signal.signal_id not in self._ids:
            order_id = order_id_of(signal.account, signal.session, signal.signal_id, signal.leg)
            self._alone[order_id] = signal

    def given_up(self, heard: Event, now_ns: int) -> Iterator[OrderRefused]:
        """Yield the end of each order without a pair that what is heard next leaves no room for.

        The record has none, so no executor sent it. It ends when it has expired, or when it is
        heard what the session did instead in this instrument: from there both go on alike.
        """
        if not self._alone:
            return
        news = heard if isinstance(heard, ExecutionEvent) else None
        for order_id, signal in [*self._alone.items()]:
            is_over = news is not None and (
                (news.session, news.instrument) == (signal.session, signal.instrument)
            )
            if is_over or now_ns >= signal.expires_at_ns:
                del self._alone[order_id]
                yield _refused(order_id, signal, now_ns)


class Aligned(Context):
    """A session's context whose signals have the ids of their pairs."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Pairs, *args: Any) -> None:
        super().__init__(*args)
        self._pairs = pairs

    def _signal(self, *args: Any) -> SignalRaised:
        signal = super()._signal(*args)
        return msgspec.structs.replace(signal, signal_id=self._pairs.id_of(signal))

    def _say(self, event: Event) -> None:
        if isinstance(event, SignalRaised):
            self._pairs.take(event)
        super()._say(event)


def _refused(order_id: OrderId, signal: SignalRaised, now_ns: int) -> OrderRefused:
    return OrderRefused(
        at_ns=now_ns,
        account=signal.account,
        session=signal.session,
        instrument=signal.instrument,
        order_id=order_id,
        rule=NOT_SENT,
        detail="the record has no such signal",
    )
