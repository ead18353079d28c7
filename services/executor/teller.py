"""How facts enter the executor's book, and when it is reported. Pure."""

from collections.abc import Sequence

from schemas.base import NS_PER_MS, Event
from services.core import NOTHING
from services.executor import facts
from services.executor.alarms import Alarm, Alarms
from services.executor.config import ExecutorConfig
from services.executor.orders import Orders, Record


class Teller:
    """Folds facts in, and says them.

    Attributes:
        reported_ns: when the whole book was reported last.
    """

    def __init__(self, config: ExecutorConfig, orders: Orders, alarms: Alarms) -> None:
        self.reported_ns = 0
        self._every_ns = config.report_every_ms * NS_PER_MS
        self._orders = orders
        self._alarms = alarms

    def say(self, fact: Event, now_ns: int) -> Sequence[Event]:
        """Fold a fact by the same code as a restart does; nothing is said of a repeat."""
        if not self._orders.apply(fact):
            return NOTHING
        self.changed(now_ns)
        return (fact,)

    def changed(self, now_ns: int) -> None:
        """Report the book soon: something in it is new."""
        if self._every_ns and Alarm.REPORT not in self._alarms:
            self._alarms.arm(Alarm.REPORT, max(now_ns + 1, self.reported_ns + self._every_ns))

    def mark_unknown(self, records: list[Record], reason: str, now_ns: int) -> list[Event]:
        """Say that the venue's answer about these is missing, and alert once for all of them."""
        if not records:
            return []
        said: list[Event] = []
        for record in records:
            said += self.say(facts.marked_unknown(record, reason, now_ns), now_ns)
        ids = ", ".join(record.order.order_id for record in records)
        return [*said, facts.alert("SLU-132", f"{reason}: {ids}", now_ns)]
