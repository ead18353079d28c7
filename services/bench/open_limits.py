"""A gate's configuration in which every limit is set, and none is in the way.

For benchmarks, and for tests that are about something else: a limit that nobody has chosen denies,
so whoever adds one says here what lets everything pass.
"""

from decimal import Decimal
from typing import Any

import msgspec

from schemas.base import AccountId
from services.gate.config import AccountLimits, GateConfig, InstrumentLimits
from services.gate.config_compliance import DEFAULT as ANY_ACCOUNT
from services.gate.config_compliance import (
    ComplianceRules,
    DayTrading,
    Locate,
    SelfTrade,
    WashSale,
)
from services.gate.config_market import (
    DEFAULT,
    ExtendedHours,
    LimitTier,
    LockedMarket,
    MarketRules,
    MarketWide,
    ShortSaleRule,
)

HUGE = Decimal(10) ** 15
AGES_MS = 10_000_000
"""Longer than anything takes here, in ms."""

ROW = InstrumentLimits(
    order_quantity_max=HUGE,
    order_notional_max=HUGE,
    position_quantity_max=HUGE,
    position_notional_max=HUGE,
    price_collar_bps=Decimal(500),
    spread_bps_max=Decimal(500),
    stale_after_ms=AGES_MS,
    period_collar_bps=HUGE,
    session_period_quantity_max=HUGE,
    account_period_quantity_max=HUGE,
)
ACCOUNT = AccountLimits(
    gross_notional_max=HUGE,
    net_notional_max=HUGE,
    session_position_notional_max=HUGE,
    session_gross_notional_max=HUGE,
    session_messages_max=1_000_000,
    account_messages_max=1_000_000,
    message_window_ms=1_000,
    signal_life_ms_max=AGES_MS,
    period_ms=0,
    session_period_notional_max=HUGE,
    account_period_notional_max=HUGE,
    strategy_messages_max=1_000_000,
    venue_messages_max=1_000_000,
    cancel_messages_reserved=0,
    duplicate_window_ms=0,
    strategy_executions_max=1_000_000,
    execution_window_ms=1_000,
    credit_limit_max=HUGE,
    currency_values={"USD": Decimal(1)},
)
MARKET = MarketRules(
    extended_hours=ExtendedHours.BOTH,
    luld_tier=LimitTier.NONE,
    market_wide=MarketWide.NONE,
    short_sale_rule=ShortSaleRule.NONE,
    locked_market=LockedMarket.ALLOW,
    jump_bps_max=Decimal(0),
    jump_quotes_min=1,
    clock_offset_ms_max=0,
)
COMPLIANCE = ComplianceRules(
    day_trading=DayTrading.NONE,
    wash_sale=WashSale.NONE,
    short_locate=Locate.NONE,
    self_trade=SelfTrade.NONE,
)


def open_limits(*accounts: AccountId, **changes: Any) -> GateConfig:
    """Return the configuration for `accounts`, with some limits changed.

    Args:
        accounts: all of them get the same row.
        changes: by name of a field of `InstrumentLimits`, of `AccountLimits`, of `MarketRules`, of
            `ComplianceRules`, or of `GateConfig`.
    """
    of_row = {k: v for k, v in changes.items() if k in InstrumentLimits.__struct_fields__}
    of_account = {k: v for k, v in changes.items() if k in AccountLimits.__struct_fields__}
    of_market = {k: v for k, v in changes.items() if k in MarketRules.__struct_fields__}
    of_rules = {k: v for k, v in changes.items() if k in ComplianceRules.__struct_fields__}
    taken = of_row | of_account | of_market | of_rules
    of_gate = {k: v for k, v in changes.items() if k not in taken}
    account = msgspec.structs.replace(ACCOUNT, **of_account)
    config = GateConfig(
        default=msgspec.structs.replace(ROW, **of_row),
        accounts=dict.fromkeys(accounts, account),
        market={DEFAULT: msgspec.structs.replace(MARKET, **of_market)},
        compliance={ANY_ACCOUNT: msgspec.structs.replace(COMPLIANCE, **of_rules)},
    )
    return msgspec.structs.replace(config, **of_gate)
