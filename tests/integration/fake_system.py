"""A supervisor with an embedded bus and one service, to be killed. Run as a program.

    python fake_system.py FOLDER (tethered|loose)

Prints the process ids by name once all is up, and waits.
"""

import asyncio
import dataclasses
import json
import sys
from pathlib import Path

from services.runtime import supervisor_process
from services.runtime.config import BusConfig
from services.runtime.keys import ensure_keys, server_environment
from services.runtime.supervisor import Plan, Supervisor
from services.runtime.supervisor_process import ProcessSpec
from services.runtime.supervisor_server import ServerPlan, free_port, server_spec

FAKE = str(Path(__file__).with_name("fake_service.py"))
HOST = "127.0.0.1"


async def main(folder: Path, how: str) -> None:
    keys = folder / "keys"
    server = ServerPlan(
        host=HOST,
        port=free_port(HOST, 0),
        monitor_port=free_port(HOST, 0),
        store_dir=folder / "nats",
        environment=server_environment(ensure_keys(keys)),
    )
    spec = server_spec(server, folder / "nats.log")
    if how == "loose":  # the safeguards are taken away: of the kernel, and of who watches nats
        spec = dataclasses.replace(spec, is_ours=True)
        supervisor_process.die_with_parent = lambda: None  # type: ignore[attr-defined]
    # The fake has no key of its own: this one sleeps, which is all that matters here.
    sleeper = ProcessSpec(
        name="sleeper",
        command=(sys.executable, "-c", SLEEPER),
        log_file=folder / "sleeper.log",
        until_up=_at_once,
    )
    plan = Plan(bus=BusConfig(url=server.url, keys_dir=keys), server=spec, stages=[[sleeper]])
    supervisor = Supervisor(plan)
    await supervisor.start()
    sys.stdout.write(json.dumps(supervisor.roster.pids()) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


SLEEPER = """
import os
while os.read(int(os.environ["SLUICE_PARENT_FD"]), 1):
    pass
"""


async def _at_once() -> None:
    return None


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
