"""Decisions on paper and in the replay, one by one: equal, different, only on one side (S-05)."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import Event, ExecutionId, OrderId, SessionId
from schemas.control import EpochEnded, Prepared, StartRequest
from schemas.errors import FieldError, UserError
from schemas.executions import OrderFilled, PositionView
from schemas.orders import OrderType, Outcome, Side, SignalDecided, SignalRaised
from schemas.sessions import (
    PositionsAdopted,
    SessionCreated,
    SessionState,
    SessionStateChanged,
)
from schemas.wire import decode_kept
from services.cli.exits import Exit
from services.cli.output import Output
from services.cli.parity import shown
from services.parity.compare import Decision, Verdict, compared, decisions
from services.parity.replay import ReplayTerms, replayed
from services.parity.tape import Tape, tape_of
from services.parity.terms import Terms, changed
from services.strategy.catalogue import Catalogue
from services.strategy.config import StrategyConfig
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, quote
from tests.fused_rig import GATE, system
from tests.parity_rig import messages
from tests.strategy_rig import INSTRUMENTS

pytestmark = pytest.mark.req("S-05")
START_NS = 1_000 * S_NS
SESSION = SessionId("ema_cross-1")


def decision(quantity: str, at_ns: int = 0, **fields: Any) -> Decision:
    whole: dict[str, Any] = {
        "instrument": ALPHA,
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "outcome": Outcome.APPROVED,
        "rule": "all",
        "approved_quantity": Decimal(quantity),
    }
    return Decision(at_ns=at_ns, quantity=Decimal(quantity), **whole | fields)


def verdicts(paper: list[Decision], replay: list[Decision]) -> list[tuple[str, tuple[str, ...]]]:
    return [(row.verdict.value, row.fields) for row in compared(paper, replay)]


def test_the_same_decisions_are_equal_whenever_they_came() -> None:
    paper = [decision("1", 10), decision("2", 20)]
    replay = [decision("1", 11), decision("2", 19)]
    assert verdicts(paper, replay) == [("equal", ())] * 2


def test_another_word_of_the_gate_differs_and_says_in_what() -> None:
    said: dict[str, Any] = {
        "outcome": Outcome.REJECTED,
        "rule": "price_collar",
        "approved_quantity": Decimal(0),
    }
    found = verdicts([decision("1")], [decision("1", **said)])
    assert found == [("differs", ("outcome", "rule", "approved_quantity"))]


def test_one_that_is_missing_on_a_side_does_not_spoil_those_around_it() -> None:
    paper = [decision("1", 1), decision("2", 2), decision("3", 3)]
    assert verdicts(paper, [paper[0], paper[2]]) == [
        ("equal", ()),
        ("only on paper", ()),
        ("equal", ()),
    ]
    assert verdicts([paper[0], paper[2]], paper) == [
        ("equal", ()),
        ("only in the replay", ()),
        ("equal", ()),
    ]


def test_which_instrument_came_first_within_a_moment_says_nothing() -> None:
    one, other = decision("1", 1), decision("1", 1, instrument=BETA)
    assert verdicts([one, other], [other, one]) == [("equal", ())] * 2


def test_a_decision_of_another_size_differs_in_it() -> None:
    found = verdicts([decision("1")], [decision("2")])
    assert found == [("differs", ("quantity", "approved_quantity"))]


# a record, as a run of the whole system leaves it


def recorded(seconds: int = 600) -> list[Event]:
    """Return everything that was said in a run on a market that swings."""
    journal: list[bytes] = []
    found = system(INSTRUMENTS.values(), journal)
    request = StartRequest(
        operator="kim", strategy="ema_cross", symbols=(ALPHA,), initial_capital=Decimal(100_000)
    )
    found.run(market(seconds), request)
    return [decode_kept(line, where="journal") for line in journal]


def market(seconds: int) -> list[Event]:
    made: list[Event] = []
    for second in range(seconds):
        middle = 100 + (second % 80 if second % 80 < 40 else 80 - second % 80) / 8
        at_ns = START_NS + second * S_NS
        made.append(quote(f"{middle - 0.01:.2f}", f"{middle + 0.01:.2f}", at_ns=at_ns))
    return made


RUN = recorded()


def tape(events: list[Event]) -> Tape:
    return tape_of(SESSION, messages(events), [])


def rows(events: list[Event]) -> list[str]:
    found = tape(events)
    terms = ReplayTerms(
        account=ACCOUNT,
        currency="USD",
        instruments=INSTRUMENTS,
        gate=GATE,
        strategy=StrategyConfig(),
    )
    again = replayed(found, terms, Catalogue())
    left = decisions(found.signals, found.decided)
    return [row.verdict.value for row in compared(left, decisions(again.signals, again.decided))]


def test_a_recorded_session_decided_again_is_equal_in_every_decision() -> None:
    found = rows(RUN)
    assert len(found) >= 5
    assert set(found) == {Verdict.EQUAL}


def test_a_decision_that_was_changed_in_the_record_is_found() -> None:
    changed = [
        msgspec.structs.replace(e, quantity=e.quantity + 1) if isinstance(e, SignalRaised) else e
        for e in RUN
    ]
    assert Verdict.EQUAL not in rows(changed)


def test_a_strategy_with_other_parameters_decides_otherwise() -> None:
    changed: list[Event] = []
    for event in RUN:
        if isinstance(event, SessionCreated):
            other = event.parameters | {"slow": 60}
            event = msgspec.structs.replace(event, parameters=other)
        changed.append(event)
    assert set(rows(changed)) != {Verdict.EQUAL}


@pytest.mark.req("S-18")
def test_a_capital_in_another_share_class_is_worth_what_it_was_then() -> None:
    ether = [
        msgspec.structs.replace(
            e, share_class="ETH", capital_unit=Decimal(2_000), initial_capital=Decimal(50)
        )
        if isinstance(e, SessionCreated)
        else e
        for e in RUN
    ]
    assert set(rows(ether)) == {Verdict.EQUAL}  # 50 ETH of 2,000 are the 100,000 of the record
    dearer = [
        msgspec.structs.replace(e, capital_unit=Decimal(3_000))
        if isinstance(e, SessionCreated)
        else e
        for e in ether
    ]
    assert Verdict.EQUAL not in rows(dearer)


def test_a_denial_that_was_an_approval_in_the_record_is_found() -> None:
    changed = [
        msgspec.structs.replace(e, outcome=Outcome.REJECTED, rule="hours")
        if isinstance(e, SignalDecided)
        else e
        for e in RUN
    ]
    assert set(rows(changed)) == {Verdict.DIFFERS}


def test_what_comes_after_a_halt_or_the_end_of_the_epoch_is_not_compared() -> None:
    cut_ns = START_NS + 100 * S_NS
    ended = EpochEnded(at_ns=cut_ns, epoch=1, reason="gate restarted")
    early = [e for e in RUN if e.at_ns <= cut_ns]
    late = [e for e in RUN if e.at_ns > cut_ns]
    found = tape([*early, ended, *late])
    assert (found.until_ns, found.cut_by) == (cut_ns, "the end of its epoch")
    assert all(each.at_ns <= cut_ns for each in (*[e for _, e in found.market], *found.signals))


def test_a_stop_is_the_sessions_own_end() -> None:
    stop_ns = START_NS + 100 * S_NS
    stopped = SessionStateChanged(
        at_ns=stop_ns,
        session=SESSION,
        strategy="ema_cross",
        account=ACCOUNT,
        state=SessionState.STOPPED,
        operator="kim",
    )
    found = tape([e for e in RUN if e.at_ns <= stop_ns] + [stopped])
    assert (found.until_ns, found.cut_by, found.changes) == (stop_ns, "", [stopped])


def test_an_unknown_session_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        tape_of(SessionId("nobody"), messages(RUN), [])
    assert error.value.fields["wanted"] == "one of ema_cross-1"


def test_a_record_without_a_market_says_what_to_set() -> None:
    bare = [e for e in RUN if getattr(e, "instrument", None) != ALPHA or not _is_quote(e)]
    with pytest.raises(UserError) as error:
        tape(bare)
    assert "recorder.chain_market = true" in str(error.value.fields["wanted"])


def _is_quote(event: Event) -> bool:
    return type(event).__name__ == "QuoteReceived"


BETA_QUOTES = [quote(at_ns=START_NS + n * S_NS, instrument=BETA) for n in range(600)]


def test_what_the_account_neither_held_nor_traded_is_not_played() -> None:
    found = tape([*RUN, *BETA_QUOTES])
    assert {getattr(each.event, "instrument", None) for each in found.market} == {ALPHA}


@pytest.mark.parametrize("has_its_price", [True, False])
def test_what_another_session_holds_has_the_price_that_it_had(has_its_price: bool) -> None:
    """Without one the gate does not know the account's exposure, and denies."""
    bought = next(event for event in RUN if isinstance(event, OrderFilled))
    held = msgspec.structs.replace(
        bought,
        at_ns=START_NS + S_NS,
        session=SessionId("other-1"),
        instrument=BETA,
        order_id=OrderId("another"),
        execution_id=ExecutionId("another"),
    )
    found = rows([*RUN, held, *(BETA_QUOTES if has_its_price else ())])
    assert (set(found) == {Verdict.EQUAL}) is has_its_price


def test_a_replay_ends_where_the_position_changed_by_no_order_of_the_session() -> None:
    cut_ns = START_NS + 100 * S_NS
    closed = PositionView(instrument=ALPHA, quantity=Decimal(-1), average_price=Decimal(100))
    taken = PositionsAdopted(at_ns=cut_ns, session=SESSION, positions=(closed,))
    found = tape(sorted([*RUN, taken], key=lambda event: event.at_ns))
    assert (found.until_ns, found.cut_by) == (
        cut_ns,
        "what it held changed by no order of its own",
    )
    assert found.adopted == []


def test_what_a_session_took_over_at_its_beginning_counts_once() -> None:
    """Twice, the replay would hold what the session never did, and decide something else."""
    [created] = [each for each in RUN if isinstance(each, SessionCreated)]
    held = PositionView(instrument=ALPHA, quantity=Decimal(1), average_price=Decimal(100))
    taken = PositionsAdopted(at_ns=created.at_ns, session=SESSION, positions=(held,))
    found = tape(sorted([*RUN, taken, taken], key=lambda event: event.at_ns))
    assert found.adopted == [taken]


# what it is decided again with


def now(found: Tape, **fields: str) -> list[FieldError]:
    """Return what has changed, with these terms in place of those the session had."""
    had = {
        "strategy_version": found.created.strategy_version,
        "config_hash": found.created.config_hash,
        "limits_hash": found.limits_hash,
    }
    assert all(had.values()), had
    return changed(found, Terms(**had | fields))


@pytest.mark.parametrize("name", ["strategy_version", "config_hash", "limits_hash"])
def test_other_code_or_configuration_is_named_with_both_hashes(name: str) -> None:
    found = tape(RUN)
    assert now(found) == []
    [error] = now(found, **{name: "0123"})
    assert (error.path, error.found, bool(error.wanted)) == (name, "0123", True)


def test_what_cannot_be_read_or_is_not_in_the_record_is_not_taken_for_the_same() -> None:
    found = tape([e for e in RUN if not isinstance(e, Prepared)])
    config_hash = found.created.config_hash
    terms = Terms(strategy_version="", config_hash=config_hash, limits_hash="0123")
    assert [(e.path, e.found, e.wanted) for e in changed(found, terms)] == [
        ("strategy_version", "cannot be read", found.created.strategy_version),
        ("limits_hash", "0123", "not in the record"),
    ]


OTHER = FieldError(path="config_hash", found="new", wanted="old")
EQUAL = compared([decision("1")], [decision("1")])


def said(*strangers: FieldError, as_json: bool) -> Exit:
    return shown(Output(as_json), tape(RUN), EQUAL, list(strangers))


def test_a_session_with_another_configuration_is_warned_of_first_and_is_no_success(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said(as_json=False) is Exit.OK
    assert capsys.readouterr().out.splitlines()[-1] == "all 1 decisions are equal"
    assert said(OTHER, as_json=False) is Exit.UNHEALTHY
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("WARNING: the session ran with something else")
    assert lines[1] == "  config_hash: found new; wanted old"
    assert lines[-1] == (
        "all 1 decisions are equal, but not with what the session ran with (config_hash)"
    )


def test_programs_are_told_of_another_configuration_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(OTHER, as_json=True) is Exit.UNHEALTHY
    document = json.loads(capsys.readouterr().out)
    assert list(document)[:3] == ["warning", "changed", "verdict"]
    assert document["changed"] == [{"path": "config_hash", "found": "new", "wanted": "old"}]
    assert "but not with what the session ran with" in document["verdict"]
    assert said(as_json=True) is Exit.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["warning"], document["changed"]) == ("", [])
