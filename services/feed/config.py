"""What the feed service may be told."""

import re
from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(gt=0)]

SPEED = re.compile(r"max|[0-9]+(\.[0-9]+)?x")


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
    A recording of bars may be silent for three bars, if that is longer."""

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

    def __post_init__(self) -> None:
        if not SPEED.fullmatch(self.speed) or self.factor == 0:
            raise ValueError(f"speed is {self.speed!r}: wanted max, or a number and x, like 10x")

    @property
    def factor(self) -> float | None:
        """Recorded seconds per second; None at `max`."""
        return None if self.speed == "max" else float(self.speed[:-1])
