"""The CONTROL stream where there is no server: for runs in one process, and for simulations."""

from collections.abc import Sequence

import msgspec

from schemas.base import BootId, Event
from schemas.control import (
    ControlRecordRead,
    ControlSequenceAsked,
    ControlSequenceRead,
    EpochProposed,
    EpochRefused,
    EpochStored,
    HaltRequested,
)
from schemas.health import HealthReported
from schemas.restrictions import LockRequested, RestrictionRequested
from services.core import NOTHING

_Record = HaltRequested | RestrictionRequested | LockRequested | int
DISK_FREE_BYTES = 1 << 62
"""In one process nothing is written that could fill a disk."""


class ControlLog:
    """Do what the server and the breaker service's shell do together: store, compare, read.

    Its place among a runtime's cores does not matter: it hears only what the breaker core says,
    and halts.
    """

    hears: frozenset[type[Event]] = frozenset(
        {HaltRequested, RestrictionRequested, LockRequested, EpochProposed, ControlSequenceAsked}
    )
    keeps: frozenset[type[Event]] = frozenset()

    def __init__(self) -> None:
        self.wake_at_ns: int | None = None
        self._records: list[_Record] = []
        self._stored_ns: list[int] = []
        self._told_count = 0

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Store what forbids; an epoch unless the log has moved; tell what is new, in order."""
        match event:
            case HaltRequested() | RestrictionRequested() | LockRequested():
                self._append(event, now_ns)
            case EpochProposed(start=start, expected_last_seq=expected):
                last = len(self._records)
                if last != expected:
                    detail = (
                        f"it ends at record {last}, and record {expected} was the last one seen"
                    )
                    return [EpochRefused(at_ns=now_ns, epoch=start.epoch, detail=detail)]
                self._append(start.epoch, now_ns)
                return [EpochStored(at_ns=now_ns, epoch=start.epoch, stream_seq=last + 1)]
            case ControlSequenceAsked(read_id=read_id):
                return self._read(read_id, now_ns)
        return NOTHING

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Nothing is ever due."""
        return NOTHING

    def rewind(self, seq: int) -> None:
        """Tell again what comes after record `seq`: an arbiter that restarted has forgotten it."""
        self._told_count = min(seq, len(self._records))

    def restore(self, event: Event) -> None:
        """Nothing is kept: it lives as long as its process."""
        raise AssertionError("the control log keeps no events")

    def describe(self, now_ns: int) -> HealthReported:
        """Return that it is there."""
        return HealthReported(
            at_ns=now_ns,
            service="control-log",
            boot_id=BootId(""),
            pid=0,
            uptime_s=0.0,
            is_ready=True,
        )

    def _append(self, record: _Record, now_ns: int) -> None:
        self._records.append(record)
        self._stored_ns.append(now_ns)

    def _read(self, read_id: int, now_ns: int) -> list[Event]:
        said: list[Event] = []
        for seq in range(self._told_count + 1, len(self._records) + 1):
            record = self._record(seq, now_ns)
            said.append(msgspec.structs.replace(record, stored_ns=self._stored_ns[seq - 1]))
        self._told_count = len(self._records)
        newest = self._records[-1] if self._records else 0
        said.append(
            ControlSequenceRead(
                at_ns=now_ns,
                last_seq=len(self._records),
                read_id=read_id,
                epoch=newest if isinstance(newest, int) else 0,
                disk_free_bytes=DISK_FREE_BYTES,
            )
        )
        return said

    def _record(self, seq: int, now_ns: int) -> ControlRecordRead:
        match self._records[seq - 1]:
            case HaltRequested() as halt:
                return ControlRecordRead(at_ns=now_ns, stream_seq=seq, halt=halt)
            case RestrictionRequested() as asked:
                return ControlRecordRead(at_ns=now_ns, stream_seq=seq, restriction=asked)
            case LockRequested() as lock:
                return ControlRecordRead(at_ns=now_ns, stream_seq=seq, locks=(lock,))
            case int(epoch):
                return ControlRecordRead(at_ns=now_ns, stream_seq=seq, epoch=epoch)
