"""What reaches into nats-py still fits the nats-py that is installed, and does what it is for."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import FlushTimeoutError

from schemas.errors import BusError
from services.runtime import fastpath
from services.runtime.fastpath import BusConnection
from tests.bus import Bare, Ear, Links, first_of, run, tapped

C = TypeVar("C", bound=Client)
MESSAGES = 1_000


@contextlib.asynccontextmanager
async def opened(url: str, connection: C) -> AsyncIterator[C]:
    """Open with nats-py's own settings: these tests are about one mechanism each."""

    async def on_lost() -> None:
        for listener in getattr(connection, "on_link", ()):
            listener(False, "")

    await connection.connect(url, disconnected_cb=on_lost)
    try:
        yield connection
    finally:
        await connection.close()


async def heard_in_order(url: str, connection: BusConnection) -> list[bytes]:
    """Publish in both ways, in turns; return what a subscriber hears."""
    async with opened(url, connection):
        bare = Bare(url)
        bare.subscribe("order")
        await connection.publish("order", b"1")
        connection.send("order", b"2")
        await connection.publish("order", b"3")
        connection.send("order", b"4")
        await connection.flush()
        heard = [bare.message() for _ in range(4)]
        bare.close()
        return heard


def test_every_private_name_is_where_it_was_in_nats_py() -> None:
    client = Client()
    owned = ("_pending", "_pending_data_size", "_pongs", "_pings_outstanding", "_max_payload")
    tasks = ("_reading_task", "_ping_interval_task", "_flusher_task", "_reconnection_task")
    for name in (*owned, *tasks, "_sid", "_transport"):
        assert hasattr(client, name), name
    assert isinstance(client._ps.buf, bytearray)
    assert "_io_writer" in inspect.getsource(TcpTransport.__init__)
    signatures = {
        "_process_msg": ["self", "sid", "subject", "reply", "data", "headers"],
        "_flush_pending": ["self", "force_flush"],
        "_ping_interval": ["self"],
        "_process_pong": ["self"],
        "_send_ping": ["self", "future"],
        "_process_connect_init": ["self"],
        "_process_op_err": ["self", "e"],
        "_remove_sub": ["self", "sid", "max_msgs"],
    }
    found = {name: list(inspect.signature(getattr(Client, name)).parameters) for name in signatures}
    assert found == signatures


async def heard_while_the_loop_stands_still(url: str, *messages: bytes) -> list[bytes]:
    """Send in one step, then block: return what is heard before the loop can do anything."""
    async with opened(url, BusConnection()) as connection:
        bare = Bare(url)
        bare.subscribe("urgent")
        for message in messages[:-1]:
            connection.send("urgent", message, is_more_coming=True)
        connection.send("urgent", messages[-1])
        heard = [bare.message() for _ in messages]
        bare.close()
        return heard


def test_a_send_has_left_before_its_own_step_ends(nats_url: str) -> None:
    assert run(heard_while_the_loop_stands_still(nats_url, b"now")) == [b"now"]


def test_several_sends_of_one_step_leave_together_within_it(nats_url: str) -> None:
    assert run(heard_while_the_loop_stands_still(nats_url, b"1", b"2", b"3")) == [b"1", b"2", b"3"]


def test_a_plain_nats_publish_only_queues_in_its_step(nats_url: str) -> None:
    """The fault that `send` is there for; when nats-py mends it, `send` may go."""

    async def main() -> int:
        async with opened(nats_url, Client()) as connection:
            await connection.publish("urgent", b"late")
            return connection.pending_data_size

    assert run(main()) > 0


def test_later_sends_of_a_turn_leave_when_the_turn_ends(nats_url: str) -> None:
    async def main() -> tuple[int, int, list[bytes]]:
        async with opened(nats_url, BusConnection()) as connection:
            bare = Bare(nats_url)
            bare.subscribe("burst")
            for number in range(3):
                connection.send("burst", b"%d" % number)
            in_turn_bytes = connection.unsent_bytes
            await asyncio.sleep(0)
            heard = [bare.message() for _ in range(3)]
            bare.close()
            return in_turn_bytes, connection.unsent_bytes, heard

    waiting_bytes = 2 * len(b"PUB burst 1\r\n0\r\n")
    assert run(main()) == (waiting_bytes, 0, [b"0", b"1", b"2"])


def test_a_long_turn_does_not_gather_without_bound(nats_url: str) -> None:
    async def main() -> int:
        async with opened(nats_url, BusConnection()) as connection:
            for _ in range(100):
                connection.send("burst", b"x" * 10_000)
            return connection.pending_data_size

    assert run(main()) <= fastpath.TURN_BYTES_MAX


def test_sent_bytes_never_overtake_what_the_client_has_queued(nats_url: str) -> None:
    assert run(heard_in_order(nats_url, BusConnection())) == [b"1", b"2", b"3", b"4"]


def test_bytes_written_past_the_queue_would_overtake(nats_url: str) -> None:
    class Overtaking(BusConnection):
        _flush_pending = Client._flush_pending  # nats-py's own: the flusher writes, a turn later

        def send(self, subject: str, data: bytes, reply: str = "", **_: bool) -> None:
            assert self._transport is not None
            self._transport.write(b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(data), data))

    assert run(heard_in_order(nats_url, Overtaking())) == [b"2", b"4", b"1", b"3"]


def test_a_reply_subject_and_an_empty_message_pass_unchanged(nats_url: str) -> None:
    async def main() -> tuple[str, bytes, str]:
        async with opened(nats_url, BusConnection()) as connection:
            heard: asyncio.Future[tuple[str, bytes, str]] = asyncio.Future()
            await connection.take("ask.*", lambda *message: heard.set_result(message))
            connection.send("ask.it", b"", "_INBOX.x.1")
            return await heard

    assert run(main()) == ("ask.it", b"", "_INBOX.x.1")


@pytest.mark.parametrize("subject", ["", "two words", "line\r\nPUB control.start 0\r\n"])
def test_a_subject_that_would_break_the_protocol_is_refused(nats_url: str, subject: str) -> None:
    async def main() -> None:
        async with opened(nats_url, BusConnection()) as connection:
            connection.send(subject, b"")

    with pytest.raises(BusError, match="SLU-101"):
        run(main())


def test_a_message_too_large_for_the_bus_is_refused_here(nats_url: str) -> None:
    async def main() -> None:
        async with opened(nats_url, BusConnection()) as connection:
            connection.send("big", b"x" * (connection.max_payload + 1))

    with pytest.raises(BusError, match=r"SLU-124.*found: 1048577 bytes"):
        run(main())


def test_taking_costs_no_task_and_no_queue(nats_url: str) -> None:
    async def main() -> tuple[int, int]:
        async with opened(nats_url, BusConnection()) as connection:
            before_count = len(asyncio.all_tasks())
            for number in range(10):
                await connection.take(f"subject.{number}", lambda *message: None)
            subscription = await connection.take("counted", lambda *message: None)
            for _ in range(10):
                connection.send("counted", b"")
            await connection.flush()
            return len(asyncio.all_tasks()) - before_count, subscription.pending_msgs

    assert run(main()) == (0, 0)


def test_a_taker_knows_whether_more_was_read_with_its_message(nats_url: str) -> None:
    async def main() -> list[tuple[bytes, bool]]:
        async with opened(nats_url, BusConnection()) as connection:
            seen: list[tuple[bytes, bool]] = []
            done = asyncio.Event()

            def taker(subject: str, data: bytes, reply: str) -> None:
                seen.append((data, connection.has_more_read))
                if data == b"3":
                    done.set()

            await connection.take("burst", taker)
            await connection.flush()
            bare = Bare(nats_url)
            bare.publish("burst", b"1", b"2", b"3")
            bare.settle()  # the server has all three before our loop reads the first
            await done.wait()
            bare.close()
            return seen

    seen = run(main())
    assert [data for data, _ in seen] == [b"1", b"2", b"3"]
    assert seen[0][1]
    assert not seen[-1][1]


def test_a_taken_subscription_can_be_given_back(nats_url: str) -> None:
    async def main() -> list[bytes]:
        async with opened(nats_url, BusConnection()) as connection:
            ear = Ear(connection)
            heard: list[bytes] = []
            subscription = await connection.take("s", lambda _, data, reply: heard.append(data))
            connection.send("s", b"kept")
            await connection.flush()
            await subscription.unsubscribe()
            connection.send("s", b"dropped")
            await ear.listen("after")
            connection.send("after", b"")
            await ear.message()
            return heard

    assert run(main()) == [b"kept"]


async def longest_burst(url: str, weight: int = 1) -> int:
    """Return the most messages taken while no other callback of the loop could run."""
    async with opened(url, BusConnection()) as connection:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        bursts, turn = [0] * (100 * MESSAGES), 0

        def tick() -> None:
            nonlocal turn
            turn += 1
            if not done.is_set():
                loop.call_soon(tick)

        def taker(subject: str, data: bytes, reply: str) -> int:
            bursts[turn] += 1
            if sum(bursts) == MESSAGES:
                done.set()
            return weight

        await connection.take("flood", taker)
        await connection.flush()
        bare = Bare(url)
        bare.subscribe("flood")
        bare.publish("flood", *[b"x"] * MESSAGES)
        for _ in range(MESSAGES):
            bare.message()  # so that all of it waits in the socket when the loop goes on
        bare.close()
        tick()
        await done.wait()
        return max(bursts)


def test_a_flood_lets_others_run_every_32_messages(nats_url: str) -> None:
    assert run(longest_burst(nats_url)) <= 32


def test_large_frames_let_others_run_sooner(nats_url: str) -> None:
    assert run(longest_burst(nats_url, weight=16)) <= 2


def test_without_the_yield_a_flood_starves_all_others(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fastpath, "EVENTS_BEFORE_YIELD", 10**9)
    assert run(longest_burst(nats_url)) > 32


async def after_a_flush_that_gave_up(url: str, connection: BusConnection) -> object:
    """Let a PONG and a message come after a flush has given up: return what is noticed first.

    It is the message; or False, the loss of the connection.
    """
    async with tapped(url) as tap, opened(tap.url, connection):
        ear, links, bare = Ear(connection), Links(connection), Bare(url)
        await ear.listen("after")
        tap.hold()
        with pytest.raises(FlushTimeoutError):
            await connection.flush(timeout=1)
        bare.publish("after", b"still here")
        bare.settle()
        bare.close()
        tap.release()
        return await first_of(ear.data(), links.next())


def test_a_flush_that_gave_up_does_not_deafen_the_client(nats_url: str) -> None:
    assert run(after_a_flush_that_gave_up(nats_url, BusConnection())) == b"still here"


def test_without_the_guard_such_a_flush_breaks_the_connection(nats_url: str) -> None:
    class Fragile(BusConnection):
        _process_pong = Client._process_pong

    assert run(after_a_flush_that_gave_up(nats_url, Fragile())) is False
