"""Planted secrets come out nowhere: of files, streams, exports, reports, backups, or commands.

A search proves nothing unless it finds what is there. So the account and the operator bear a name
that is planted like a secret and is none: it must be found in every kind of place that is searched.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.masking import MASK
from schemas.streams import STREAMS
from schemas.users import USERS
from services.cli.config_sections import METERED
from services.recorder.queries.exporting import KINDS
from tests.e2e import leaving
from tests.e2e.system import System, free_ports

pytestmark = pytest.mark.req("A-05", "O-03")

MARKER = "plant5d2e9b"
"""No secret: whoever searches must find it wherever a secret could be."""

CANARY = "canary7f3a9c"
MAIL_PASSWORD = f"{CANARY}-mail"
"""In a file that the reports service reads at its start: without it that does not start."""

TYPED_SEED = "SUA" + "CANARY" + "B7" * 24
"""In the form of a seed, typed by a person as the reason of a halt; the record keeps their word."""

SEED_LENGTH = 58
"""Of an nkey's seed, in characters."""

Places = dict[str, bytes]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("secrets")
    found = System(folder)
    password_file = folder / "mail.password"
    password_file.touch(mode=0o600)
    password_file.write_text(f"{MAIL_PASSWORD}\n")
    found.environment |= {
        "USER": MARKER,
        "SLUICE_ACCOUNT__ID": MARKER,
        "SLUICE_REPORTS__MAIL__HOST": "127.0.0.1",
        "SLUICE_REPORTS__MAIL__PORT": str(free_ports()[0]),
        "SLUICE_REPORTS__MAIL__USER": "reports",
        "SLUICE_REPORTS__MAIL__PASSWORD_FILE": str(password_file),
        "SLUICE_REPORTS__MAIL__SENDER": "reports@example.com",
        "SLUICE_REPORTS__MAIL__TO": "kim@example.com",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    try:
        found.up()
        found.wait_for_fills()
        assert found.run("halt", f"{MARKER} {TYPED_SEED}").returncode == 0
        (found.data_dir / "log" / "careless.log").write_text(f"connecting as {MARKER}\n")
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def places(system: System, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """All that is searched; files last, so that what the others leave there is in it."""
    folder = tmp_path_factory.mktemp("handed over")
    found = leaving.exports(system, folder)
    found |= leaving.reports(system, datetime.now(UTC).date().isoformat())
    found |= leaving.backup(system, folder)
    found |= leaving.commands(system)
    found |= leaving.metrics(system)
    found |= leaving.streams(system)
    found |= leaving.folders(system)
    return found


def secrets_of(system: System) -> dict[str, bytes]:
    """What this very system read: the private keys that it made, and the password it was given."""
    keys = system.data_dir / "keys"
    found = {path.name: path.read_bytes().strip() for path in sorted(keys.glob("*.nk"))}
    assert {Path(name).stem for name in found} == set(USERS)
    assert {len(seed) for seed in found.values()} == {SEED_LENGTH}
    found["record.pem"] = (keys / "record.pem").read_bytes().splitlines()[1]
    assert len(base64.b64decode(found["record.pem"])) == 48  # of Ed25519, in PKCS 8
    [store_key] = (system.folder / "state" / "sluice" / "store-keys").iterdir()
    found["store key"] = store_key.read_bytes().strip()
    assert len(found["store key"]) == 65
    found["mail password"] = MAIL_PASSWORD.encode()
    return found


def spilled(places: Places, secrets: dict[str, bytes]) -> list[str]:
    return [
        f"{name} in {place}"
        for place, data in places.items()
        for name, secret in secrets.items()
        if secret in data
    ]


def test_no_place_holds_a_secret(system: System, places: Places) -> None:
    assert spilled(places, secrets_of(system)) == []


def test_the_search_finds_what_is_in_each_kind_of_place(places: Places) -> None:
    wanted = {f"csv {kind}" for kind in KINDS} | {f"parquet {kind}" for kind in KINDS}
    wanted |= {f"report {kind}" for kind in leaving.REPORTS} | {"backup"}
    wanted |= {f"stream {spec.name}" for spec in STREAMS if spec.name != "MARKET"}
    wanted |= {f"sluice {' '.join(each)}" for each in leaving.COMMANDS if each != ("schema",)}
    wanted |= {f"folder {name}" for name in ("log", "logs", "record", "reports", "run", "state")}
    wanted |= {"metrics gate"}
    assert wanted <= set(places)
    assert [place for place in sorted(wanted) if MARKER.encode() not in places[place]] == []
    assert len([place for place in places if place.startswith("metrics")]) == len(METERED)


def test_a_secret_that_is_spilled_is_found(system: System, places: Places) -> None:
    secrets = secrets_of(system)
    carelessly = {name: b"connecting with " + secret for name, secret in secrets.items()}
    assert spilled(places | carelessly, secrets) == [f"{name} in {name}" for name in secrets]


def test_the_planted_password_is_one_that_a_service_reads(system: System) -> None:
    told = json.loads((system.data_dir / "run" / "config.json").read_text())
    mail = told["reports"]["mail"]
    assert Path(mail["password_file"]).read_text().strip() == MAIL_PASSWORD
    assert system.status()["services"]["reports"]["state"] == "running"


def test_what_a_person_typed_is_kept_as_it_was_said_and_masked_wherever_it_is_shown(
    places: Places,
) -> None:
    typed = TYPED_SEED.encode()
    for kept in ("folder record", "folder logs", "stream CONTROL"):
        assert typed in places[kept], kept
    for shown in leaving.SHOWING:
        name = f"sluice {' '.join(shown)}"
        assert typed not in places[name], name
        if "--no-events" not in shown:
            assert f"{MARKER} {MASK}".encode() in places[name], name
    assert typed not in places["folder log"]
    assert typed not in places["metrics breaker"]


@pytest.mark.parametrize("command", [("doctor",), ("status",)])
def test_a_password_in_the_address_of_the_bus_is_never_shown(
    system: System, command: tuple[str, ...]
) -> None:
    running = json.loads((system.data_dir / "run" / "system.json").read_text())
    host = running["nats_url"].removeprefix("nats://")
    nobody_listens = f"127.0.0.1:{free_ports()[0]}"
    for address in (host, nobody_listens):
        done = system.run(*command, "--nats-url", f"nats://kim:{CANARY}-bus@{address}")
        assert done.stdout + done.stderr
        assert CANARY not in done.stdout + done.stderr


def test_a_password_in_the_address_of_the_repository_is_refused_and_not_shown(
    system: System,
) -> None:
    for scheme in ("postgresql", "mysql"):
        url = f"{scheme}://kim:{CANARY}-repository@127.0.0.1/sluice"
        done = system.run("config", "check", "--set", f"repository.url={url}")
        assert done.returncode == 2
        assert "repository.url" in done.stderr
        assert CANARY not in done.stdout + done.stderr


def test_a_service_that_cannot_reach_its_bus_does_not_log_the_password(
    system: System, tmp_path: Path
) -> None:
    told = json.loads((system.data_dir / "run" / "config.json").read_text())
    told["bus"]["url"] = f"nats://kim:{CANARY}-bus@127.0.0.1:{free_ports()[0]}"
    file = tmp_path / "config.json"
    file.write_text(json.dumps(told))
    soon = "import services.runtime.connect as c; c.connect.__kwdefaults__['timeout_s'] = 0.5; "
    service = soon + "from services.gate.__main__ import main; main()"  # ten seconds by itself
    done = subprocess.run(
        [sys.executable, "-c", service, "--config", str(file)],
        env={**os.environ, **system.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"nats://{MASK}@127.0.0.1" in done.stderr
    assert CANARY not in done.stdout + done.stderr
