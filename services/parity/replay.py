"""The same session again: strategy and gate of the live system on what both were told then.

What the venue did is taken from the record and not simulated: a decision is compared with the one
that was taken in the same situation, and one that differs does not change all that follow.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from heapq import merge
from typing import Any

import msgspec

from schemas.base import AccountId, BootId, Event, InstrumentId, SessionId
from schemas.confirmations import (
    ConfirmAsked,
    ConfirmRequest,
    SignalAwaiting,
    SignalConfirmed,
    SignalWithdrawn,
)
from schemas.control import (
    EpochStarted,
    LeaseAnswered,
    LeaseAsked,
    Member,
    SessionAsked,
    SessionRequest,
    StartRequest,
)
from schemas.errors import UserError
from schemas.executions import BookReported
from schemas.instruments import Instrument
from schemas.orders import SignalDecided, SignalRaised
from schemas.sessions import PositionsAdopted, SessionCreated, SessionState, SessionStateChanged
from services.control import LEASE_UNLIMITED_NS, ControlGuard
from services.core import NOTHING
from services.gate.config import GateConfig
from services.gate.core import GateCore
from services.parity.pairing import Aligned, Pairs
from services.parity.tape import Heard, Tape, arrived, wishes
from services.runtime.fused import Fused
from services.strategy.catalogue import Catalogue
from services.strategy.commands import PAUSE, RESUME, STOP
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore
from services.strategy.holdings import Holdings
from services.strategy.session import Session

BOOT = BootId("parity")
START = "parity"
ACTIONS = {
    SessionState.PAUSED: PAUSE,
    SessionState.RUNNING: RESUME,
    SessionState.STOPPED: STOP,
}


class ReplayTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What the session ran with."""

    account: AccountId
    currency: str
    """The account's."""

    instruments: Mapping[InstrumentId, Instrument]
    gate: GateConfig
    strategy: StrategyConfig


class Replayed(msgspec.Struct, kw_only=True):
    """What the replay decided, in order."""

    signals: list[SignalRaised]
    decided: list[SignalDecided]


class _Arbiter:
    """Grants every lease: whether trading was allowed then is on the tape."""

    hears: frozenset[type[Event]] = frozenset({LeaseAsked})
    keeps: frozenset[type[Event]] = frozenset()
    wake_at_ns: int | None = None

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        assert isinstance(event, LeaseAsked)
        return [
            LeaseAnswered(
                at_ns=now_ns,
                component=event.component,
                boot_id=event.boot_id,
                epoch=event.epoch,
                asked_ns=event.at_ns,
                is_granted=True,
            )
        ]

    def wake(self, now_ns: int) -> Sequence[Event]:
        return NOTHING

    def restore(self, event: Event) -> None:
        raise AssertionError("nothing is kept")

    def describe(self, now_ns: int) -> Event:
        raise AssertionError("nobody asks")


class _AsThen(Holdings):
    """Takes over what the session took over then: the account's other sessions are not here."""

    def __init__(self, account: AccountId, adopted: Sequence[PositionsAdopted]) -> None:
        super().__init__(account)
        self._adopted = adopted

    def adopted_by(
        self, session: Session, sessions: Mapping[SessionId, Session], now_ns: int
    ) -> list[PositionsAdopted]:
        """Return what the record says, folded in already."""
        for each in self._adopted:
            session.book.apply(each)
        return [*self._adopted]

    def compare(
        self, report: BookReported, sessions: Mapping[SessionId, Session], now_ns: int
    ) -> tuple[list[PositionsAdopted], list[Session]]:
        """Return nothing: a book is of the whole account."""
        return [], []


class _Strategy(StrategyCore):
    """The sessions' core with one session in it, and the holdings that this one had."""

    def __init__(self, terms: ReplayTerms, catalogue: Catalogue, tape: Tape, pairs: Pairs) -> None:
        known, account = terms.instruments, terms.account
        created, row = tape.created, terms.gate.accounts.get(account)
        values = {terms.currency: Decimal(1)} | (row.currency_values if row is not None else {})
        super().__init__(
            terms.strategy,
            account,
            known,
            boot_id=BOOT,
            catalogue=catalogue,
            currency_values={created.share_class: created.capital_unit},  # as it was then
            worth_of=values.get,
        )
        self._holdings = _AsThen(account, tape.adopted)
        self._pairs = pairs

    def _add(self, created: SessionCreated) -> Session:
        session = super()._add(created)
        own, expiry_ms = session.context.instruments, self._config.signal_expiry_ms
        quote_of = self._lanes.quote
        session.context = Aligned(self._pairs, created, own, session.book, quote_of, expiry_ms)
        return session


def replayed(
    tape: Tape,
    terms: ReplayTerms,
    catalogue: Catalogue,
    order: Callable[[Heard], int] = arrived,
) -> Replayed:
    """Return what strategy and gate decide when they are told the same again.

    Args:
        tape: what they were told.
        terms: what the session ran with.
        catalogue: where its strategy is found.
        order: when what is on the tape was heard.

    Raises:
        UserError: SLU-151 the session cannot be made now as it was made then.
    """
    found, created, pairs = Replayed(signals=[], decided=[]), tape.created, Pairs(tape.signals)
    made: list[SessionCreated] = []
    raised: list[Event] = []

    def witness(event: Event) -> None:
        if isinstance(event, SignalRaised | SignalAwaiting):
            raised.append(event)
        elif isinstance(event, SignalDecided):
            found.decided.append(event)
        elif isinstance(event, SessionCreated):
            made.append(event)
        if isinstance(event, SignalRaised):
            pairs.sent(event)

    fused = _system(tape, terms, _Strategy(terms, catalogue, tape, pairs), witness)
    told = sorted([*tape.market, *tape.told], key=order)
    begin = next((n for n, each in enumerate(told) if order(each) > created.at_ns), len(told))
    fused.now_ns = min(created.at_ns, order(told[0]))  # no deadline lies before the beginning
    _play(fused, told[:begin], order, pairs)
    fused.run([_epoch(created)])
    if not made:
        found_now = f"{created.strategy} with {created.parameters}"
        raise UserError("SLU-151", found=found_now, wanted=f"session {created.session} as it was")
    _play(fused, merge(told[begin:], _people(tape), key=order), order, pairs)
    fused.finish(tape.until_ns)
    found.signals = wishes(raised)
    return found


def _system(
    tape: Tape, terms: ReplayTerms, strategy: StrategyCore, witness: Callable[[Event], None]
) -> Fused:
    guard = ControlGuard("gate", BOOT, START, lease_ns=LEASE_UNLIMITED_NS)
    gate = GateCore(terms.gate, terms.instruments, guard)
    _count_up_to(tape.created, strategy)
    return Fused((guard, gate, strategy, _Arbiter()), witness)


def _play(fused: Fused, told: Iterable[Heard], order: Callable[[Heard], int], pairs: Pairs) -> None:
    """Tell what was heard, each at its time; before it, that an order is none of the record's."""
    for each in told:
        at_ns = order(each)
        fused.run(pairs.given_up(each.event, at_ns))
        fused.finish(at_ns)
        fused.run((each.event,))


def _count_up_to(created: SessionCreated, strategy: StrategyCore) -> None:
    """Let the next session have the number that this one had: ids of orders follow from it."""
    number = int(created.session.rpartition("-")[2])
    for earlier in range(1, number):
        name = type(created.session)(f"before-{earlier}")
        strategy.restore(msgspec.structs.replace(created, session=name))
        over = SessionStateChanged(
            at_ns=0,
            session=name,
            strategy=created.strategy,
            account=created.account,
            state=SessionState.STOPPED,
        )
        strategy.restore(over)


def _epoch(created: SessionCreated) -> EpochStarted:
    member = Member(boot_id=BOOT, halts=0)
    return EpochStarted(
        at_ns=created.at_ns,
        epoch=1,
        start_id=created.start_id,
        operator=created.operator,
        members={"gate": member, "strategy": member},
        session=created.session,
        request=_request(created),
        gate_token=1,
        stream_seq=1,
    )


def _request(created: SessionCreated) -> StartRequest:
    limits = created.risk_limits
    named: dict[str, Any] = {name: getattr(limits, name) for name in limits.__struct_fields__}
    return StartRequest(
        operator=created.operator or START,
        strategy=created.strategy,
        symbols=created.instruments,
        initial_capital=created.initial_capital,
        share_class=created.share_class,
        execution_mode=created.execution_mode,
        config_overrides=created.parameters,
        risk_limits={k: str(v) for k, v in named.items() if v is not None},
    )


def _people(tape: Tape) -> list[Heard]:
    """Return what people did, as it reached the services, oldest first."""
    told: list[SessionStateChanged | SignalConfirmed | SignalWithdrawn] = [
        *tape.changes,
        *tape.confirmed,
        *tape.refused,
    ]
    events = (_asked(each) for each in told)
    found = (Heard(event.at_ns, event) for event in events if event is not None)
    return sorted(found, key=arrived)


def _asked(event: SessionStateChanged | SignalConfirmed | SignalWithdrawn) -> Event | None:
    if isinstance(event, SessionStateChanged):
        action = ACTIONS.get(event.state)
        if action is None:
            return None
        asked = SessionRequest(operator=event.operator, session=event.session)
        return SessionAsked(at_ns=event.at_ns, request_id=START, action=action, request=asked)
    word = ConfirmRequest(
        operator=event.operator,
        signal=event.signal_id,
        is_refused=isinstance(event, SignalWithdrawn),
    )
    return ConfirmAsked(at_ns=event.at_ns, request_id=START, request=word)
