"""What the recorder may be told."""

from typing import Annotated, Literal

import msgspec

Positive = Annotated[int, msgspec.Meta(gt=0)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long each kind of record is kept, in days. What is older is removed, once a day."""

    orders_days: Positive = 2_557
    """Signals, decisions, orders, executions: in the chained journal, and their copies in streams;
    seven years."""

    control_days: Positive = 2_557
    """All else in the chained journal: halts, starts, sessions, breakers, alerts, valuations."""

    market_days: Positive = 30
    """Prices, where `chain_market` puts them into the chained journal."""

    record_days: Positive | None = None
    """In place of the three above: one age for all that is in the chained journal."""

    logs_days: Positive = 30
    """What the processes wrote, and the JSON Lines of days past."""

    reports_days: Positive = 2_557
    """Reports and statements."""

    results_days: Positive = 2_557
    """Results of sessions."""

    sessions_days: Positive = 2_557
    """Sessions that ended so long ago, in the repository; days on paper and backtests there."""


class RecorderConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is recorded, how firmly, and for how long."""

    market: bool = True
    """Whether market data is recorded too; everything else always is."""

    market_bytes_max: NotNegative = 2 * 1024 * 1024 * 1024
    """Size of the MARKET stream at which its oldest messages go, in bytes; 0 is no limit."""

    market_age_s_max: NotNegative = 86_400
    """Age at which messages leave the MARKET stream, in seconds; 0 is no limit."""

    chain_market: bool = False
    """Whether market data goes into the hash-chained journal as well as into its stream."""

    replicas: Literal[1, 3, 5] = 1
    """Copies of each stream in a cluster; a count. One server can only hold 1."""

    batch_max: Positive = 1_000
    """Most messages of one stream that are on their way at the same time; a count."""

    disk_free_bytes_min: Positive = 256 * 1024 * 1024
    """Free space below which the recorder reports itself not ready, in bytes."""

    logs_dir: str = "logs"
    """Where `events/<component>_events.jsonl` go; relative to the data folder unless absolute."""

    retention: Retention = Retention()
    """How long what is recorded is kept."""

    max_chain_file_bytes: Positive = 256 * 1024 * 1024
    """Size at which the chained journal goes on in a new file, in bytes."""

    checkpoint_every: Positive = 1_000
    """Records after which the journal's end is signed; a count."""

    checkpoint_every_ms: Positive = 1_000
    """Time after which it is signed, if anything was recorded, in milliseconds."""

    anchor_dirs: tuple[str, ...] = ()
    """Folders outside the data folder that get the signed checkpoints as well."""

    anchor_command: tuple[str, ...] = ()
    """A command that is given a signed checkpoint on its standard input; empty: none."""

    anchor_every_s: Positive = 5
    """Time between two anchors, in seconds."""
