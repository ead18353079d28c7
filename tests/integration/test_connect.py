"""Who is let onto the bus, as whom, and what the server's refusals become."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from schemas.errors import BusError, UserError
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.keys import ensure_keys
from tests.bus import ear, run
from tests.conftest import NatsServer

RULES = """
authorization {
  users = [
    { nkey: %s, permissions: { publish: ["mine.>"], subscribe: ["mine.>", "_INBOX.gate.>"] } }
    { user: all, password: all }
  ]
}
"""


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[BusConfig]:
    """A server that knows the key of `gate`, and a user `all` with a password."""
    keys_dir = tmp_path / "keys"
    rules = tmp_path / "server.conf"
    rules.write_text(RULES % ensure_keys(keys_dir)["gate"])
    folder = tmp_path / "nats"
    folder.mkdir()
    server = NatsServer(folder, "-c", str(rules))
    try:
        yield BusConfig(url=server.url, keys_dir=keys_dir)
    finally:
        server.stop()


def as_all(bus: BusConfig) -> str:
    return bus.url.replace("nats://", "nats://all:all@")


@pytest.mark.req("A-01")
def test_a_service_gets_in_with_the_key_of_its_name(guarded: BusConfig) -> None:
    async def main() -> tuple[bool, str]:
        connection = await connect("gate", guarded)
        found = connection.is_connected, connection.new_inbox()
        await connection.close()
        return found

    is_connected, inbox = run(main())
    assert is_connected
    assert inbox.startswith("_INBOX.gate.")


@pytest.mark.req("A-01")
@pytest.mark.parametrize("keys", ["its own", "none"])
def test_who_the_server_does_not_know_is_told_so_at_once(guarded: BusConfig, keys: str) -> None:
    bus = guarded if keys == "its own" else BusConfig(url=guarded.url)
    with pytest.raises(BusError, match=r"SLU-121.*user: feed.*Authorization Violation"):
        run(connect("feed", bus, timeout_s=25))


def test_a_server_that_is_not_there_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(BusError, match=rf"SLU-122.*127.0.0.1:{port}.*wanted: a nats-server there"):
        run(connect("feed", BusConfig(url=f"nats://127.0.0.1:{port}"), timeout_s=0.2))


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"nats://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(BusError, match=r"SLU-122.*no answer in 0\.2 s"):
            run(connect("feed", BusConfig(url=url), timeout_s=0.2))


def test_one_that_opens_as_it_is_given_up_is_not_handed_over_closed(
    guarded: BusConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[BusConnection] = []

    class Late(BusConnection):
        async def connect(self, *given: Any, **options: Any) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # as `asyncio.wait_for` can
                await asyncio.Event().wait()
            await super().connect(*given, **options)
            opened.append(self)

    monkeypatch.setattr("services.runtime.connect.BusConnection", Late)
    with pytest.raises(BusError, match=r"SLU-122.*no answer in 0\.1 s"):
        run(connect("gate", guarded, timeout_s=0.1))
    assert [each.is_closed for each in opened] == [True]


def test_one_that_opens_as_its_caller_is_cancelled_is_closed(
    guarded: BusConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[BusConnection] = []

    async def main() -> None:
        caller = asyncio.create_task(connect("gate", guarded))

        class Opening(BusConnection):
            async def connect(self, *given: Any, **options: Any) -> None:
                await super().connect(*given, **options)
                opened.append(self)
                caller.cancel()

        monkeypatch.setattr("services.runtime.connect.BusConnection", Opening)
        with pytest.raises(asyncio.CancelledError):
            await caller

    run(main())
    assert [each.is_closed for each in opened] == [True]


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1", "nats://", "nats://host", "nats://host:x", "ws://host:80", "http://h:1"],
)
def test_an_address_that_is_none_is_refused_by_name(url: str) -> None:
    with pytest.raises(UserError, match=r"SLU-100.*path: bus\.url.*wanted: nats://HOST:PORT"):
        run(connect("feed", BusConfig(url=url)))


def test_a_connect_that_is_cancelled_leaves_no_task_behind() -> None:
    async def main() -> set["asyncio.Task[None]"]:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            url = f"nats://127.0.0.1:{mute.getsockname()[1]}"
            opening = asyncio.create_task(connect("feed", BusConfig(url=url)))
            accepted, _ = await asyncio.to_thread(mute.accept)
            opening.cancel()
            with accepted, pytest.raises(asyncio.CancelledError):
                await opening
            return asyncio.all_tasks() - {asyncio.current_task()}

    assert run(main()) == set()


def test_a_refused_publish_is_kept_and_costs_no_connection(guarded: BusConfig) -> None:
    async def main() -> tuple[list[str], bytes]:
        connection = await connect("gate", guarded)
        async with ear(as_all(guarded), "mine.>") as watcher:
            connection.send("order.sim.paper", b"not mine to say")
            connection.send("mine.word", b"still here")
            found = await watcher.data()
            await connection.flush()
        await connection.close()
        return connection.refusals, found

    [refusal], found = run(main())
    assert refusal == 'nats: permissions violation for publish to "order.sim.paper"'
    assert found == b"still here"


def test_a_refused_subscription_is_kept_and_the_others_hear(guarded: BusConfig) -> None:
    async def main() -> tuple[list[str], bytes]:
        connection = await connect("gate", guarded)
        heard: asyncio.Future[bytes] = asyncio.Future()
        await connection.take("order.>", lambda *message: None)
        await connection.take("mine.word", lambda _, data, reply: heard.set_result(data))
        await connection.flush()
        other = await connect("all", BusConfig(url=as_all(guarded)))
        other.send("mine.word", b"heard")
        found = await heard
        await connection.close()
        await other.close()
        return connection.refusals, found

    [refusal], found = run(main())
    assert refusal == 'nats: permissions violation for subscription to "order.>"'
    assert found == b"heard"


def test_an_error_callback_that_raises_would_leave_a_deaf_client(guarded: BusConfig) -> None:
    """The fault behind the rule: connected, and hearing nothing."""

    async def raising(error: Exception) -> None:
        raise ValueError("a careless callback")

    async def main() -> tuple[bool, bool]:
        client = Client()
        seed = str(guarded.keys_dir / "gate.nk") if guarded.keys_dir else ""
        await client.connect(guarded.url, error_cb=raising, nkeys_seed=seed)
        assert client._reading_task is not None
        await client.publish("order.sim.paper", b"not mine to say")
        await asyncio.wait({client._reading_task})
        found = client.is_connected, client._reading_task.done()
        await client.close()
        return found

    assert run(main()) == (True, True)


@pytest.mark.req("O-01")
def test_a_server_that_takes_connections_and_says_nothing_is_told_with_how_long_it_was_tried() -> (
    None
):
    async def main(url: str) -> str:
        with pytest.raises(BusError) as caught:
            await connect("gate", BusConfig(url=url), timeout_s=2.5)
        return caught.value.fields["found"]

    with socket.create_server(("127.0.0.1", 0)) as server:  # as a bus that is stopped: it listens
        url = f"nats://127.0.0.1:{server.getsockname()[1]}"
        assert run(main(url)) == "no answer in 2.5 s"
