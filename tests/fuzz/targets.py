"""What is fuzzed: the very code between the bytes of a message and what the system does with it."""

import json
import threading
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from schemas.base import BootId, Event
from schemas.control import ControlAnswered, EpochStarted, HaltRequested, Member, StartAsked
from schemas.restrictions import Level, RestrictionRequested
from schemas.subjects import START
from schemas.wire import forbidden_by
from services.breaker.__main__ import REQUESTS
from services.control import ControlGuard
from services.runtime.link import ControlLink
from services.runtime.requests import Requests
from tests.control_rig import ControlRig

BOOT = BootId("boot-1")
HALTS = ("control.halt", "control.halt.planet.mars", "control.halt.all", "control.halt.symbol.X")
"""Subjects of full halts: a scope that nobody knows is all."""

PARTS = ("control.halt.session.s1", "control.reduce", "control.reduce.venue.sim")


class _Mute:
    """An outbox into nowhere: what is acknowledged does not matter here."""

    def publish(self, events: object) -> None:
        pass

    def reply(self, to: str, event: object) -> None:
        pass


class Halting:
    """A control link whose bus is the fuzzer. Every payload must forbid what its subject says."""

    def __init__(self) -> None:
        self.guard = ControlGuard("gate", BOOT)
        self.posted: list[Event] = []
        self.link = ControlLink(
            self.guard,
            _no_connection,
            post=self.posted.append,
            clock=lambda: 1,
            lock=threading.Lock(),
        )
        self.link.__dict__["_outbox"] = _Mute()

    def one(self, data: bytes, subject: str) -> None:
        """Send one payload on `subject` to a component that serves an epoch.

        Raises:
            AssertionError: it did not halt, or did not restrict what the subject names.
        """
        self._arm()
        self.posted.clear()
        before = self.guard.halts
        self.link._on_halt(subject, data, "")
        scope, level = forbidden_by(subject)
        [told] = self.posted
        if (scope, level) == ("all", Level.HALT):
            assert self.guard.is_halted
            assert self.guard.halts == before + 1
            assert isinstance(told, HaltRequested)
        else:
            assert (scope, level) in self.guard.restrictions
            assert isinstance(told, RestrictionRequested)
            assert (told.scope, told.level) == (scope, level)

    def _arm(self) -> None:
        guard = self.guard
        member = Member(boot_id=BOOT, halts=guard.halts, restriction_count=guard.restriction_count)
        epoch = EpochStarted(
            at_ns=1,
            epoch=guard.epoch + 1,
            start_id="s",
            operator="kim",
            members={"gate": member},
        )
        guard.handle(epoch, 1)
        assert not guard.is_halted
        assert not guard.restrictions


class Starting:
    """The requests' way into the arbiter. What is no start, by another reading, starts nothing."""

    def __init__(self) -> None:
        self.requests = Requests(REQUESTS, "breaker-boot-1")
        self.started_count = 0

    def one(self, data: bytes) -> bool:
        """Send one payload; return whether it was a valid start.

        Raises:
            AssertionError: it started something, and is no valid start.
        """
        event = self.requests.read(data, subject=START, reply="", now_ns=1)
        if isinstance(event, ControlAnswered):
            assert not event.is_ok
            assert event.errors
            return False
        assert isinstance(event, StartAsked)
        is_started = any(isinstance(e, EpochStarted) for e in ControlRig().ready().tell(event))
        is_valid = is_a_start(data)
        assert is_valid or not is_started, data
        self.started_count += is_started
        return is_valid


async def _no_connection() -> Any:
    raise AssertionError("the fuzzer is the bus")


def is_a_start(data: bytes) -> bool:
    """Return whether the bytes are a valid start, read by other code than the product's."""
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict) or not found.keys() <= CHECKS.keys() or "operator" not in found:
        return False
    return all(CHECKS[name](value) for name, value in found.items())


def _is_amount(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        Decimal(str(value))
    except InvalidOperation:
        return False
    return True


def _is_text(value: object) -> bool:
    return isinstance(value, str)


CHECKS: dict[str, Callable[[Any], bool]] = {
    "operator": lambda value: isinstance(value, str) and bool(value.strip()),
    "reason": _is_text,
    "strategy": lambda value: value is None or isinstance(value, str),
    "symbols": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "initial_capital": _is_amount,
    "share_class": _is_text,
    "execution_mode": _is_text,
    "config_overrides": lambda value: isinstance(value, dict),
    "risk_limits": lambda value: isinstance(value, dict),
    "monitoring_enabled": lambda value: isinstance(value, bool),
}
"""Field of a start -> whether a value of it is valid."""
