"""Take one safeguard out, and see the harm: what no run can break without it was never needed."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from schemas.base import NS_PER_MS, NS_PER_S, Event
from schemas.control import (
    ControlRecordRead,
    EpochProposed,
    EpochStarted,
    HaltRequested,
    LeaseAnswered,
    LeaseAsked,
    Prepared,
    StartAsked,
)
from schemas.executions import IntentRecorded, OutcomeRecorded
from schemas.market import InstrumentStatusChanged
from schemas.orders import CancelRequested, Order, OrderApproved, SignalRaised
from schemas.restrictions import Level
from services.breaker.core import BreakerCore
from services.control import ControlGuard
from services.executor.core import ExecutorCore
from services.executor.last_check import LastCheck
from services.executor.orders import Record
from services.gate.account import Account
from services.gate.core import GateCore
from services.gate.data_quality import DataQuality
from services.gate.state import GateState
from services.runtime.sim_faults import Faults
from services.runtime.sim_world import Moment
from services.simulation.damage import spoil_chain, spoil_journal
from services.simulation.plan import CHAOS
from services.simulation.run import System, simulate
from services.simulation.stream import StoredLog
from services.simulation.system import Parts
from services.simulation.violations import ViolationError
from services.strategy.core import StrategyCore
from tests.sim.invariants import HALTING, check, first_violation, under

SEEDS = range(60)
UNSTORED_SEED = 711_383
REWRITTEN_SEED = 1_911_011
REPLACED_SEED = 203
REPLACED = under(
    msgspec.structs.replace(CHAOS, doubles_per_s=0.1, pauses_per_s=0.1, loss_probability=0.02), 0.3
)
REPEATS = msgspec.structs.replace(CHAOS, repeat_probability=0.2)
CRASHES = msgspec.structs.replace(
    CHAOS, crash_probability=0.01, repeat_probability=0.2, late_ns_max=2 * NS_PER_S
)


class NoCheck(LastCheck):
    """A last check that finds nothing."""

    def __init__(self) -> None:
        pass

    def may_send(self, order: Order, now_ns: int) -> str:
        return ""

    def why_not(self, record: Record, now_ns: int) -> str:
        return ""


class SendsEverything(ExecutorCore):
    """The executor without its last check."""

    def _on_approved(self, event: OrderApproved, now_ns: int) -> Sequence[Event]:
        self._check = NoCheck()
        return super()._on_approved(event, now_ns)


class Repeats(ExecutorCore):
    """The executor that does not remember which orders it had."""

    def _on_approved(self, event: OrderApproved, now_ns: int) -> Sequence[Event]:
        self.orders.records.pop(event.order.order_id, None)
        self.orders.open.pop(event.order.order_id, None)
        return super()._on_approved(event, now_ns)


class ForgetsIntents(ExecutorCore):
    """The executor that sends before it has noted that it will."""

    keeps = ExecutorCore.keeps - {IntentRecorded, OutcomeRecorded}


class NeverHalts(ControlGuard):
    """The guard that counts halts and goes on."""

    def halt(self) -> None:
        self.halts += 1
        self.wake_at_ns = None


class EternalLease(ControlGuard):
    """The guard whose first yes is good for ever."""

    def permits(self, now_ns: int) -> str:
        return super().permits(
            min(now_ns, self.lease_until_ns - 1) if self.lease_until_ns else now_ns
        )


class AnyEpoch(ControlGuard):
    """The guard that arms for a start it was prepared for before a halt came."""

    def _on_epoch(self, event: EpochStarted, now_ns: int) -> Sequence[Event]:
        member = event.members[self.component]
        mine = msgspec.structs.replace(member, boot_id=self.boot_id, halts=self.halts)
        members = {**event.members, self.component: mine}
        self.halts_told = member.halts
        return super()._on_epoch(msgspec.structs.replace(event, members=members), now_ns)

    def _question(self, now_ns: int) -> LeaseAsked:
        return msgspec.structs.replace(super()._question(now_ns), halts=self.halts_told)


class NeedsToRead(ControlGuard):
    """The guard that halts only for who says who it is."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, HaltRequested) and not event.operator:
            return ()
        return super().handle(event, now_ns)


class ForgetsRestrictions(ControlGuard):
    """The guard that acknowledges a restriction and does not keep it."""

    def restrict(self, scope: str, level: Level) -> None:
        pass


class DropsRestrictions(BreakerCore):
    """The arbiter whose epochs begin with a clean slate."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        return [self._without(said) for said in super().handle(event, now_ns)]

    @staticmethod
    def _without(said: Event) -> Event:
        if isinstance(said, EpochProposed):
            start = msgspec.structs.replace(said.start, restrictions=())
            return msgspec.structs.replace(said, start=start)
        if isinstance(said, EpochStarted):
            return msgspec.structs.replace(said, restrictions=())
        return said


class ForgetfulGate(GateCore):
    """The gate that does not remember what it approved."""

    keeps = GateCore.keeps - {OrderApproved}

    def _on_signal(self, signal: SignalRaised, now_ns: int) -> Sequence[Event]:
        self.state.ids.approved.clear()
        self.state.ids._oldest_approved.clear()
        return super()._on_signal(signal, now_ns)


class CarelessGate(GateCore):
    """The gate that counts what is held, and not what is on its way."""

    def _on_signal(self, signal: SignalRaised, now_ns: int) -> Sequence[Event]:
        for account in self.state.accounts.values():
            for order_id in list(account.orders):
                account.closed(order_id)
        return super()._on_signal(signal, now_ns)


class StubbornGate(GateCore):
    """The gate that passes a cancel on only while orders may pass."""

    def _on_cancel(self, event: CancelRequested, now_ns: int) -> Sequence[Event]:
        return () if self._guard.permits(now_ns) else super()._on_cancel(event, now_ns)


class Overwriting(StoredLog):
    """The control stream that stores an epoch whatever came between."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, EpochProposed):
            event = msgspec.structs.replace(event, expected_last_seq=len(self._records))
        return super().handle(event, now_ns)


class Generous(BreakerCore):
    """The arbiter that says yes without looking at the control stream."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        is_halt = isinstance(event, HaltRequested) or getattr(event, "halt", None) is not None
        if is_halt and isinstance(event, HaltRequested | ControlRecordRead):
            return ()
        return [self._yes(said) for said in super().handle(event, now_ns)]

    @staticmethod
    def _yes(said: Event) -> Event:
        if isinstance(said, LeaseAnswered):
            return msgspec.structs.replace(said, is_granted=True)
        return said


class Heedless(BreakerCore):
    """The arbiter that counts the records of the control stream and does not look at them."""

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, ControlRecordRead):
            event = msgspec.structs.replace(event, halt=None)
        return super().handle(event, now_ns)


class ForgetsEpochs(BreakerCore):
    """The arbiter that neither keeps its epochs, nor asks the others, nor reads the stream's."""

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self.keeps = self.keeps - {EpochProposed, EpochStarted}

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        if isinstance(event, Prepared):
            event = msgspec.structs.replace(event, epoch_max=0)
        if isinstance(event, ControlRecordRead):
            event = msgspec.structs.replace(event, epoch=0)
        return super().handle(event, now_ns)


class ForgetsSignals(StrategyCore):
    """The strategy service that counts anew: it keeps no signals, and leaves no numbers out."""

    keeps = StrategyCore.keeps - {SignalRaised}

    def wake(self, now_ns: int) -> Sequence[Event]:
        said = super().wake(now_ns)
        for session in self.sessions.values():
            session.book.number = session.book.signal_count
        return said


SLOW = msgspec.structs.replace(CHAOS, delay_ns_min=NS_PER_MS, delay_ns_max=250 * NS_PER_MS)
"""So slow that halts come in the middle of starts."""

DOUBLED = msgspec.structs.replace(CHAOS, doubles_per_s=0.1)
HALTS_PER_S = 0.5
ABLATIONS: list[Any] = [
    pytest.param(Parts(executor=SendsEverything), CHAOS, {"I1", "I3"}, id="last check"),
    pytest.param(Parts(executor=Repeats), REPEATS, {"I2"}, id="repeat guard"),
    pytest.param(Parts(executor=ForgetsIntents), CRASHES, {"I2", "I11"}, id="intent journal"),
    pytest.param(Parts(guard=NeverHalts), SLOW, {"I1"}, id="fence"),
    pytest.param(Parts(guard=EternalLease), CHAOS, {"I3", "I6"}, id="lease"),
    pytest.param(Parts(guard=NeedsToRead), CHAOS, {"I10"}, id="halts before it reads"),
    pytest.param(Parts(gate=ForgetfulGate), REPEATS, {"one-answer"}, id="duplicate check"),
    pytest.param(Parts(gate=CarelessGate), SLOW, {"I8"}, id="orders on their way"),
    pytest.param(Parts(gate=StubbornGate), CHAOS, {"I9"}, id="cancels pass"),
    pytest.param(Parts(stream=Overwriting), SLOW, {"I4"}, id="expected sequence"),
    pytest.param(Parts(breaker=ForgetsEpochs), CRASHES, {"I12"}, id="epochs kept"),
    pytest.param(Parts(strategy=ForgetsSignals), CRASHES, {"signal-once"}, id="signals kept"),
]


@pytest.mark.parametrize(("parts", "faults", "wanted"), ABLATIONS)
def test_without_a_safeguard_some_seed_breaks_its_invariant(
    parts: Parts, faults: Faults, wanted: set[str]
) -> None:
    found = first_violation(SEEDS, wanted, parts, under(faults, HALTS_PER_S))
    assert found is not None, "the safeguard was taken out, and nobody noticed"


RESTRICTED = msgspec.structs.replace(under(), restrictions_per_s=0.3)


@pytest.mark.req("G-09")
@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        pytest.param(Parts(guard=ForgetsRestrictions), {"scope", "reduce"}, id="kept by the guard"),
        pytest.param(Parts(breaker=DropsRestrictions), {"kept"}, id="kept by the arbiter"),
    ],
)
def test_without_keeping_a_restriction_some_seed_breaks_it(parts: Parts, wanted: set[str]) -> None:
    found = first_violation(SEEDS, wanted, parts, RESTRICTED)
    assert found is not None, "the safeguard was taken out, and nobody noticed"


@pytest.mark.req("G-09")
def test_without_the_members_word_a_restriction_nobody_stored_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seed 711383: it came while the arbiter was dead and the server's disk was full.

    The run loses a tail too, before; where that is noticed, it is locked when it would come to it.
    """
    resume = StoredLog.resume
    monkeypatch.setattr(StoredLog, "resume", lambda log, seq, _stored_ns: resume(log, seq, 0))
    check(simulate(UNSTORED_SEED))
    monkeypatch.setattr(ControlGuard, "unconfirmed", lambda _self: ())
    assert simulate(UNSTORED_SEED).invariant == "kept"


@pytest.mark.req("G-09", "O-04")
def test_without_knowing_the_epochs_executor_a_replaced_one_gives_exposure_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was stopped, and another took over; when it wakes up it tells its book of then."""
    check(simulate(REPLACED_SEED, REPLACED))
    monkeypatch.setattr(ControlGuard, "is_stranger", lambda *_: False)
    monkeypatch.setattr(Account, "compare_teller", lambda *_: False)
    assert simulate(REPLACED_SEED, REPLACED).invariant == "I8"


@pytest.mark.req("G-09", "B-06")
def test_without_the_time_of_the_newest_record_an_epoch_is_stored_over_a_lost_halt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seed 1911011: the server lost its newest record with the power, and gave its number anew."""
    check(simulate(REWRITTEN_SEED))
    resume = StoredLog.resume
    monkeypatch.setattr(StoredLog, "resume", lambda log, seq, _stored_ns: resume(log, seq, 0))
    assert simulate(REWRITTEN_SEED).invariant == "I4"


KILLED = msgspec.structs.replace(CHAOS, kills_per_s=0.1, loss_probability=0.1)


@pytest.mark.req("G-05")
def test_without_the_doubt_after_a_lost_bus_a_halt_that_was_missed_is_traded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(DataQuality, "_doubt", lambda _self: None)
    found = first_violation(SEEDS, {"open"}, Parts(), HALTING)
    assert found is not None, "the safeguard was taken out, and nobody noticed"


@pytest.mark.req("G-05")
def test_without_the_doubt_after_a_restart_a_halt_that_was_missed_is_traded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def restore(state: GateState, event: Event) -> None:
        """Take what was open before the restart for open still."""
        if isinstance(event, InstrumentStatusChanged):
            state.markets[event.instrument].trading = event.trading
        else:
            honest(state, event)

    honest = GateState.restore
    monkeypatch.setattr(GateState, "restore", restore)
    plan = msgspec.structs.replace(HALTING, faults=KILLED)
    found = first_violation(SEEDS, {"open"}, Parts(), plan)
    assert found is not None, "the safeguard was taken out, and nobody noticed"


@pytest.mark.req("G-09")
def test_nothing_is_sent_in_a_scope_and_nothing_grows_under_a_restriction() -> None:
    restrictions = sum(check(simulate(seed, RESTRICTED)).seen.restrictions for seed in range(5))
    assert restrictions > 5


@pytest.mark.parametrize("faults", [CHAOS, REPEATS, CRASHES, SLOW])
def test_with_every_safeguard_the_same_runs_are_clean(faults: Faults) -> None:
    for seed in range(5):
        check(simulate(seed, under(faults, HALTS_PER_S)))


@pytest.mark.req("R-01")
def test_without_its_checksum_a_journal_is_read_with_a_byte_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[Event] = [HaltRequested(at_ns=1, reason="drill", operator="kim")]
    assert _unseen(spoil_journal, kept) == []
    monkeypatch.setattr("services.runtime.journal.zlib.crc32", lambda data, crc=0: 0)
    assert {name for _, name in _unseen(spoil_journal, kept)} == {"I13"}


@pytest.mark.req("R-01")
def test_without_its_hashes_a_recording_is_verified_with_a_byte_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored: list[Event] = [HaltRequested(at_ns=n, reason="drill", operator="kim") for n in range(3)]
    assert _unseen(spoil_chain, stored) == []
    for module in ("services.recorder.chain", "services.simulation.damage"):
        monkeypatch.setattr(f"{module}.hash_of", lambda line: "0" * 64)
    assert {name for _, name in _unseen(spoil_chain, stored)} == {"I13"}


def _unseen(
    spoil: Callable[[Sequence[Event], int], None], kept: Sequence[Event]
) -> list[tuple[int, str]]:
    """Return the seeds of which the damage was not found, and what that broke."""
    found: list[tuple[int, str]] = []
    for seed in range(200):
        try:
            spoil(kept, seed)
        except ViolationError as error:
            found.append((seed, error.invariant))
    return found


def halt(system: System) -> HaltRequested:
    return HaltRequested(at_ns=system.simulation.now_ns, reason="drill", operator="kim")


def halted_after_it_prepared(parts: Parts) -> System:
    """Return a system whose executor alone heard a halt, between its answer and the epoch."""
    system = System(1, under(Faults(), halts_per_s=0.0), parts)
    prepared: list[Event] = []

    def watch(moment: Moment) -> None:
        if moment.is_said and moment.process == "executor" and isinstance(moment.event, Prepared):
            prepared.append(moment.event)

    system.simulation.observe(watch)
    while not prepared:
        system.run(0.000_01)
    system.simulation.tell("executor", halt(system))
    return system


@pytest.mark.req("G-09")
def test_no_start_is_honoured_over_a_halt_heard_after_it_was_prepared() -> None:
    halted_after_it_prepared(Parts()).run(5.0)


def test_without_the_count_of_halts_a_start_overtakes_a_halt() -> None:
    system = halted_after_it_prepared(Parts(guard=AnyEpoch))
    with pytest.raises(ViolationError) as caught:
        system.run(5.0)
    assert caught.value.invariant == "I1"


def halted_after_its_operator_looked(parts: Parts) -> System:
    """Return a system whose stream alone heard a halt, while a start was on its way."""
    system = System(1, under(Faults(), halts_per_s=0.0), parts)
    system.run(3.0)
    asked: list[Event] = []

    def watch(moment: Moment) -> None:
        if moment.is_said and isinstance(moment.event, StartAsked):
            asked.append(moment.event)

    system.simulation.observe(watch)
    system.simulation.kill("executor")
    while not asked:
        system.run(0.000_01)
    system.simulation.tell("stream", halt(system))
    return system


@pytest.mark.req("G-09")
def test_no_start_is_stored_over_a_halt_that_its_operator_had_not_seen() -> None:
    halted_after_its_operator_looked(Parts()).run(5.0)


def test_without_reading_the_stream_a_start_is_stored_over_a_halt_nobody_has_seen() -> None:
    system = halted_after_its_operator_looked(Parts(breaker=Heedless))
    with pytest.raises(ViolationError) as caught:
        system.run(5.0)
    assert caught.value.invariant == "I7"


def halted_on_the_stream_alone(parts: Parts) -> System:
    """Return a system that traded until a halt was stored that nobody else ever hears."""
    system = System(1, under(Faults(), halts_per_s=0.0), parts)
    system.run(3.0)
    system.simulation.tell("stream", halt(system))
    return system


@pytest.mark.req("G-09", "O-05")
def test_a_halt_that_only_the_stream_heard_ends_trading_within_one_lease() -> None:
    system = halted_on_the_stream_alone(Parts())
    system.run(1.0)
    sent_count = len(system.invariants.sent)
    system.operator.leave()
    system.run(5.0)
    assert len(system.invariants.sent) == sent_count


def test_without_reading_the_stream_leases_go_on_over_a_stored_halt() -> None:
    system = halted_on_the_stream_alone(Parts(breaker=Generous))
    with pytest.raises(ViolationError) as caught:
        system.run(5.0)
    assert caught.value.invariant == "I6"
