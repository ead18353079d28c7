"""A start happens only when everyone agrees and nothing has moved; else the answer says why not."""

import pytest

from schemas.base import SessionId
from schemas.control import (
    BreakerState,
    ControlAnswered,
    ControlRecordRead,
    ControlSequenceAsked,
    EpochEnded,
    EpochProposed,
    EpochRefused,
    EpochStarted,
    EpochStored,
    Member,
    PrepareAsked,
    StartRequest,
)
from schemas.errors import FieldError
from schemas.health import ArbiterReported
from services.breaker.config import BreakerConfig
from tests.builders import MS_NS, S_NS
from tests.control_rig import (
    MEMBERS,
    ControlRig,
    boot,
    breaker_core,
    halt,
    health,
    kinds,
    only,
    prepared,
    question,
    start,
)


def silent_rig() -> ControlRig:
    """Return a rig whose members are scripted by the test."""
    rig = ControlRig().ready()
    rig.are_members_up = False
    return rig


def test_a_start_reads_prepares_stores_and_only_then_announces() -> None:
    rig = ControlRig().ready()
    said = rig.tell(start())
    assert kinds(said) == [
        "ControlSequenceAsked",
        "PrepareAsked",
        "EpochProposed",
        "EpochStarted",
        "ControlAnswered",
    ]
    members = {name: Member(boot_id=boot(name), halts=0) for name in MEMBERS}
    assert only(EpochStarted, said) == EpochStarted(
        at_ns=S_NS,
        epoch=1,
        start_id="start-1",
        operator="kim",
        members=members,
        gate_token=1,
        stream_seq=1,
    )
    assert rig.answer_of(said) == ControlAnswered(
        at_ns=S_NS,
        request_id="start-1",
        request="start",
        is_ok=True,
        message="epoch 1 is in force: trading started",
        epoch=1,
    )


@pytest.mark.req("S-01")
def test_a_started_session_is_named_in_the_answer_and_the_epoch() -> None:
    rig = silent_rig()
    rig.tell(start(strategy="ema_cross", symbols=("sim:ALPHA",)))
    rig.tell(prepared("gate"), prepared("executor"))
    said = rig.tell(prepared("strategy", session="s7"))
    epoch, answer = only(EpochStarted, said), rig.answer_of(said)
    assert epoch.request == StartRequest(
        operator="kim", strategy="ema_cross", symbols=("sim:ALPHA",)
    )
    assert (epoch.session, answer.session) == (SessionId("s7"), SessionId("s7"))
    assert answer.message == "epoch 1 is in force: session s7 started"


def test_a_start_without_a_strategy_carries_no_request_to_the_members() -> None:
    assert ControlRig().ready().run().request is None


def test_a_second_start_begins_a_higher_epoch() -> None:
    rig = ControlRig().ready()
    assert [rig.run().epoch, rig.run(strategy="ema_cross").epoch] == [1, 2]


def test_an_epoch_is_higher_than_any_that_a_member_has_seen() -> None:
    rig = silent_rig()
    rig.tell(start(), prepared("gate", epoch_max=7), prepared("strategy"))
    said = rig.tell(prepared("executor", epoch_max=9))
    assert only(EpochStarted, said).epoch == 10


@pytest.mark.req("S-01")
def test_all_that_speaks_against_a_start_comes_in_one_answer() -> None:
    rig = silent_rig()
    wrong = FieldError(path="$.initial_capital", found="-1", wanted="more than 0")
    rig.tell(start(), prepared("strategy", errors=[wrong]), prepared("gate"))
    said = rig.tell(prepared("executor", limits_hash="limits-2", is_reconciled=False))
    assert rig.answer_of(said).errors == (
        wrong,
        FieldError(
            path="executor.book",
            found="not reconciled with the venue",
            wanted="one book: compare `sluice positions` with the venue, then start again",
        ),
        FieldError(
            path="limits",
            found="breaker has limits-1, gate has limits-1, executor has limits-2",
            wanted="the same limits everywhere: restart the services with `sluice up`",
        ),
    )
    assert not any(isinstance(event, EpochProposed) for event in rig.said)


def test_a_member_that_does_not_answer_in_time_is_named() -> None:
    rig = silent_rig()
    rig.tell(start(), prepared("gate"))
    said = rig.wait(2 * S_NS)
    answer = rig.answer_of(said)
    assert [(each.path, each.found, each.wanted) for each in answer.errors] == [
        (name, "no answer within 2000 ms", f"an answer of the {name}: see `sluice status`")
        for name in ("executor", "strategy")
    ]
    assert answer.at_ns == 3 * S_NS


def test_a_gate_that_waits_for_a_silent_executor_is_no_cause_of_its_own() -> None:
    rig = silent_rig()
    rig.tell(start(), prepared("strategy"))
    found = "no answer within 2000 ms"
    assert rig.answer_of(rig.wait(2 * S_NS)).errors == (
        FieldError(
            path="gate",
            found=found,
            wanted="the executor's answer, which it waits for: see `sluice status`",
        ),
        FieldError(
            path="executor", found=found, wanted="an answer of the executor: see `sluice status`"
        ),
    )
    rig.tell(start("start-2"), prepared("strategy", "start-2"), prepared("executor", "start-2"))
    assert rig.answer_of(rig.wait(2 * S_NS)).errors == (
        FieldError(path="gate", found=found, wanted="an answer of the gate: see `sluice status`"),
    )


def test_an_answer_that_comes_too_late_starts_nothing() -> None:
    rig = silent_rig()
    rig.tell(start(), prepared("gate"), prepared("executor"))
    rig.wait(2 * S_NS)
    assert rig.tell(prepared("strategy")) == []


def test_answers_to_another_start_do_not_count() -> None:
    rig = silent_rig()
    rig.tell(start("start-2"))
    assert rig.tell(*(prepared(name, "start-1") for name in MEMBERS)) == []


def test_an_open_halt_refuses_a_start_and_names_the_next_command() -> None:
    rig = ControlRig().ready()
    rig.tell(halt("fat finger", "kim"))
    answer = rig.answer_of(rig.tell(start()))
    assert answer.errors == (
        FieldError(
            path="breaker",
            found="halt 1 is open (by kim: fat finger)",
            wanted="no open halt: look at it, then `sluice reset --halt 1`",
        ),
    )
    assert answer.message == (
        "start refused: breaker: found halt 1 is open (by kim: fat finger), "
        "wanted no open halt: look at it, then `sluice reset --halt 1`"
    )


def test_a_halt_without_words_is_shown_as_such() -> None:
    rig = ControlRig().ready()
    rig.tell(halt("", ""))
    [error] = rig.answer_of(rig.tell(start())).errors
    assert error.found == "halt 1 is open (by unknown: no reason given)"


def test_a_start_by_nobody_is_refused() -> None:
    [error] = ControlRig().ready().tell(start(operator=" "))[-1:]
    assert isinstance(error, ControlAnswered)
    assert error.errors == (FieldError(path="$.operator", found="nothing", wanted="who asks"),)


def test_a_start_while_another_is_under_way_is_refused() -> None:
    rig = silent_rig()
    rig.tell(start())
    [error] = rig.answer_of(rig.tell(start("start-2", "lee"))).errors
    waits = "a start by kim waits for the answers of gate, executor and strategy"
    assert (error.path, error.found) == ("breaker", waits)


def test_the_same_request_delivered_twice_is_one_start() -> None:
    rig = silent_rig()
    rig.tell(start())
    assert rig.tell(start()) == []


def test_a_halt_while_members_prepare_refuses_the_start() -> None:
    rig = silent_rig()
    rig.tell(start())
    answer = rig.answer_of(rig.tell(halt()))
    assert (answer.request_id, answer.is_ok) == ("start-1", False)
    assert rig.tell(*(prepared(name) for name in MEMBERS)) == []


def test_an_epoch_that_the_server_did_not_store_is_never_announced() -> None:
    rig = silent_rig()
    rig.tell(start(), prepared("gate"), prepared("executor"))
    rig.log.handle(halt(), rig.now_ns)  # stored after the read, and not heard by the arbiter
    said = rig.tell(prepared("strategy"))
    assert kinds(said) == ["EpochProposed", "ControlAnswered"]
    [error] = rig.answer_of(said).errors
    assert error.found == "it ends at record 1, and record 0 was the last one seen"


def test_an_epoch_stored_after_its_start_was_given_up_is_not_announced() -> None:
    rig = silent_rig()
    rig.tell(start())
    rig.log.hears = frozenset()
    rig.tell(*(prepared(name) for name in MEMBERS))
    rig.tell(halt())
    assert rig.tell(EpochStored(at_ns=S_NS, epoch=1, stream_seq=1)) == []
    assert report(rig).epoch == 0


def test_a_control_stream_that_does_not_answer_refuses_the_start() -> None:
    rig = silent_rig()
    rig.log.hears = frozenset()
    rig.tell(start())
    [error] = rig.answer_of(rig.wait(3 * S_NS)).errors
    assert (error.path, error.found) == ("control stream", "no answer within 3000 ms")


def test_a_refusal_of_another_epoch_changes_nothing() -> None:
    rig = silent_rig()
    rig.tell(start())
    assert rig.tell(EpochRefused(at_ns=0, epoch=4, detail="late")) == []


def storing(rig: ControlRig) -> ControlRig:
    """Let a start come as far as its epoch's record, which no server has answered."""
    rig.are_members_up = False
    rig.start_count += 1
    start_id = f"start-{rig.start_count}"
    rig.tell(start(start_id))
    rig.log.hears = frozenset()
    rig.tell(*(prepared(name, start_id) for name in MEMBERS))
    return rig


def test_only_the_answer_about_its_own_epoch_ends_the_storing() -> None:
    rig = storing(ControlRig().ready())
    assert rig.tell(EpochRefused(at_ns=0, epoch=4, detail="late")) == []
    assert rig.tell(EpochStored(at_ns=0, epoch=4, stream_seq=4)) == []
    said = rig.tell(EpochStored(at_ns=0, epoch=1, stream_seq=1))
    assert kinds(said) == ["EpochStarted", "ControlAnswered"]
    assert only(EpochStarted, said).stream_seq == 1


def test_an_epoch_stored_after_its_start_was_given_up_ends_the_one_before() -> None:
    rig = ControlRig().ready()
    rig.run()
    storing(rig).wait(3 * S_NS)
    said = rig.tell(EpochStored(at_ns=0, epoch=2, stream_seq=2))
    why = "a start that was given up is stored after it"
    assert only(EpochEnded, said) == EpochEnded(at_ns=rig.now_ns, epoch=1, reason=why)


def test_the_word_that_the_epoch_in_force_is_stored_may_come_twice() -> None:
    rig = ControlRig().ready()
    rig.run()
    assert rig.tell(EpochStored(at_ns=0, epoch=1, stream_seq=1)) == []
    assert rig.ask().is_granted


@pytest.mark.parametrize("are_asked", [False, True], ids=["nobody starts", "members prepare"])
def test_word_of_a_record_that_no_start_waits_for_changes_nothing(are_asked: bool) -> None:
    rig = silent_rig()
    if are_asked:
        rig.tell(start())
    said = rig.tell(
        EpochStored(at_ns=0, epoch=4, stream_seq=4), EpochRefused(at_ns=0, epoch=4, detail="late")
    )
    assert said == []


def test_the_epoch_has_three_seconds_to_be_stored_from_when_it_was_proposed() -> None:
    rig = silent_rig()
    rig.tell(start())
    rig.wait(S_NS)
    rig.log.hears = frozenset()
    rig.tell(*(prepared(name) for name in MEMBERS))
    assert [e for e in rig.wait(3 * S_NS - 1) if isinstance(e, ControlAnswered)] == []
    [error] = rig.answer_of(rig.wait(1)).errors
    assert (error.path, error.found) == ("control stream", "no answer within 3000 ms")


def test_an_epoch_that_was_not_stored_is_never_proposed_again() -> None:
    rig = storing(ControlRig().ready())
    rig.wait(3 * S_NS)
    del rig.log.hears
    storing(rig)
    proposed = [each.start.epoch for each in rig.said if isinstance(each, EpochProposed)]
    assert proposed == [1, 2]


def test_while_the_epoch_is_stored_no_answer_of_a_member_proposes_it_anew() -> None:
    rig = storing(ControlRig().ready())
    assert rig.tell(prepared("gate"), prepared("executor"), prepared("strategy")) == []


def test_while_members_prepare_no_later_read_asks_them_anew() -> None:
    rig = silent_rig()
    rig.tell(start())
    assert kinds(rig.tell(question("gate"))) == ["ControlSequenceAsked", "LeaseAnswered"]


def test_the_control_stream_has_three_seconds_to_answer() -> None:
    rig = silent_rig()
    rig.log.hears = frozenset()
    rig.tell(start())
    assert [e for e in rig.wait(3 * S_NS - 1) if isinstance(e, ControlAnswered)] == []
    assert not rig.answer_of(rig.wait(1)).is_ok


@pytest.mark.parametrize(("number", "is_ended"), [(2, False), (3, True)])
def test_the_record_of_an_epoch_being_stored_is_ours_and_that_of_another_is_not(
    number: int, is_ended: bool
) -> None:
    rig = ControlRig().ready()
    rig.run()
    storing(rig)
    said = rig.tell(ControlRecordRead(at_ns=0, stream_seq=2, epoch=number))
    assert ("EpochEnded" in kinds(said)) is is_ended


def test_a_record_of_another_epoch_while_members_prepare_ends_the_one_in_force() -> None:
    rig = ControlRig().ready()
    rig.run()
    rig.are_members_up = False
    rig.tell(start("start-2"))
    said = rig.tell(ControlRecordRead(at_ns=0, stream_seq=2, epoch=2))
    assert only(EpochEnded, said).reason == (
        "record 2 of the control stream starts another epoch, 2"
    )


def test_a_start_without_a_recorder_is_refused() -> None:
    rig = ControlRig()
    [error] = rig.answer_of(rig.tell(start())).errors
    assert (error.path, error.found) == ("recorder", "never heard of")


def test_a_start_on_a_full_disk_is_refused() -> None:
    least = (1 << 62) + 1
    rig = ControlRig(breaker_core(BreakerConfig(disk_free_bytes_min=least))).ready()
    [error] = rig.answer_of(rig.tell(start())).errors
    assert (error.path, error.found) == ("disk", f"{1 << 62} bytes free")


def approving_rig() -> ControlRig:
    return ControlRig(breaker_core(BreakerConfig(start_approvals=2))).ready()


def test_a_start_that_needs_two_people_waits_for_the_second() -> None:
    rig = approving_rig()
    [error] = rig.answer_of(rig.tell(start("start-1", "kim", strategy="ema_cross"))).errors
    assert error == FieldError(
        path="$.operator",
        found="asked by kim alone",
        wanted="a second person who asks for the same within 300 s",
    )
    assert rig.answer_of(rig.tell(start("start-2", "lee", strategy="ema_cross"))).is_ok


@pytest.mark.parametrize(
    ("second", "strategy", "later_ns"),
    [("kim", "ema_cross", 0), ("lee", "other", 0), ("lee", "ema_cross", 300 * S_NS)],
    ids=["the same person", "another start", "too late"],
)
def test_a_second_approval_must_be_by_another_for_the_same_in_time(
    second: str, strategy: str, later_ns: int
) -> None:
    rig = approving_rig()
    rig.tell(start("start-1", "kim", strategy="ema_cross"))
    rig.now_ns += later_ns
    rig.tell(health("recorder"))
    assert not rig.answer_of(rig.tell(start("start-2", second, strategy=strategy))).is_ok


def report(rig: ControlRig) -> ArbiterReported:
    return rig.core.describe(rig.now_ns)


def test_the_report_says_why_nobody_trades_yet() -> None:
    assert (report(ControlRig()).is_leasing, report(ControlRig()).detail) == (
        False,
        "no epoch is in force: start with `sluice start`",
    )


def test_the_report_of_a_running_epoch_has_nothing_to_complain_of() -> None:
    rig = ControlRig().ready()
    rig.run()
    found = report(rig)
    assert (found.breaker_state, found.epoch, found.is_leasing, found.detail) == (
        BreakerState.NORMAL,
        1,
        True,
        "",
    )


def test_everyone_is_asked_with_the_very_request() -> None:
    rig = silent_rig()
    said = rig.tell(start(strategy="ema_cross"))
    asked = StartRequest(operator="kim", strategy="ema_cross")
    assert said[-1] == PrepareAsked(at_ns=S_NS, start_id="start-1", request=asked)
    assert said[0] == ControlSequenceAsked(at_ns=S_NS, read_id=1)


def test_patience_is_measured_from_each_step() -> None:
    rig = silent_rig()
    rig.tell(start())
    assert rig.core.wake_at_ns == 3 * S_NS
    rig.wait(1_999 * MS_NS)
    rig.tell(prepared("gate"))
    assert rig.core.wake_at_ns == 3 * S_NS
