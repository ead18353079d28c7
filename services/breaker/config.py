"""What the breaker service may be told."""

from decimal import Decimal
from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(gt=0)]


class BreakerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of the breakers and the arbiter's patience.

    Raises:
        ValueError: `drawdown_max` is not a fraction between 0 and 1.
    """

    drawdown_max: Decimal = Decimal("0.10")
    """Fall of the account's equity below its high-water mark that halts everything: a fraction of
    the mark, so 0.10 is -10 %."""

    mark_every_ms: Positive = 250
    """Shortest time between two valuations of the account, in milliseconds."""

    publish_every_ms: Positive = 1_000
    """Shortest time between two `AccountMarked` on the bus, in milliseconds."""

    blind_ms_max: Positive = 5_000
    """Longest time the equity may be unknown before leases end, in milliseconds."""

    prepare_ms_max: Positive = 2_000
    """How long gate, executor and strategy may take to answer a start, in milliseconds."""

    store_ms_max: Positive = 3_000
    """How long the control stream may take to answer a read or a write, in milliseconds."""

    recorder_silence_ms_max: Positive = 3_000
    """Longest time without the recorder's health before leases end, in milliseconds."""

    disk_free_bytes_min: Positive = 256 * 1024 * 1024
    """Free space on the data folder's disk below which leases end, in bytes."""

    start_approvals: Annotated[int, msgspec.Meta(ge=1, le=2)] = 1
    """How many different people must ask for a start; a count."""

    approval_window_s: Positive = 300
    """How long a first person's approval waits for the second, in seconds."""

    def __post_init__(self) -> None:
        if not 0 < self.drawdown_max < 1:
            raise ValueError(f"drawdown_max is {self.drawdown_max}: wanted a fraction, like 0.10")
