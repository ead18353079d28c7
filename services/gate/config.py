"""What the gate may be told. No limit has a default: one that is not chosen denies."""

from decimal import Decimal

import msgspec

from schemas.base import AccountId, InstrumentId
from services.gate.config_compliance import ComplianceRules
from services.gate.config_groups import GroupLimits, OnExcess
from services.gate.config_market import MarketRules
from services.gate.config_portfolio import PortfolioLimits, Sampling
from services.gate.dynamic_limits_paths import above_hard


def _refuse_absurd(row: msgspec.Struct) -> None:
    for name in row.__struct_fields__:
        limit = getattr(row, name)
        if isinstance(limit, Decimal) and not (limit.is_finite() and limit >= 0):
            raise ValueError(f"{name}: found {limit}, wanted a number of 0 or more")
        if isinstance(limit, int) and limit < 0:
            raise ValueError(f"{name}: found {limit}, wanted 0 or more")


class InstrumentLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of limits for an instrument. What an instrument's own row leaves out, `default` says.

    None is "nobody has chosen this", and then every signal for the instrument is denied with
    the rule `limit_missing`. Notional means quantity x multiplier x price x currency value.
    """

    order_quantity_max: Decimal | None = None
    """Largest single order, in the instrument's units."""

    order_notional_max: Decimal | None = None
    """Largest single order, in the account's currency."""

    position_quantity_max: Decimal | None = None
    """Largest position either way once every open order has filled, in the instrument's units."""

    position_notional_max: Decimal | None = None
    """The same, in the account's currency."""

    price_collar_bps: Decimal | None = None
    """How far beyond the touch an order's price may reach, in basis points of the touch."""

    spread_bps_max: Decimal | None = None
    """Widest market that may be traded in, in basis points of its middle."""

    stale_after_ms: int | None = None
    """Oldest quote that may be traded on, in ms since this process received it."""

    period_collar_bps: Decimal | None = None
    """How far beyond the touch of `period_ms` ago an order may trade, in basis points of it."""

    session_period_quantity_max: Decimal | None = None
    """Most that the orders of one session may come to in `period_ms`, in the instrument's units."""

    account_period_quantity_max: Decimal | None = None
    """The same for the whole account."""

    on_excess: OnExcess | None = None
    """`reduce` or `reject` what is larger than a limit lets pass; left out, the account's word
    counts, and without one it is rejected."""

    def __post_init__(self) -> None:
        """Refuse a limit that is negative or not a number.

        Raises:
            ValueError: names the field; msgspec adds the path of the row.
        """
        _refuse_absurd(self)


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one account. An account without a row may not trade."""

    gross_notional_max: Decimal | None = None
    """Sum over all instruments of the worst-case position, in the account's currency."""

    net_notional_max: Decimal | None = None
    """All long less all short, or the other way round, once every open order of the side that makes
    it larger has filled, in the account's currency."""

    session_position_notional_max: Decimal | None = None
    """Largest position of one session in one instrument, either way, once every open order has
    filled, in the account's currency."""

    session_gross_notional_max: Decimal | None = None
    """Sum over all instruments of one session's worst-case positions, in the account's currency."""

    sectors: dict[str, GroupLimits] = {}
    """By `Instrument.sector`; not in use while it is empty."""

    asset_classes: dict[str, GroupLimits] = {}
    """By `Instrument.asset_class`; not in use while it is empty."""

    venues: dict[str, GroupLimits] = {}
    """By venue; not in use while it is empty."""

    strategies: dict[str, GroupLimits] = {}
    """By the strategy that the order's session runs; not in use while it is empty."""

    on_excess: OnExcess | None = None
    """`reduce` or `reject` what is larger than a limit lets pass, where the instrument's row does
    not say; left out, it is rejected."""

    session_messages_max: int | None = None
    """Most orders and cancels of one session in `message_window_ms`; cancels are never denied."""

    account_messages_max: int | None = None
    """The same for the whole account."""

    message_window_ms: int | None = None
    """Length of the sliding window that messages are counted in, in ms."""

    signal_life_ms_max: int | None = None
    """Furthest ahead of now that a signal may expire, in ms."""

    period_ms: int | None = None
    """Length of the sliding window of all limits over a period, in ms; 0: only the order itself."""

    session_period_notional_max: Decimal | None = None
    """Most that the orders of one session may come to in `period_ms`, in the account's currency."""

    account_period_notional_max: Decimal | None = None
    """The same for the whole account."""

    strategy_messages_max: int | None = None
    """Most orders and cancels of all sessions of one strategy in `message_window_ms`."""

    venue_messages_max: int | None = None
    """Most orders and cancels to one venue in `message_window_ms`."""

    cancel_messages_reserved: int | None = None
    """How many of `strategy_messages_max` and `venue_messages_max` orders may never take."""

    duplicate_window_ms: int | None = None
    """How long the same intent under another signal id is taken for a repeat, in ms; 0: never."""

    strategy_executions_max: int | None = None
    """Executions of one strategy in `execution_window_ms` that stop it until the next start."""

    execution_window_ms: int | None = None
    """Length of the sliding window that executions are counted in, in ms."""

    credit_limit_max: Decimal | None = None
    """Most that worst-case exposure and realised loss may come to, in the account's currency."""

    currency_values: dict[str, Decimal] = {}
    """What one unit of each currency counts for, in the account's currency.

    An instrument in a currency that is not here is denied: dollars and yen are never added up.
    """

    def __post_init__(self) -> None:
        """Refuse a limit that is negative or not a number.

        Raises:
            ValueError: names the field; msgspec adds the path of the row.
        """
        _refuse_absurd(self)
        for currency, value in self.currency_values.items():
            if not value.is_finite() or value <= 0:
                raise ValueError(f"currency_values.{currency}: found {value}, wanted a number > 0")


class HardLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gate.hard]`: the furthest that limits may ever be moved to, in the file or while running.

    Where it says nothing, what the file says is the furthest while running.
    """

    instrument: InstrumentLimits = InstrumentLimits()
    """For every instrument, the default row included."""

    account: AccountLimits = AccountLimits()
    """For every account."""

    portfolio: PortfolioLimits = PortfolioLimits()
    """For the portfolio risk of every account."""


class GateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[gate]` section."""

    default: InstrumentLimits = InstrumentLimits()
    """For any configured instrument, field by field, where its own row says nothing."""

    instruments: dict[InstrumentId, InstrumentLimits] = {}
    """Rows of single instruments, by id."""

    accounts: dict[AccountId, AccountLimits] = {}
    """Rows of accounts, by id."""

    market: dict[InstrumentId, MarketRules] = {}
    """Rules of markets and quality of market data, by instrument id; `default` for the others."""

    market_references: dict[str, InstrumentId] = {}
    """Whose fall halts a whole market, by the market's calendar: for XNYS an instrument of the S&P
    500 of which the feed tells trades or bars. Without one, only what the feed tells of such halts
    is known."""

    portfolio: dict[AccountId, PortfolioLimits] = {}
    """Portfolio risk, margin and limits that move, by account id; `default` for those without."""

    compliance: dict[AccountId, ComplianceRules] = {}
    """Day trading, wash sales, locates, own orders and the restricted list, by account id;
    `default` for those without."""

    sampling: Sampling = Sampling()
    """The returns that volatility and value at risk are computed from."""

    hard: HardLimits = HardLimits()
    """Caps that no limit in this file, and no change while running, may go beyond."""

    approved_ids_max: int = 200_000
    """Approved order ids remembered. When all of them could still be sent, the gate denies."""

    rejected_ids_max: int = 50_000
    """Rejected order ids remembered; the oldest is forgotten first."""

    def __post_init__(self) -> None:
        """Refuse a memory that can hold nothing, and a limit beyond its hard cap.

        Raises:
            ValueError: names the field.
        """
        for name in ("approved_ids_max", "rejected_ids_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, wanted 1 or more")
        if found := "; ".join(above_hard(self)):
            raise ValueError(found)
