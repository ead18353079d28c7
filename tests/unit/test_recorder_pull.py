"""Messages are asked for in portions and held while they follow each other; a hole is noticed."""

import msgspec
import pytest

from schemas.base import NS_PER_S
from services.recorder.chain import Message
from services.recorder.pull import ACKNOWLEDGED, EXPIRES_S, Pull
from services.runtime.fastpath import BusConnection

INBOX = "_INBOX.recorder.c1"


class Wire(BusConnection):
    """A connection that notes what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.asked_count = 0
        self.acknowledged: list[str] = []

    def send(
        self, subject: str, data: bytes, reply: str = "", *, is_more_coming: bool = False
    ) -> None:
        if data == ACKNOWLEDGED:
            self.acknowledged.append(subject)
            return
        self.asked_count += 1
        wanted = ("$JS.API.CONSUMER.MSG.NEXT.ORDERS.c1", f"{INBOX}.{self.asked_count}")
        assert (subject, reply) == wanted
        self.asked.append(msgspec.json.decode(data)["batch"])


class Drinker:
    """A pull with a clock that the test moves."""

    def __init__(self, batch_max: int = 10) -> None:
        self.now_ns = 100 * NS_PER_S
        self.wire = Wire()
        self.called = 0
        self.pull = Pull(
            self.wire,
            "ORDERS",
            "c1",
            batch_max=batch_max,
            clock=lambda: self.now_ns,
            on_message=self.call,
        )

    def call(self) -> None:
        self.called += 1

    def ask(self) -> list[int]:
        self.wire.asked.clear()
        self.pull.ask(self.now_ns)
        return list(self.wire.asked)

    def deliver(self, *seqs: int) -> None:
        for seq in seqs:
            reply = f"$JS.ACK.ORDERS.c1.1.{seq}.{seq}.{seq * 10}.0"
            self.pull._take("order.sim.paper", b"{}", reply)

    def status(self, number: int = 1) -> None:
        """The server ends a request: it expired, or nobody answers it."""
        self.pull._take(f"{INBOX}.{number}", b"", "")


def test_a_portion_is_asked_for_once() -> None:
    drinker = Drinker()
    assert (drinker.ask(), drinker.ask()) == ([10], [])


def test_more_is_asked_for_when_half_has_come() -> None:
    drinker = Drinker()
    drinker.ask()
    drinker.deliver(1, 2, 3, 4)
    assert drinker.ask() == []
    drinker.deliver(5)
    assert drinker.ask() == [5]


def test_messages_are_held_until_they_are_taken() -> None:
    drinker = Drinker()
    drinker.ask()
    drinker.deliver(7, 8)
    held = [
        Message("ORDERS", seq, "order.sim.paper", seq * 10, b"{}", 100 * NS_PER_S) for seq in (7, 8)
    ]
    assert (drinker.pull.take_held(), drinker.pull.take_held(), drinker.called) == (held, [], 2)


def test_a_delivery_of_a_server_with_domains_is_read_as_well() -> None:
    drinker = Drinker()
    drinker.pull._take("order.sim.paper", b"{}", "$JS.ACK.d.hash.ORDERS.c1.1.7.7.70.0.x")
    [message] = drinker.pull.take_held()
    assert (message.stream_seq, message.stored_ns) == (7, 70)


@pytest.mark.req("R-01")
def test_a_hole_breaks_the_pull_and_nothing_after_it_is_held() -> None:
    drinker = Drinker()
    drinker.deliver(1, 2, 4, 5)
    assert [message.stream_seq for message in drinker.pull.take_held()] == [1, 2]
    assert drinker.pull.is_broken


def test_a_request_that_expires_is_asked_anew() -> None:
    drinker = Drinker()
    drinker.ask()
    drinker.now_ns += EXPIRES_S * NS_PER_S
    drinker.status()
    assert (drinker.pull.is_broken, drinker.ask()) == (False, [10])


def test_a_request_that_is_ended_at_once_breaks_the_pull() -> None:
    drinker = Drinker()
    drinker.ask()
    drinker.status()
    assert drinker.pull.is_broken


@pytest.mark.req("R-01")
def test_an_old_request_that_expires_just_after_a_new_one_breaks_nothing() -> None:
    drinker = Drinker()
    drinker.ask()
    drinker.deliver(1, 2, 3, 4, 5)
    drinker.now_ns += EXPIRES_S * NS_PER_S
    assert drinker.ask() == [5]
    drinker.status(1)  # five of the first never came, and five are asked for
    assert not drinker.pull.is_broken
    assert drinker.ask() == [5]
    drinker.deliver(6)
    drinker.status(2)
    assert (drinker.pull.is_broken, drinker.ask()) == (False, [5])
    drinker.status(3)  # at once, and with nothing: nobody is there
    assert drinker.pull.is_broken


def test_a_request_that_nobody_ends_is_asked_anew_after_its_time() -> None:
    drinker = Drinker()
    drinker.ask()
    drinker.now_ns += (EXPIRES_S + 1) * NS_PER_S
    assert drinker.ask() == []
    drinker.now_ns += 1
    assert drinker.ask() == [10]


def test_only_what_was_taken_is_acknowledged_once_and_with_one_word() -> None:
    drinker = Drinker()
    drinker.deliver(1, 2, 3)
    drinker.pull.acknowledge()
    assert drinker.wire.acknowledged == []  # held, and on no disk yet
    drinker.pull.take_held()
    drinker.deliver(4)
    drinker.pull.acknowledge()
    drinker.pull.acknowledge()
    assert drinker.wire.acknowledged == ["$JS.ACK.ORDERS.c1.1.3.3.30.0"]
