"""A service that does nothing but what the supervisor looks at. Run as a program.

    python fake_service.py NAME URL LEDGER MODE

Modes: `ok`; `late` is never ready; `stubborn` does not stop when asked; `crash` and `mend` end at
once.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from schemas.base import BootId
from schemas.health import HealthReported
from schemas.wire import encode
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.stop import Stop

HEALTH_EVERY_S = 0.05


async def serve(name: str, url: str, ledger: Path, mode: str) -> None:
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        Stop(os.environ).listen()
    connection = await connect(name, BusConfig(url=url))
    note(ledger, f"start {name}")
    try:
        while True:
            health = HealthReported(
                at_ns=time.time_ns(),
                service=name,
                boot_id=BootId("b"),
                pid=os.getpid(),
                uptime_s=1.0,
                is_ready=mode != "late",
                detail="waits for nothing" if mode == "late" else "",
            )
            connection.send(f"health.{name}", encode(health))
            await asyncio.sleep(HEALTH_EVERY_S)
    finally:
        note(ledger, f"stop {name}")
        await connection.close()


def note(ledger: Path, text: str) -> None:
    with ledger.open("a") as file:
        file.write(text + "\n")


def main() -> None:
    name, url, ledger, mode = sys.argv[1:]
    if mode == "crash":
        sys.exit("the disk is on fire")
    if mode == "mend":
        sys.stderr.write('{"event": "cannot serve", "error": "SLU-100 feed.speed"}\n')
        sys.exit(2)
    try:
        asyncio.run(serve(name, url, Path(ledger), mode))
    except asyncio.CancelledError:
        sys.exit(0)


if __name__ == "__main__":
    main()
