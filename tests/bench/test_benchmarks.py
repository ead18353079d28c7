"""The benchmarks run, account for every event, and never fail on a time."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from schemas.base import Event, ExecutionId, OrderId
from schemas.errors import UserError
from schemas.executions import Liquidity, OutcomeRecorded
from schemas.orders import Side
from schemas.venue import VenueFilled
from schemas.wire import encode
from services.bench import chain, fused, gate, main, record, recover
from services.bench.result import Result, latencies_us, middle, percentile
from services.bench.stand import ORDER_PATH, SERVICES
from tests.builders import ALPHA, dec


def test_percentiles_are_taken_by_nearest_rank() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0), percentile(values, 0.5), percentile(values, 1)) == (1, 51, 100)
    assert latencies_us([3_000, 1_000, 2_000]) == {"p50_us": 2.0, "p99_us": 3.0, "max_us": 3.0}


def test_the_middle_of_rounds_comes_with_its_spread() -> None:
    rounds = [{"a_us": 1.0, "b_us": 5.0}, {"a_us": 4.0, "b_us": 6.0}, {"a_us": 2.0, "b_us": 7.0}]
    assert middle(rounds) == {"a_us": 2.0, "b_us": 6.0, "spread_a_us": 3.0}


@pytest.mark.bench
@pytest.mark.req("G-10")
def test_the_gate_decides_every_signal_of_its_benchmark() -> None:
    result = gate.run(1)
    assert result.failure == ""
    assert set(result.value) >= {"small_p50_us", "small_p99_us", "large_p50_us", "large_p99_us"}


@pytest.mark.bench
def test_a_backtest_loses_no_quote_and_no_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "QUOTES", 20_000)
    result = fused.run(1)
    assert result.failure == ""
    assert result.value["orders_count"] > 100
    assert set(result.ratio) == {"idle", "trading", "streamed"}


@pytest.mark.bench
def test_the_chain_loses_no_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "RATES_PER_S", (200,))
    result = chain.run(1)
    assert result.failure == ""
    assert set(result.ratio) == {"at_200_p50", "at_200_p99"}


def test_a_round_of_the_chain_starts_each_system_once_for_both_rates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[Sequence[int], Sequence[str]]] = []

    async def ours(
        rates: Sequence[int], services: Sequence[str] = ORDER_PATH
    ) -> dict[int, list[int]]:
        asked.append((rates, services))
        return {rate: [rate * len(services)] for rate in rates}

    async def bare(*_: object) -> list[int]:
        return [1_000]

    monkeypatch.setattr(chain, "order_latencies_ns", ours)
    monkeypatch.setattr(chain, "relay_latencies_ns", bare)
    monkeypatch.setattr(chain, "sync_ns", lambda: [2_000])
    monkeypatch.setattr(chain, "nats_server", lambda: contextlib.nullcontext("url"))
    result = chain.run(2)
    path, all_of_them = ORDER_PATH, SERVICES
    assert asked == [(chain.RATES_PER_S, path), (chain.RATES_PER_S, all_of_them)] * 2
    for rate in (500, 2_000):
        assert result.value[f"at_{rate}_p50_us"] == round(rate * len(path) / 1_000, 2)
        whole_us = round(rate * len(all_of_them) / 1_000, 2)
        assert result.value[f"whole_system_at_{rate}_p50_us"] == whole_us
        assert result.yardstick[f"at_{rate}_p50_us"] == 1.0
        assert result.yardstick[f"sync_at_{rate}_p50_us"] == 2.0


def test_what_venue_and_executor_disagree_about_is_lost_and_what_is_there_twice_is_doubled(
    tmp_path: Path,
) -> None:
    def journal(name: str, *events: Event) -> None:
        lines = (b'{"crc":"00000000","event":%b}\n' % encode(event) for event in events)
        (tmp_path / name).write_bytes(b"".join(lines))

    told = VenueFilled(
        at_ns=1,
        order_id=OrderId("o1"),
        execution_id=ExecutionId("e1"),
        instrument=ALPHA,
        side=Side.BUY,
        price=dec(1),
        quantity=dec(1),
        leaves=dec(0),
        fee=dec(0),
        liquidity=Liquidity.TAKER,
    )
    sent = OutcomeRecorded(at_ns=1, order_id=OrderId("o1"), is_sent=True)
    journal("venue.jsonl", told)
    journal("executor.jsonl", sent, sent)
    assert recover.losses(tmp_path) == {
        "orders_count": 0,
        "executions_count": 1,
        "executions_lost_count": 1,
        "doubled_count": 1,
    }


def test_an_unknown_benchmark_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError) as caught:
        main.run(["speed"])
    names = "chain, gate, throughput, fused, halt, recover, footprint, sessions, queries, record"
    assert caught.value.fields["wanted"] == f"one of {names}"


def test_figures_are_written_as_json_with_their_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Result(
        value={"p50_us": 2.0}, yardstick={"p50_us": 1.0}, ratio={"p50": 2.0}, goal="fast", ok=True,
        rounds=1,
    )  # fmt: skip
    monkeypatch.setitem(main.BENCHMARKS, "gate", lambda rounds: made)
    assert main.run(["gate"], tmp_path / "figures.json")
    written = msgspec.json.decode((tmp_path / "figures.json").read_bytes())
    assert written["gate"]["value"] == {"p50_us": 2.0}
    assert set(written["machine"]) >= {"cores", "python", "nats_server"}
    assert capsys.readouterr().out.startswith("gate: reached: fast\n")


@pytest.mark.bench
@pytest.mark.req("R-01")
def test_the_record_holds_every_frame_that_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RATE_PER_S", 3_200)
    monkeypatch.setattr(record, "SECONDS", 1)
    result = record.run(1)
    assert (result.failure, result.value["events"]) == ("", 3_200)
