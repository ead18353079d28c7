"""Make one run of the system ready: its folder, its lock, its keys, its resolved configuration."""

import contextlib
import datetime
import fcntl
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from schemas.base import InstrumentId
from schemas.errors import UserError
from schemas.instruments import Instrument
from services.cli.account_journals import switch_account
from services.cli.backup_config import forget_restore, refuse_another
from services.cli.backup_place import refuse_unfinished
from services.cli.config_resolve import (
    Config,
    account_of,
    chosen_symbols,
    document,
    instruments_of,
)
from services.cli.locate import RunningSystem, running_system, system_file
from services.cli.private_files import PRIVATE_FILE, make_folder, write_private
from services.cli.processes import stages
from services.runtime.config import BusConfig
from services.runtime.keys import SYNC_ALWAYS, SYNC_DEFAULT, ensure_keys, server_environment
from services.runtime.store_key import ensure_store_key
from services.runtime.supervisor import Plan
from services.runtime.supervisor_server import ServerPlan, free_port, server_spec


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the system, ready to be started.

    Attributes:
        config: as it holds.
        plan: the processes.
        account: id, currency and initial cash.
        instruments: what may be traded.
        symbols: of the session that `up` starts.
        lock: held open for as long as the system runs.
        ports: the choice of ports; nobody else on this machine chooses until ours are taken.
    """

    config: Config
    plan: Plan
    account: dict[str, Any]
    instruments: Sequence[Instrument]
    symbols: Sequence[InstrumentId]
    lock: int
    ports: contextlib.ExitStack

    @property
    def log_dir(self) -> Path:
        """Where the processes write what they say."""
        return self.config.data_dir / "log"

    def announce(self, pids: dict[str, int]) -> None:
        """Tell every command where the system is."""
        if len(pids) > 1:  # the bus was first, and has its ports now
            self.ports.close()
        data_dir = self.config.data_dir
        system = RunningSystem(
            nats_url=self.plan.bus.url,
            keys_dir=self.config.keys_dir,
            monitor_url=self.plan.bus.monitor_url,
            data_dir=data_dir,
            supervisor_pid=os.getpid(),
            started_ns=time.time_ns(),
            config=config_file(data_dir),
            pids=pids,
        )
        write_private(system_file(data_dir), to_bytes(system))

    def retire(self) -> None:
        """Take the notice away, and let go of the data folder."""
        self.ports.close()
        system_file(self.config.data_dir).unlink(missing_ok=True)
        os.close(self.lock)


def prepare(config: Config, *, is_fresh: bool, accept_other: bool = False) -> Run:
    """Return a run: everything is checked and written before the first process starts.

    Args:
        config: as it holds.
        is_fresh: whether the account is a new one.
        accept_other: whether another configuration than that of a restored backup is meant.

    Raises:
        ConfigError: the configuration does not fit the feed.
        UserError: SLU-163 a system runs here already; or a file or key is not as it must be, or
            not as it was in the backup that was restored here.
        StateError: SLU-148, a restore was cut short here.
    """
    data_dir = config.data_dir
    refuse_unfinished(data_dir)
    instruments = instruments_of(config)
    symbols = chosen_symbols(config, instruments)
    now = datetime.datetime.now(datetime.UTC)
    account = account_of(config, instruments, is_fresh=is_fresh, now=now)
    lock = _locked(data_dir)  # before anything is written: another system may be running here
    try:
        refuse_unfinished(data_dir)  # one may have begun until now; from now on it sees the lock
        meant = to_bytes(document(config, instruments, account, BusConfig()))
        refuse_another(data_dir, meant, is_accepted=accept_other)
        switch_account(data_dir, account["id"])
    except BaseException:
        os.close(lock)
        raise
    ports = contextlib.ExitStack()
    ports.callback(os.close, _flocked(_ports_file(), fcntl.LOCK_EX))
    bus, server = _bus(config)
    text = to_bytes(document(config, instruments, account, bus))
    write_private(config_file(data_dir), text)
    forget_restore(data_dir)
    log_dir = data_dir / "log"
    plan = Plan(
        bus=bus,
        server=server_spec(server, log_dir / "nats.log") if server else None,
        stages=stages(config_file(data_dir), log_dir, config.system.log_level),
        metrics=config.metrics,
        data_dir=data_dir,
    )
    return Run(
        config=config,
        plan=plan,
        account=account,
        instruments=instruments,
        symbols=symbols,
        lock=lock,
        ports=ports,
    )


def config_file(data_dir: Path) -> Path:
    """Return where the resolved configuration of a run is."""
    return data_dir / "run" / "config.json"


def _bus(config: Config) -> tuple[BusConfig, ServerPlan | None]:
    """Return where the bus is, and the server to start if it is ours."""
    choice = config.bus
    public_keys = ensure_keys(config.keys_dir)
    if choice.url:
        bus = BusConfig(url=choice.url, keys_dir=config.keys_dir, monitor_url=choice.monitor_url)
        return bus, None
    sync_interval = SYNC_ALWAYS if choice.is_durable else SYNC_DEFAULT
    port = free_port(choice.host, choice.port)
    server = ServerPlan(
        host=choice.host,
        port=port,
        monitor_port=free_port(choice.host, choice.monitor_port),
        store_dir=config.data_dir / "nats",
        environment=server_environment(
            public_keys,
            sync_interval=sync_interval,
            store_key=ensure_store_key(config.store_key_file, config.data_dir / "nats"),
        ),
    )
    bus = BusConfig(url=server.url, keys_dir=config.keys_dir, monitor_url=server.monitor_url)
    return bus, server


def _locked(data_dir: Path) -> int:
    """Return the open lock file: one system a data folder. It ends with this process."""
    path = data_dir / "run" / "lock"
    make_folder(path.parent)
    try:
        return _flocked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        other = running_system(data_dir)
        found = f"process {other.supervisor_pid}" if other else "another process that starts"
        wanted = "only one; stop it (Ctrl-C there), or use --data-dir for a second system"
        raise UserError("SLU-163", path=data_dir, found=found, wanted=wanted) from error


def _flocked(path: Path, how: int) -> int:
    """Return the open file, locked; closing it, or the end of this process, lets go."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _ports_file() -> Path:
    """Return what this user's systems take turns by: a port is free only until it is taken."""
    return Path(tempfile.gettempdir()) / f"sluice-ports-{os.getuid()}.lock"


def to_bytes(value: Any) -> bytes:
    """Return the value as JSON that a person can read too."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=_text), indent=1)


def _text(value: object) -> str:
    assert isinstance(value, Path), value
    return str(value)
