"""One start on its way: read the control stream, ask all to prepare, store the epoch."""

import enum

import msgspec

from schemas.control import EpochProposed, EpochStarted, Member, Prepared, StartAsked, StartRequest
from schemas.errors import FieldError

SHARES_LIMITS = ("gate", "executor")
"""Whose limits must be the very ones the arbiter was configured with."""


class Phase(enum.Enum):
    """What a start waits for."""

    READING = "the control stream's newest record"
    PREPARING = "the answers of gate, executor and strategy"
    STORING = "the control stream to take the epoch"


class PendingStart:
    """What is known of the start that is under way; there is one at a time.

    Attributes:
        read_id: the read of the control stream that must be answered first.
        deadline_ns: when it is given up.
        expected_seq: newest record of the control stream before anybody prepared (I7).
        epoch: the epoch that was proposed.
    """

    def __init__(self, asked: StartAsked, read_id: int, deadline_ns: int) -> None:
        self.asked = asked
        self.read_id = read_id
        self.deadline_ns = deadline_ns
        self.phase = Phase.READING
        self.expected_seq = 0
        self.epoch: EpochStarted | None = None
        self.prepared: dict[str, Prepared] = {}

    def missing(self, members: tuple[str, ...]) -> tuple[str, ...]:
        """Return the members that have not answered."""
        return tuple(name for name in members if name not in self.prepared)

    def complaints(self, own_hash: str) -> list[FieldError]:
        """Return everything the members have against this start, all of it at once (S-01)."""
        found = [error for answer in self.prepared.values() for error in answer.errors]
        executor = self.prepared.get("executor")
        if executor is not None and not executor.is_reconciled and not executor.errors:
            found.append(
                FieldError(
                    path="executor.book",
                    found="not reconciled with the venue",
                    wanted="one book: compare both with `sluice positions`, then start again",
                )
            )
        hashes = {"breaker": own_hash}
        hashes |= {n: self.prepared[n].limits_hash for n in SHARES_LIMITS if n in self.prepared}
        if any(each != own_hash for each in hashes.values()):
            found.append(
                FieldError(
                    path="limits",
                    found=", ".join(f"{name} has {each}" for name, each in hashes.items()),
                    wanted="the same limits everywhere: restart the services with `sluice up`",
                )
            )
        return found

    def propose(self, epoch_max: int, now_ns: int) -> EpochProposed:
        """Return the epoch to store: higher than any that anybody has ever seen (I12)."""
        number = 1 + max(epoch_max, *(each.epoch_max for each in self.prepared.values()))
        request = self.asked.request
        strategy = self.prepared.get("strategy")
        self.epoch = EpochStarted(
            at_ns=now_ns,
            epoch=number,
            start_id=self.asked.start_id,
            operator=request.operator,
            members={
                name: Member(boot_id=each.boot_id, halts=each.halts)
                for name, each in sorted(self.prepared.items())
            },
            session=None if strategy is None else strategy.session,
            request=None if request.strategy is None else request,
            gate_token=number,
        )
        return EpochProposed(at_ns=now_ns, start=self.epoch, expected_last_seq=self.expected_seq)


class Approvals:
    """Two different people, where two are needed, must ask for the very same start."""

    def __init__(self, needed: int, window_ns: int) -> None:
        self._needed = needed
        self._window_ns = window_ns
        self._first: tuple[StartRequest, int] | None = None

    def complaint(self, request: StartRequest, now_ns: int) -> FieldError | None:
        """Return that a second person is needed, and remember the first; None when all asked."""
        if self._needed < 2:
            return None
        first, self._first = self._first, (request, now_ns)
        if first is not None and now_ns - first[1] < self._window_ns:
            earlier, earlier_ns = first
            is_same = _what(earlier) == _what(request)
            if is_same and earlier.operator != request.operator:
                self._first = None
                return None
            if is_same:
                self._first = (earlier, earlier_ns)
        return FieldError(
            path="$.operator",
            found=f"asked by {request.operator} alone",
            wanted=f"a second person asks for the same within {self._window_ns // 10**9} s",
        )


def _what(request: StartRequest) -> StartRequest:
    """Return what is asked for, without who asks and why."""
    return msgspec.structs.replace(request, operator="", reason="")
