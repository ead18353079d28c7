"""What a process exposes: counts that are exact, and what is unknown left out."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from schemas.base import BootId, Event, InstrumentId, SessionId
from schemas.control import BreakerState, ControlAnswered, TradingState
from schemas.errors import FieldError
from schemas.executions import OrderRefused, OrderRejected
from schemas.health import (
    AlertRaised,
    ArbiterReported,
    BreakerView,
    GateReported,
    LinkChanged,
    RecorderReported,
    SessionsReported,
    Severity,
)
from schemas.measures import SessionMeasure, Share
from schemas.orders import Outcome
from schemas.recording import AnchoringRead
from schemas.results import Figures
from schemas.sessions import SessionState
from services.cli.config_sections import METERED, MetricsChoice
from services.cli.processes import MODULES
from services.executor.facts import accepted, submitted
from services.executor.orders import Record
from services.recorder.core import RecorderCore
from services.runtime import meter as meters
from services.runtime.meter import LATENCY_BOUNDS_S, Latencies, Meter
from services.runtime.metric_families import process_families
from services.runtime.metric_reports import number_in, report_families
from tests.builders import order, quote
from tests.conftest import ROOT
from tests.report_rig import Life

pytestmark = pytest.mark.req("O-02")

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class _Fixed:
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def scraped(families: list[Metric]) -> Series:
    """What a server reads of these families: rendered to text, and parsed again."""
    registry = CollectorRegistry()
    registry.register(_Fixed(families))  # type-checked by use: anything with `collect`
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of_report(report: Event) -> Series:
    return scraped(list(report_families(report)))


def arbiter(*views: BreakerView, equity: Decimal | None = None) -> ArbiterReported:
    return ArbiterReported(
        at_ns=1, breaker_state=BreakerState.TRIPPED, halts=3, equity=equity, breakers=views
    )


def test_a_latency_falls_into_the_bucket_that_ends_at_or_above_it() -> None:
    found = Latencies()
    found.add(10_000)  # 10 us: the first bucket's very end
    found.add(10_001)
    found.add(11_000_000_000, times=2)  # beyond the last
    assert found.counts == [1, 1] + [0] * (len(LATENCY_BOUNDS_S) - 2) + [2]
    assert found.sum_ns == 22_000_020_001


def test_each_event_of_a_frame_counts_and_an_age_is_never_below_zero() -> None:
    meter = Meter()
    frame = [quote(at_ns=5), quote(at_ns=5), quote(at_ns=5)]
    meter.took_in(frame, now_ns=2)  # a clock that differs
    meter.published(frame)
    found = scraped(list(process_families({}, {}, meter)))
    kind = (("event", "QuoteReceived"),)
    assert found[("sluice_event_age_seconds_count", kind)] == 3
    assert found[("sluice_event_age_seconds_sum", kind)] == 0
    assert found[("sluice_events_published_total", kind)] == 3


def an_alert(at_ns: int = 1) -> AlertRaised:
    return AlertRaised(
        at_ns=at_ns, severity=Severity.CRITICAL, component="gate", code="SLU-121", message="no"
    )


def test_alerts_are_counted_by_code_and_severity() -> None:
    meter = Meter()
    meter.published([an_alert(), an_alert()])
    found = scraped(list(process_families({}, {}, meter)))
    labels = (("code", "SLU-121"), ("severity", "critical"))
    assert found[("sluice_alerts_total", labels)] == 2


def test_what_a_breaker_does_not_know_is_left_out_and_said_to_be_unknown() -> None:
    blind = BreakerView(name="drawdown", formula="", value="unknown", limit="-10.00 %")
    sees = BreakerView(
        name="order_rate",
        formula="",
        value="1,234",
        limit="6000",
        distance="4766 to halt at 6000",
        is_tripped=True,
    )
    found = of_report(arbiter(blind, sees))
    drawdown, rate = (("breaker", "drawdown"),), (("breaker", "order_rate"),)
    assert {key: value for key, value in found.items() if key[1] in (drawdown, rate)} == {
        ("sluice_breaker_tripped", drawdown): 0,
        ("sluice_breaker_tripped", rate): 1,
        ("sluice_breaker_known", drawdown): 0,
        ("sluice_breaker_known", rate): 1,
        ("sluice_breaker_value", rate): 1234,
        ("sluice_breaker_limit", drawdown): -10,
        ("sluice_breaker_limit", rate): 6000,
        ("sluice_breaker_distance", rate): 4766,
    }


def test_past_every_level_is_no_distance_at_all() -> None:
    view = BreakerView(name="a", formula="", value="7", limit="5", distance="past every level")
    assert of_report(arbiter(view))[("sluice_breaker_distance", (("breaker", "a"),))] == 0


def test_equity_that_nobody_knows_is_absent_and_not_zero() -> None:
    assert ("sluice_equity", ()) not in of_report(arbiter())
    assert of_report(arbiter(equity=Decimal("-12.5")))[("sluice_equity", ())] == -12.5


def test_a_state_is_one_series_a_word_and_one_of_them_is_on() -> None:
    found = of_report(arbiter())
    states = {key[1][0][1]: v for key, v in found.items() if key[0] == "sluice_breaker_state"}
    assert states == {"NORMAL": 0, "TRIPPED": 1, "MANUALLY_HALTED": 0, "RESETTING": 0}


def test_exposure_names_account_and_instrument_apart() -> None:
    report = GateReported(
        at_ns=1,
        trading_state=TradingState.RUNNING,
        epoch=1,
        limits_hash="",
        decided_count=7,
        approved_count=5,
        rejected_by_rule={"price_collar": 2},
        exposure={"paper sim:ALPHA": "1500.50"},
    )
    key = (("account", "paper"), ("instrument", "sim:ALPHA"))
    assert of_report(report) == {
        ("sluice_signals_decided_total", ()): 7,
        ("sluice_orders_approved_total", ()): 5,
        ("sluice_signals_rejected_total", (("rule", "price_collar"),)): 2,
        ("sluice_exposure_notional", key): 1500.5,
    }
    assert InstrumentId("sim:ALPHA") == key[1][1]


def test_a_recorder_that_recorded_nothing_has_no_last_time() -> None:
    report = RecorderReported(at_ns=1, is_durable=False, detail="", recorded_count=0, lag_count=4)
    assert of_report(report) == {
        ("sluice_records_total", ()): 0,
        ("sluice_record_lag_messages", ()): 4,
        ("sluice_anchored_records", ()): 0,
        ("sluice_durable", ()): 0,
    }


def test_a_record_that_could_not_be_told_outside_is_seen_as_the_recorder_says_it() -> None:
    recorder = RecorderCore(BootId("boot"))
    found = []
    for count, trouble in ((7, ""), (9, "/mnt/away: not there"), (11, "")):
        recorder.handle(AnchoringRead(at_ns=2, signed_count=count, trouble=trouble), 2)
        said = msgspec.structs.replace(recorder.describe(3), detail="words are for people")
        metrics = of_report(said)
        names = ("sluice_anchoring_failed", "sluice_anchored_records")
        found.append(tuple(metrics[(name, ())] for name in names))
    assert found == [(0, 7), (1, 7), (0, 11)]


def test_free_space_that_nobody_read_is_absent_and_not_zero() -> None:
    read = msgspec.structs.replace(arbiter(), disk_free_bytes=1_024)
    assert ("sluice_disk_free_bytes", ()) not in of_report(arbiter())
    assert of_report(read)[("sluice_disk_free_bytes", ())] == 1_024


SESSION = (("session", "s-1"), ("share_class", "USDT"), ("strategy", "ema"))


def measured(**fields: Any) -> SessionMeasure:
    """A session of which nothing is known but its capital, and what is given."""
    known = {"figures": Figures(initial_capital=Decimal(100)), **fields}
    return SessionMeasure(
        session=SessionId("s-1"),
        strategy="ema",
        share_class="USDT",
        engine_status=SessionState.RUNNING,
        initial_capital=Decimal(100),
        uptime_ns=0,
        **known,
    )


def test_how_a_session_does_is_told_in_ratios_and_in_its_share_class() -> None:
    figures = Figures(
        initial_capital=Decimal(100), drawdown_max=0.25, sharpe=-1.5, trade_count=3, fill_count=9
    )
    session = measured(
        current_value=Decimal(105),
        total_pnl=Decimal(5),
        return_pct=Decimal(5),
        drawdown=0.125,
        figures=figures,
    )
    assert of_report(SessionsReported(at_ns=1, measures=(session,))) == {
        ("sluice_session_value", SESSION): 105,
        ("sluice_session_profit", SESSION): 5,
        ("sluice_session_return_ratio", SESSION): 0.05,
        ("sluice_session_drawdown_ratio", SESSION): 0.125,
        ("sluice_session_drawdown_max_ratio", SESSION): 0.25,
        ("sluice_session_sharpe_ratio", SESSION): -1.5,
        ("sluice_session_trades_total", SESSION): 3,
    }


def test_what_is_not_known_of_a_session_is_absent_and_not_zero() -> None:
    assert of_report(SessionsReported(at_ns=1, measures=(measured(),))) == {
        ("sluice_session_trades_total", SESSION): 0
    }


def test_profit_is_told_by_strategy_and_by_instrument_and_what_is_not_known_is_absent() -> None:
    share = Share(profit=Decimal(7), fees=Decimal(2), funding=Decimal(-1), traded=Decimal(900))
    parts = {"session": "s-1", "strategy": "ema", "symbol": "sim:ALPHA", "share_class": "USDT"}
    report = SessionsReported(at_ns=1, attribution={by: {n: share} for by, n in parts.items()})
    ema, alpha = (("strategy", "ema"),), (("instrument", "sim:ALPHA"),)
    assert of_report(report) == {
        ("sluice_strategy_profit", ema): 7,
        ("sluice_strategy_fees", ema): 2,
        ("sluice_strategy_funding", ema): -1,
        ("sluice_instrument_profit", alpha): 7,
        ("sluice_instrument_fees", alpha): 2,
        ("sluice_instrument_funding", alpha): -1,
    }


def record_of(order_id: str) -> Record:
    return Record(order(order_id), epoch=1, gate_token=1)


def test_the_venue_is_timed_from_sent_to_accepted_and_each_order_once() -> None:
    meter = Meter()
    record = record_of("a")
    sent, unsent = submitted(record, 5), accepted(record_of("b"), "v-2", 9)
    took = accepted(record, "v-1", 3_000_005)
    assert took is not None
    assert unsent is not None
    meter.published([unsent, sent])
    meter.published([took, took])
    found = scraped(list(process_families({}, {}, meter)))
    assert found[("sluice_venue_accept_seconds_count", ())] == 1
    assert found[("sluice_venue_accept_seconds_sum", ())] == 0.003


def test_orders_that_the_venue_never_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "UNANSWERED_MAX", 1)
    meter = Meter()
    records = [record_of("a"), record_of("b")]
    meter.published([submitted(record, 1) for record in records])
    for record in records:
        answer = accepted(record, "v", 2)
        assert answer is not None
        meter.published([answer])
    assert sum(meter.accepts.counts) == 1


def refused(*paths: str, request: str = "start", is_ok: bool = False) -> ControlAnswered:
    errors = tuple(FieldError(path=path, found="x", wanted="y") for path in paths)
    return ControlAnswered(
        at_ns=1, request_id="r", request=request, is_ok=is_ok, message="", errors=errors
    )


def refusals(*events: Event) -> dict[tuple[str, str], float]:
    """Return what a process that published these has counted as refused, by what and code."""
    meter = Meter()
    for event in events:
        meter.published([event])
    found = scraped(list(process_families({}, {}, meter)))
    return {
        (dict(labels)["what"], dict(labels)["code"]): value
        for (name, labels), value in found.items()
        if name == "sluice_refusals_total"
    }


def test_a_refused_request_is_counted_by_its_kind_and_each_field_and_a_yes_is_not() -> None:
    assert refusals(
        refused(is_ok=True),
        refused("$.strategy", "$.symbols[0]", "$.symbols[1]"),
        refused("breaker", "$.strategy"),
        refused("$.config_overrides.anything.of.theirs"),
        refused(request="reset"),
        refused("..", request="reset"),
    ) == {
        ("start", "strategy"): 2,
        ("start", "symbols"): 1,
        ("start", "breaker"): 1,
        ("start", "config_overrides"): 1,
        ("reset", "other"): 2,
    }


def test_signals_and_orders_are_refused_by_the_check_that_did() -> None:
    life = Life()
    said_no = msgspec.structs.replace(life.decided, outcome=Outcome.REJECTED, rule="price_collar")
    whose = life.whose()
    last_check = OrderRefused(at_ns=1, **whose, rule="expired")
    at_venue = OrderRejected(at_ns=1, **whose, reason="too small, and more words of the venue's")
    assert refusals(said_no, said_no, life.decided, last_check, at_venue) == {
        ("signal", "price_collar"): 2,
        ("order", "expired"): 1,
        ("order", "venue"): 1,
    }


def test_fields_that_somebody_makes_up_do_not_fill_the_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(meters, "REFUSALS_MAX", 2)
    assert refusals(*(refused(f"$.made_up_{i}") for i in range(10)), refused("$.made_up_1")) == {
        ("start", "made_up_0"): 1,
        ("start", "made_up_1"): 2,
        ("start", "other"): 8,
    }


def test_an_event_that_is_no_report_is_worth_no_metric() -> None:
    assert of_report(LinkChanged(at_ns=1, is_up=True)) == {}


@pytest.mark.parametrize(
    ("text", "number"),
    [("-10.00 %", -10.0), ("1,234.5 MiB", 1234.5), ("unknown", None), ("no level", None)],
)
def test_the_number_that_a_text_begins_with(text: str, number: float | None) -> None:
    assert number_in(text) == number


def test_every_service_has_a_port_of_its_own() -> None:
    assert set(METERED) == {*MODULES, "supervisor"}
    assert len(set(METERED)) == len(METERED)


def test_the_scrape_of_containers_names_every_service_with_its_port() -> None:
    file = ROOT / "ops" / "prometheus" / "prometheus-compose.yml"
    [job] = yaml.safe_load(file.read_text())["scrape_configs"]
    base = MetricsChoice().port
    assert {each["labels"]["service"]: each["targets"] for each in job["static_configs"]} == {
        name: [f"{name}:{base + METERED.index(name)}"] for name in MODULES
    }
