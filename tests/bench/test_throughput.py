"""Throughput: what the live gate decides is counted, and what it loses or doubles fails the run."""

import asyncio
import re
from collections.abc import Sequence

import pytest

from schemas.base import Event, OrderId
from schemas.errors import BusError
from schemas.ids import order_id_of
from schemas.orders import Order, OrderApproved, Outcome, SignalDecided, SignalRaised
from schemas.subjects import subject_of
from schemas.wire import encode_frame
from services.bench import main, throughput, throughput_sink
from services.bench.server import nats_server
from services.bench.throughput_flood import DONE, STOP, signal
from services.bench.throughput_sink import TOLD_EVERY, Counted, Tally, sink
from services.runtime.config import BusConfig
from services.runtime.connect import connect

pytestmark = [pytest.mark.bench, pytest.mark.req("G-10", "X-09")]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "SECONDS", 0.3)
    monkeypatch.setattr(throughput, "BARE_SECONDS", 0.2)


@pytest.mark.usefixtures("short")
def test_every_signal_is_decided_once_one_a_message_and_in_frames() -> None:
    result = throughput.run(1)
    assert result.failure == ""
    ways = ("one_a_message", "frames")
    figures = ("per_s", "events_count", "decision_bytes")
    spread = {"spread_one_a_message_per_s"}
    assert set(result.value) == {f"{way}_{each}" for way in ways for each in figures} | spread
    assert set(result.yardstick) == {f"{way}_per_s" for way in ways} | spread
    assert set(result.ratio) == set(ways)
    assert result.value["one_a_message_events_count"] == 1
    assert result.value["frames_events_count"] > 1, "frames formed"


@pytest.mark.usefixtures("short")
def test_a_gate_that_answers_a_signal_otherwise_than_by_an_order_is_no_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(throughput, "signal", early)
    assert not main.run(["throughput"], rounds=1)
    said = capsys.readouterr().out
    assert said.startswith("throughput: FAILED, no figure: SLU-123")
    assert re.search(r"found: rejected by signal_new: (\d+), \1 orders lost, wanted", said), said


def early(number: int, at_ns: int, prefix: str) -> SignalRaised:
    """Return a signal of the flood's own, before the flood: the gate knows it when it comes."""
    return signal(number, at_ns)


def answers(
    number: int, outcome: Outcome = Outcome.APPROVED
) -> tuple[SignalDecided, OrderApproved]:
    """Return what a gate says to the signal of this number."""
    asked = signal(number, 1)
    order_id: OrderId = order_id_of(asked.account, asked.session, asked.signal_id, 0)
    decision = SignalDecided(
        at_ns=1,
        signal_id=asked.signal_id,
        account=asked.account,
        session=asked.session,
        instrument=asked.instrument,
        outcome=outcome,
        order_id=order_id,
        rule="all" if outcome is Outcome.APPROVED else "order_notional",
        epoch=1,
        side=asked.side,
        quantity=asked.quantity,
    )
    order = Order(
        order_id=order_id,
        account=asked.account,
        session=asked.session,
        signal_id=asked.signal_id,
        instrument=asked.instrument,
        side=asked.side,
        quantity=asked.quantity,
        expires_at_ns=2,
    )
    return decision, OrderApproved(at_ns=1, order=order, epoch=1, gate_token=1)


def counted_of(frames: Sequence[Sequence[Event]], raised: int) -> tuple[Counted, list[int]]:
    """Return what a real sink counts of these frames, and what it tells the flood meanwhile."""

    async def run(url: str) -> tuple[Counted, list[int]]:
        connection = await connect("gate", BusConfig(url=url))
        told: list[int] = []
        await connection.take(DONE, lambda _subject, data, _reply: told.append(int(data)))
        ready = asyncio.Event()
        counting = asyncio.ensure_future(sink(url, ready.set))
        await ready.wait()
        for frame in frames:
            connection.send(subject_of(frame[0]), encode_frame(frame))
        connection.send(STOP, str(raised).encode())
        found = await counting
        await connection.flush()
        await connection.close()
        return found, told

    with nats_server() as url:
        return asyncio.run(run(url))


def test_the_sink_counts_every_answer_and_tells_the_flood_to_go_on() -> None:
    pairs = [answers(number) for number in range(TOLD_EVERY)]
    decisions, orders = (list(each) for each in zip(*pairs, strict=True))
    found, told = counted_of([decisions, orders], TOLD_EVERY)
    assert (found.faults(), told) == ("", [TOLD_EVERY])
    counts = [(each.count, each.messages) for each in (found.decisions, found.orders)]
    assert counts == [(TOLD_EVERY, 1)] * 2
    assert found.decisions.bytes == len(encode_frame(decisions))


def test_the_sink_sees_what_is_lost_doubled_out_of_order_and_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throughput_sink, "QUIET_S", 0.2)
    decisions = {number: answers(number)[0] for number in range(30)}
    refused, _ = answers(3, Outcome.REJECTED)
    orders = {number: answers(number)[1] for number in range(30)}
    heard: list[SignalDecided] = [
        decisions[0],
        decisions[11],
        decisions[1],
        decisions[0],
        refused,
        decisions[2],
    ]
    found, told = counted_of([[each] for each in (*heard, orders[0], orders[2], orders[2])], 12)
    assert told == []
    assert found == Counted(
        raised=12,
        decisions=Tally(count=5, doubled=1, reordered=1, messages=6, bytes=sum(map(size, heard))),
        orders=Tally(count=2, doubled=1, messages=3, bytes=size(orders[0]) + 2 * size(orders[2])),
        rejected={"order_notional": 1},
        last_ns=found.last_ns,
    )
    faults = (
        "rejected by order_notional: 1, 7 decisions lost, 1 decisions doubled, "
        "1 decisions out of order, 10 orders lost, 1 orders doubled"
    )
    assert found.faults() == faults
    with pytest.raises(BusError) as error:
        throughput.require_whole(found, 12)
    assert error.value.fields["found"] == faults


def size(event: Event) -> int:
    return len(encode_frame([event]))
