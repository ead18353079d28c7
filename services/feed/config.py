"""What the feed service may be told."""

import re
from decimal import Decimal
from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(gt=0)]

SPEED = re.compile(r"max|[0-9]+(\.[0-9]+)?x")


class ScannerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the scanner looks for. A threshold of 0 switches its rule off.

    Raises:
        ValueError: a threshold is negative.
    """

    is_on: bool = True
    """Whether it looks at all."""

    every_ms: Positive = 1_000
    """Time between two looks at the whole market, in milliseconds."""

    window_s: Positive = 60
    """What a move and a volume are measured over, in seconds."""

    move_bps_min: Decimal = Decimal(100)
    """Smallest move within the window that is told, either way, in basis points."""

    spread_bps_min: Decimal = Decimal(50)
    """Narrowest spread that is told, in basis points of the middle."""

    basis_bps_min: Decimal = Decimal(30)
    """Smallest distance of a perpetual from its spot that is told, in basis points."""

    funding_bps_min: Decimal = Decimal(5)
    """Smallest funding rate that is told, either way, in basis points of one payment."""

    volume_times_min: Decimal = Decimal(5)
    """How many times the usual volume of a window is told."""

    quiet_s: Positive = 300
    """Shortest time before the same of the same instrument is told again, in seconds."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, Decimal) and not value >= 0:
                raise ValueError(f"{name} of 0 or more: it is {value}")


class FeedConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where market data comes from, how fast, and when it is too old.

    Raises:
        ValueError: `speed` is neither `max` nor a number above 0 with an x, like `10x`.
    """

    source: str = "simulated"
    """`simulated`, or `replay:PATH` where PATH is a recording: a wire capture (.gz), a LEAN folder
    or zip, a CSV file, or a folder of these."""

    speed: str = "1x"
    """How many recorded seconds pass in one second: `1x`, `10x`, any `Nx`, or `max`."""

    seed: int = 1
    """What the simulated market is made from; the same seed gives the same prices."""

    symbols: tuple[str, ...] = ("ALPHA", "BETA", "GAMMA", "DELTA")
    """Symbols of the simulated market; each is an instrument `sim:<symbol>`."""

    quotes_per_s: Positive = 50
    """Quotes of the simulated market on average, in 1/s a symbol."""

    pools: tuple[str, ...] = ()
    """Lending markets beside the simulated one; each is an instrument `lend:<name>`."""

    stale_after_ms: Positive = 5_000
    """Silence of an instrument, by local receive time, after which it is stale, in milliseconds.
    A recording of bars may be silent for three bars, if that is longer. At `max` speed one
    instrument may be silent as long as others are not."""

    waits_for_start: bool = True
    """Whether a recording waits for the first start of trading. The simulated market does not."""

    silence_s_max: Positive = 120
    """Longest silence of a recording that is waited out, in recorded seconds: nights between two
    days are cut to this."""

    frame_max: Positive = 64
    """Most events that are handed on in one step, when as many are ready; a count."""

    sync_every: Positive = 512
    """At `max` speed, and whenever it is behind: events after which the feed waits until all of
    `sync_with` have caught up; a count."""

    sync_with: tuple[str, ...] = ("strategy", "gate", "executor", "venue", "breaker")
    """Services the feed waits for at `max` speed, so that none is cut off as too slow. One that is
    not running is passed over."""

    sync_timeout_ms: Positive = 2_000
    """Longest wait for one of `sync_with` before the feed goes on without it, in milliseconds."""

    scanner: ScannerConfig = ScannerConfig()
    """What is looked for in the whole market."""

    def __post_init__(self) -> None:
        if not SPEED.fullmatch(self.speed) or self.factor == 0:
            raise ValueError(f"speed is {self.speed!r}: wanted max, or a number and x, like 10x")

    @property
    def factor(self) -> float | None:
        """Recorded seconds per second; None at `max`."""
        return None if self.speed == "max" else float(self.speed[:-1])
