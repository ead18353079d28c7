"""The same session again: the cores of the live system on the record, in one process."""

from heapq import merge
from typing import Any

import msgspec

from schemas.base import Event, SessionId, SignalId
from schemas.confirmations import ConfirmAsked, ConfirmRequest, SignalConfirmed, SignalWithdrawn
from schemas.control import SessionAsked, SessionRequest, StartRequest
from schemas.orders import SignalDecided, SignalRaised
from schemas.sessions import SessionCreated, SessionState, SessionStateChanged
from services.parity.tape import Tape
from services.strategy.catalogue import Catalogue
from services.strategy.commands import PAUSE, RESUME, STOP
from services.system import FusedSystem, FusedTerms

ACTIONS = {
    SessionState.PAUSED: PAUSE,
    SessionState.RUNNING: RESUME,
    SessionState.STOPPED: STOP,
}


class Replayed(msgspec.Struct, kw_only=True):
    """What the replay decided, in order."""

    signals: list[SignalRaised]
    decided: list[SignalDecided]


def replayed(tape: Tape, terms: FusedTerms, catalogue: Catalogue) -> Replayed:
    """Return what the cores decide when they live through the same again.

    Raises:
        UserError: SLU-151 the start is refused now.
    """
    found = Replayed(signals=[], decided=[])
    session: list[SessionId] = []

    def witness(event: Event) -> None:
        if isinstance(event, SignalRaised):
            found.signals.append(event)
        elif isinstance(event, SignalDecided):
            found.decided.append(event)
        elif isinstance(event, SessionCreated):
            session.append(event.session)

    system = FusedSystem(terms, catalogue=catalogue, journal=witness)
    created = tape.created
    begin = next((n for n, e in enumerate(tape.market) if e.at_ns > created.at_ns), None)
    system.fused.now_ns = tape.market[0].at_ns  # no deadline before it was ever due
    system.fused.run(tape.market[:begin])
    system.start(_request(created), created.at_ns)
    after = [] if begin is None else tape.market[begin:]
    people = _people(tape, session[0])
    system.fused.run(merge(after, people, key=lambda event: event.at_ns))
    system.fused.finish(tape.until_ns)
    return found


def _request(created: SessionCreated) -> StartRequest:
    limits = created.risk_limits
    named: dict[str, Any] = {name: getattr(limits, name) for name in limits.__struct_fields__}
    return StartRequest(
        operator=created.operator or "parity",
        strategy=created.strategy,
        symbols=created.instruments,
        initial_capital=created.initial_capital,
        share_class=created.share_class,
        execution_mode=created.execution_mode,
        config_overrides=created.parameters,
        risk_limits={k: str(v) for k, v in named.items() if v is not None},
    )


def _people(tape: Tape, session: SessionId) -> list[Event]:
    """Return what people did, as it reached the strategy service, oldest first."""
    told: list[SessionStateChanged | SignalConfirmed | SignalWithdrawn] = [
        *tape.changes,
        *tape.confirmed,
        *tape.refused,
    ]
    events = (_asked(tape.created.session, session, event) for event in told)
    return sorted((e for e in events if e is not None), key=lambda event: event.at_ns)


def _asked(
    then: SessionId, now: SessionId, event: SessionStateChanged | SignalConfirmed | SignalWithdrawn
) -> Event | None:
    if isinstance(event, SessionStateChanged):
        action = ACTIONS.get(event.state)
        if action is None:
            return None
        asked = SessionRequest(operator=event.operator, session=now)
        return SessionAsked(at_ns=event.at_ns, request_id="parity", action=action, request=asked)
    signal = SignalId(now + event.signal_id.removeprefix(then))
    is_refused = isinstance(event, SignalWithdrawn)
    word = ConfirmRequest(operator=event.operator, signal=signal, is_refused=is_refused)
    return ConfirmAsked(at_ns=event.at_ns, request_id="parity", request=word)
