"""Everything a system keeps, says or hands over, as bytes that can be searched: kind by kind."""

import asyncio
import base64
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import duckdb

from schemas.streams import STREAMS
from services.cli.backup_archive import unpack
from services.recorder.jetstream import last_seq, request
from services.recorder.queries.exporting import KINDS
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from tests.e2e.system import System

MESSAGES_MAX = 3_000
"""Newest messages of a stream that are read, a count: market data is more than anybody reads."""

SHOWING = (
    ("status",),
    ("status", "--json"),
    ("logs", "--lines", "0"),
    ("logs", "--lines", "0", "--json"),
    ("logs", "--lines", "0", "--no-events"),
)
"""What shows a person what people typed: without its secrets."""

COMMANDS = (
    *SHOWING,
    ("config", "show"),
    ("config", "show", "--json"),
    ("doctor",),
    ("schema",),
    ("audit", "search", "--limit", "0"),
    ("query", "SELECT * FROM orders", "--json"),
    ("query", "SELECT * FROM events ORDER BY at_ns DESC", "--json"),
    ("session", "list", "--json"),
)
REPORTS = ("orders", "trades", "best-execution", "statement")


def files_of(folder: Path, *, but: Path | None = None) -> Iterator[Path]:
    for found, _, names in os.walk(folder):
        if Path(found) != but:
            yield from (Path(found) / name for name in sorted(names))


def folders(system: System) -> dict[str, bytes]:
    """Every file of the data folder but the keys, by the folder it lies in."""
    found: dict[str, list[bytes]] = {}
    for path in files_of(system.data_dir, but=system.data_dir / "keys"):
        name = path.relative_to(system.data_dir).parts[0]
        found.setdefault(f"folder {name}", []).append(path.read_bytes())
    return {name: b"\n".join(parts) for name, parts in found.items()}


def streams(system: System) -> dict[str, bytes]:
    """What the bus keeps, asked of the server: its files are encrypted."""
    running = json.loads((system.data_dir / "run" / "system.json").read_text())
    bus = BusConfig(url=running["nats_url"], keys_dir=system.data_dir / "keys")
    return asyncio.run(_streams(bus))


async def _streams(bus: BusConfig) -> dict[str, bytes]:
    connection = await connect("recorder", bus, what_for="a test")
    found: dict[str, bytes] = {}
    try:
        for spec in STREAMS:
            newest, parts = await last_seq(connection, spec.name), []
            for seq in range(max(1, newest - MESSAGES_MAX), newest + 1):
                answer = await request(connection, f"STREAM.MSG.GET.{spec.name}", {"seq": seq})
                message = answer["message"]
                parts.append(message["subject"].encode())
                parts += [base64.b64decode(message.get(each, "")) for each in ("hdrs", "data")]
            found[f"stream {spec.name}"] = b"\n".join(parts)
    finally:
        await connection.close()
    return found


def exports(system: System, folder: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for kind in KINDS:
        plain, packed = folder / f"{kind}.csv", folder / f"{kind}.parquet"
        for option, path in (("--csv", plain), ("--parquet", packed)):
            done = system.run("export", kind, option, str(path))
            assert done.returncode == 0, done.stderr
        found[f"csv {kind}"] = plain.read_bytes()
        with duckdb.connect() as database:  # packed, no search would find anything
            rows = database.execute("SELECT * FROM read_parquet(?)", [str(packed)]).fetchall()
        found[f"parquet {kind}"] = repr(rows).encode()
    return found


def reports(system: System, day: str) -> dict[str, bytes]:
    found, seen = {}, set(files_of(system.data_dir / "reports"))
    for kind in REPORTS:
        done = system.run("report", kind, "--day", day)
        assert done.returncode == 0, done.stderr
        made = set(files_of(system.data_dir / "reports")) - seen
        found[f"report {kind}"] = b"\n".join(path.read_bytes() for path in made)
        seen |= made
    return found


def backup(system: System, folder: Path) -> dict[str, bytes]:
    archive, unpacked = folder / "backup.tar.gz", folder / "backup"
    done = system.run("backup", "create", str(archive))
    assert done.returncode == 0, done.stderr
    with archive.open("rb") as source:
        unpack(source, unpacked, archive.name)
    return {"backup": b"\n".join(path.read_bytes() for path in files_of(unpacked))}


def commands(system: System) -> dict[str, bytes]:
    found = {}
    for command in COMMANDS:
        done = system.run(*command)
        assert done.stdout, f"{command}: {done.stderr}"
        found[f"sluice {' '.join(command)}"] = (done.stdout + done.stderr).encode()
    return found


def metrics(system: System) -> dict[str, bytes]:
    found = {}
    for file in (system.data_dir / "run" / "metrics").glob("*.json"):
        [target] = json.loads(file.read_text())[0]["targets"]
        with urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
            found[f"metrics {file.stem}"] = answer.read()
    return found
