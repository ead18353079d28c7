"""The streams are made durable, and anything less is said to be so."""

from typing import Any

import pytest

from schemas.streams import AUDIT, CONTROL, FILLS, MARKET, ORDERS, STREAMS, StreamSpec
from schemas.subjects import EPOCH_RECORD, SUBJECTS
from services.recorder.config import RecorderConfig, Retention
from services.recorder.profile import (
    Durability,
    differences,
    durability,
    recorded_streams,
    stream_config,
    wanted_streams,
    weaknesses,
)

CONFIG = RecorderConfig()
SYNCED = {"jetstream": {"config": {"sync_always": True}}}


@pytest.mark.req("R-01")
@pytest.mark.parametrize("spec", STREAMS, ids=lambda spec: spec.name)
def test_no_stream_lets_a_message_be_deleted_or_purged(spec: StreamSpec) -> None:
    found = stream_config(spec, CONFIG)
    assert (found["deny_delete"], found["deny_purge"], found["storage"]) == (True, True, "file")


@pytest.mark.req("R-06")
@pytest.mark.parametrize(("orders_days", "days"), [(2_557, 2_557), (7, 31)])
def test_copies_in_streams_go_with_the_record_but_never_before_it(
    orders_days: int, days: int
) -> None:
    config = RecorderConfig(retention=Retention(orders_days=orders_days, control_days=400))
    limits = {
        s.name: (stream_config(s, config)["max_age"], stream_config(s, config)["max_bytes"])
        for s in STREAMS
    }
    day_ns = 86_400 * 10**9
    assert limits == {
        "CONTROL": (0, -1),
        "ORDERS": (days * day_ns, -1),
        "FILLS": (days * day_ns, -1),
        "AUDIT": (400 * day_ns, -1),
        "MARKET": (day_ns, 2 * 1024**3),
    }


@pytest.mark.parametrize(
    ("age_days", "is_weaker"), [(0, False), (3_000, False), (2_557, False), (2_556, True)]
)
def test_a_stream_that_keeps_longer_is_otherwise_and_not_weaker(
    age_days: int, is_weaker: bool
) -> None:
    wanted = stream_config(ORDERS, CONFIG)
    found = {**wanted, "max_age": age_days * 86_400 * 10**9}
    assert bool(weaknesses(found, wanted)) is is_weaker
    assert bool(differences(found, wanted)) is (age_days != 2_557)
    assert weaknesses({**found, "deny_purge": False}, wanted)[-1].startswith("ORDERS.deny_purge")


def test_market_data_is_kept_as_configured() -> None:
    off = RecorderConfig(market=False, chain_market=True)
    assert wanted_streams(off) == recorded_streams(off) == (CONTROL, ORDERS, FILLS, AUDIT)
    assert recorded_streams(CONFIG) == (CONTROL, ORDERS, FILLS, AUDIT)
    assert recorded_streams(RecorderConfig(chain_market=True))[-1] == MARKET
    endless = stream_config(MARKET, RecorderConfig(market_bytes_max=0, market_age_s_max=0))
    assert (endless["max_bytes"], endless["max_age"]) == (-1, 0)


def matches(pattern: str, subject: str) -> bool:
    wants, parts = pattern.split("."), subject.split(".")
    for at, want in enumerate(wants):
        if want == ">":
            return len(parts) > at
        if at >= len(parts) or want not in ("*", parts[at]):
            return False
    return len(wants) == len(parts)


UNRECORDED = ("control.lease", "control.leased.*", "health.*", "feed.states")
"""Each second, and of no use afterwards; reports are answers and travel on no subject."""

REPORTED = ("report.made.", "report.delivered", "report.terms", "report.uptime")
"""Facts of the reports service; all other reports are answers."""


def test_every_event_of_the_bus_is_captured_by_exactly_one_stream() -> None:
    for pattern in {*SUBJECTS.values(), EPOCH_RECORD, "control.start", "control.reset"}:
        subject = pattern.replace("*", "x")
        captured = [s.name for s in STREAMS for p in s.subjects if matches(p, subject)]
        is_answer = pattern.startswith("report.") and not pattern.startswith(REPORTED)
        is_needed = pattern not in UNRECORDED and not is_answer
        assert len(captured) == (1 if is_needed else 0), (pattern, captured)


def test_streams_that_take_requests_do_not_answer_them() -> None:
    silent = [spec.name for spec in STREAMS if not spec.is_acknowledging]
    assert silent == ["CONTROL", "AUDIT"]
    assert stream_config(CONTROL, CONFIG)["no_ack"] is True


def test_a_stream_as_wanted_has_no_differences() -> None:
    wanted = stream_config(ORDERS, CONFIG)
    shown = {name: value for name, value in wanted.items() if value}  # what is unset is left out
    assert differences(shown, wanted) == []


def test_each_difference_is_named_with_what_was_found_and_wanted() -> None:
    wanted = stream_config(ORDERS, CONFIG)
    found = {**wanted, "storage": "memory", "deny_delete": False}
    assert differences(found, wanted) == [
        "ORDERS.storage is memory, wanted file",
        "ORDERS.deny_delete is None, wanted True",
    ]


STRANGE: dict[str, Any] = {
    "persist_mode": "async",
    "max_msg_size": 10,
    "allow_msg_ttl": True,
    "subject_transform": {"src": ">", "dest": "x.>"},
    "sealed": True,
}


@pytest.mark.req("R-01")
@pytest.mark.parametrize(("field", "value"), STRANGE.items(), ids=STRANGE.keys())
def test_a_setting_that_is_none_of_ours_makes_a_stream_weaker(field: str, value: Any) -> None:
    wanted = stream_config(FILLS, CONFIG)
    assert weaknesses({**wanted, field: value}, wanted) == [
        f"FILLS.{field} is {value}, wanted it unset"
    ]


def test_a_setting_as_the_server_has_it_or_that_keeps_no_less_is_no_weakness() -> None:
    wanted = stream_config(FILLS, CONFIG)
    shown = {
        "max_consumers": -1,
        "max_msg_size": -1,
        "duplicate_window": 120 * 10**9,
        "compression": "s2",
        "allow_direct": True,
        "mirror_direct": False,
        "consumer_limits": {},
        "persist_mode": "default",
        "metadata": {"_nats.level": "5"},
        "description": "fills",
        "placement": {"cluster": "east"},
    }
    assert weaknesses({**wanted, **shown}, wanted) == []


@pytest.mark.req("R-01")
def test_a_server_that_syncs_every_write_is_durable() -> None:
    assert durability([], {"http://127.0.0.1:8222": SYNCED}, replicas=1) == Durability(
        is_durable=True, detail="every write is on the disk before it counts"
    )


@pytest.mark.parametrize(
    ("problems", "varz", "where", "detail"),
    [
        (["ORDERS.storage is memory, wanted file"], SYNCED, "u", "ORDERS.storage is memory"),
        ([], {"jetstream": {"config": {}}}, "u", "set `sync_interval: always`"),
        ([], {}, "u", "set `sync_interval: always`"),
        ([], {}, "u", "where `sluice up` starts it, `bus.is_durable = true`"),
        ([], None, "http://h:1", "its monitoring did not answer at http://h:1"),
        ([], None, "", "its monitoring has no address (bus.monitor_url)"),
        (
            [],
            {**SYNCED, "cluster": {"name": "C"}},
            "u",
            "one of the cluster C, and",
        ),
    ],
    ids=[
        "a weak stream",
        "a lazy server",
        "an old server",
        "ours",
        "no answer",
        "no address",
        "one of 3",
    ],
)
def test_anything_less_is_not_durable_and_says_why(
    problems: list[str], varz: dict[str, object] | None, where: str, detail: str
) -> None:
    found = durability(problems, {where: varz} if where else {}, replicas=1)
    assert (found.is_durable, detail in found.detail) == (False, True)
