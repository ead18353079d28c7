"""The drawdown breaker (B-01): the account's equity against its high-water mark."""

from collections.abc import Sequence
from decimal import Decimal

from schemas.base import Event
from schemas.breakers import LevelSetting
from schemas.control import HighWaterMarkSet
from services.breaker.breaker import About, Breaker
from services.breaker.levels import money, percent
from services.breaker.valuation import AccountTerms, Valuation, change

__all__ = ["ABOUT", "AccountTerms", "Drawdown"]

ONE = Decimal(1)

ABOUT = About(
    name="drawdown",
    title="fall from the high-water mark",
    formula="equity / high-water mark - 1; equity = cash + what is held at mid prices",
    unit="fraction of the high-water mark",
    reads="BookReported, OrderFilled, QuoteReceived",
    on_reset="the high-water mark becomes the next known equity",
    show=percent,
    below=ONE,
    is_loss=True,
)


class Drawdown(Breaker):
    """How far the equity, unrealised profit included, is below its highest.

    A restart keeps the mark; only a reset after a trip sets it anew, because the breaker would
    otherwise trip again at once and for ever.

    Attributes:
        high_water_mark: None after such a reset, until the next valuation.
    """

    keeps = frozenset({HighWaterMarkSet})

    def __init__(self, valuation: Valuation, levels: Sequence[LevelSetting]) -> None:
        super().__init__(ABOUT, levels)
        self._valuation = valuation
        self.high_water_mark: Decimal | None = valuation.account.initial_cash

    def on_valued(self, equity: Decimal, now_ns: int) -> list[Event]:
        """Take a valuation in: a new high moves the mark."""
        mark = self.high_water_mark
        if mark is not None and equity <= mark:
            return []
        raised = HighWaterMarkSet(
            at_ns=now_ns,
            account=self._valuation.account.id,
            high_water_mark=equity,
            reason="set anew after a reset" if mark is None else "new high",
        )
        self.apply(raised)
        return [raised]

    def apply(self, event: Event) -> None:
        """Fold one kept fact in; the only code, beside a reset, that moves the mark."""
        match event:
            case HighWaterMarkSet(account=account, high_water_mark=mark):
                if account == self._valuation.account.id:  # another account's says nothing
                    self.high_water_mark = mark

    def rebase(self) -> None:
        """Measure anew from the next valuation."""
        self.high_water_mark = None

    def value(self, now_ns: int) -> Decimal | None:
        """Return the fraction below the mark; negative above it, before the mark follows."""
        equity = self._valuation.equity()
        return None if equity is None else -change(equity, self._mark(equity))

    def is_at(self, level: Decimal, now_ns: int) -> bool:
        """Return whether the fall has reached a level; computed without a rounded division."""
        equity = self._valuation.equity()
        if equity is None:
            return False
        mark = self._mark(equity)
        return mark <= 0 or mark - equity >= level * mark

    def reason(self, level: LevelSetting, now_ns: int) -> str:
        """Return equity, mark and limit in words."""
        equity, value = self._valuation.equity(), self.value(now_ns)
        assert equity is not None, "what is unknown has passed nothing"
        assert value is not None, "an equity has a value"
        return (
            f"equity {money(equity)} is {ABOUT.text_of(value, like=level.at)} from its high of "
            f"{money(self._mark(equity))}; the limit is {ABOUT.level_text(level.at)}"
        )

    def inputs(self, now_ns: int) -> dict[str, str]:
        """Return equity, mark, and how old the prices are."""
        equity = self._valuation.equity()
        mark = self.high_water_mark if equity is None else self._mark(equity)
        found = {
            "equity": "unknown" if equity is None else money(equity),
            "high-water mark": "set by the next valuation" if mark is None else money(mark),
        }
        oldest = self._valuation.oldest_price(now_ns)
        return {**found, "oldest price": oldest} if oldest else found

    def why_unknown(self, now_ns: int) -> str:
        """Return why the equity is not known."""
        return self._valuation.why_unknown()

    def distance(self, now_ns: int) -> str:
        """Return how far the next level is, in money and as a fraction of the mark."""
        equity, value = self._valuation.equity(), self.value(now_ns)
        assert equity is not None, "what is unknown is at no distance"
        assert value is not None, "an equity has a value"
        mark = self._mark(equity)
        for level in self.levels:
            if not self.is_at(level.at, now_ns):
                floor = mark * (1 - level.at)
                return (
                    f"{money(equity - floor)} ({percent(level.at - value)}) "
                    f"to {level.response} at {money(floor)}"
                )
        return super().distance(now_ns)

    def what_reset_does(self, now_ns: int) -> str:
        """Return what the mark is, and what it would become."""
        equity = self._valuation.equity()
        after = "the next known equity" if equity is None else f"{money(equity)} (the equity now)"
        before = "not set" if self.high_water_mark is None else money(self.high_water_mark)
        return f"drawdown: the high-water mark, {before}, becomes {after}"

    def _mark(self, equity: Decimal) -> Decimal:
        return equity if self.high_water_mark is None else self.high_water_mark
