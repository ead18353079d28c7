"""What a strategy has shown so far: results of backtests, and days traded on paper.

Records, not events: a repository keeps them, and the prerequisites of real money are read from
them (S-05). A result names the strategy by what it was made of, so that one of an older version
says nothing about a newer one.
"""

import hashlib
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId, InstrumentId, SessionId

RESULT_ID_CHARS = 32


class Figures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How well it did. What is not known is None, and never 0.

    Ratios and fractions are plain numbers (0.05 is 5 %), amounts are in the share class.
    """

    initial_capital: Decimal
    final_value: Decimal | None = None
    """Cash and holdings at the end; None where something held had no price."""

    total_return: float | None = None
    """Final value over initial capital, less 1."""

    cagr: float | None = None
    volatility: float | None = None
    """Standard deviation of the daily returns, annualized."""

    sharpe: float | None = None
    """Annualized; None where there are too few returns, or none that differ."""

    sortino: float | None = None
    drawdown_max: float | None = None
    """Largest fall from a high-water mark, as a fraction of it; 0 or above."""

    drawdown_ns_max: int | None = None
    """Longest time below a high-water mark."""

    turnover: float | None = None
    """Value traded over the average equity."""

    exposure: float | None = None
    """Share of the time in which anything was held."""

    win_rate: float | None = None
    profit_factor: float | None = None
    trade_count: int = 0
    """Round trips: from flat to flat again."""

    fees: Decimal | None = Decimal(0)
    funding: Decimal | None = Decimal(0)
    """Received less paid."""

    slippage: Decimal | None = None
    signal_count: int = 0
    order_count: int = 0
    fill_count: int = 0
    refusals: dict[str, int] = {}
    """Signals that the gate rejected, by the rule that did."""

    blocked: dict[str, int] = {}
    """Signals that a session's own limits kept from the gate, by the limit that did; the gate never
    heard of them, so that they are none of `signal_count`."""


class StrategyTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What was run: enough to run the same again."""

    strategy: str
    """The name it was started by."""

    strategy_version: str
    """Hash of its code or of its formula file, as `services.strategy.versions` computes it."""

    parameters: dict[str, Any]
    """All of them, the defaults too."""

    instruments: tuple[InstrumentId, ...]
    share_class: str = "USDT"


class BacktestResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One backtest, run to its end."""

    terms: StrategyTerms
    data_hash: str
    """Hash over the bytes of every file that was played, in order."""

    data: tuple[str, ...] = ()
    """What was played, as it was named; for people."""

    from_ns: int
    """Of the first event played, ns since the epoch."""

    to_ns: int
    """Of the last one."""

    figures: Figures
    seed: int = 0
    """Of what is random at the simulated venue."""

    recorded_ns: int = 0
    """When it was stored; of two results the later one is the latest. No part of its id."""

    @property
    def id(self) -> str:
        """Return the name of this result; equal where everything that went into the run is."""
        return _id(self.terms, self.data_hash, self.from_ns, self.to_ns, self.seed)


class PaperDay(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One day of one session at the paper venue, by the UTC calendar.

    Whether it counts is judged where it is read: it says only what was.
    """

    terms: StrategyTerms
    session: SessionId
    account: AccountId
    day: str
    """`2026-11-27`."""

    from_ns: int
    """When the session first ran on that day."""

    to_ns: int
    """When it was last known to run on that day."""

    up_ns: int
    """How long it ran, without the time in which it was paused, halted or its service away."""

    reconciled_count: int = 0
    """How often on that day it was looked at while the venue's whole book agreed with ours."""

    difference_count: int = 0
    """How often while it did not."""

    figures: Figures | None = None
    """Of the session from its begin to then."""

    @property
    def id(self) -> str:
        """Return the name of this day; a later record of it takes its place."""
        return f"{self.account}/{self.session}/{self.day}"


def _id(*parts: Any) -> str:
    canonical = msgspec.json.encode(parts, order="deterministic")
    return hashlib.sha256(canonical).hexdigest()[:RESULT_ID_CHARS]
