"""How long each kind of record is kept, and what that comes to where kinds share files (R-06).

The chained journal is one: a halt stands between the orders it stopped, each line with the hash of
the one before. So it goes by whole files from its beginning, and a file goes when every record in
it may: the longest age of the kinds in a file governs it. Kinds that lie by themselves (streams,
logs, reports, results) go by their own age.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from schemas.base import NS_PER_S
from schemas.streams import FILLS, MARKET, ORDERS
from services.recorder.config import RecorderConfig, Retention

DAY_NS = 86_400 * NS_PER_S
ORDERS_KIND, CONTROL_KIND, MARKET_KIND = "orders", "control", "market"
_KINDS = {ORDERS.name: ORDERS_KIND, FILLS.name: ORDERS_KIND, MARKET.name: MARKET_KIND}


class Rule(NamedTuple):
    """What the policy says of one kind, and what it comes to."""

    kind: str
    days: int
    """Asked for."""

    kept_days: int
    """The longest that it may be kept, because of what lies beside it."""

    where: str
    why: str = ""
    """Why it is kept longer than asked for; empty: it is not."""


def kind_of(stream: str) -> str:
    """Return the kind of what came by a stream; all that is no order and no price is control."""
    return _KINDS.get(stream, CONTROL_KIND)


def chain_days(policy: Retention) -> Mapping[str, int]:
    """Return the days that each kind of the chain is asked to be kept."""
    if policy.record_days is not None:
        return dict.fromkeys((ORDERS_KIND, CONTROL_KIND, MARKET_KIND), policy.record_days)
    return {
        ORDERS_KIND: policy.orders_days,
        CONTROL_KIND: policy.control_days,
        MARKET_KIND: policy.market_days,
    }


def rules(config: RecorderConfig) -> list[Rule]:
    """Return the whole policy, each kind with what it comes to."""
    policy = config.retention
    days = dict(chain_days(policy))
    if not config.chain_market:
        del days[MARKET_KIND]
    longest = max(days, key=days.__getitem__)
    found = []
    for kind, asked in days.items():
        why = ""
        if asked < days[longest]:
            why = (
                f"it lies in one chain with {longest}, kept {days[longest]} days: a file goes when "
                "all that is in it may"
            )
            if kind == MARKET_KIND:
                why += "; recorder.chain_market = false keeps prices in their stream alone"
        found.append(Rule(kind, asked, days[longest], "record/", why))
    if config.market:
        market_days = -(-config.market_age_s_max // 86_400)
        found.append(Rule(f"{MARKET_KIND} stream", market_days, market_days, "stream MARKET"))
    return [
        *found,
        Rule("logs", policy.logs_days, policy.logs_days, f"log/, {config.logs_dir}/events/"),
        Rule("reports", policy.reports_days, policy.reports_days, "reports/"),
        Rule("results", policy.results_days, policy.results_days, "results/"),
        Rule("sessions", policy.sessions_days, policy.sessions_days, "the repository"),
    ]


def in_words(policy: Retention, kinds: Iterable[str]) -> str:
    """Return the rule by which a file with these kinds goes."""
    days = {kind: chain_days(policy)[kind] for kind in sorted(kinds)}
    if len({*days.values()}) == 1:
        return f"the record is kept {next(iter(days.values()))} days"
    each = ", ".join(f"{kind} {count}" for kind, count in days.items())
    return f"a file of the record goes when all in it may; days kept: {each}"
