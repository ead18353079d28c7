"""What gate, executor and strategy answered to one start, and whether it may be."""

from schemas.control import EpochProposed, EpochStarted, Member, Prepared, StartAsked
from schemas.errors import FieldError

SHARES_LIMITS = ("gate", "executor")
"""Whose limits must be the very ones that the arbiter was configured with."""


class Preparations:
    """The answers so far, by component; the newest of each counts."""

    def __init__(self, members: tuple[str, ...], limits_hash: str) -> None:
        self._members = members
        self._limits_hash = limits_hash
        self._answers: dict[str, Prepared] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """Members that have not answered."""
        return tuple(name for name in self._members if name not in self._answers)

    def take(self, answer: Prepared) -> bool:
        """Note one answer; return whether all have now answered."""
        if answer.component in self._members:
            self._answers[answer.component] = answer
        return not self.missing

    def complaints(self) -> list[FieldError]:
        """Return everything that speaks against this start, all of it at once (S-01)."""
        found = [error for answer in self._answers.values() for error in answer.errors]
        executor = self._answers.get("executor")
        if executor is not None and not executor.is_reconciled and not executor.errors:
            found.append(
                FieldError(
                    path="executor.book",
                    found="not reconciled with the venue",
                    wanted="one book: compare `sluice positions` with the venue, then start again",
                )
            )
        hashes = {n: self._answers[n].limits_hash for n in SHARES_LIMITS if n in self._answers}
        if any(each != self._limits_hash for each in hashes.values()):
            named = {"breaker": self._limits_hash, **hashes}
            found.append(
                FieldError(
                    path="limits",
                    found=", ".join(f"{name} has {each}" for name, each in named.items()),
                    wanted="the same limits everywhere: restart the services with `sluice up`",
                )
            )
        return found

    def propose(
        self, asked: StartAsked, epoch_max: int, expected_seq: int, now_ns: int
    ) -> EpochProposed:
        """Return the epoch to store: higher than any that anybody has ever seen (I12)."""
        answers = self._answers
        number = 1 + max(epoch_max, *(each.epoch_max for each in answers.values()))
        strategy = answers.get("strategy")
        epoch = EpochStarted(
            at_ns=now_ns,
            epoch=number,
            start_id=asked.start_id,
            operator=asked.request.operator,
            members={
                name: Member(boot_id=answers[name].boot_id, halts=answers[name].halts)
                for name in self._members
            },
            session=None if strategy is None else strategy.session,
            request=None if asked.request.strategy is None else asked.request,
            gate_token=number,  # one gate: its token grows with each epoch
        )
        return EpochProposed(at_ns=now_ns, start=epoch, expected_last_seq=expected_seq)
