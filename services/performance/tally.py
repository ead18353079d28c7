"""What is counted on the way: round trips won and lost, signals, orders, refusals, time held."""

from collections import deque
from decimal import Decimal

from services.performance.lines import Trip

ZERO = Decimal(0)
TRIPS_MAX = 10_000
"""Round trips kept to show; all of them are counted; a count."""


class Tally:
    """Counts of one fold.

    Attributes:
        trips: the last round trips, oldest first; no more than asked for.
        trip_count: all of them.
        signal_count, order_count, fill_count: raised, sent, executed.
        refusals: signals that the gate rejected, by the rule that did.
        blocked: signals that a session's own limits kept from the gate, by the limit that did.
        traded: value of all executions, in the share class; None once one could not be converted.
    """

    def __init__(self, trips_max: int = TRIPS_MAX) -> None:
        self.trips: deque[Trip] = deque(maxlen=trips_max)
        self.trip_count = self.signal_count = self.order_count = self.fill_count = 0
        self.refusals: dict[str, int] = {}
        self.blocked: dict[str, int] = {}
        self.traded: Decimal | None = ZERO
        self._won: Decimal | None = ZERO
        self._lost = ZERO
        self._win_count = 0
        self._since_ns: int | None = None
        self._held_ns = 0

    def trip(self, trip: Trip, profit: Decimal | None) -> None:
        """Count one round trip; `profit` is in the share class, None if that is not known."""
        self.trips.append(trip)
        self.trip_count += 1
        self._win_count += trip.profit > 0
        if profit is None or self._won is None:
            self._won = None
        elif profit > 0:
            self._won += profit
        else:
            self._lost -= profit

    def trade(self, notional: Decimal | None) -> None:
        """Count one execution of this value, in the share class; None if that is not known."""
        self.fill_count += 1
        if self.traded is not None:
            self.traded = None if notional is None else self.traded + notional

    def refuse(self, rule: str) -> None:
        """Count a signal that the gate rejected."""
        self.refusals[rule] = self.refusals.get(rule, 0) + 1

    def block(self, limit: str) -> None:
        """Count a signal that a session's own limits kept from the gate."""
        self.blocked[limit] = self.blocked.get(limit, 0) + 1

    def hold(self, is_holding: bool, now_ns: int) -> None:
        """Note whether anything is held from now on."""
        if is_holding and self._since_ns is None:
            self._since_ns = now_ns
        elif not is_holding and self._since_ns is not None:
            self._held_ns += now_ns - self._since_ns
            self._since_ns = None

    def held_ns(self, now_ns: int) -> int:
        """Return for how long anything was held, until now."""
        return self._held_ns + (0 if self._since_ns is None else now_ns - self._since_ns)

    @property
    def win_rate(self) -> float | None:
        """Round trips that earned more than nothing, as a fraction of all; None of none."""
        return self._win_count / self.trip_count if self.trip_count else None

    @property
    def profit_factor(self) -> float | None:
        """All profit of round trips over all loss; None where nothing was lost, or nothing known.

        (Schwager 1984, A Complete Guide to the Futures Markets: gross profits / gross losses.)
        """
        if self._won is None or not self._lost:
            return None
        return float(self._won / self._lost)
