"""The durable profile: how each stream must be configured so that nothing recorded can go."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from schemas.base import NS_PER_S
from schemas.streams import CONTROL, MARKET, STREAMS, StreamSpec
from services.recorder.config import RecorderConfig
from services.recorder.policy import DAY_NS, chain_days, kind_of

NO_LIMIT = -1
SYNC_ALWAYS = "sync_always"
"""Where the server's monitoring says that `sync_interval` is `always`."""

STREAM_DAYS_MIN = 31
"""Days that a stream keeps what is to be recorded, however short the record itself is kept."""

HARMLESS = frozenset(
    {
        "name",
        "description",
        "metadata",
        "placement",
        "compression",
        "duplicate_window",
        "first_seq",
        "allow_direct",
    }
)
"""Settings that have no say in what is kept, whatever they are. Any other that we do not set may
have: one that rewrites subjects, refuses large messages, or acknowledges before the disk has it."""

CLUSTER_REPLICAS = 3
"""Servers of a cluster that must keep each stream: one may be lost with its disk."""


class Durability(msgspec.Struct, frozen=True, kw_only=True):
    """Whether what the streams acknowledge is safe, and if not, why not."""

    is_durable: bool
    detail: str


def stream_config(spec: StreamSpec, config: RecorderConfig) -> dict[str, Any]:
    """Return the stream's configuration as the server's API takes it."""
    is_limited = spec.is_limited
    return {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_msgs": NO_LIMIT,
        "max_msgs_per_subject": NO_LIMIT,
        "max_bytes": (config.market_bytes_max or NO_LIMIT) if is_limited else NO_LIMIT,
        "max_age": _age_ns(spec, config),
        "num_replicas": config.replicas,
        "no_ack": not spec.is_acknowledging,
        "deny_delete": True,
        "deny_purge": True,
    }


def wanted_streams(config: RecorderConfig) -> tuple[StreamSpec, ...]:
    """Return the streams to keep; market data only where it is configured."""
    return tuple(spec for spec in STREAMS if spec is not MARKET or config.market)


def recorded_streams(config: RecorderConfig) -> tuple[StreamSpec, ...]:
    """Return the streams whose messages go into the chained journal."""
    return tuple(s for s in wanted_streams(config) if s is not MARKET or config.chain_market)


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return what a stream has otherwise than it should, one text a field."""
    name = wanted["name"]
    told = [
        f"{name}.{field} is {_said(field, found)}, wanted {_said(field, wanted)}"
        for field, value in wanted.items()
        if _plain(found.get(field)) != _plain(value)
    ]
    unset = [f"{name}.{each} is {found[each]}, wanted it unset" for each in others(found, wanted)]
    return [*told, *unset]


def others(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the settings of a stream that are none of ours, and are not as the server has them."""
    strange = [each for each in found if each not in wanted and each not in HARMLESS]
    return [each for each in strange if _plain(found[each]) not in (None, {}, NO_LIMIT, "default")]


def weaknesses(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the differences that make a stream less durable: what is kept longer is not less."""
    is_longer = _is_kept_longer(found, wanted)
    return differences(found, {**wanted, "max_age": found.get("max_age")} if is_longer else wanted)


def kept_longer(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return in words that a stream keeps messages beyond their age; empty: it does not."""
    if not _is_kept_longer(found, wanted):
        return []
    return differences({**wanted, "max_age": found.get("max_age")}, wanted)


def _is_kept_longer(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    age_ns, found_ns = wanted["max_age"], found.get("max_age") or 0
    return bool(age_ns) and (not found_ns or found_ns > age_ns)


def _age_ns(spec: StreamSpec, config: RecorderConfig) -> int:
    """Return when the server lets a message go; 0 is never.

    Copies go with their originals in the record (R-06), but a recorder that is away for a while
    must find all that it missed. Who may trade is said by the newest of CONTROL, however old.
    """
    if spec.is_limited:
        return config.market_age_s_max * NS_PER_S
    if spec is CONTROL:
        return 0
    days = chain_days(config.retention)[kind_of(spec.name)]
    return max(days, STREAM_DAYS_MIN) * DAY_NS


def durability(
    problems: Sequence[str],
    servers: Mapping[str, Mapping[str, Any] | None],
    *,
    replicas: int,
    longer: Sequence[str] = (),
) -> Durability:
    """Return the verdict.

    Args:
        problems: what the streams have otherwise than they should.
        servers: by the address of its monitoring, each server's own account of its configuration;
            None if it could not be asked.
        replicas: how many servers keep each stream, as configured.
        longer: which streams keep more than their policy asks for, in words: no less durable.
    """
    why_not = [*problems, *_unsynced(servers)]
    told = [each for each in servers.values() if each is not None]
    cluster = next((name for each in told if (name := each.get("cluster", {}).get("name"))), "")
    if cluster and replicas < CLUSTER_REPLICAS:
        why_not.append(
            f"the server is one of the cluster {cluster}, and streams are kept by {replicas} of its"
            f" servers: set recorder.replicas to {CLUSTER_REPLICAS} or more"
        )
    elif cluster and len(servers) < replicas:
        why_not.append(
            f"streams are kept by {replicas} servers of the cluster {cluster}, and {len(servers)} "
            "can be asked whether they sync: name the monitoring of each in bus.monitor_url"
        )
    if why_not:
        return Durability(is_durable=False, detail="; ".join([*why_not, *_to_apply(longer)]))
    told_well = ["every write is on the disk before it counts", *_to_apply(longer)]
    return Durability(is_durable=True, detail="; ".join(told_well))


def _to_apply(longer: Sequence[str]) -> list[str]:
    """Return what a person can do about streams that keep more than they should."""
    if not longer:
        return []
    return [f"kept longer than its policy, until `sluice streams --apply`: {', '.join(longer)}"]


def _unsynced(servers: Mapping[str, Mapping[str, Any] | None]) -> Iterator[str]:
    """Yield why what a server acknowledges may not be on its disk."""
    if not servers:
        yield (
            "whether the server syncs every write is not known: its monitoring has no address "
            "(bus.monitor_url)"
        )
    for where, varz in servers.items():
        if varz is None:
            yield (
                "whether the server syncs every write is not known: its monitoring did not answer "
                f"at {where}"
            )
        elif not varz.get("jetstream", {}).get("config", {}).get(SYNC_ALWAYS, False):
            yield (
                f"the server at {where} syncs its files every two minutes: set `sync_interval: "
                "always` in the jetstream section of its configuration; where `sluice up` starts "
                "it, `bus.is_durable = true`"
            )


def _said(field: str, config: Mapping[str, Any]) -> Any:
    """Return a field's value for people: an age in days, as the policy has it."""
    value = _plain(config.get(field))
    if field != "max_age":
        return value
    return "without end" if value is None else f"{value / DAY_NS:g} days"


def _plain(value: Any) -> Any:
    """Return the value as the server shows it: what is unset is left out of its answers."""
    return None if value in (0, False, "", [], None) else value
