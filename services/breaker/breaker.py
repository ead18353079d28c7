"""What every circuit breaker is: inputs, a value, levels, and what has been passed.

    heard -> handle -> facts, kept -> apply -> value -> check -> BreakerWarned | BreakerTripped

A value that equals a level has reached it. What was passed is said once: the same level neither
trips nor warns again until a person has reset it (a warning repeats after an hour). Time, and
nothing else, empties a window; a restart changes nothing, because all that counts is kept.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from schemas.base import NS_PER_S, Event
from schemas.breakers import BreakerLevelsChanged, LevelSetting
from schemas.control import BreakerTripped, BreakerWarned, Response
from schemas.health import BreakerView, LevelView
from services.breaker.levels import SEVERITY, Show, in_order
from services.core import NOTHING

ZERO = Decimal(0)
UNKNOWN = "unknown"
NO_LEVEL = "none is set: it watches and does nothing"
WARN_AGAIN_NS = 3_600 * NS_PER_S
"""A value that stays past a warning level is warned of again after this long."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of breakers: what the manual and `sluice explain breaker` say of it."""

    name: str
    title: str
    formula: str
    unit: str
    """Of the levels, as they are configured."""

    reads: str
    """The events that are its inputs."""

    on_reset: str
    """What a reset after a trip does to its window, peak or base."""

    show: Show
    """Returns a value or a level as people read it."""

    below: Decimal | None = None
    """What its levels must stay under; None: any number above 0."""

    is_floor: bool = False
    """Whether the value falls into danger, rather than rises."""

    is_loss: bool = False
    """Whether values and levels are shown as negative: a loss of 0.10 reads `-10.00 %`."""

    is_for_trading: bool = False
    """Whether all but its warnings wait until an epoch is in force: there is nothing to stop."""

    def text_of(self, value: Decimal, *, like: Decimal | None = None) -> str:
        """Return a value as people read it; beside a level, no coarser than that is written."""
        return self.show(ZERO - value if self.is_loss else value, like=like)

    def level_text(self, level: Decimal) -> str:
        """Return a level as people read it, and as the record names it: no two read the same."""
        return self.text_of(level, like=level)


class Breaker:
    """One breaker; its family says what it hears and what its value is.

    Attributes:
        about: its row of the table.
        name: on the bus, in configuration and on the command line.
        levels: the one that is reached first at the front.
        tripped: the levels that have tripped, as text, with each response that went out at them,
            and the trip; gone with its reset.
        warned: the levels that were warned of, as text, and when last.
    """

    hears: frozenset[type[Event]] = frozenset()
    keeps: frozenset[type[Event]] = frozenset()

    def __init__(self, about: About, levels: Sequence[LevelSetting]) -> None:
        self.about = about
        self.name = about.name
        self.levels = in_order(levels, is_floor=about.is_floor)
        self.tripped: dict[tuple[str, Response], BreakerTripped] = {}
        self.warned: dict[str, int] = {}

    def value(self, now_ns: int) -> Decimal | None:
        """Return what is compared with the levels; None while it is not known."""
        raise NotImplementedError

    def inputs(self, now_ns: int) -> dict[str, str]:
        """Return what the value is made from, by name, for people."""
        raise NotImplementedError

    def why_unknown(self, now_ns: int) -> str:
        """Return why there is no value, and where to look."""
        raise NotImplementedError

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        """Take one input in; return the facts to keep, which `apply` has folded already."""
        return NOTHING

    def apply(self, event: Event) -> None:
        """Fold one kept fact of this family in."""

    def rebase(self) -> None:
        """Begin anew after a reset of a trip of this breaker."""

    def due_ns(self, now_ns: int) -> int | None:
        """Return when to look again although nothing is heard; None: only news can change it."""
        return None

    def is_at(self, level: Decimal, now_ns: int) -> bool:
        """Return whether the value has reached a level; equal has."""
        value = self.value(now_ns)
        if value is None:
            return False
        return value <= level if self.about.is_floor else value >= level

    def reason(self, level: LevelSetting, now_ns: int) -> str:
        """Return, with numbers, why a level was passed."""
        value = self.value(now_ns)
        assert value is not None, "what is unknown has passed nothing"
        found = ", ".join(f"{name} {text}" for name, text in self.inputs(now_ns).items())
        return (
            f"{self.about.title} {self.about.text_of(value, like=level.at)}; "
            f"the limit is {self.about.level_text(level.at)} ({found})"
        )

    def fold(self, event: Event) -> None:
        """Fold one kept fact in, of this breaker's family or of every breaker."""
        match event:
            case BreakerTripped(breaker=name, limit=limit) if name == self.name:
                self.tripped[limit, event.response] = event
            case BreakerWarned(breaker=name, limit=limit, at_ns=at_ns) if name == self.name:
                self.warned[limit] = at_ns
            case BreakerLevelsChanged(breaker=name, levels=levels) if name == self.name:
                self.levels = in_order(levels, is_floor=self.about.is_floor)
            case _:
                self.apply(event)

    def correct(self, trip: BreakerTripped, done: BreakerTripped) -> None:
        """Put what went out in the place of what a trip had asked for: a reset is of that."""
        del self.tripped[trip.limit, trip.response]
        self.fold(done)

    def has_tripped(self, *responses: Response) -> bool:
        """Return whether it tripped with one of these, and nobody has reset that."""
        return any(trip.response in responses for trip in self.tripped.values())

    def on_reset(self, *responses: Response) -> bool:
        """Begin anew if it tripped with one of these, which a person has reset; return whether."""
        if not self.has_tripped(*responses):
            return False
        self.tripped = {key: t for key, t in self.tripped.items() if t.response not in responses}
        self.warned.clear()
        self.rebase()
        return True

    def unsaid(self) -> Iterator[LevelSetting]:
        """Yield the levels that no trip has silenced, the one that is reached last at the front.

        A trip silences its own level and all that are reached before. It does not where the level
        calls for more than went out: somebody made its response a stricter one since.
        """
        for level in reversed(self.levels):
            if self.tripped and self._trips_at(level):
                return
            yield level

    def check(self, now_ns: int, *, is_trading: bool) -> BreakerTripped | BreakerWarned | None:
        """Return what the strictest level that is reached calls for, unless it was said already."""
        if not self.levels or not self.is_at(self.levels[0].at, now_ns):
            return None  # nor any other: this one is reached first
        found: LevelSetting | None = None
        for level in self.unsaid():
            is_asleep = self.about.is_for_trading and not is_trading
            if is_asleep and level.response is not Response.WARN:
                continue
            if self.is_at(level.at, now_ns):
                found = level
                break
        if found is None or now_ns < self.silent_until_ns(found):
            return None
        fact = self._fact(found, now_ns)
        self.fold(fact)
        return fact

    def silent_until_ns(self, level: LevelSetting) -> int:
        """Return until when a level is not said again, because it only warns and has; 0: it may."""
        if level.response is not Response.WARN:
            return 0
        at_ns = self.warned.get(self.about.level_text(level.at))
        return 0 if at_ns is None else at_ns + WARN_AGAIN_NS

    def view(self, now_ns: int) -> BreakerView:
        """Return it as it stands now, for people; what is unknown is never shown as a number."""
        about, value = self.about, self.value(now_ns)
        is_known = value is not None
        last = self.levels[-1].at if self.levels else None
        return BreakerView(
            name=about.name,
            formula=about.formula,
            value=UNKNOWN if value is None else about.text_of(value, like=last),
            limit=NO_LEVEL if last is None else about.level_text(last),
            is_tripped=bool(self.tripped),
            detail=self._detail(now_ns) if is_known else self.why_unknown(now_ns),
            unit=about.unit,
            inputs=self.inputs(now_ns),
            levels=tuple(self._level_view(level, now_ns) for level in self.levels),
            distance=self.distance(now_ns) if is_known else UNKNOWN,
            since_ns=min((trip.at_ns for trip in self.tripped.values()), default=0),
            on_reset=about.on_reset,
        )

    def distance(self, now_ns: int) -> str:
        """Return how far the value is from the next level that is not reached."""
        value = self.value(now_ns)
        assert value is not None, "what is unknown is at no distance"
        for level in self.levels:
            if not self.is_at(level.at, now_ns):
                left = self.about.show(abs(level.at - value), like=level.at)
                return f"{left} to {level.response} at {self.about.level_text(level.at)}"
        return "past every level" if self.levels else "no level"

    def what_reset_does(self, now_ns: int) -> str:
        """Return, before it is done, what a reset of a trip would re-base."""
        return f"{self.name}: {self.about.on_reset}"

    def _detail(self, now_ns: int) -> str:
        """Return inputs and distance in one line."""
        found = ", ".join(f"{name} {text}" for name, text in self.inputs(now_ns).items())
        return "; ".join(text for text in (found, self.distance(now_ns)) if text)

    def _trips_at(self, level: LevelSetting) -> list[BreakerTripped]:
        """Return the trips at this level that did at least what it calls for."""
        text, least = self.about.level_text(level.at), SEVERITY[level.response]
        return [
            trip
            for (limit, response), trip in self.tripped.items()
            if limit == text and SEVERITY[response] >= least
        ]

    def _fact(self, level: LevelSetting, now_ns: int) -> BreakerTripped | BreakerWarned:
        value = self.value(now_ns)
        assert value is not None, "what is unknown has passed nothing"
        shown, limit = self.about.text_of(value, like=level.at), self.about.level_text(level.at)
        reason = self.reason(level, now_ns)
        if level.response is Response.WARN:
            return BreakerWarned(
                at_ns=now_ns, breaker=self.name, reason=reason, value=shown, limit=limit
            )
        return BreakerTripped(
            at_ns=now_ns,
            breaker=self.name,
            reason=reason,
            value=shown,
            limit=limit,
            response=level.response,
        )

    def _level_view(self, level: LevelSetting, now_ns: int) -> LevelView:
        text = self.about.level_text(level.at)
        warned_ns = self.warned.get(text, 0) if level.response is Response.WARN else 0
        trips = self._trips_at(level)
        return LevelView(
            at=text,
            response=level.response,
            is_reached=self.is_at(level.at, now_ns),
            since_ns=min((trip.at_ns for trip in trips), default=warned_ns),
        )
