"""What follows when a level is passed (B-08): always with an alert."""

import msgspec

from schemas.base import Event
from schemas.control import BreakerTripped, BreakerWarned, Response
from schemas.health import AlertRaised, Severity
from schemas.restrictions import ALL, FlattenAsked, FlattenRequest
from services.breaker.arbiter import Arbiter
from services.breaker.state import OWN

COMPONENT = "breaker"


def warn(fact: BreakerWarned, now_ns: int) -> list[Event]:
    """Return the warning and its alert: nothing is forbidden by it."""
    alert = AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component=COMPONENT,
        code="SLU-190",
        message=f"breaker {fact.breaker} warns: {fact.reason}",
        fields={"breaker": fact.breaker, "value": fact.value, "limit": fact.limit},
    )
    return [fact, alert]


def possible(fact: BreakerTripped, arbiter: Arbiter) -> BreakerTripped:
    """Return the trip with what can be done now.

    A flatten needs an epoch to trade in: where none is in force, it is a halt.
    """
    if fact.response is not Response.FLATTEN or arbiter.state.epoch is not None:
        return fact
    return msgspec.structs.replace(fact, response=Response.HALT)


def respond(fact: BreakerTripped, arbiter: Arbiter, now_ns: int) -> list[Event]:
    """Return what goes out with a trip: the halt or restriction first, the flatten last."""
    if fact.response is not Response.FLATTEN:
        return arbiter.trip(fact, now_ns)
    operator = OWN + fact.breaker
    asked = FlattenAsked(
        at_ns=now_ns,
        request_id=f"{operator}-{now_ns}",
        request=FlattenRequest(operator=operator, reason=fact.reason, scope=ALL),
    )
    return [*arbiter.trip(fact, now_ns), asked]
