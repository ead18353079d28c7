"""What the record says about an order, a session, a person; found in its files alone."""

import json
from pathlib import Path

import pytest

from schemas.base import OrderId
from schemas.executions import OutcomeRecorded
from services.cli.app import make_app
from services.recorder.chain import Message
from services.recorder.config import RecorderConfig
from services.recorder.journal import Journal
from services.recorder.key_file import ensure_record_key
from services.recorder.search import Query, order_trail, search
from services.recorder.witness import Witness
from services.runtime.journal import Journal as ServiceJournal

pytestmark = pytest.mark.req("R-01", "A-06")


def step(subject: str, payload: object) -> tuple[str, bytes]:
    return subject, json.dumps(payload).encode()  # with spaces: as people's tools publish


CONFIRMED = [
    step("risk.limits", {"type": "LimitsChanged", "operator": "lea", "change_seq": 1}),
    step(
        "session.s-2.awaiting",
        {"type": "SignalAwaiting", "session": "s-2", "signal": {"signal_id": "s-2-1"}},
    ),
    step(
        "session.s-2.confirmed",
        {"type": "SignalConfirmed", "session": "s-2", "signal_id": "s-2-1", "operator": "max"},
    ),
    step("signal.s-2.ALPHA", {"type": "SignalRaised", "signal_id": "s-2-1", "session": "s-2"}),
    step(
        "risk.decision.s-2",
        {"type": "SignalDecided", "signal_id": "s-2-1", "session": "s-2", "order_id": "o7"},
    ),
    step("risk.limits", {"type": "LimitsChanged", "operator": "ned", "change_seq": 2}),
]
"""An order that waited for a person; whoever moved a limit before it was decided has a part."""

STEPS = [
    step("control.start", {"operator": "kim", "reason": "open"}),
    step("control.epoch", {"type": "EpochStarted", "epoch": 3, "operator": "kim", "start_id": "a"}),
    step("control.start", {"operator": "ann", "reason": "again"}),
    step("control.epoch", {"type": "EpochStarted", "epoch": 4, "operator": "ann", "start_id": "b"}),
    step("session.s-1.created", {"type": "SessionCreated", "session": "s-1", "strategy": "ema"}),
    step(
        "signal.s-1.ALPHA",
        [
            {"type": "SignalRaised", "signal_id": "s-1-1", "session": "s-1", "why": "up"},
            {"type": "SignalRaised", "signal_id": "s-1-10", "session": "s-1", "why": "down"},
        ],
    ),
    step(
        "risk.decision.s-1",
        {
            "type": "SignalDecided",
            "signal_id": "s-1-1",
            "session": "s-1",
            "order_id": "o1",
            "epoch": 4,
            "readings": [{"check": "notional", "is_ok": True, "value": "9", "limit": "10"}],
        },
    ),
    step(
        "order.sim.paper",
        {"type": "OrderApproved", "epoch": 4, "order": {"order_id": "o1", "signal_id": "s-1-1"}},
    ),
    step("exec.sim.paper", {"type": "OrderFilled", "order_id": "o1", "execution_id": "o1-1"}),
    step("exec.sim.paper", {"type": "OrderFilled", "order_id": "o12", "execution_id": "o12-1"}),
    ("dead.letters", b"\xff o1"),
]


def write(folder: Path, steps: list[tuple[str, bytes]]) -> Journal:
    """Record the steps, one a second."""
    journal = Journal(folder, file_bytes_max=600)
    for seq, (subject, data) in enumerate(steps, start=1):
        journal.append([Message("X", seq, subject, seq * 10**9, data, 7)])
    journal.note(journal.head.n)
    journal.close()
    return journal


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data folder with these steps in its record, signed."""
    folder = tmp_path / "record"
    journal = write(folder, STEPS)
    witness = Witness(folder, ensure_record_key(tmp_path / "keys"), RecorderConfig())
    witness.look(journal.head, 10**18, is_last=True)
    return tmp_path


def found(data_dir: Path, query: Query) -> list[tuple[int, str]]:
    hits = search(data_dir / "record", query, lambda _count: None)
    return [(each.n, each.event.get("type", "")) for each in hits]


def test_an_order_is_shown_from_its_signal_to_its_executions_and_no_other(data_dir: Path) -> None:
    trail = order_trail(data_dir / "record", "o1", lambda _count: None)
    assert [(each.n, each.event["type"]) for each in trail.order] == [
        (6, "SignalRaised"),
        (7, "SignalDecided"),
        (8, "OrderApproved"),
        (9, "OrderFilled"),
    ]
    assert trail.order[0].event["why"] == "up"
    assert [each.event["operator"] for each in trail.authority] == ["ann", "ann"]
    assert [each.n for each in trail.session] == [5]


def test_an_order_is_shown_with_who_confirmed_it_and_who_moved_limits_before(
    tmp_path: Path,
) -> None:
    write(tmp_path / "record", CONFIRMED)
    trail = order_trail(tmp_path / "record", "o7", lambda _count: None)
    assert [(each.n, each.event["type"]) for each in trail.order] == [
        (2, "SignalAwaiting"),
        (4, "SignalRaised"),
        (5, "SignalDecided"),
    ]
    assert [each.event["operator"] for each in trail.authority] == ["lea", "max"]


def test_a_search_matches_subject_time_text_and_fields(data_dir: Path) -> None:
    assert found(data_dir, Query(subject="exec.>")) == [(9, "OrderFilled"), (10, "OrderFilled")]
    assert found(data_dir, Query(fields=(("order_id", "o1"),))) == [
        (7, "SignalDecided"),
        (8, "OrderApproved"),
        (9, "OrderFilled"),
    ]
    assert found(data_dir, Query(fields=(("operator", "kim"),))) == [(1, ""), (2, "EpochStarted")]
    assert found(data_dir, Query(texts=("down",))) == [(6, "SignalRaised")]
    assert [n for n, _ in found(data_dir, Query(since_ns=3 * 10**9, until_ns=5 * 10**9))] == [3, 4]
    assert found(data_dir, Query(texts=("o1",), subject="dead.letters")) == [(11, "")]


def run(data_dir: Path, *arguments: str) -> int:
    app = make_app()
    code = app([*arguments, "--data-dir", str(data_dir)], result_action="return_value")
    return int(code)


def test_the_commands_answer_people_and_programs(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for account in ("", "accounts/first"):  # one is traded now, one was before
        journal = ServiceJournal(data_dir / "state" / account / "executor.jsonl")
        list(journal.read())
        journal.append([OutcomeRecorded(at_ns=1, order_id=OrderId("o1"), is_sent=True)])
        journal.close()
    assert run(data_dir, "audit", "show", "o1", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert [each["type"] for each in shown["intents"]] == ["OutcomeRecorded"] * 2
    assert [each["record"] for each in shown["order"]] == [6, 7, 8, 9]
    assert run(data_dir, "audit", "search", "--operator", "ann", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["record"] for each in lines] == [3, 4]
    assert run(data_dir, "audit", "verify", "--json") == 6
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["is_whole"], verdict["is_anchored"], verdict["signed"]) == (None, False, 11)
    key = str(data_dir / "record" / "record.pub")
    assert run(data_dir, "audit", "verify", "--public-key", key) == 0


def test_a_damaged_record_is_said_with_its_number(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sorted((data_dir / "record").glob("chain-*"))[0]
    path.write_bytes(path.read_bytes().replace(b"kim", b"kin", 1))
    assert run(data_dir, "audit", "verify") == 1
    assert capsys.readouterr().out.startswith("DAMAGED: record 1: ")
