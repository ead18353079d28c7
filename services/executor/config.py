"""Configuration of the executor and of the paper exchange."""

import enum
from decimal import Decimal
from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class MarketRemainder(enum.StrEnum):
    """What becomes of the part of a market order that finds no displayed liquidity."""

    CANCEL = "cancel"
    """It is cancelled at once, as crypto venues do."""

    WAIT = "wait"
    """It takes what is displayed next, as equity venues do, until it is filled or cancelled."""


class ExecutorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the executor waits for a venue, and how often it compares books with it.

    Raises:
        ValueError: a tolerance is negative.
    """

    answer_timeout_ms: Positive = 1_000
    """An order the venue has not answered for this long is of unknown fate, in ms."""

    query_every_ms: Positive = 1_000
    """How often the venue is asked about orders of unknown fate, in ms."""

    cancel_every_ms: Positive = 1_000
    """How often a halted executor repeats its cancels until the venue shows nothing, in ms."""

    prepare_timeout_ms: Positive = 1_500
    """How long a start waits for the venue's book, in ms; the arbiter itself waits 2,000."""

    reconcile_every_s: NotNegative = 60
    """How often the whole book is compared with the venue's, in s; 0 only when asked."""

    retell_after_s: NotNegative = 60
    """How long the bus must have been there, in s, after something was said before it counts as
    told; what is younger when the bus goes away, or the executor, is told again for the record.
    0: nothing is."""

    quantity_tolerance: Decimal = Decimal(0)
    """A position, or what an order has left, may differ from the venue's by so much before
    everything is locked; in units of the instrument. It alerts all the same."""

    cash_tolerance: Decimal = Decimal(0)
    """Cash or fees may differ from the venue's by so much before everything is locked; in the
    account's currency. It alerts all the same."""

    flatten_every_ms: Positive = 500
    """How often a flatten cancels, closes and looks again, in ms; a closing order lives as long."""

    flatten_tries_max: Positive = 20
    """After so many tries without any progress a flatten ends NOT FLAT, with the list."""

    closed_orders_max: NotNegative = 10_000
    """Closed orders kept in memory whole; of older ones only the id."""

    cancel_on_disconnect: bool = True
    """Whether the venue is asked to cancel what rests when the connection to it is lost."""

    report_every_ms: NotNegative = 250
    """A changed book is published at most this often, in ms; 0 only when asked."""

    recent_orders_max: NotNegative = 20
    """How many closed orders a report shows, whatever became of them. Those that traded within the
    last five minutes it shows beside them, up to 100: a gate may have missed their executions."""

    reconnect_min_ms: Positive = 50
    """First wait before connecting to the venue again, in ms; it doubles."""

    reconnect_max_ms: Positive = 2_000
    """Longest wait before connecting to the venue again, in ms."""

    def __post_init__(self) -> None:
        for name in ("quantity_tolerance", "cash_tolerance"):
            value: Decimal = getattr(self, name)
            if value.is_nan() or value < 0:
                raise ValueError(f"{name} is {value}: wanted 0 or more")


class VenueConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the paper exchange behaves."""

    host: str = "127.0.0.1"
    """Address it listens on; anything but loopback lets others trade the paper account."""

    port: Port = 0
    """TCP port it listens on; 0 takes a free one (the executor reads it from a file)."""

    latency_ms: NotNegative = 0
    """Time every request takes to reach the matching engine, in ms."""

    reject_rate: Fraction = 0.0
    """Share of orders rejected at random, 0 to 1; which ones follows from `seed` and the id."""

    seed: int = 1
    """Seed of what is random here."""

    maker_fee_bps: Decimal | None = None
    """Instead of every instrument's own maker fee, in basis points; negative is a rebate."""

    taker_fee_bps: Decimal | None = None
    """Instead of every instrument's own taker fee, in basis points."""

    liquidation_threshold: Decimal = Decimal("0.8")
    """Part of what is supplied at lending markets that counts against the account's debt, 0 to 1;
    a health factor of 1 is where a venue would liquidate."""

    market_remainder: MarketRemainder = MarketRemainder.CANCEL
    """What becomes of a market order larger than the displayed liquidity."""

    closed_orders_max: NotNegative = 10_000
    """Closed orders kept in memory whole; of older ones the id only, so that none comes twice."""

    executions_max: NotNegative = 20_000
    """Executions kept in memory for who asks what it missed; the journal has all of them."""


def without_rounds(config: ExecutorConfig) -> ExecutorConfig:
    """Return it without periodic reports and comparisons: for a backtest, which asks at its end.

    Nothing is lost on the way there, and nothing told again.
    """
    return msgspec.structs.replace(config, reconcile_every_s=0, report_every_ms=0, retell_after_s=0)
