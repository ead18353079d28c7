"""What gate, executor and strategy answered to one start, and whether it may be."""

from schemas.control import EpochProposed, EpochStarted, Member, Prepared, StartAsked
from schemas.errors import FieldError
from services.breaker.answers import no_answer
from services.breaker.state import ControlState

WAITS_FOR = {"gate": "executor"}
"""Who answers only once another has: the gate prepares from the executor's book of this start."""

SHARES_LIMITS = ("gate", "executor")
"""Whose limits must be the very ones that the arbiter was configured with."""


class Preparations:
    """The answers so far, by component; of one process the newest counts.

    Of several processes of one kind (a gate and its standbys) the first to answer is taken, and
    another only where that one cannot start. The epoch names it; the others never arm.
    """

    def __init__(self, members: tuple[str, ...], limits_hash: str) -> None:
        self._members = members
        self._limits_hash = limits_hash
        self._answers: dict[str, Prepared] = {}

    @property
    def missing(self) -> tuple[str, ...]:
        """Members that have not answered."""
        return tuple(name for name in self._members if name not in self._answers)

    def silent(self, within_ms: int) -> list[FieldError]:
        """Return the complaint of each that has not answered; one may only wait for another."""
        missing = self.missing
        awaited = {name: first for name, first in WAITS_FOR.items() if first in missing}
        return [no_answer(name, within_ms, awaits=awaited.get(name, "")) for name in missing]

    def take(self, answer: Prepared) -> bool:
        """Note one answer; return whether all have now answered."""
        known = self._answers.get(answer.component)
        is_taken = known is not None and known.boot_id != answer.boot_id and not known.errors
        if answer.component in self._members and not is_taken:
            self._answers[answer.component] = answer
        return not self.missing

    def complaints(self) -> list[FieldError]:
        """Return everything that speaks against this start, all of it at once (S-01)."""
        told = (error for answer in self._answers.values() for error in answer.errors)
        found = list(dict.fromkeys(told))  # two members may have found the same
        executor = self._answers.get("executor")
        if executor is not None and not executor.is_reconciled and not executor.errors:
            found.append(
                FieldError(
                    path="executor.book",
                    found="not reconciled with the venue",
                    wanted="one book: compare `sluice positions` with the venue, then start again",
                )
            )
        if differ := self.different_limits():
            wanted = "the same limits everywhere: restart the services with `sluice up`"
            found.append(FieldError(path="limits", found=differ, wanted=wanted))
        return found

    def different_limits(self) -> str:
        """Return whose limits are others than whose; empty while all that answered agree."""
        hashes = {n: self._answers[n].limits_hash for n in SHARES_LIMITS if n in self._answers}
        if all(each == self._limits_hash for each in hashes.values()):
            return ""
        named = {"breaker": self._limits_hash, **hashes}
        return ", ".join(f"{name} has {each}" for name, each in named.items())

    def propose(
        self, asked: StartAsked, state: ControlState, expected_seq: int, now_ns: int
    ) -> EpochProposed:
        """Return the epoch to store: higher than any that anybody has ever seen (I12)."""
        answers = self._answers
        number = 1 + max(state.epoch_max, *(each.epoch_max for each in answers.values()))
        strategy = answers.get("strategy")
        epoch = EpochStarted(
            at_ns=now_ns,
            epoch=number,
            start_id=asked.start_id,
            operator=asked.request.operator,
            members={
                name: Member(
                    boot_id=answers[name].boot_id,
                    halts=answers[name].halts,
                    restriction_count=answers[name].restriction_count,
                )
                for name in self._members
            },
            session=None if strategy is None else strategy.session,
            request=None if asked.request.strategy is None else asked.request,
            gate_token=number,  # whichever gate is named: its token grows with each epoch (I5)
            restrictions=state.in_force,
        )
        return EpochProposed(at_ns=now_ns, start=epoch, expected_last_seq=expected_seq)
