"""Whose word on orders and positions counts: that of the executor that the epoch names.

An executor that was taken for dead and replaced may come back to life: it tells its book of then,
and refuses what its successor has sent. Taken for true, that gives exposure back that is there.
"""

from schemas.control import EpochStarted

EXECUTOR = "executor"


def teller_of(component: str, boot_id: str) -> str:
    """Return what a process signs its events with (`Event.src`)."""
    return f"{component}-{boot_id}"


def executor_of(epoch: EpochStarted | None) -> str:
    """Return what the executor that this epoch names signs with; empty where it names none."""
    member = None if epoch is None else epoch.members.get(EXECUTOR)
    return "" if member is None else teller_of(EXECUTOR, member.boot_id)


def is_stranger(teller: str, executor: str) -> bool:
    """Return whether the word of this teller does not count beside that of this executor."""
    return bool(teller and executor) and teller != executor


class Executors:
    """The executor that the newest epoch names.

    Attributes:
        named: what it signs with; empty before the first epoch.
    """

    def __init__(self) -> None:
        self.named = ""
        self._epoch = 0

    def name(self, epoch: EpochStarted) -> None:
        """Take an epoch in; one that is not news changes nothing."""
        named = executor_of(epoch)
        if named and epoch.epoch > self._epoch:
            self._epoch, self.named = epoch.epoch, named

    def is_stranger(self, teller: str, *, is_in_force: bool) -> bool:
        """Return whether the word of this teller does not count.

        While an epoch is in force there is one executor. While none is, any may be the next one,
        also one that was replaced before.
        """
        return is_in_force and is_stranger(teller, self.named)
