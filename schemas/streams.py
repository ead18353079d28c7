"""What must last, and in which JetStream stream: one table for all who store or read back."""

import msgspec

from schemas.subjects import (
    BREAKER,
    CONFIRM,
    DEAD_LETTERS,
    EPOCH_RECORD,
    FLATTEN,
    HALT,
    LIMITS,
    LOCK,
    PAUSE,
    RECONCILE,
    REDUCE,
    REPORT,
    RESET,
    RESULT,
    RESUME,
    START,
    STOP,
    UNLOCK,
)


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One stream: what it captures, and whether it answers publishers."""

    name: str
    subjects: tuple[str, ...]
    is_acknowledging: bool = True
    """False where requests travel: the server's own acknowledgement of the storing would
    reach the asker before the answer does."""

    is_limited: bool = False
    """Whether old messages may leave it, by age and size."""


CONTROL = StreamSpec(
    name="CONTROL",
    subjects=(HALT, f"{HALT}.>", REDUCE, f"{REDUCE}.>", LOCK, EPOCH_RECORD),
    is_acknowledging=False,
)
"""Halts, restrictions, locks and epochs only: its newest records say who may trade."""

ORDERS = StreamSpec(name="ORDERS", subjects=("signal.>", "risk.decision.>", "order.>"))
FILLS = StreamSpec(name="FILLS", subjects=("exec.>", "book.>"))
AUDIT = StreamSpec(
    name="AUDIT",
    subjects=(
        START,
        RESET,
        STOP,
        PAUSE,
        RESUME,
        CONFIRM,
        RESULT,
        FLATTEN,
        UNLOCK,
        LIMITS,
        BREAKER,
        RECONCILE,
        REPORT,
        "control.flattened",
        DEAD_LETTERS,
        "control.ack.>",
        "control.confirmed.>",
        "control.epoch",
        "control.ended",
        "control.prepare",
        "control.prepared.>",
        "session.>",
        "breaker.>",
        "alert.>",
        "risk.account.>",
        "risk.limits",
        "risk.tightened.>",
        "risk.health.>",
        "risk.locate.>",
        "report.made.>",
        "report.delivered",
        "report.terms",
        "report.uptime",
        "feed.ended",
        "scan.>",
    ),
    is_acknowledging=False,
)
MARKET = StreamSpec(name="MARKET", subjects=("market.>",), is_limited=True)

STREAMS = (CONTROL, ORDERS, FILLS, AUDIT, MARKET)
"""Every stream there is, the most urgent first."""
