"""The daily loss breakers (B-02): the account's equity against what it was at the day's open."""

from collections.abc import Sequence
from decimal import Decimal

from schemas.base import NS_PER_S, Event
from schemas.breakers import DayOpened, EquityNoted, LevelSetting, LossAcknowledged
from services.breaker.breaker import About, Breaker
from services.breaker.levels import money, percent
from services.breaker.valuation import ZERO, Valuation
from services.calendars.calendar import Calendar
from services.calendars.named import ALL_DAY, calendar_named

ONE = Decimal(1)
NOTE_EVERY_NS = 60 * NS_PER_S
"""A changed equity is kept this often, so that a day whose open nobody saw still has a base."""

AT_OPEN_NS = 5 * NS_PER_S
"""A valuation so soon after the open is the equity at the open."""

_RESET = "the day's base stays; the loss so far is acknowledged, and what follows counts anew"
_READS = "BookReported, OrderFilled, QuoteReceived, and the calendar's open"

ABOUT_SHARE = About(
    name="daily_loss",
    title="loss since the day's open",
    formula="(equity + loss acknowledged by a reset) / equity at the calendar's open - 1; "
    "0 for a gain",
    unit="fraction of the equity at the open",
    reads=_READS,
    on_reset=_RESET,
    show=percent,
    below=ONE,
    is_loss=True,
)
ABOUT_AMOUNT = About(
    name="daily_loss_amount",
    title="loss since the day's open",
    formula="equity + loss acknowledged by a reset - equity at the calendar's open; 0 for a gain",
    unit="account currency",
    reads=_READS,
    on_reset=_RESET,
    show=money,
    is_loss=True,
)


class TradingDay:
    """The day's base, and what was acknowledged of the day's loss. A restart keeps both.

    Attributes:
        calendar: whose opens begin the days.
        open_ns: when the day of `base` opened; 0 before the first.
        base: equity at that open; None before the first valuation ever.
        acknowledged: loss that a reset has taken note of, by breaker.
        awaited: breakers whose loss is acknowledged by the next valuation.
        due_ns: when the next day may open, so that its base is taken at that very time; None
            before the first.
    """

    keeps: frozenset[type[Event]] = frozenset({DayOpened, EquityNoted, LossAcknowledged})

    def __init__(self, valuation: Valuation, calendar: Calendar) -> None:
        self.valuation = valuation
        self.calendar = calendar
        self.open_ns = 0
        self.base: Decimal | None = None
        self.acknowledged: dict[str, Decimal] = {}
        self.awaited: dict[str, bool] = {}
        self.due_ns: int | None = None
        self._noted: EquityNoted | None = None

    def on_valued(self, equity: Decimal, now_ns: int) -> list[Event]:
        """Take a valuation in: the first of a day sets the base, the first after a reset the rest.

        A day that began while nobody could see the account is measured from what it was worth
        last before: a loss across the open is a loss of the day.
        """
        account, said = self.valuation.account.id, list[Event]()
        opened_ns = self._known(now_ns).day_open_ns(now_ns)
        if opened_ns > self.open_ns or self.base is None:
            base, reason = self._base_at(opened_ns, equity, now_ns)
            said.append(
                DayOpened(
                    at_ns=now_ns, account=account, open_ns=opened_ns, equity=base, reason=reason
                )
            )
        noted = self._noted
        if noted is None or (noted.equity != equity and now_ns - noted.at_ns >= NOTE_EVERY_NS):
            said.append(EquityNoted(at_ns=now_ns, account=account, equity=equity))
        for fact in said:
            self.apply(fact)
        assert self.base is not None, "the first valuation opened the day"
        loss = max(ZERO, self.base - equity)
        for name in tuple(self.awaited):
            taken = LossAcknowledged(at_ns=now_ns, account=account, breaker=name, loss=loss)
            self.apply(taken)
            said.append(taken)
        return said

    def apply(self, event: Event) -> None:
        """Fold one kept fact in."""
        match event:
            case DayOpened(account=account) if account == self.valuation.account.id:
                self.open_ns, self.base = event.open_ns, event.equity
                self.due_ns = self._known(event.open_ns).next_open_ns(event.open_ns)
                self.acknowledged.clear()
                self.awaited.clear()  # a reset was of a loss before this open
            case EquityNoted(account=account) if account == self.valuation.account.id:
                self._noted = event
            case LossAcknowledged(account=account) if account == self.valuation.account.id:
                self.acknowledged[event.breaker] = event.loss
                self.awaited.pop(event.breaker, None)

    def _known(self, now_ns: int) -> Calendar:
        """Return the calendar, or one of UTC days where its table has no day: a day has a base.

        It has none outside what it covers, nor before the first open in it.
        """
        opens = self.calendar.sessions
        is_before = bool(opens) and now_ns < opens[0].open_ns
        is_known = self.calendar.knows(now_ns) and not is_before
        return self.calendar if is_known else calendar_named(ALL_DAY)

    def _base_at(self, opened_ns: int, equity: Decimal, now_ns: int) -> tuple[Decimal, str]:
        before = self._noted
        if now_ns - opened_ns <= AT_OPEN_NS:
            return equity, f"equity at the open ({self._known(now_ns).name})"
        if before is not None and before.at_ns < opened_ns:
            return before.equity, "last equity before the open, which nobody saw"
        return equity, "first known equity of the day"


class DailyLoss(Breaker):
    """The loss since the open, as a fraction of the equity then or as an amount.

    Equity unknown is loss unknown. A new day clears the warnings of the day before; what has
    tripped stays until a person resets it.
    """

    keeps = frozenset({DayOpened})

    def __init__(self, about: About, day: TradingDay, levels: Sequence[LevelSetting]) -> None:
        super().__init__(about, levels)
        self._day = day
        self._is_share = about is ABOUT_SHARE

    def value(self, now_ns: int) -> Decimal | None:
        """Return the loss, 0 for a gain: it would read as a loss; None while it is not known."""
        loss, base = self._loss(), self._day.base
        if loss is None or base is None:
            return None
        if not self._is_share:
            return max(ZERO, loss)
        return max(ZERO, loss) / base if base > 0 else ONE

    def is_at(self, level: Decimal, now_ns: int) -> bool:
        """Return whether the loss has reached a level; computed without a rounded division."""
        loss, base = self._loss(), self._day.base
        if loss is None or base is None:
            return False
        return base <= 0 or loss >= (level * base if self._is_share else level)

    def apply(self, event: Event) -> None:
        """Forget the warnings of the day before."""
        if isinstance(event, DayOpened) and event.account == self._day.valuation.account.id:
            self.warned.clear()

    def rebase(self) -> None:
        """Let the next valuation acknowledge the loss: the base of the day stays."""
        self._day.awaited[self.name] = True

    def inputs(self, now_ns: int) -> dict[str, str]:
        """Return equity, base, and what was acknowledged."""
        equity, base = self._day.valuation.equity(), self._day.base
        found = {
            "equity": "unknown" if equity is None else money(equity),
            "equity at the open": "unknown" if base is None else money(base),
        }
        loss = self._day.acknowledged.get(self.name)
        return {**found, "loss acknowledged": money(loss)} if loss else found

    def why_unknown(self, now_ns: int) -> str:
        """Return why equity or base is not known."""
        if self._day.valuation.equity() is None:
            return self._day.valuation.why_unknown()
        return "the account was not valued yet since the first open"

    def distance(self, now_ns: int) -> str:
        """Return how much more may be lost before the next level, in money and as a fraction."""
        loss, base = self._loss(), self._day.base
        assert loss is not None, "what is unknown is at no distance"
        assert base is not None, "a loss was measured from it"
        for level in self.levels:
            if not self.is_at(level.at, now_ns):
                left = (level.at * base if self._is_share else level.at) - loss
                share = f" ({percent(left / base)})" if base > 0 else ""
                at = self.about.level_text(level.at)
                return f"{money(left)}{share} to {level.response} at {at}"
        return super().distance(now_ns)

    def what_reset_does(self, now_ns: int) -> str:
        """Return the base that stays, and the loss that would count no more."""
        base, equity = self._day.base, self._day.valuation.equity()
        stays = "not set" if base is None else money(base)
        loss = "unknown now"
        if base is not None and equity is not None:
            loss = money(max(ZERO, base - equity))
        return (
            f"{self.name}: the day's base, {stays}, stays; the loss so far ({loss}) is "
            "acknowledged, and what follows counts anew"
        )

    def _loss(self) -> Decimal | None:
        equity, base = self._day.valuation.equity(), self._day.base
        if equity is None or base is None:
            return None
        return base - self._day.acknowledged.get(self.name, ZERO) - equity
