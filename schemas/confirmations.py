"""Signals that wait for a person: shown, then confirmed, refused, or let go (S-09)."""

from decimal import Decimal

import msgspec

from schemas.base import Event, SessionId, SignalId
from schemas.orders import SignalRaised


class ConfirmRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`control.confirm`: let one signal that waits go to the gate, or refuse it for good."""

    operator: str
    """Who answers for it; kept in the audit trail."""

    signal: SignalId
    is_refused: bool = False
    """True: the signal is dropped."""

    reason: str = ""


class ConfirmAsked(Event, frozen=True, kw_only=True):
    """A decoded `control.confirm`. Strategy service and gate each hear it from the person itself.

    The gate does so that nobody but a person can confirm: no strategy may publish the request.
    """

    request_id: str
    request: ConfirmRequest


class SignalAwaiting(Event, frozen=True, kw_only=True):
    """A strategy asks to trade, and a person is asked first. Nothing has gone to the gate."""

    session: SessionId
    signal: SignalRaised
    """As the strategy raised it. Confirmed, it is raised again with a new time and expiry."""

    price: Decimal | None = None
    """The touch on the order's own side when it was raised; None where there was no quote."""

    expires_at_ns: int
    """From this time on nobody can confirm it, in ns since the epoch."""


class SignalConfirmed(Event, frozen=True, kw_only=True):
    """A person let a signal go; it is on its way to the gate, which judges it as any other."""

    session: SessionId
    signal_id: SignalId
    operator: str
    reason: str = ""
    price: Decimal | None = None
    """The touch on the order's own side when it was raised."""

    price_now: Decimal
    """The same when it was confirmed."""


class SignalWithdrawn(Event, frozen=True, kw_only=True):
    """A signal that waited never goes to the gate: refused, expired, or its session does not run.

    So it ends by a halt, a pause, a stop and a restart: what was shown before is never sent after.
    """

    session: SessionId
    signal_id: SignalId
    reason: str
    operator: str = ""
    """Of the person who refused it; empty where nobody did."""


class AwaitingView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One signal that waits, as it stands now."""

    awaiting: SignalAwaiting
    price_now: Decimal | None = None
    """The touch on its side now; None where there is no quote."""
