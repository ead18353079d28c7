"""All circuit breakers together: who hears what, what is kept, what has been passed."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from schemas.base import NS_PER_S, Event
from schemas.breakers import BreakerLevelsChanged, LevelSetting
from schemas.control import (
    BreakerState,
    BreakerStateChanged,
    BreakerTripped,
    BreakerWarned,
    EpochEnded,
    EpochStarted,
    Response,
)
from schemas.health import BreakerView
from schemas.restrictions import RestrictionsChanged
from services.breaker.breaker import Breaker
from services.breaker.counting import Counting
from services.breaker.daily_loss import DailyLoss, TradingDay
from services.breaker.drawdown import Drawdown
from services.breaker.levels import REDUCING
from services.breaker.state import REDUCE_ALL
from services.breaker.table import BREAKERS, Parts
from services.core import earliest

_TURNS: frozenset[type[Event]] = frozenset({EpochStarted, EpochEnded})
"""With these all breakers begin, or stop, to guard: their deadlines are asked for anew."""

LOOK_AGAIN_NS = NS_PER_S
"""When a deadline has come and nothing followed from it, it is looked at again after this."""


_OF_EVERY: frozenset[type[Event]] = frozenset({BreakerTripped, BreakerWarned, BreakerLevelsChanged})
"""The facts that there are of every breaker."""

KEEPS: frozenset[type[Event]] = (
    Drawdown.keeps | DailyLoss.keeps | TradingDay.keeps | Counting.keeps | _OF_EVERY
)
"""The facts whose fold is the state of the breakers."""


class Panel:
    """The breakers of the table, told what they hear; it says what they have to say.

    Attributes:
        breakers: by name, in the order of the table.
        drawdown: the one that the account's mark is published from.
        day: the trading day that the daily loss breakers share.
        hears: the events any of them is to be told.
        is_trading: whether an epoch is in force.
    """

    def __init__(self, parts: Parts) -> None:
        self.day = parts.day
        self._valuation = parts.valuation
        levels = parts.config.levels_now()
        self.breakers: dict[str, Breaker] = {
            row.about.name: row.make(parts, levels[row.about.name]) for row in BREAKERS
        }
        found = self.breakers["drawdown"]
        assert isinstance(found, Drawdown), "the table says so"
        self.drawdown = found
        every = self.breakers.values()
        self._of_account = [b for b in every if isinstance(b, Drawdown | DailyLoss)]
        self.hears: frozenset[type[Event]] = frozenset().union(*(b.hears for b in every))
        assert all(b.keeps <= KEEPS for b in every), "what a breaker keeps is in the journal"
        self._hearers = {
            kind: tuple(b for b in every if kind in b.hears)
            for kind in sorted(self.hears, key=lambda event: event.__name__)
        }
        self._keepers = {
            kind: tuple(b for b in every if kind in b.keeps | _OF_EVERY)
            for kind in sorted(KEEPS, key=lambda event: event.__name__)
        }
        self._timed = [b for b in every if type(b).due_ns is not Breaker.due_ns]
        self.is_trading = False
        self._due_ns: dict[str, int | None] = {}
        """When each timed breaker is to be looked at; left out where it has to be asked anew."""

    def hear(self, event: Event, now_ns: int) -> list[Event]:
        """Take one event in; return facts to keep, and what was passed because of it."""
        said: list[Event] = []
        looked: Iterable[Breaker] = self._hearers.get(type(event), ())
        if is_turn := type(event) in _TURNS:
            self.is_trading = type(event) is EpochStarted
        for breaker in looked:
            said += breaker.handle(event, now_ns)
            self._due_ns.pop(breaker.name, None)  # what it heard may have moved its deadline
        if is_turn:
            self._due_ns.clear()
            looked = self.breakers.values() if self.is_trading else looked
        return self._check(looked, now_ns, said)

    def valued(self, now_ns: int) -> list[Event]:
        """Take in that the account was valued; return what follows. Unknown follows nothing."""
        equity = self._valuation.equity()
        if equity is None:
            return []
        said = [*self.drawdown.on_valued(equity, now_ns), *self.day.on_valued(equity, now_ns)]
        for fact in said:
            for breaker in self._of_account:
                if breaker is not self.drawdown:
                    breaker.fold(fact)
        return self._check(self._of_account, now_ns, said)

    def wake(self, now_ns: int) -> list[Event]:
        """Look at those whose time has come."""
        self._due_ns.clear()
        return self._check(self._timed, now_ns, [])

    def deadline_ns(self, now_ns: int) -> int | None:
        """Return when to wake next: always after now; None while only news can change anything."""
        for breaker in self._timed:
            if breaker.name not in self._due_ns:
                self._due_ns[breaker.name] = breaker.due_ns(now_ns)
        soonest = earliest(*self._due_ns.values())
        if soonest is not None and soonest <= now_ns:
            return now_ns + LOOK_AGAIN_NS
        return soonest

    def fold(self, event: Event) -> bool:
        """Fold one kept fact in, ours or the arbiter's; return whether a reset began anew."""
        self._due_ns.clear()
        is_reset = False
        match event:
            case BreakerStateChanged(state=BreakerState.NORMAL):
                is_reset = self._reset(Response.HALT)
            case RestrictionsChanged(restrictions=restrictions):
                if not any((r.scope, r.level) == REDUCE_ALL for r in restrictions):
                    is_reset = self._reset(*REDUCING)
        self.day.apply(event)
        for breaker in self._keepers.get(type(event), ()):
            breaker.fold(event)
        return is_reset

    def correct(self, trip: BreakerTripped, done: BreakerTripped) -> None:
        """Take in that another response went out than a breaker of ours had tripped with."""
        self._due_ns.clear()
        self.breakers[trip.breaker].correct(trip, done)

    def change_levels(
        self, name: str, levels: Sequence[LevelSetting], who: tuple[str, str], now_ns: int
    ) -> list[Event]:
        """Put levels in the place of a breaker's own, for `who` = operator and reason."""
        breaker = self.breakers[name]
        self._due_ns.clear()
        changed = BreakerLevelsChanged(
            at_ns=now_ns,
            breaker=name,
            levels=tuple(levels),
            previous=breaker.levels,
            operator=who[0],
            reason=who[1],
        )
        breaker.fold(changed)
        return self._check([breaker], now_ns, [changed])

    def equity(self) -> Decimal | None:
        """Return what the account is worth; None while it is not known."""
        return self._valuation.equity()

    def views(self, now_ns: int) -> tuple[BreakerView, ...]:
        """Return every breaker as it stands now."""
        return tuple(breaker.view(now_ns) for breaker in self.breakers.values())

    def rebases(self, now_ns: int, *responses: Response) -> tuple[str, ...]:
        """Return what a reset of trips with these responses would re-base now, with numbers."""
        every = self.breakers.values()
        return tuple(b.what_reset_does(now_ns) for b in every if b.has_tripped(*responses))

    def _reset(self, *responses: Response) -> bool:
        reset = [b.name for b in self.breakers.values() if b.on_reset(*responses)]
        return bool(reset)

    def _check(self, breakers: Iterable[Breaker], now_ns: int, said: list[Event]) -> list[Event]:
        """Return what was said already, and after it what any of these has to say now."""
        for breaker in breakers:
            fact = breaker.check(now_ns, is_trading=self.is_trading)
            if fact is not None:
                said.append(fact)
        return said
