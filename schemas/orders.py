"""The life of an order, from a strategy's wish to the gate's word."""

import enum
from decimal import Decimal

import msgspec

from schemas.base import AccountId, Event, InstrumentId, OrderId, SessionId, SignalId


class Side(enum.StrEnum):
    """Which way an order trades."""

    BUY = "buy"
    SELL = "sell"

    def signed(self, quantity: Decimal) -> Decimal:
        """Return what this quantity adds to a position; negative: sold."""
        return quantity if self is Side.BUY else -quantity


class OrderType(enum.StrEnum):
    """What makes an order trade."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    """A market order once the market trades at or through `stop_price`."""

    STOP_LIMIT = "stop_limit"


class TimeInForce(enum.StrEnum):
    """How long an order may rest."""

    GTC = "gtc"
    IOC = "ioc"
    """Immediate or cancel: what does not fill at once is cancelled."""

    FOK = "fok"
    """Fill or kill: all at once or nothing."""


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be done at the venue. Only the gate makes one, from a signal it approved."""

    order_id: OrderId
    account: AccountId
    session: SessionId
    signal_id: SignalId
    instrument: InstrumentId
    side: Side
    quantity: Decimal
    order_type: OrderType = OrderType.MARKET
    time_in_force: TimeInForce = TimeInForce.GTC
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    is_post_only: bool = False
    is_reduce_only: bool = False
    expires_at_ns: int
    """The executor may not send it from this time on, in ns since the epoch."""

    replaces: OrderId | None = None
    """The resting order this one takes the place of, in one step at the venue."""

    leg: int = 0
    parent_id: SignalId | None = None
    """What this order is a slice of; None where it is whole."""

    parent_quantity: Decimal | None = None
    """All that the slices of one parent may come to, in the instrument's units."""


class SignalRaised(Event, frozen=True, kw_only=True):
    """A strategy asks to trade. Nothing may reach the venue yet.

    Answered by exactly one `SignalDecided`.
    """

    signal_id: SignalId
    account: AccountId
    session: SessionId
    instrument: InstrumentId
    side: Side
    quantity: Decimal
    order_type: OrderType = OrderType.MARKET
    time_in_force: TimeInForce = TimeInForce.GTC
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    is_post_only: bool = False
    is_reduce_only: bool = False
    expires_at_ns: int
    replaces: OrderId | None = None
    leg: int = 0
    parent_id: SignalId | None = None
    """The signal of the same session that this one is a slice of; None where it is whole."""

    parent_quantity: Decimal | None = None
    """The parent's whole quantity: the gate lets its slices come to no more than this."""

    why: str = ""
    """The strategy's reason, for people: `ema 12 crossed above ema 26`."""


class CancelRequested(Event, frozen=True, kw_only=True):
    """A strategy asks to cancel one of its own orders. The gate passes it on, always."""

    account: AccountId
    session: SessionId
    instrument: InstrumentId
    order_id: OrderId


class Outcome(enum.StrEnum):
    """What the gate made of a signal."""

    APPROVED = "approved"
    REDUCED = "reduced"
    REJECTED = "rejected"


class Reading(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One check as the gate read it. Value and limit are in the unit that the check documents.

    A decision carries dozens of them; none can be part of a cycle, so the collector skips them.
    """

    check: str
    is_ok: bool
    value: str = ""
    limit: str = ""
    """Empty where the limit is missing, and then `is_ok` is false."""


class SignalDecided(Event, frozen=True, kw_only=True):
    """The gate's word on one signal, with every limit it read (G-08)."""

    signal_id: SignalId
    account: AccountId
    session: SessionId
    instrument: InstrumentId
    outcome: Outcome
    order_id: OrderId
    rule: str
    """The check that decided; `all` for an approval."""

    detail: str = ""
    """For people: what was found and what was wanted."""

    epoch: int
    side: Side
    quantity: Decimal
    """What the signal asked for."""

    approved_quantity: Decimal = Decimal(0)
    readings: tuple[Reading, ...] = ()
    """Every check that was made, in order. One that is not in force for the account and instrument,
    by their configuration, is not made. Of a decision that has not gone over a wire it may be any
    sequence of them: `schemas.readings`."""

    took_ns: int = 0
    """Time the decision took. Stamped by the runtime, 0 in `fused`."""

    bid: Decimal | None = None
    """Best bid that the gate approved or reduced it against: what the execution is measured by."""

    ask: Decimal | None = None
    """Best ask at the same moment."""


class OrderApproved(Event, frozen=True, kw_only=True):
    """The gate has passed the order it carries. The executor accepts nothing else."""

    order: Order
    epoch: int
    gate_token: int
    """Fencing token of the gate that said so; the executor refuses one lower than it has seen."""

    notional: Decimal = Decimal(0)
    """What the order counted for when it was approved, in the account's currency."""

    asked_quantity: Decimal | None = None
    """What the signal asked for, where the gate made the order smaller; None where it did not."""


class CancelApproved(Event, frozen=True, kw_only=True):
    """The gate passes a cancel on. It always does (I9)."""

    account: AccountId
    instrument: InstrumentId
    order_id: OrderId
