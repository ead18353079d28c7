"""The sections of `sluice.toml`: the services' own, and those that only the command line reads."""

import enum
from decimal import Decimal
from typing import Annotated

import msgspec

from schemas.instruments import TOKEN
from services.breaker.config import BreakerConfig
from services.executor.config import ExecutorConfig, VenueConfig
from services.feed.config import FeedConfig
from services.gate.config import GateConfig
from services.prerequisites.config import LiveConfig
from services.recorder.config import RecorderConfig
from services.recorder.queries.config import ReportsConfig
from services.repository.config import RepositoryConfig
from services.strategy.config import StrategyConfig

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Positive = Annotated[int, msgspec.Meta(gt=0)]


class Environment(enum.StrEnum):
    """Where this runs (S-12)."""

    DEV = "dev"
    STAGING = "staging"
    PROD = "prod"


class ExecutionMode(enum.StrEnum):
    """What the word means to those who share their environment with other programs (S-12)."""

    LIVE = "live"
    BACKTEST = "backtest"


class LogLevel(enum.StrEnum):
    """The least that is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class SystemChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[system]` section.

    Raises:
        ValueError: `execution_mode` is `backtest`: the live system does not run one.
    """

    environment: Environment = Environment.DEV
    """Where this runs: `dev`, `staging` or `prod`; shown in `sluice status`."""

    log_level: LogLevel = LogLevel.INFO
    """The least that services write to their logs."""

    execution_mode: ExecutionMode = ExecutionMode.LIVE
    """Only `live`; `backtest` is refused, so that nobody trades who meant to test."""

    def __post_init__(self) -> None:
        if self.execution_mode is ExecutionMode.BACKTEST:
            raise ValueError(
                "execution_mode is backtest: wanted live; this is the live system, which refuses "
                "to start as a backtest"
            )


class PathsChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[paths]` section."""

    data_dir: str = "var"
    """Folder of journals, logs, keys and the bus's store; relative to the file that says so."""


class BusChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[bus]` section."""

    url: str = ""
    """A nats-server that is there already, `nats://HOST:PORT`; empty starts an embedded one."""

    keys_dir: str = ""
    """Folder with one nkey seed a bus user; empty means `keys` in the data folder."""

    monitor_url: str = ""
    """Monitoring address of a server that is there already; empty where it has none."""

    host: str = "127.0.0.1"
    """Address the embedded server listens on; anything but loopback lets others reach it."""

    port: Port = 4222
    """Port of the embedded server; if it is taken, a free one."""

    monitor_port: Port = 8222
    """Port of the embedded server's monitoring; if it is taken, a free one."""

    is_durable: bool = False
    store_key_file: str = ""
    """Whether the embedded server syncs every record to disk before it acknowledges it: nothing
    acknowledged is lost when the power fails. Costs a third of a millisecond a record."""


class AccountChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[account]` section.

    Raises:
        ValueError: the id has characters the bus cannot carry, or the cash is no amount.
    """

    id: str = ""
    """Account traded; empty means `paper`, and for a recording a new one each time."""

    currency: str = ""
    """Currency of cash, equity and limits; empty means that of the instruments."""

    initial_cash: Decimal = Decimal(1_000_000)
    """Cash before the first execution, in `currency`."""

    def __post_init__(self) -> None:
        if self.id and not TOKEN.fullmatch(self.id):
            raise ValueError(f"id is {self.id!r}: wanted letters, digits, - and _ only")
        if not self.initial_cash.is_finite() or self.initial_cash <= 0:
            raise ValueError(f"initial_cash is {self.initial_cash}: wanted an amount above 0")


class MetricsChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[metrics]` section."""

    is_on: bool = True
    """Whether every process serves metrics for Prometheus."""

    host: str = "127.0.0.1"
    """Address they listen on; anything but loopback lets others read equity and positions."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65_500)] = 9460
    """Of the supervisor; those of the services follow, in the order of `METERED`."""


METERED = (
    "supervisor",
    "recorder",
    "venue",
    "breaker",
    "executor",
    "gate",
    "strategy",
    "feed",
    "reports",
)
"""Who serves metrics, in the order of their ports."""


class UpChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[up]` section: the session that `sluice up` starts by itself."""

    strategy: str = "ema_cross"
    """Strategy of the session."""

    symbols: tuple[str, ...] = ()
    """Its instruments; empty means the first `symbols_max` of the feed."""

    symbols_max: Positive = 20
    """Most instruments that are chosen by themselves; a count."""


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "system": SystemChoice,
    "paths": PathsChoice,
    "bus": BusChoice,
    "account": AccountChoice,
    "metrics": MetricsChoice,
    "up": UpChoice,
    "feed": FeedConfig,
    "strategy": StrategyConfig,
    "gate": GateConfig,
    "executor": ExecutorConfig,
    "venue": VenueConfig,
    "breaker": BreakerConfig,
    "recorder": RecorderConfig,
    "live": LiveConfig,
    "repository": RepositoryConfig,
    "reports": ReportsConfig,
}
"""Every section, in the order in which people read them. `[[instruments]]` is a list beside."""
