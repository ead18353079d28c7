"""What people have confirmed: heard from them, and not from the service that raises the signals."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

from schemas.base import AccountId, Event, InstrumentId, OrderId, SessionId, SignalId
from schemas.confirmations import ConfirmAsked, SignalAwaiting
from schemas.control import HaltRequested
from schemas.orders import OrderType, Side, SignalDecided, SignalRaised
from schemas.sessions import SessionCreated, SessionState, SessionStateChanged
from services.core import NOTHING
from services.gate.account import Account
from services.gate.config import GateConfig
from services.gate.exposure import Market

_T = TypeVar("_T")
SHOWN_MAX = 10_000
"""Signals that wait at once and are remembered; beyond it the oldest is forgotten, and denied."""


class Shown(NamedTuple):
    """What a person was shown of a signal: what goes to the venue must be this."""

    session: SessionId
    instrument: InstrumentId
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None
    leg: int
    replaces: OrderId | None


class Confirmations:
    """Modes of the sessions, what was shown to people, and which of it they confirmed.

    Of all this only the modes survive a restart: what was shown before must be shown again.

    Attributes:
        mode_of: AUTO, SEMI_AUTO or MANUAL, by session; of those that were created.
    """

    hears: frozenset[type[Event]] = frozenset(
        {
            SessionCreated,
            SessionStateChanged,
            SignalAwaiting,
            ConfirmAsked,
            SignalDecided,
            HaltRequested,
        }
    )
    keeps: frozenset[type[Event]] = frozenset({SessionCreated})
    wake_at_ns: int | None = None

    def __init__(
        self,
        config: GateConfig,
        markets: Mapping[InstrumentId, Market],
        accounts: Mapping[AccountId, Account],
    ) -> None:
        self.mode_of: dict[SessionId, str] = {}
        self._shown: dict[SignalId, tuple[Shown, int]] = {}
        self._confirmed: dict[SignalId, Shown] = {}

    def objection(self, signal: SignalRaised) -> str:
        """Return why this is nothing that a person confirmed; empty when one did."""
        confirmed = self._confirmed.get(signal.signal_id)
        if confirmed is None:
            return "no person has confirmed it"
        asked = _shown(signal)
        if asked.quantity > confirmed.quantity or asked != confirmed._replace(
            quantity=asked.quantity  # the gate may have made it smaller
        ):
            return "it is not what was shown to the person who confirmed it"
        return ""

    def apply(self, event: Event, now_ns: int) -> None:
        """Fold one event in; what was shown to nobody, or too long ago, cannot be confirmed."""
        if isinstance(event, SignalDecided):  # by far the most
            if self._confirmed:
                self._confirmed.pop(event.signal_id, None)  # honoured once
            return
        match event:
            case SessionCreated(session=session, execution_mode=mode):
                self.mode_of.setdefault(session, mode)  # fixed for the session's whole life
            case SignalAwaiting():
                self._show(event)
            case ConfirmAsked(request=request):
                shown, until_ns = self._shown.pop(request.signal, (None, 0))
                if shown is not None and now_ns < until_ns and not request.is_refused:
                    self._confirmed[request.signal] = shown
                    _bound(self._confirmed)
            case SessionStateChanged(session=session, state=state):
                if state is not SessionState.RUNNING:
                    self._forget(session)
            case HaltRequested():
                self._shown.clear()
                self._confirmed.clear()

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Nothing is due: what is too old is found so when it is asked for."""
        return NOTHING

    def _show(self, event: SignalAwaiting) -> None:
        """Remember what was shown; the same id with another content is good for nothing."""
        key, shown = event.signal.signal_id, _shown(event.signal)
        if key in self._confirmed or (key in self._shown and self._shown[key][0] != shown):
            self._shown.pop(key, None)
            self._confirmed.pop(key, None)
            return
        self._shown[key] = (shown, event.expires_at_ns)
        _bound(self._shown)

    def _forget(self, session: SessionId) -> None:
        gone = [key for key, (shown, _) in self._shown.items() if shown.session == session]
        for key in gone:
            del self._shown[key]
        for key in [key for key, each in self._confirmed.items() if each.session == session]:
            del self._confirmed[key]


def _shown(signal: SignalRaised) -> Shown:
    return Shown(
        signal.session,
        signal.instrument,
        signal.side,
        signal.quantity,
        signal.order_type,
        signal.limit_price,
        signal.stop_price,
        signal.leg,
        signal.replaces,
    )


def _bound(remembered: dict[SignalId, _T]) -> None:
    if len(remembered) > SHOWN_MAX:
        del remembered[next(iter(remembered))]
