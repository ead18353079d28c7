"""The root of every event, and the identifiers events are keyed by."""

from typing import NewType

import msgspec

InstrumentId = NewType("InstrumentId", str)
"""`<venue>:<symbol>`, for example `binance-usdm:BTCUSDT`; see `schemas.instruments`."""

AccountId = NewType("AccountId", str)
SessionId = NewType("SessionId", str)
SignalId = NewType("SignalId", str)
OrderId = NewType("OrderId", str)
"""Deterministic hash of account, session, signal and leg; also the venue's client order id."""

ExecutionId = NewType("ExecutionId", str)
"""The venue's own id of one execution; what makes a fill distinct."""

BootId = NewType("BootId", str)
"""Random per process start, so that nobody mistakes a restarted service for the one it was."""

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """A fact: something that has happened and can no longer change.

    Names are past tense. Every number names its unit, in its name or its docstring. Decoders
    skip fields they do not know, so a new field needs a default and an old one is never removed.
    Prices are in the instrument's quote currency per unit, quantities in the instrument's units
    (coins, shares, contracts); both are `Decimal` here and strings on the wire.
    """

    at_ns: int
    """When the producing core was told it is, in nanoseconds since the Unix epoch."""

    src: str = ""
    """Who published it: `<service>-<boot id>`. Stamped by the runtime, empty in `fused`."""

    seq: int = 0
    """Count of this publisher's events on this subject, from 1. Stamped by the runtime."""
