"""What `sluice backtest` prints: figures, refusals, breakers, and where the profit came from."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from schemas.base import NS_PER_S
from schemas.control import BreakerTripped, BreakerWarned
from schemas.market_rules import MarketRuleInvoked
from schemas.results import Figures
from services.backtest.run import Outcome, Plan
from services.backtest.sweep import Tried
from services.cli.output import UNKNOWN, Output, shown, time_of
from services.performance.core import By

SHOWN_MAX = 12
"""Breakers, market halts and instruments shown on a terminal; a count."""

PERCENTS = ("total_return", "cagr", "volatility", "drawdown_max", "exposure", "win_rate")
TITLES = {
    "initial_capital": "initial capital",
    "final_value": "final value",
    "total_return": "return",
    "cagr": "CAGR",
    "volatility": "volatility a year",
    "sharpe": "Sharpe",
    "sortino": "Sortino",
    "drawdown_max": "maximum drawdown",
    "drawdown_ns_max": "longest drawdown",
    "turnover": "turnover",
    "exposure": "time in the market",
    "win_rate": "win rate",
    "profit_factor": "profit factor",
    "trade_count": "round trips",
    "fees": "fees",
    "funding": "funding received",
    "slippage": "slippage",
    "signal_count": "signals",
    "order_count": "orders",
    "fill_count": "fills",
}

READ = {
    "BarClosed": "bars",
    "BookChanged": "changes of books",
    "ClosingPricePublished": "closing prices",
    "FundingPublished": "funding rates",
    "InstrumentStatusChanged": "changes of an instrument's status",
    "QuoteReceived": "quotes",
    "TradeReceived": "trades",
}
"""Events of a recording, for people; of other kinds the name says it."""


def figure_text(name: str, value: Any) -> str:
    """Return one figure for people."""
    if value is None:
        return UNKNOWN
    if name in PERCENTS:
        return f"{value:.2%}"
    if name == "drawdown_ns_max":
        return duration(value)
    return f"{value:.3f}" if isinstance(value, float) else shown(value)


def duration(ns: int) -> str:
    """Return a length of time in its largest fitting unit."""
    seconds = ns / NS_PER_S
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def figure_rows(figures: Figures) -> Iterator[tuple[str, str]]:
    """Yield name and value of every figure, for people."""
    for name, title in TITLES.items():
        yield title, figure_text(name, getattr(figures, name))


def refused(figures: Figures) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Yield who refused signals, and how many by which rule, the most first; nobody who did not."""
    for title, counts in (
        ("Refused by the gate", figures.refusals),
        ("Blocked by own limits", figures.blocked),
    ):
        if counts:
            yield title, sorted(counts.items(), key=lambda each: (-each[1], each[0]))


def noted_rows(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Return what breakers and markets did: time, who, and why; warnings left out."""
    rows: list[tuple[str, str, str]] = []
    for event in outcome.noted:
        if isinstance(event, BreakerTripped):
            who = f"{event.breaker}: {event.response}"
            rows.append((time_of(event.at_ns), who, event.reason))
        elif isinstance(event, MarketRuleInvoked):
            who = f"{event.rule} of {event.instrument}"
            until = f"level {event.level} at {event.price}, until {time_of(event.until_ns)}"
            rows.append((time_of(event.at_ns), who, until))
    return rows


def document_of(plan: Plan, outcome: Outcome, result_id: str) -> dict[str, Any]:
    """Return everything, for programs."""
    return {
        "id": result_id,
        "strategy": plan.strategy,
        "result": outcome.result,
        "journal_hash": outcome.journal_hash,
        "events": outcome.event_count,
        "read": outcome.read,
        "failure": outcome.failure,
        "attribution": outcome.attribution,
        "breakers_and_halts": [
            msgspec.to_builtins(each)
            for each in outcome.noted
            if not isinstance(each, BreakerWarned)
        ],
        "blocked": outcome.blocked,
        "trips": outcome.trips,
    }


def show(plan: Plan, outcome: Outcome, output: Output, assumed: Sequence[str]) -> None:
    """Print a backtest for people."""
    result = outcome.result
    begin, end = time_of(result.from_ns), time_of(result.to_ns)
    symbols = ", ".join(plan.symbols[:SHOWN_MAX])
    output.line(f"{plan.strategy} on {symbols}: {begin} to {end}; amounts in {plan.currency}")
    output.table("", ("figure", "value"), figure_rows(outcome.figures))
    for title, counts in refused(outcome.figures):
        output.table(title.lower(), ("rule", "signals"), counts)
    noted = noted_rows(outcome)
    if noted:
        output.table("breakers and halts", ("when", "what", "why"), noted[:SHOWN_MAX])
        if len(noted) > SHOWN_MAX:
            output.line(f"and {len(noted) - SHOWN_MAX} more: --html or --json shows them")
    shares = outcome.attribution[By.SYMBOL]
    rows = [
        (name, s.price, s.slippage, s.fees, s.funding, s.profit)
        for name, s in list(shares.items())[:SHOWN_MAX]
    ]
    columns = ("instrument", "price", "- slippage", "- fees", "+ funding", "= profit")
    output.table("where the profit came from", columns, rows)
    for line in assumed:
        output.line(f"assumed: {line}")
    read = (f"{count:,} {READ.get(kind, kind)}" for kind, count in outcome.read.items())
    output.line("read: " + ", ".join(read))
    output.line(f"journal: {outcome.event_count} events, sha256 {outcome.journal_hash}")


def show_sweep(tried: Sequence[Tried], figure: str, output: Output) -> None:
    """Print a sweep, the best first."""
    chosen = dict.fromkeys((figure, "total_return", "sharpe", "drawdown_max", "fill_count"))
    columns = [*tried[0].parameters, *(TITLES[name] for name in chosen), "remark"]
    rows = []
    for each in tried:
        values = (
            UNKNOWN if each.figures is None else figure_text(name, getattr(each.figures, name))
            for name in chosen
        )
        rows.append((*each.parameters.values(), *values, each.failure))
    output.table(f"by {TITLES[figure]}", columns, rows)
