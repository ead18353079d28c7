"""Planted secrets come out nowhere: not in logs, streams, journals, the record, or metrics."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli.config_sections import METERED
from tests.e2e.system import System

pytestmark = pytest.mark.req("A-05", "O-03")

CANARY = "canary7f3a9c"
PLANTED = {
    "SMTP_PASSWORD": f"{CANARY}-smtp",
    "TWILIO_AUTH_TOKEN": f"{CANARY}-twilio",
    "ALERT_WEBHOOK_URL": f"https://user:{CANARY}-hook@hooks.example.com/x",
}
SEED_LENGTH = 58
"""Of an nkey's seed, in characters."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    found = System(tmp_path_factory.mktemp("secrets"))
    found.environment |= PLANTED
    try:
        found.up()
        found.wait_for_fills()
        yield found
    finally:
        found.close()


def seeds(system: System) -> list[bytes]:
    """The private keys that this very system made."""
    files = sorted((system.data_dir / "keys").glob("*.nk"))
    made = [file.read_bytes().strip() for file in files]
    assert len(made) > 8
    assert all(len(seed) == SEED_LENGTH for seed in made)
    return made


def spilled(system: System, secrets: list[bytes]) -> list[str]:
    """Every file of the system, but for the keys themselves, that holds one of these."""
    return [
        str(path.relative_to(system.data_dir))
        for path in files(system.data_dir)
        if any(secret in path.read_bytes() for secret in secrets)
    ]


def files(data_dir: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(data_dir):
        if Path(folder) != data_dir / "keys":
            yield from (Path(folder) / name for name in names)


def test_no_file_of_a_running_system_holds_a_secret(system: System) -> None:
    read = list(files(system.data_dir))
    assert any("nats" in path.parts for path in read), "the streams' own store is among them"
    assert any(path.suffix == ".log" for path in read)
    assert spilled(system, [CANARY.encode(), *seeds(system)]) == []


def test_the_search_would_find_one_that_was_spilled(system: System) -> None:
    spill = system.data_dir / "log" / "careless.log"
    spill.write_bytes(b"connecting with " + seeds(system)[0])
    try:
        assert spilled(system, seeds(system)) == ["log/careless.log"]
    finally:
        spill.unlink()


def test_no_metric_and_no_command_says_a_secret(system: System) -> None:
    said = [system.run(*command).stdout for command in COMMANDS]
    for file in (system.data_dir / "run" / "metrics").glob("*.json"):
        [target] = json.loads(file.read_text())[0]["targets"]
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
            said.append(answer.read().decode())
    assert len(said) == len(COMMANDS) + len(METERED)
    text = "\n".join(said)
    assert CANARY not in text
    assert [seed for seed in seeds(system) if seed.decode() in text] == []


COMMANDS = (
    ("status", "--json"),
    ("config", "show"),
    ("config", "show", "--json"),
    ("logs", "--lines", "0"),
    ("doctor",),
    ("schema",),
)
