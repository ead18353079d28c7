"""What the bus stores cannot be read from its files (A-05), and the key is not among them."""

import asyncio
from pathlib import Path

import pytest
import uvloop

from schemas.errors import UserError
from services.runtime.store_key import ensure_store_key
from tests.integration.guarded import GuardedServer
from tests.recorder_rig import recording

pytestmark = pytest.mark.req("A-05", "R-06")
PLANTED = b"planted-1f8a-plaintext"


def files_with_it(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*") if p.is_file() and PLANTED in p.read_bytes()]


def store_and_stop(folder: Path, store_key: str, count: int) -> None:
    """Publish one order, record until there are so many, and stop the server."""
    server = GuardedServer(folder / "bus", store_key=store_key)

    async def scenario() -> None:
        gate = await server.connect("gate")
        async with recording(folder, server.bus) as rig:
            await rig.ready()
            gate.send("order.sim.paper", b'{"secret":"%s"}' % PLANTED)
            await gate.flush()
            await rig.recorded(count)
        await gate.close()

    try:
        uvloop.run(asyncio.wait_for(scenario(), 30))
    finally:
        server.process.terminate()
        server.process.wait(timeout=10)


def test_what_was_planted_is_in_no_file_of_the_store(tmp_path: Path) -> None:
    key = ensure_store_key(tmp_path / "outside" / "store.key", tmp_path / "bus" / "nats")
    store_and_stop(tmp_path, key, 1)
    assert files_with_it(tmp_path / "bus" / "nats") == []
    store_and_stop(tmp_path, key, 2)  # the same key reads it again: nothing was lost


def test_without_the_key_it_is_there_for_everyone_to_read(tmp_path: Path) -> None:
    """The ablation, and the upgrade: a store from before is encrypted by its next start."""
    store_and_stop(tmp_path, "", 1)
    assert files_with_it(tmp_path / "bus" / "nats") != []
    key = ensure_store_key(tmp_path / "outside" / "store.key", tmp_path / "bus" / "nats")
    store_and_stop(tmp_path, key, 2)
    assert files_with_it(tmp_path / "bus" / "nats") == []


def test_a_key_that_is_gone_or_another_is_said_before_a_server_starts(tmp_path: Path) -> None:
    file, store = tmp_path / "outside" / "store.key", tmp_path / "var" / "nats"
    key = ensure_store_key(file, store)
    assert ensure_store_key(file, store) == key
    file.rename(tmp_path / "aside")
    with pytest.raises(UserError, match="bring it back"):
        ensure_store_key(file, store)
    file.write_text("kanother")
    file.chmod(0o600)
    with pytest.raises(UserError, match="another key"):
        ensure_store_key(file, store)
    file.chmod(0o644)
    with pytest.raises(UserError, match="others can reach"):
        ensure_store_key(file, store)


def test_a_key_inside_the_data_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="outside the data folder"):
        ensure_store_key(tmp_path / "var" / "keys" / "k", tmp_path / "var" / "nats")
