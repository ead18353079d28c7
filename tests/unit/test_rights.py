"""Subjects with wildcards compared: what a rule allows, and what is missing."""

import pytest

from schemas.base import BootId
from schemas.control import HaltRequested, PrepareAsked
from schemas.orders import SignalRaised
from services.control import ControlGuard
from services.runtime.rights import Rights, covers, overlap, rights_missing, rights_needed


@pytest.mark.parametrize(
    ("rule", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a.*", True),
        ("a.b", "a.*", False),
        ("a.*", "a.>", False),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a.*.*", True),
        ("a.>", "a.>", True),
        ("a.>", "a", False),
        (">", "a.>", True),
        ("a.b.c", "a.b", False),
    ],
)
def test_a_rule_covers_only_what_it_allows_entirely(
    rule: str, subject: str, expected: bool
) -> None:
    assert covers(rule, subject) is expected


@pytest.mark.parametrize(
    ("rule", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.*", True),
        ("a.b.c", "a.>", True),
        ("a.*.c", "a.b.*", True),
        ("a.b", "a.c", False),
        ("a.b", "a.b.c", False),
    ],
)
def test_two_rules_overlap_when_one_subject_fits_both(
    rule: str, subject: str, expected: bool
) -> None:
    assert overlap(rule, subject) is expected
    assert overlap(subject, rule) is expected


NEEDED = Rights(publish=("order.*.*", "control.halt"), subscribe=("signal.*.*",))


def granted(
    publish: list[str], subscribe: list[str], deny: list[str] | None = None, **more: object
) -> dict[str, object]:
    told: dict[str, object] = {"allow": publish, "deny": deny or []}
    return {"publish": told, "subscribe": {"allow": subscribe}, "responses": {"max": 1}, **more}


@pytest.mark.req("A-01")
@pytest.mark.parametrize(
    ("told", "missing"),
    [
        (granted(["order.>", "control.*"], ["signal.>"]), ()),
        (granted(["control.*"], ["signal.>"]), ("publish order.*.*",)),
        (granted(["order.>", "control.*"], ["signal.s1.>"]), ("subscribe signal.*.*",)),
        (granted([">"], [">"], ["order.sim.*"]), ("publish order.*.*",)),
        (granted([">"], [">"], responses=None), ("answer requests (allow_responses)",)),
        ({}, ()),
    ],
    ids=["all", "no publish", "too narrow", "denied", "mute", "unlimited"],
)
def test_what_is_missing_is_named_one_by_one(
    told: dict[str, object], missing: tuple[str, ...]
) -> None:
    assert rights_missing(NEEDED, told) == missing


def test_a_guarded_service_needs_its_control_subjects_and_its_own_names() -> None:
    needed = rights_needed(
        "gate", [PrepareAsked, SignalRaised], guard=ControlGuard("gate", BootId("b1"))
    )
    assert needed.publish == (
        "risk.decision.*",
        "order.*.*",
        "control.prepared.gate",
        "control.ack.gate",
        "control.lease",
        "control.lock",
        "risk.limits",
        "risk.tightened.*",
        "control.result",
        "control.halt",
        "health.gate",
        "alert.*",
        "dead.letters",
        "control.halt.>",
        "control.reduce",
        "control.reduce.>",
        "query.executor",
    )
    assert needed.subscribe == (
        "control.prepare",
        "signal.*.*",
        "control.halt",
        "control.reduce",
        "control.epoch",
        "control.ended",
        "breaker.locks",
        "control.leased.gate",
        "control.halt.>",
        "control.reduce.>",
        "query.gate",
        "_INBOX.gate.>",
        "$SRV.PING.gate",
    )


def test_whoever_hears_halts_needs_the_scopes_below_too() -> None:
    needed = rights_needed("strategy", [HaltRequested])
    assert {"control.halt", "control.halt.>"} <= set(needed.subscribe)
