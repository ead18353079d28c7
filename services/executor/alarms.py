"""The executor's deadlines by name. Pure."""

import enum


class Alarm(enum.Enum):
    """What becomes due."""

    ANSWER = "answer"
    """The oldest order the venue has not answered yet."""

    QUERY = "query"
    """Orders of unknown fate are asked for again."""

    CANCEL = "cancel"
    """A halted executor repeats its cancels."""

    PREPARE = "prepare"
    """A start has waited long enough for the venue."""

    FLATTEN = "flatten"
    """A flatten goes on: cancel, close, look."""

    RECONCILE = "reconcile"
    REPORT = "report"
    RETELL = "retell"
    """What was said may be told again, or is known to be told."""


class Alarms:
    """Named deadlines, at most one a name.

    Attributes:
        next_ns: the earliest, in ns since the epoch; None when there is none.
    """

    def __init__(self) -> None:
        self.next_ns: int | None = None
        self._due: dict[Alarm, int] = {}

    def __contains__(self, alarm: Alarm) -> bool:
        return alarm in self._due

    def arm(self, alarm: Alarm, at_ns: int) -> None:
        """Set a deadline, in the place of the one it had."""
        self._due[alarm] = at_ns
        self.next_ns = min(self._due.values())

    def disarm(self, alarm: Alarm) -> None:
        """Take a deadline away, if it has one."""
        if self._due.pop(alarm, None) is not None:
            self.next_ns = min(self._due.values(), default=None)

    def take_due(self, now_ns: int) -> list[Alarm]:
        """Return those that are due, in the order of their declaration, and take them away."""
        due = [alarm for alarm in Alarm if self._due.get(alarm, now_ns + 1) <= now_ns]
        for alarm in due:
            self.disarm(alarm)
        return due
