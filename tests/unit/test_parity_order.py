"""What was heard first, and which signal is which: an honest session is equal throughout (S-05)."""

import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from schemas.base import NS_PER_MS, Event, SignalId
from schemas.executions import ExecutionEvent
from schemas.ids import order_id_of
from schemas.market import StatesTold, Trading
from schemas.orders import OrderApproved, SignalDecided, SignalRaised
from schemas.sessions import SessionState, SessionStateChanged
from schemas.wire import decode_kept, encode
from services.cli.exits import Exit
from services.cli.output import Output
from services.cli.parity import shown
from services.parity.compare import NEAR_NS, Decision, Row, Verdict, compared
from tests.builders import ACCOUNT, ALPHA
from tests.parity_rig import LATE_MS, SESSION, START_NS, decided_again, lived, taped
from tests.unit.test_parity import decision

pytestmark = pytest.mark.req("S-05")
LATE = lived(LATE_MS)
"""Of a session that heard of its fills when the disk had them: it decided on what it knew."""

AT_ONCE = lived(0)


def counted(events: Sequence[Event], late_ms: int = LATE_MS) -> dict[Verdict, int]:
    return dict(Counter(row.verdict for row in decided_again(taped(events, late_ms))))


def signals(events: Sequence[Event]) -> list[SignalRaised]:
    return [each for each in events if isinstance(each, SignalRaised)]


def test_what_an_execution_overtook_on_its_way_was_decided_without_it() -> None:
    """Said before a quote, and on the disk after it: the strategy had the quote, and no fill."""
    assert counted(LATE) == {Verdict.EQUAL: len(signals(LATE))}
    assert len(signals(LATE)) > 50


def test_the_same_session_is_another_one_if_its_fills_are_told_as_they_were_said() -> None:
    """The order is no detail: what is compared here hangs on it."""
    assert counted(LATE, 0).keys() > {Verdict.EQUAL}


def test_what_hangs_on_an_order_that_the_record_does_not_know_is_told_as_that(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The server wrote it down late, and the strategy had it at once: both orders may have been."""
    tape = taped(AT_ONCE, LATE_MS)
    rows = decided_again(tape)
    found = Counter(row.verdict for row in rows)
    assert found.keys() == {Verdict.EQUAL, Verdict.ORDER}
    assert {row.within_ms for row in rows if row.verdict is Verdict.ORDER} == {LATE_MS}
    assert shown(Output(False), tape, rows, []) is Exit.UNHEALTHY
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{found[Verdict.ORDER]} of {len(rows)} hang on what was heard first within {LATE_MS} ms,"
        " which the record does not know"
    )


def test_what_a_busy_service_took_in_later_than_it_arrived_is_told_as_that_too() -> None:
    """At the server a quote was first, and at the strategy the fill: by three milliseconds."""
    found = counted(lived(299), 302)
    assert found.keys() == {Verdict.EQUAL, Verdict.ORDER}


def renumbered(events: Sequence[Event], after: int) -> list[Event]:
    """Return the same session with a number left out: its strategy was blocked once more."""
    text = b"\n".join(encode(event) for event in events)
    for number in range(len(signals(events)), after, -1):
        old, new = (SignalId(f"{SESSION}-{n}") for n in (number, number + 1))
        text = text.replace(f'"{old}"'.encode(), f'"{new}"'.encode())
        was, now = (order_id_of(ACCOUNT, SESSION, each, 0).encode() for each in (old, new))
        text = text.replace(was, now)
    return [decode_kept(line, where="journal") for line in text.split(b"\n")]


def test_a_signal_has_its_pair_by_what_it_is_and_not_by_its_number() -> None:
    """By number, each that follows is told what became of another, and the gate knows its id."""
    changed = renumbered(LATE, 5)
    assert [each.signal_id for each in signals(changed)][4:6] == [
        f"{SESSION}-5",
        f"{SESSION}-7",
    ]
    assert counted(changed) == {Verdict.EQUAL: len(signals(LATE))}


def without(events: Sequence[Event], number: int) -> list[Event]:
    """Return the record without a signal, but with what the venue did of it."""
    gone = f"{SESSION}-{number}"
    kinds = (SignalRaised, SignalDecided)
    return [e for e in events if not isinstance(e, kinds) or e.signal_id != gone]


def test_one_that_only_the_replay_has_is_found_and_changes_none_that_follow() -> None:
    assert counted(without(LATE, 5)) == {
        Verdict.EQUAL: len(signals(LATE)) - 1,
        Verdict.ONLY_REPLAY: 1,
    }


def test_one_of_another_size_is_found_and_changes_none_that_follow() -> None:
    def larger(event: Event) -> Event:
        if not isinstance(event, SignalRaised) or event.signal_id != f"{SESSION}-5":
            return event
        return msgspec.structs.replace(event, quantity=event.quantity + 1)

    rows = decided_again(taped([larger(each) for each in LATE], LATE_MS))
    [apart] = [row for row in rows if row.verdict is not Verdict.EQUAL]
    assert (apart.verdict, apart.fields) == (Verdict.DIFFERS, ("quantity",))
    assert len(rows) == len(signals(LATE))


def test_one_that_only_the_paper_has_is_found_and_changes_none_that_follow() -> None:
    """Nobody has it again: it came out of nothing, and nothing came of it."""
    first = signals(LATE)[5]
    more = msgspec.structs.replace(
        first, signal_id=SignalId(f"{SESSION}-900"), quantity=Decimal(7), limit_price=Decimal(9)
    )
    assert counted([*LATE, more]) == {
        Verdict.EQUAL: len(signals(LATE)),
        Verdict.ONLY_PAPER: 1,
    }


def test_a_decision_of_the_gate_that_was_another_is_found_alone() -> None:
    def smaller(event: Event) -> Event:
        if not isinstance(event, SignalDecided) or event.signal_id != f"{SESSION}-5":
            return event
        return msgspec.structs.replace(event, rule="hours")

    rows = decided_again(taped([smaller(each) for each in LATE], LATE_MS))
    assert [row.fields for row in rows if row.verdict is not Verdict.EQUAL] == [("rule",)]


def test_the_same_wish_at_quite_another_time_is_another_decision() -> None:
    paper, near, far = (decision("1", at_ns) for at_ns in (0, NEAR_NS, NEAR_NS + 1))
    assert [row.verdict for row in compared([paper], [near])] == [Verdict.EQUAL]
    assert [row.verdict for row in compared([paper], [far])] == [
        Verdict.ONLY_PAPER,
        Verdict.ONLY_REPLAY,
    ]


def test_what_the_feed_says_again_each_second_changes_nothing() -> None:
    told: list[Event] = [
        StatesTold(
            at_ns=START_NS + n * 1_000 * NS_PER_MS,
            source="simulated",
            since_ns=START_NS,
            trading={ALPHA: Trading.HALTED},
        )
        for n in range(60)
    ]
    assert counted(sorted([*LATE, *told], key=lambda e: e.at_ns)) == counted(LATE)


# where the record of a session ends that goes on


def late_row(at_ns: int) -> Row:
    return Row(verdict=Verdict.ONLY_REPLAY, replay=Decision(at_ns=at_ns, **_WISH))


_WISH = {
    name: getattr(decision("1"), name) for name in ("instrument", "side", "quantity", "order_type")
}


@pytest.mark.parametrize("is_over", [False, True])
def test_what_the_record_may_not_have_yet_is_not_called_a_difference(
    is_over: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = SessionStateChanged(
        at_ns=START_NS + 70_000 * NS_PER_MS,
        session=SESSION,
        strategy="ema_cross",
        account=ACCOUNT,
        state=SessionState.STOPPED,
        operator="kim",
    )
    going_on = [e for e in LATE if not isinstance(e, SessionStateChanged) or not _ends(e)]
    tape = taped([*going_on, ended] if is_over else going_on, LATE_MS)
    assert tape.is_over is is_over
    rows = compared([decision("1")], [decision("1")])
    last, before = late_row(tape.until_ns), late_row(tape.until_ns - NEAR_NS)
    code = shown(Output(True), tape, [*rows, last], [])
    said = json.loads(capsys.readouterr().out)
    found = (code, said["too_late"], said["counts"]["only in the replay"])
    assert found == ((Exit.UNHEALTHY, 0, 1) if is_over else (Exit.OK, 1, 0))
    assert shown(Output(True), tape, [*rows, before], []) is Exit.UNHEALTHY


def _ends(event: SessionStateChanged) -> bool:
    return event.state in (SessionState.STOPPED, SessionState.COMPLETED)


def test_nothing_of_the_record_is_left_out_here() -> None:
    """The rig's sessions approve and execute: what is equal above is no empty list."""
    kinds = Counter(type(each) for each in LATE)
    assert kinds[OrderApproved] == len(signals(LATE)) == kinds[SignalDecided]
    assert sum(isinstance(each, ExecutionEvent) for each in LATE) >= 2 * len(signals(LATE))
