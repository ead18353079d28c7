"""Every prerequisite as one row: what was found, what is needed. Pure; what is unknown fails."""

from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.base import NS_PER_S
from schemas.prerequisites import Check
from schemas.results import BacktestResult, PaperDay, StrategyTerms
from services.prerequisites.config import LiveConfig

UNKNOWN = "not known"
S_PER_H = 3_600
PAPER_PROFILE = "paper"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the shell found. None is not known, and never good."""

    strategy: str
    version: str
    """Of the strategy as it is now; empty where its code cannot be read."""

    terms: StrategyTerms | None = None
    """What the start would run with; None where no start is asked for."""

    backtests: tuple[BacktestResult, ...] | None = None
    """Of the strategy, by its name; None where the repository did not answer."""

    days: tuple[PaperDay, ...] | None = None
    limits_missing: tuple[str, ...] | None = None
    """Limits of the gate that nobody has chosen."""

    broker: tuple[bool, str] | None = None
    """Whether the executor is connected and reconciled, and in which words it said so."""

    durable: tuple[bool, str] | None = None
    profile: str = ""
    """Of the breakers."""


def judged(facts: Facts, config: LiveConfig) -> tuple[Check, ...]:
    """Return every check, those that stand too, in the order people read them."""
    return (
        _version(facts),
        _sharpe(facts, config),
        _days(facts, config),
        _limits(facts),
        _told("broker_connected", facts.broker, "an executor reconciled with its venue"),
        _told("durable_bus", facts.durable, "the durable profile (bus.is_durable)"),
        Check(
            name="breaker_profile",
            is_ok=bool(facts.profile) and facts.profile != PAPER_PROFILE,
            found=facts.profile or UNKNOWN,
            needed="conservative, moderate or aggressive (breaker.profile)",
        ),
    )


def counted(days: Sequence[PaperDay], version: str, config: LiveConfig) -> set[str]:
    """Return the days that count: the sessions of this version ran long enough together.

    A session that was never reconciled adds no time; one difference in any spoils the whole day.
    """
    by_day: dict[str, list[PaperDay]] = {}
    for each in days:
        if each.terms.strategy_version == version:
            by_day.setdefault(each.day, []).append(each)
    return {
        day
        for day, rows in by_day.items()
        if not any(row.difference_count for row in rows)
        and _up_ns([row for row in rows if row.reconciled_count])
        >= config.paper_up_s_min * NS_PER_S
    }


def _up_ns(rows: Sequence[PaperDay]) -> int:
    """Return how long any of these sessions ran: hours at the same time are the same hours."""
    total_ns = up_ns = from_ns = until_ns = 0
    for row in sorted(rows, key=lambda row: row.from_ns):
        if row.from_ns >= until_ns:  # nothing ran in between
            total_ns += min(up_ns, until_ns - from_ns)
            up_ns, from_ns = 0, row.from_ns
        up_ns += row.up_ns
        until_ns = max(until_ns, row.to_ns)
    return total_ns + min(up_ns, until_ns - from_ns)


def _version(facts: Facts) -> Check:
    return Check(
        name="strategy_version",
        is_ok=bool(facts.version),
        found=facts.version or UNKNOWN,
        needed="code that can be read, so that results are of this very version",
    )


def _sharpe(facts: Facts, config: LiveConfig) -> Check:
    own = "" if facts.terms is None else ", with the parameters and instruments of the start,"
    needed = f"latest backtest of this version{own} with a Sharpe above {config.sharpe_min}"
    found, is_ok = UNKNOWN, False
    if facts.backtests is not None and facts.version:
        same = [r for r in facts.backtests if r.terms.strategy_version == facts.version]
        matching = [r for r in same if not _apart(r.terms, facts.terms)]
        if matching:
            latest = _latest(matching)
            sharpe = latest.figures.sharpe
            is_ok = sharpe is not None and sharpe > config.sharpe_min
            found = UNKNOWN if sharpe is None else f"{sharpe:.2f} in {latest.id}"
        elif same:
            latest = _latest(same)
            differs = "; ".join(_apart(latest.terms, facts.terms))
            found = f"{len(same)} of this version, the latest ({latest.id}) with {differs}"
        else:
            others = len(facts.backtests)
            found = f"none of it, {others} of other versions" if others else "none"
    return Check(name="backtest_sharpe", is_ok=is_ok, found=found, needed=needed)


def _latest(results: Sequence[BacktestResult]) -> BacktestResult:
    return max(results, key=lambda result: (result.recorded_ns, result.id))


def _apart(ran: StrategyTerms, started: StrategyTerms | None) -> list[str]:
    """Return what a backtest ran with and a start would not; nothing where there is no start."""
    if started is None:
        return []
    found: list[str] = []
    if sorted(ran.instruments) != sorted(started.instruments):
        theirs, ours = ", ".join(ran.instruments), ", ".join(started.instruments) or "none"
        found.append(f"instruments {theirs}, not {ours}")
    for name in dict.fromkeys([*started.parameters, *ran.parameters]):
        theirs, ours = _said(ran.parameters, name), _said(started.parameters, name)
        if theirs != ours:
            found.append(f"{name} {theirs}, not {ours}")
    return found


def _said(parameters: dict[str, Any], name: str) -> str:
    """Return a parameter as it is stored: the same text only for the same value."""
    if name not in parameters:
        return "unset"
    return msgspec.json.encode(parameters[name], order="deterministic").decode()


def _days(facts: Facts, config: LiveConfig) -> Check:
    hours = config.paper_up_s_min / S_PER_H
    needed = (
        f"at least {config.paper_days_min} days of this version, each run for {hours:g} h in all"
        " its sessions and reconciled without a difference"
    )
    if facts.days is None or not facts.version:
        return Check(name="paper_days", is_ok=False, found=UNKNOWN, needed=needed)
    count = len(counted(facts.days, facts.version, config))
    found = f"{count} that count, of {len({each.day for each in facts.days})}"
    return Check(
        name="paper_days", is_ok=count >= config.paper_days_min, found=found, needed=needed
    )


def _limits(facts: Facts) -> Check:
    missing = facts.limits_missing
    if missing is None:
        found = UNKNOWN
    else:
        found = f"not chosen: {', '.join(missing)}" if missing else "all chosen"
    return Check(
        name="risk_limits", is_ok=missing == (), found=found, needed="every limit of the account"
    )


def _told(name: str, told: tuple[bool, str] | None, needed: str) -> Check:
    is_ok, found = (False, UNKNOWN) if told is None else told
    return Check(name=name, is_ok=is_ok, found=found or ("yes" if is_ok else "no"), needed=needed)
