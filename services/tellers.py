"""Whose word on orders and positions counts: that of the executor that the epoch names.

An executor that was taken for dead and replaced may come back to life: it tells its book of then,
and refuses what its successor has sent. Taken for true, that gives exposure back that is there.
"""

from schemas.control import EpochStarted

EXECUTOR = "executor"


def teller_of(component: str, boot_id: str) -> str:
    """Return what a process signs its events with (`Event.src`)."""
    return f"{component}-{boot_id}"


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
        member = epoch.members.get(EXECUTOR)
        if member is not None and epoch.epoch > self._epoch:
            self._epoch = epoch.epoch
            self.named = teller_of(EXECUTOR, member.boot_id)

    def is_stranger(self, teller: str, *, is_in_force: bool) -> bool:
        """Return whether the word of this teller does not count.

        While an epoch is in force there is one executor. While none is, any may be the next one,
        also one that was replaced before.
        """
        return is_in_force and bool(teller and self.named) and teller != self.named
