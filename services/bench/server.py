"""A nats-server for one benchmark: loopback, free port, its own folder, no authorisation."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from schemas.errors import BusError

START_TIMEOUT_S = 10.0


@contextmanager
def nats_server(configuration: str = "") -> Iterator[str]:
    """Yield the address of a fresh nats-server that lives as long as the context.

    Args:
        configuration: what its file says, if anything.

    Raises:
        BusError: it announced no port in time; the log says why.
    """
    with TemporaryDirectory(prefix="sluice-bench-") as folder:
        binary = Path(sys.executable).with_name("nats-server")
        command = [str(binary), "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", folder]
        command += ["-js", "-sd", f"{folder}/js", "-l", f"{folder}/nats.log"]
        if configuration:
            file = Path(folder) / "server.conf"
            file.write_text(configuration)
            command += ["-c", str(file)]
        process = subprocess.Popen(command)
        try:
            yield _announced_url(Path(folder), process)
        finally:
            process.kill()
            process.wait()


def _announced_url(folder: Path, process: "subprocess.Popen[bytes]") -> str:
    ports = folder / f"nats-server_{process.pid}.ports"
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        if ports.exists() and (text := ports.read_text()):
            return str(json.loads(text)["nats"][0])
        time.sleep(0.01)
    log = folder / "nats.log"
    said = log.read_text()[-500:] if log.exists() else "it left no log"
    raise BusError("SLU-122", found=said, wanted="a nats-server that announces its port")
