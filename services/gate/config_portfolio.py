"""What the gate may be told about portfolio risk, and about limits that move.

All of it is in addition to the limits of size and exposure, which nobody can leave out.
"""

import enum
from decimal import Decimal
from itertools import pairwise

import msgspec

from schemas.base import AccountId, InstrumentId

ONE = Decimal(1)
DEFAULT_ROW = AccountId("default")
"""The row of `[gate.portfolio]` for accounts without one."""


class Method(enum.StrEnum):
    """How value at risk is computed."""

    HISTORICAL = "historical"
    """The quantile of what the portfolio of now would have lost in each sample of the window."""

    PARAMETRIC = "parametric"
    """Normal quantile x volatility of the portfolio of now, exponentially weighted."""

    LARGER = "larger"
    """The larger of the two."""


class Sampling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gate.sampling]`: the returns that volatility and value at risk are computed from."""

    every_s: int = 60
    """Time between two samples of the mid prices."""

    window: int = 500
    """Samples that are remembered; a count."""

    samples_min: int = 30
    """Returns of an instrument before its volatility is known; a count."""

    decay: Decimal = Decimal("0.94")
    """Weight of a squared return against that of the next newer one."""

    slow_decay: Decimal = Decimal("0.99")
    """The same of the calm that the volatility of now is compared with."""

    def __post_init__(self) -> None:
        """Refuse what no volatility can be computed from.

        Raises:
            ValueError: names the field.
        """
        if self.every_s < 1:
            raise ValueError(f"every_s: found {self.every_s}, wanted 1 or more")
        if not 2 <= self.samples_min <= self.window:
            raise ValueError(
                f"samples_min: found {self.samples_min}, wanted 2 to window ({self.window})"
            )
        if not 0 < self.decay < self.slow_decay < 1:
            raise ValueError(
                f"decay: found {self.decay} and slow_decay {self.slow_decay}, "
                "wanted 0 < decay < slow_decay < 1"
            )


class ValueAtRiskLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limit on value at risk of one account, and how it is computed."""

    amount_max: Decimal | None = None
    """Largest value at risk, in the account's currency."""

    fraction_max: Decimal | None = None
    """The same as a fraction of the account's equity. With both, the smaller one counts."""

    method: Method = Method.LARGER
    """Which figure is compared with the limit."""

    confidence: Decimal = Decimal("0.99")
    """Probability that the loss over the horizon stays below the figure; above 0.5, below 1."""

    horizon_s: int = 86_400
    """Time that the loss is meant over. Returns are scaled to it by the square root of time."""

    samples_min: int = 250
    """Samples of all that is held before the figure is known; a count."""

    def __post_init__(self) -> None:
        """Refuse a limit that limits nothing, or that nothing can be compared with.

        Raises:
            ValueError: names the field.
        """
        if self.amount_max is None and self.fraction_max is None:
            raise ValueError("amount_max: found nothing, wanted this or fraction_max")
        refuse_negative(self, "amount_max", "fraction_max")
        if not Decimal("0.5") < self.confidence < 1:
            raise ValueError(f"confidence: found {self.confidence}, wanted above 0.5, below 1")
        if self.horizon_s < 1:
            raise ValueError(f"horizon_s: found {self.horizon_s}, wanted 1 or more")
        if self.samples_min < 2:
            raise ValueError(f"samples_min: found {self.samples_min}, wanted 2 or more")


class TighteningStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From here on, limits are multiplied with this factor."""

    at: Decimal
    """Drawdown as a fraction, or volatility now / in calm times."""

    factor: Decimal
    """0 to 1; 0 lets nothing through but what reduces."""

    def __post_init__(self) -> None:
        """Refuse a factor that would loosen.

        Raises:
            ValueError: names the field.
        """
        if not (self.at.is_finite() and self.at > 0):
            raise ValueError(f"at: found {self.at}, wanted a number above 0")
        if not (self.factor.is_finite() and 0 <= self.factor <= 1):
            raise ValueError(f"factor: found {self.factor}, wanted 0 to 1: nothing loosens a limit")


class PortfolioLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gate.portfolio.<account>]`, or `[gate.portfolio.default]` for accounts without one.

    What is left out is not in use, with one exception: an instrument of lending is denied until
    `health_factor_min` is chosen.
    """

    value_at_risk: ValueAtRiskLimits | None = None
    """Limit on what the whole portfolio may lose."""

    health_factor_min: Decimal | None = None
    """Lowest health factor of a lending venue at which exposure may still grow; usually 1.2."""

    margin_ratio_min: Decimal | None = None
    """Lowest equity / exposure of futures and perpetuals at which it may grow; usually 0.2."""

    margin_rates: dict[InstrumentId, Decimal] = {}
    """How much of an instrument's notional counts for the margin ratio, where it is not all."""

    report_silence_s_max: int = 60
    """Oldest word of a venue about the account's health that is still believed."""

    risk_budget: Decimal | None = None
    """Largest position of an instrument x its volatility over `risk_horizon_s`, in the account's
    currency: what one standard deviation of it may cost."""

    risk_budgets: dict[InstrumentId, Decimal] = {}
    """The same of single instruments."""

    risk_horizon_s: int = 86_400
    """Time that the volatility of the risk budget is meant over."""

    drawdown_steps: tuple[TighteningStep, ...] = ()
    """Factors on all exposure limits of the account, by drawdown from the high-water mark."""

    volatility_steps: tuple[TighteningStep, ...] = ()
    """Factors on an instrument's exposure limits, by its volatility now / in calm times."""

    release_share: Decimal = Decimal("0.8")
    """A step is left again below this share of its `at`, so that limits do not flicker."""

    mark_silence_s_max: int = 10
    """Oldest valuation of the account that is still believed."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: names the field.
        """
        refuse_negative(self, "health_factor_min", "margin_ratio_min", "risk_budget")
        for name in ("margin_rates", "risk_budgets"):
            for key, value in getattr(self, name).items():
                if not (value.is_finite() and value >= 0):
                    raise ValueError(f"{name}.{key}: found {value}, wanted a number of 0 or more")
        for name in ("report_silence_s_max", "risk_horizon_s", "mark_silence_s_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, wanted 1 or more")
        if not 0 < self.release_share <= 1:
            raise ValueError(f"release_share: found {self.release_share}, wanted above 0, to 1")
        _refuse_disorder("drawdown_steps", self.drawdown_steps)
        _refuse_disorder("volatility_steps", self.volatility_steps)

    def tightest(self, cause: str) -> Decimal:
        """Return the factor while the input of `cause` is not known: the smallest there is."""
        steps = self.drawdown_steps if cause == "drawdown" else self.volatility_steps
        return steps[-1].factor if steps else ONE


def refuse_negative(row: msgspec.Struct, *names: str) -> None:
    """Refuse a limit that is no number or below 0.

    Raises:
        ValueError: names the field.
    """
    for name in names:
        limit: Decimal | None = getattr(row, name)
        if limit is not None and not (limit.is_finite() and limit >= 0):
            raise ValueError(f"{name}: found {limit}, wanted a number of 0 or more")


def _refuse_disorder(name: str, steps: tuple[TighteningStep, ...]) -> None:
    """Refuse steps of which a later one is not further along and tighter."""
    for before, after in pairwise(steps):
        if not (before.at < after.at and before.factor > after.factor):
            raise ValueError(
                f"{name}: found {before.at} -> {before.factor}, then {after.at} -> {after.factor}; "
                "wanted each step further along and tighter than the one before"
            )
