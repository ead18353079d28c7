"""Limits that move, and accounts to move them in, with no gate around."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId, Event, InstrumentId
from schemas.control import AccountMarked, ControlAnswered
from schemas.limits import LimitsAsked, LimitsChanged, LimitsRequest
from services.gate.account import Account
from services.gate.config import GateConfig, HardLimits, InstrumentLimits
from services.gate.config_portfolio import PortfolioLimits, Sampling, TighteningStep
from services.gate.dynamic_limits import DynamicLimits
from services.gate.exposure import Market, Unvalued
from services.gate.portfolio_risk import PortfolioRisk
from tests.builders import ACCOUNT, ALPHA, dec
from tests.gate_rig import INSTRUMENTS, NOW_NS, config

DRAWDOWN_STEPS = (
    TighteningStep(at=dec("0.05"), factor=dec("0.5")),
    TighteningStep(at=dec("0.08"), factor=dec("0.25")),
)
GROSS = "gate.accounts.paper.gross_notional_max"
POSITION = "gate.default.position_quantity_max"
OWN_POSITION = 'gate.instruments."sim:ALPHA".position_quantity_max'


def with_portfolio(row: PortfolioLimits, **more: Any) -> GateConfig:
    """Return the rig's configuration with a row of portfolio limits, and other tables changed."""
    return msgspec.structs.replace(config(), portfolio={ACCOUNT: row}, **more)


def with_hard(base: GateConfig | None = None, **instrument: Any) -> GateConfig:
    """Return a configuration with hard caps on instruments."""
    hard = HardLimits(instrument=InstrumentLimits(**instrument))
    return msgspec.structs.replace(base or config(), hard=hard)


def marked(drawdown: str, *, at_ns: int = NOW_NS, **more: Any) -> AccountMarked:
    """Return a valuation of the account."""
    return AccountMarked(
        at_ns=at_ns,
        account=ACCOUNT,
        equity=dec(100_000),
        cash=dec(100_000),
        high_water_mark=dec(100_000),
        drawdown=dec(drawdown),
        **more,
    )


def asked(
    changes: Mapping[str, Any], *, operator: str = "kim", reason: str = "calm"
) -> LimitsAsked:
    """Return a request that came in."""
    request = LimitsRequest(operator=operator, reason=reason, changes=dict(changes))
    return LimitsAsked(at_ns=NOW_NS, request_id="r1", request=request)


class LimitsRig:
    """Moving limits over one account, as the gate wires them.

    Attributes:
        kept: what a journal would hold.
    """

    def __init__(self, gate: GateConfig | None = None, sampling: Sampling | None = None) -> None:
        gate = gate or config()
        if sampling is not None:
            gate = msgspec.structs.replace(gate, sampling=sampling)
        self.markets = {key: Market(each, Unvalued()) for key, each in INSTRUMENTS.items()}
        self.accounts: dict[AccountId, Account] = {
            key: Account(key, gate, self.markets) for key in gate.accounts
        }
        self.risk = PortfolioRisk(gate, self.markets, self.accounts)
        self.dynamic = DynamicLimits(gate, self.accounts, self.risk)
        self.kept: list[Event] = []

    def ask(self, changes: Mapping[str, Any], **more: Any) -> ControlAnswered:
        """Ask as an operator; fold in what is changed, as the core does."""
        said = self.dynamic.ask(asked(changes, **more), NOW_NS)
        for event in said:
            self.tell(event)
        [answer] = [each for each in said if isinstance(each, ControlAnswered)]
        return answer

    def tell(self, event: Event, now_ns: int = NOW_NS) -> None:
        """Tell both families, as the core does."""
        self.risk.apply(event, now_ns)
        self.dynamic.apply(event, now_ns)
        if isinstance(event, LimitsChanged):
            self.kept.append(event)

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Let the timers of both pass."""
        return [*self.risk.wake(now_ns), *self.dynamic.wake(now_ns)]

    def limit(self, name: str, key: InstrumentId = ALPHA) -> Decimal:
        """Return what checks compare with now."""
        found: Decimal = getattr(self.accounts[ACCOUNT].lanes[key].limits, name).value
        return found
