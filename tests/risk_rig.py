"""A gate that values portfolios, and a market whose returns a test has chosen."""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import InstrumentId
from schemas.control import AccountMarked
from schemas.executions import BookAdopted
from schemas.instruments import AssetClass, Instrument
from schemas.limits import AccountHealthReported
from schemas.orders import SignalDecided
from services.control import ControlGuard
from services.gate.config import GateConfig
from services.gate.config_portfolio import PortfolioLimits, Sampling, ValueAtRiskLimits
from services.gate.core import GateCore
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, instrument
from tests.gate_rig import Rig, book, config

PERP = InstrumentId("sim:PERP")
LOAN = InstrumentId("lend:DAI")
KNOWN = {
    ALPHA: instrument(ALPHA),
    BETA: instrument(BETA),
    PERP: instrument(PERP, asset_class=AssetClass.PERPETUAL),
    LOAN: instrument(LOAN, asset_class=AssetClass.LENDING),
}
SAMPLING = Sampling(every_s=1, window=100, samples_min=10)
WIDE = {
    "order_quantity_max": dec(10**9),
    "order_notional_max": dec(10**12),
    "position_quantity_max": dec(10**9),
    "position_notional_max": dec(10**12),
    "gross_notional_max": dec(10**12),
    "session_messages_max": 10**6,
    "account_messages_max": 10**6,
    "stale_after_ms": 10**9,
}
"""Limits that no test of portfolio risk is about."""


def value_at_risk(**more: Any) -> PortfolioLimits:
    """Return a row with a limit on value at risk over one sample."""
    chosen = {"horizon_s": 1, "samples_min": 20, **more}
    return PortfolioLimits(value_at_risk=ValueAtRiskLimits(**chosen))


def risky(row: PortfolioLimits | None, sampling: Sampling = SAMPLING, **limits: Any) -> GateConfig:
    """Return the rig's configuration, wide open but for the portfolio's row."""
    rows = {} if row is None else {ACCOUNT: row}
    base = config(**{**WIDE, **limits})
    return msgspec.structs.replace(base, portfolio=rows, sampling=sampling)


class RiskRig(Rig):
    """The rig over instruments of several classes; time passes by samples.

    Attributes:
        prices: the newest middle by instrument.
    """

    def __init__(self, gate_config: GateConfig, kind: type[GateCore] = GateCore) -> None:
        def make(
            chosen: GateConfig, _: Mapping[InstrumentId, Instrument], guard: ControlGuard
        ) -> GateCore:
            return kind(chosen, KNOWN, guard)

        self.prices: dict[InstrumentId, float] = dict.fromkeys(KNOWN, 100.0)
        self.moves: dict[InstrumentId, list[float]] = {key: [] for key in KNOWN}
        super().__init__(gate_config, kind=make)  # type: ignore[arg-type]

    def pass_second(self, moves: Mapping[InstrumentId, float]) -> None:
        """Let a second pass with a quote of each in its middle; it ends with the timers."""
        self.now_ns += S_NS // 2
        for key, price in self.prices.items():
            moved = round(price * (1 + moves.get(key, 0.0)), 6)
            self.moves[key].append(moved / price - 1)
            self.prices[key] = moved
            text = f"{moved:.6f}"
            self.quote(text, text, instrument=key)
        self.pass_time(0.5)

    def pass_time(self, seconds: float) -> None:
        """Let time pass without news, and the timers with it."""
        self.now_ns += int(seconds * S_NS)
        said = self.gate.wake(self.now_ns) if self.is_due() else ()
        self.kept += [each for each in said if type(each) in self.gate.keeps]

    def is_due(self) -> bool:
        due_ns = self.gate.wake_at_ns
        return due_ns is not None and due_ns <= self.now_ns

    def pass_seconds(self, count: int, share: float = 0.01) -> None:
        """Let all prices swing up and down by a share, each with a phase of its own."""
        for second in range(count):
            swings = {
                key: share * math.sin(1.7 * second + index) for index, key in enumerate(self.prices)
            }
            self.pass_second(swings)

    def ask(self, signal_id: str, quantity: str = "10", **more: Any) -> SignalDecided:
        """Return the decision on a signal with this quantity."""
        return self.decide(self.signal(signal_id, quantity=quantity, **more))

    def mark(self, equity: str = "100000", drawdown: str = "0", **more: Any) -> None:
        """Tell what the account is worth."""
        self.tell(
            AccountMarked(
                at_ns=self.now_ns,
                account=ACCOUNT,
                equity=dec(equity),
                cash=dec(equity),
                high_water_mark=dec(equity),
                drawdown=dec(drawdown),
                **more,
            )
        )

    def adopted(self, held: dict[InstrumentId, str]) -> BookAdopted:
        """Return the news that a book was adopted."""
        return BookAdopted(at_ns=self.now_ns, book=book(held=held, at_ns=self.now_ns))

    def report_health(
        self, venue: str, *, factor: Decimal | None = None, ratio: Decimal | None = None
    ) -> None:
        """Tell what a venue says of the account."""
        self.tell(
            AccountHealthReported(
                at_ns=self.now_ns,
                account=ACCOUNT,
                venue=venue,
                health_factor=factor,
                margin_ratio=ratio,
            )
        )


def names(decided: Iterable[SignalDecided]) -> list[str]:
    """Return the rules that decided."""
    return [each.rule for each in decided]
