"""A trading calendar: sorted tables of opens and closes in ns, searched by bisection."""

import enum
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

from schemas.base import NS_PER_S
from schemas.errors import UserError

DAY_NS = 86_400 * NS_PER_S


class Phase(enum.StrEnum):
    """What part of a market's day it is."""

    PRE = "pre-market"
    OPEN = "open"
    POST = "post-market"
    CLOSED = "closed"
    UNKNOWN = "not known"
    """The table does not reach that far: nobody may take the market for open."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One trading day. Times in ns since the epoch; every end is the first ns that is outside.

    `pre_open_ns` is `open_ns`, and `post_close_ns` is `close_ns`, where the market has no trading
    before its open or after its close. `break_ns` is the pause in the middle of the day.
    """

    open_ns: int
    close_ns: int
    pre_open_ns: int
    post_close_ns: int
    break_ns: tuple[int, int] | None = None

    def phase_at(self, now_ns: int) -> Phase:
        """Return what part of this day it is; closed when it is none of it."""
        if self.open_ns <= now_ns < self.close_ns:
            pause = self.break_ns
            is_paused = pause is not None and pause[0] <= now_ns < pause[1]
            return Phase.CLOSED if is_paused else Phase.OPEN
        if self.pre_open_ns <= now_ns < self.open_ns:
            return Phase.PRE
        return Phase.POST if self.close_ns <= now_ns < self.post_close_ns else Phase.CLOSED

    def open_ns_between(self, from_ns: int, until_ns: int) -> int:
        """Return how much of a stretch is this day's regular time, in ns."""

        def shared_ns(begin_ns: int, end_ns: int) -> int:
            return max(0, min(until_ns, end_ns) - max(from_ns, begin_ns))

        whole_ns = shared_ns(self.open_ns, self.close_ns)
        return whole_ns if self.break_ns is None else whole_ns - shared_ns(*self.break_ns)


class Calendar:
    """The sessions of one market.

    A time outside what the table covers is not known: `phase_at` says so, `is_open` is False,
    and what needs an answer raises.

    Attributes:
        name: as configured, for example `XNYS`.
        from_ns, until_ns: what the table covers; the end is outside.
        source: what the table was made from.
    """

    def __init__(
        self, name: str, sessions: Sequence[Session], from_ns: int, until_ns: int, source: str = ""
    ) -> None:
        self.name = name
        self.from_ns = from_ns
        self.until_ns = until_ns
        self.source = source
        self.sessions = tuple(sessions)
        self._opens = tuple(each.open_ns for each in self.sessions)
        self._starts = tuple(each.pre_open_ns for each in self.sessions)
        ends = [each.post_close_ns for each in self.sessions]
        pairs = zip(ends, self._starts[1:], strict=False)
        assert all(end <= start for end, start in pairs), name

    def knows(self, now_ns: int) -> bool:
        """Return whether the table covers that time."""
        return self.from_ns <= now_ns < self.until_ns

    def session_at(self, now_ns: int) -> Session | None:
        """Return the session whose day it is, from pre-market to post-market, or None."""
        index = bisect_right(self._starts, now_ns) - 1
        if index < 0 or now_ns >= self.sessions[index].post_close_ns:
            return None
        return self.sessions[index]

    def session_after(self, session: Session) -> Session | None:
        """Return the first session that opens after that one did; None where the table ends."""
        index = bisect_right(self._opens, session.open_ns)
        return self.sessions[index] if index < len(self.sessions) else None

    def session_before(self, session: Session) -> Session | None:
        """Return the last session that opened before that one; None where the table begins."""
        index = bisect_left(self._opens, session.open_ns) - 1
        return self.sessions[index] if index >= 0 else None

    def phase_at(self, now_ns: int) -> Phase:
        """Return what part of the market's day it is."""
        if not self.knows(now_ns):
            return Phase.UNKNOWN
        session = self.session_at(now_ns)
        return Phase.CLOSED if session is None else session.phase_at(now_ns)

    def is_open(self, now_ns: int) -> bool:
        """Return whether it is the market's regular time, from the ns of the open to the close's.

        False also where the table does not reach: see `knows`.
        """
        return self.phase_at(now_ns) is Phase.OPEN

    def day_open_ns(self, now_ns: int) -> int:
        """Return the open of the newest trading day that opened at or before now, in ns.

        Raises:
            UserError: SLU-180 the table does not cover that time.
        """
        index = bisect_right(self._opens, now_ns) - 1
        if index < 0 or not self.knows(now_ns):
            raise UserError("SLU-180", path=self.name, found=f"{now_ns} ns", wanted=self._covered())
        return self._opens[index]

    def next_open_ns(self, now_ns: int) -> int:
        """Return the first open after now, in ns; the table's end where it knows of none.

        Raises:
            UserError: SLU-180 the table does not cover that time.
        """
        if not self.knows(now_ns):
            raise UserError("SLU-180", path=self.name, found=f"{now_ns} ns", wanted=self._covered())
        index = bisect_right(self._opens, now_ns)
        return self._opens[index] if index < len(self._opens) else self.until_ns

    def open_ns_between(self, from_ns: int, until_ns: int) -> int:
        """Return how much of a stretch is regular time, in ns; what no table covers is none."""
        first = max(0, bisect_right(self._opens, from_ns) - 1)
        end = bisect_left(self._opens, until_ns)
        return sum(each.open_ns_between(from_ns, until_ns) for each in self.sessions[first:end])

    def _covered(self) -> str:
        return f"a time from {self.from_ns} to {self.until_ns} ns, or a newer table"


class AllDay(Calendar):
    """A market that never closes; its days begin at midnight UTC."""

    def __init__(self, name: str) -> None:
        super().__init__(name, (), 0, 1 << 63, "no table: always open")

    def session_at(self, now_ns: int) -> Session | None:
        """Return the UTC day of that time."""
        return self._day(self.day_open_ns(now_ns)) if self.knows(now_ns) else None

    def session_after(self, session: Session) -> Session | None:
        """Return the next UTC day."""
        return self._day(session.close_ns)

    def session_before(self, session: Session) -> Session | None:
        """Return the UTC day before."""
        return self._day(session.open_ns - DAY_NS) if session.open_ns else None

    def phase_at(self, now_ns: int) -> Phase:
        """Return that it is open."""
        return Phase.OPEN

    def day_open_ns(self, now_ns: int) -> int:
        """Return midnight UTC at or before now, in ns."""
        return now_ns - now_ns % DAY_NS

    def next_open_ns(self, now_ns: int) -> int:
        """Return the next midnight UTC, in ns."""
        return self.day_open_ns(now_ns) + DAY_NS

    def open_ns_between(self, from_ns: int, until_ns: int) -> int:
        """Return all of it."""
        return max(0, until_ns - from_ns)

    def _day(self, open_ns: int) -> Session:
        end_ns = open_ns + DAY_NS
        return Session(open_ns=open_ns, close_ns=end_ns, pre_open_ns=open_ns, post_close_ns=end_ns)
