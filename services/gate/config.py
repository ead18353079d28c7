"""What the gate may be told. No limit has a default: one that is not chosen denies."""

from decimal import Decimal

import msgspec

from schemas.base import AccountId, InstrumentId


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

    session_messages_max: int | None = None
    """Most orders and cancels of one session in `message_window_ms`; cancels are never denied."""

    account_messages_max: int | None = None
    """The same for the whole account."""

    message_window_ms: int | None = None
    """Length of the sliding window that messages are counted in, in ms."""

    signal_life_ms_max: int | None = None
    """Furthest ahead of now that a signal may expire, in ms."""

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


class GateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[gate]` section."""

    default: InstrumentLimits = InstrumentLimits()
    """For any configured instrument, field by field, where its own row says nothing."""

    instruments: dict[InstrumentId, InstrumentLimits] = {}
    """Rows of single instruments, by id."""

    accounts: dict[AccountId, AccountLimits] = {}
    """Rows of accounts, by id."""

    approved_ids_max: int = 200_000
    """Approved order ids remembered. When all of them could still be sent, the gate denies."""

    rejected_ids_max: int = 50_000
    """Rejected order ids remembered; the oldest is forgotten first."""

    def __post_init__(self) -> None:
        """Refuse a memory that can hold nothing.

        Raises:
            ValueError: names the field.
        """
        for name in ("approved_ids_max", "rejected_ids_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, wanted 1 or more")
