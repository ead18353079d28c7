"""What must be alive for anybody to trade: the recorder, the disk, the breakers' own sight."""

import msgspec

from schemas.base import NS_PER_MS
from schemas.errors import FieldError
from schemas.health import HealthReported
from services.breaker.config import BreakerConfig


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes part in a start, and who is watched while an epoch is in force."""

    members: tuple[str, ...] = ("gate", "executor", "strategy")
    """All of them must have prepared; the restart of one ends the epoch."""

    is_recorder_watched: bool = True
    """False where there is no recorder: in one process, whose journal is the record."""


class Watch:
    """The newest news of what trading depends on. Silence is bad news.

    Attributes:
        roster: who takes part.
        disk_free_bytes: as the shell read it last; -1 is not known.
    """

    def __init__(self, config: BreakerConfig, roster: Roster) -> None:
        self._config = config
        self.roster = roster
        self._recorder: HealthReported | None = None
        self._recorder_ns = 0
        self._blind_since_ns: int | None = None
        self.disk_free_bytes = -1

    def on_recorder(self, health: HealthReported, now_ns: int) -> None:
        """Note the recorder's health, and when it came."""
        self._recorder, self._recorder_ns = health, now_ns

    def on_sight(self, is_equity_known: bool, now_ns: int) -> None:
        """Note whether the breakers can see what they guard."""
        if is_equity_known:
            self._blind_since_ns = None
        elif self._blind_since_ns is None:
            self._blind_since_ns = now_ns

    def begin(self) -> None:
        """Give the breakers' sight its whole patience again: an epoch begins."""
        self._blind_since_ns = None

    def complaints(self, now_ns: int) -> list[FieldError]:
        """Return what is missing now, each with what to do about it; empty when all is well."""
        sight = self._sight_complaint(now_ns)
        return [*self.outages(now_ns), *([] if sight is None else [sight])]

    def outages(self, now_ns: int) -> list[FieldError]:
        """Return what is missing even for a start; the equity may still be unknown then."""
        every = (self._recorder_complaint(now_ns), self._disk_complaint())
        return [found for found in every if found is not None]

    def _recorder_complaint(self, now_ns: int) -> FieldError | None:
        if not self.roster.is_recorder_watched:
            return None
        wanted = "a recorder that records: see `sluice status` and var/log/recorder.log"
        silence_ms = (now_ns - self._recorder_ns) // NS_PER_MS
        if self._recorder is None:
            return FieldError(path="recorder", found="never heard of", wanted=wanted)
        if silence_ms > self._config.recorder_silence_ms_max:
            return FieldError(path="recorder", found=f"silent for {silence_ms} ms", wanted=wanted)
        if not self._recorder.is_ready:
            found = f"not ready: {self._recorder.detail or 'no detail given'}"
            return FieldError(path="recorder", found=found, wanted=wanted)
        return None

    def _disk_complaint(self) -> FieldError | None:
        least = self._config.disk_free_bytes_min
        if self.disk_free_bytes >= least:
            return None
        found = "not known" if self.disk_free_bytes < 0 else f"{self.disk_free_bytes} bytes free"
        wanted = f"at least {least} bytes free on the data folder's disk: free some"
        return FieldError(path="disk", found=found, wanted=wanted)

    def _sight_complaint(self, now_ns: int) -> FieldError | None:
        if self._blind_since_ns is None:
            return None
        blind_ms = (now_ns - self._blind_since_ns) // NS_PER_MS
        if blind_ms <= self._config.blind_ms_max:
            return None
        return FieldError(
            path="breaker.drawdown",
            found=f"equity unknown for {blind_ms} ms",
            wanted="the executor's book and a price of all that is held: `sluice explain breaker`",
        )
