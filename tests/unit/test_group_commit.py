"""What must be on the disk first is committed in groups, and nothing overtakes it."""

from collections.abc import Sequence
from typing import Any

import pytest

from schemas.base import Event
from schemas.executions import IntentRecorded
from schemas.orders import OrderApproved
from schemas.venue import OrderPlaced
from services.core import NOTHING
from services.runtime.meter import Meter
from services.runtime.step import Stepper
from tests.builders import order


def approved(order_id: str) -> OrderApproved:
    return OrderApproved(at_ns=0, order=order(order_id), epoch=1, gate_token=1)


class Placer:
    """Answers an approval with its intent and its placing, as the executor does."""

    hears: frozenset[type[Event]] = frozenset({OrderApproved})
    keeps: frozenset[type[Event]] = frozenset({IntentRecorded})
    fsyncs: frozenset[type[Event]] = frozenset({IntentRecorded})
    wake_at_ns: int | None = None

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        assert isinstance(event, OrderApproved)
        intent = IntentRecorded(at_ns=now_ns, order=event.order, epoch=1)
        return [intent, OrderPlaced(at_ns=now_ns, order=event.order)]

    def wake(self, now_ns: int) -> Sequence[Event]:
        return NOTHING

    def restore(self, event: Event) -> None:
        pass

    def describe(self, now_ns: int) -> Event:
        raise AssertionError("nobody asks")


class Trail:
    """Adapter and journal in one: the order in which things happened."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.commits_wanted = 0

    def append(self, events: Sequence[Event], *, fsync: bool) -> None:
        ids = " ".join(e.order.order_id for e in events if isinstance(e, IntentRecorded))
        self.lines.append(f"{'fsync' if fsync else 'write'} {ids}")

    def act(self, event: Event, now_ns: int) -> None:
        if isinstance(event, OrderPlaced):
            self.lines.append(f"placed {event.order.order_id}")

    async def open(self, post: Any) -> None: ...

    async def close(self) -> None: ...

    def commit_soon(self) -> None:
        self.commits_wanted += 1


def stepper(trail: Trail, core: Placer) -> Stepper:
    nobody: Any = None  # nothing here is published
    return Stepper(core, lambda: 0, nobody, nobody, trail, trail, trail.commit_soon, Meter())


@pytest.mark.req("X-09", "X-10")
def test_a_burst_of_orders_shares_one_sync_and_is_placed_after_it() -> None:
    trail = Trail()
    steps = stepper(trail, Placer())
    for order_id in "abc":
        steps.step([approved(order_id)])
    assert (trail.lines, trail.commits_wanted) == ([], 1)
    steps.commit()
    assert trail.lines == ["fsync a b c", "placed a", "placed b", "placed c"]


def test_a_commit_with_nothing_held_does_nothing() -> None:
    trail = Trail()
    stepper(trail, Placer()).commit()
    assert trail.lines == []


def test_without_the_sync_an_order_is_placed_before_its_intent_is_on_the_disk() -> None:
    class Careless(Placer):
        """The executor without its wish to be synced: the safeguard, removed."""

        fsyncs = frozenset()

    trail = Trail()
    stepper(trail, Careless()).step([approved("a")])
    assert trail.lines == ["write a", "placed a"]
