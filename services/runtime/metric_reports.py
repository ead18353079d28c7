"""What a service's own report says, as metrics: exposure, breakers, sessions, record, business.

What is not known is left out, and never shown as 0: an alert rule asks for its absence.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psutil

from schemas.base import NS_PER_S, Event, SessionId
from schemas.control import BreakerState, TradingState
from schemas.executions import BookReported, PositionView
from schemas.health import (
    ArbiterReported,
    BreakerView,
    FeedReported,
    GateReported,
    HealthReported,
    RecorderReported,
    ServiceView,
    SessionsReported,
    SupervisorReported,
)
from schemas.measures import SessionMeasure, Share
from schemas.sessions import SessionState, SessionView
from services.runtime.metric_families import PREFIX

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_NUMBER = re.compile(r"-?[\d,]+(\.\d+)?")
PAST_EVERY_LEVEL, UNKNOWN = "past every level", "unknown"
TOTAL = "total"
"""Beside the kinds in a feed's counts; as one more kind it would make every sum double."""

OVER = (SessionState.STOPPED, SessionState.COMPLETED, SessionState.FAILED)
ENDED_SHOWN_NS = 24 * 3_600 * NS_PER_S
"""How long a session that is over has series of its own; else they would only ever become more."""

Number = float | Decimal | int | None
Values = Mapping[tuple[str, ...], Number]


def report_families(report: Event) -> Iterator["Metric"]:
    """Return the metrics that this report is worth; none for one that is not known here."""
    make = _MAKERS.get(type(report))
    if make is not None:
        yield from make(report)


def _gauge(name: str, told: str, labels: tuple[str, ...], values: Values) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(PREFIX + name, told, labels=labels)
    for key, value in values.items():
        if value is not None:
            family.add_metric(list(key), float(value))
    yield family


def _count(name: str, told: str, labels: tuple[str, ...], values: Values) -> Iterator["Metric"]:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(PREFIX + name, told, labels=labels)
    for key, value in values.items():
        if value is not None:
            family.add_metric(list(key), float(value))
    yield family


def _state(name: str, told: str, states: Any, now: object) -> Iterator["Metric"]:
    """Return one series for each state that there is: 1 for the one it is in, 0 for the others."""
    yield from _gauge(name, told, ("state",), {(str(s),): int(s == now) for s in states})


def number_in(text: str) -> float | None:
    """Return the number that a text for people begins with; None where it begins with none."""
    found = _NUMBER.match(text)
    return None if found is None else float(found.group().replace(",", ""))


def _health(report: HealthReported) -> Iterator["Metric"]:
    if report.trading_state is not None:
        told = "What this process may do: 1 for the state it is in"
        yield from _state("trading_state", told, TradingState, report.trading_state)


def _arbiter(report: ArbiterReported) -> Iterator["Metric"]:
    yield from _state(
        "breaker_state", "Why trading is allowed or not", BreakerState, report.breaker_state
    )
    told = "What all components together may do"
    yield from _state("system_trading_state", told, TradingState, report.trading_state)
    yield from _gauge(
        "equity",
        "Equity of the account in its currency, unrealised profit included; absent if not known",
        (),
        {(): report.equity},
    )
    yield from _count("halts", "Halts there ever were", (), {(): report.halts})
    told = "Free space where the journals are; absent if not known"
    yield from _gauge("disk_free_bytes", told, (), {(): report.disk_free_bytes})
    yield from _gauge("locks", "Locks that a person must take away", (), {(): len(report.locks)})
    yield from _gauge("leasing", "1 while leases are granted", (), {(): int(report.is_leasing)})
    yield from _breakers({(each.name,): each for each in report.breakers})


def _breakers(views: Mapping[tuple[str, ...], BreakerView]) -> Iterator["Metric"]:
    known = {key: number_in(view.value) for key, view in views.items()}
    for name, told, values in (
        ("breaker_tripped", "1 once tripped", {k: int(v.is_tripped) for k, v in views.items()}),
        (
            "breaker_known",
            "1 while it can measure; 0 is not fine",
            {k: int(v.value != UNKNOWN) for k, v in views.items()},
        ),
        ("breaker_value", "What it measures, in its own unit; absent if not known", known),
        (
            "breaker_limit",
            "Its last level, in its own unit",
            {k: number_in(v.limit) for k, v in views.items()},
        ),
        (
            "breaker_distance",
            "From the value to the next level, losses in the account's currency, else in its own"
            " unit; 0 past all; absent if not known",
            {k: _distance(v) for k, v in views.items()},
        ),
    ):
        yield from _gauge(name, told, ("breaker",), values)


def _distance(view: BreakerView) -> float | None:
    return 0.0 if view.distance == PAST_EVERY_LEVEL else number_in(view.distance)


def _gate(report: GateReported) -> Iterator["Metric"]:
    yield from _count("signals_decided", "Signals decided on", (), {(): report.decided_count})
    yield from _count("orders_approved", "Orders approved", (), {(): report.approved_count})
    yield from _count(
        "signals_rejected",
        "Signals rejected, by the check that did",
        ("rule",),
        {(rule,): count for rule, count in report.rejected_by_rule.items()},
    )
    yield from _gauge(
        "exposure_notional",
        "Worst case of an instrument, open orders included, in the account's currency",
        ("account", "instrument"),
        {tuple(name.split(" ", 1)): number_in(text) for name, text in report.exposure.items()},
    )


def _book(report: BookReported) -> Iterator["Metric"]:
    yield from _count("orders", "Orders there ever were", (), {(): report.order_count})
    yield from _count("fills", "Executions there ever were", (), {(): report.fill_count})
    yield from _gauge("open_orders", "Orders not closed", (), {(): len(report.open_orders)})
    yield from _gauge("cash", "Cash, in the account's currency", (), {(): report.cash})
    yield from _gauge(
        "fees", "Fees paid less rebates, in the account's currency", (), {(): report.fees}
    )
    yield from _gauge(
        "reconciled", "1 once the book equals the venue's", (), {(): int(report.is_reconciled)}
    )
    yield from _gauge(
        "book_differences", "Between our book and the venue's", (), {(): len(report.differences)}
    )
    for name, told, of in (
        ("position_units", "Signed quantity held", lambda p: p.quantity),
        (
            "realized_profit",
            "Of what was closed, in the instrument's currency",
            lambda p: p.realized,
        ),
    ):
        yield from _by_instrument(name, told, report.positions, of)


def _by_instrument(
    name: str, told: str, held: tuple[PositionView, ...], of: Callable[[PositionView], Decimal]
) -> Iterator["Metric"]:
    yield from _gauge(name, told, ("instrument",), {(each.instrument,): of(each) for each in held})


def _sessions(report: SessionsReported) -> Iterator["Metric"]:
    states: dict[tuple[str, ...], int] = {}
    for each in report.sessions:
        states[(str(each.state),)] = states.get((str(each.state),), 0) + 1
    yield from _gauge("sessions", "Sessions, by state", ("state",), dict(states))
    labels, old = ("session", "strategy"), _long_over(report)
    views: dict[tuple[str, ...], SessionView] = {
        (each.session, each.strategy): each for each in report.sessions if each.session not in old
    }
    yield from _count(
        "session_signals", "Signals raised", labels, {k: v.signal_count for k, v in views.items()}
    )
    yield from _count(
        "session_fills", "Executions", labels, {k: v.fill_count for k, v in views.items()}
    )
    yield from _gauge(
        "session_open_orders",
        "Orders not closed",
        labels,
        {k: v.open_order_count for k, v in views.items()},
    )
    yield from _measures([each for each in report.measures if each.session not in old])
    for by, label in (("strategy", "strategy"), ("symbol", "instrument")):
        yield from _attribution(label, report.attribution.get(by, {}))


def _long_over(report: SessionsReported) -> set[SessionId]:
    """Return the sessions that ended a day ago or earlier; one that never was looked at, at once.

    A session is looked at while it lives, so that the last look was at its end.
    """
    since_ns = report.at_ns - ENDED_SHOWN_NS
    looked_ns = {each.session: each.heartbeat_ns or 0 for each in report.measures}
    old = {
        each.session
        for each in report.sessions
        if each.state in OVER and looked_ns.get(each.session, each.started_ns) <= since_ns
    }
    finals = (each for each in report.measures if each.is_final)
    return old | {each.session for each in finals if looked_ns[each.session] <= since_ns}


def _measures(measures: Sequence[SessionMeasure]) -> Iterator["Metric"]:
    """Return how each session does; the share class is a label, so that a sum can keep it apart."""
    labels = ("session", "strategy", "share_class")
    by_key: dict[tuple[str, ...], SessionMeasure] = {
        (each.session, each.strategy, each.share_class): each for each in measures
    }
    for name, told, of in _OF_MEASURE:
        yield from _gauge(
            f"session_{name}", told, labels, {key: of(each) for key, each in by_key.items()}
        )
    yield from _count(
        "session_trades",
        "Round trips, from flat to flat again",
        labels,
        {key: each.figures.trade_count for key, each in by_key.items()},
    )


_OF_MEASURE: tuple[tuple[str, str, Callable[[SessionMeasure], Number]], ...] = (
    (
        "value",
        "Cash and holdings in the share class; absent if not known",
        lambda m: m.current_value,
    ),
    (
        "profit",
        "Value less capital, in the share class; absent if not known",
        lambda m: m.total_pnl,
    ),
    (
        "return_ratio",
        "Profit over capital, 0.05 is 5 %; absent if not known",
        lambda m: None if m.return_pct is None else m.return_pct / 100,
    ),
    (
        "drawdown_ratio",
        "Fall from the highest value, of it; absent if not known",
        lambda m: m.drawdown,
    ),
    (
        "drawdown_max_ratio",
        "Largest fall from a highest value, of it; absent if not known",
        lambda m: m.figures.drawdown_max,
    ),
    ("sharpe_ratio", "Annualised; absent if not known", lambda m: m.figures.sharpe),
)
"""Of one session: name -> help, and what it is."""


def _attribution(label: str, shares: Mapping[str, Share]) -> Iterator["Metric"]:
    """Return where the profit came from, all of it in the account's one currency."""
    for name, told, of in _OF_SHARE:
        yield from _gauge(
            f"{label}_{name}", told, (label,), {(key,): of(each) for key, each in shares.items()}
        )


_OF_SHARE: tuple[tuple[str, str, Callable[[Share], Number]], ...] = (
    (
        "profit",
        "After all costs, in the account's currency; absent if not known",
        lambda s: s.profit,
    ),
    ("fees", "Paid less rebates, in the account's currency; absent if not known", lambda s: s.fees),
    (
        "slippage",
        "Cost against the middle at the signal, in the account's currency; absent if not known",
        lambda s: s.slippage,
    ),
    (
        "funding",
        "Received less paid, in the account's currency; absent if not known",
        lambda s: s.funding,
    ),
)
"""Of one part of the profit: name -> help, and what it is."""


def _feed(report: FeedReported) -> Iterator["Metric"]:
    yield from _count(
        "feed_events",
        "Market events, by kind",
        ("kind",),
        {(kind,): count for kind, count in report.counts.items() if kind != TOTAL},
    )
    has_heard = any(report.counts.values()) or report.stale
    yield from _gauge(
        "feed_stale_instruments",
        "Instruments without news for longer than their limit; absent before the first news",
        (),
        {(): len(report.stale) if has_heard else None},
    )
    yield from _gauge("feed_ended", "1 once a recording is at its end", (), {(): report.is_ended})


def _recorder(report: RecorderReported) -> Iterator["Metric"]:
    yield from _count("records", "Messages in the chain", (), {(): report.recorded_count})
    is_failing = bool(report.anchoring_trouble)
    told = "Messages stored on the bus and not yet on the recorder's own disk; absent if not known"
    yield from _gauge("record_lag_messages", told, (), {(): _lag(report)})
    told = "1 while the signed end of the record could not be told to a place outside; absent if"
    is_told = is_failing or report.anchored_count
    yield from _gauge(
        "anchoring_failed", f"{told} not known", (), {(): is_failing if is_told else None}
    )
    told = "Records up to the newest signed end that every place outside was told"
    yield from _gauge("anchored_records", told, (), {(): report.anchored_count})
    yield from _gauge("durable", "1 with the durable profile", (), {(): report.is_durable})
    yield from _gauge(
        "last_recorded_timestamp_seconds",
        "When the newest record was written, in seconds since the epoch; absent before the first",
        (),
        {(): report.last_recorded_ns / NS_PER_S if report.last_recorded_ns else None},
    )


def _lag(report: RecorderReported) -> int | None:
    """Return how far it is behind; a 0 of one that recorded nothing yet is no look at the bus."""
    return report.lag_count if report.lag_count or report.last_recorded_ns else None


def _supervisor(report: SupervisorReported) -> Iterator["Metric"]:
    views: dict[tuple[str, ...], ServiceView] = {(each.name,): each for each in report.services}
    label = ("process",)
    yield from _gauge(
        "process_up",
        "1 while a supervised process works",
        label,
        {key: int(view.state == "running") for key, view in views.items()},
    )
    yield from _count(
        "process_restarts",
        "Restarts nobody asked for",
        label,
        {key: view.restarts for key, view in views.items()},
    )
    used = {key: _resources(view.pid) for key, view in views.items() if view.pid}
    told = "Resident memory of a supervised process"
    yield from _gauge("process_memory_bytes", told, label, {k: u[0] for k, u in used.items()})
    told = "Processor time of a supervised process"
    yield from _count("process_cpu_seconds", told, label, {k: u[1] for k, u in used.items()})
    told = "Open file handles of a supervised process"
    yield from _gauge("process_file_handles", told, label, {k: u[2] for k, u in used.items()})


def _resources(pid: int) -> tuple[Number, Number, Number]:
    """Return resident bytes, processor seconds and open files; None where it is gone meanwhile."""
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return process.memory_info().rss, times.user + times.system, process.num_fds()
    except psutil.Error:
        return None, None, None


_MAKERS: dict[type[Event], Callable[[Any], Iterator["Metric"]]] = {
    HealthReported: _health,
    ArbiterReported: _arbiter,
    GateReported: _gate,
    BookReported: _book,
    SessionsReported: _sessions,
    FeedReported: _feed,
    RecorderReported: _recorder,
    SupervisorReported: _supervisor,
}
