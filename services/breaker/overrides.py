"""A person puts other levels in the place of a breaker's own (B-12, O-06), with an audit."""

from collections.abc import Sequence

from schemas.base import Event
from schemas.breakers import BreakerAsked, BreakerRequest
from schemas.control import ControlAnswered
from schemas.errors import FieldError
from schemas.health import AlertRaised, Severity
from services.breaker.levels import complaints
from services.breaker.panel import Panel
from services.breaker.table import ABOUT
from services.people import blanks


def override(asked: BreakerAsked, panel: Panel, now_ns: int) -> tuple[list[Event], list[Event]]:
    """Return what a request changes and passes, and then the answer to it.

    The new levels are looked at once they stand: what is past them trips, in the same step.
    """
    request = asked.request
    if found := _complaints(request):
        return [], [_answer(asked, "refused: nothing was changed", now_ns, errors=found)]
    before = _words(request.breaker, panel)
    who = (request.operator, request.reason)
    facts = panel.change_levels(request.breaker, request.levels, who, now_ns)
    after = _words(request.breaker, panel)
    text = f"breaker {request.breaker}: {after}; before: {before}"
    alert = AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component="breaker",
        code="SLU-191",
        message=f"{request.operator} changed {text}: {request.reason}",
        fields={"breaker": request.breaker, "before": before, "after": after},
    )
    return facts, [_answer(asked, text, now_ns), alert]


def _complaints(request: BreakerRequest) -> Sequence[FieldError]:
    why = "why the levels should be others"
    found = blanks(request.operator, request.reason, "changes it", why)
    about = ABOUT.get(request.breaker)
    if about is None:
        wanted = f"one of {', '.join(ABOUT)}"
        return [*found, FieldError(path="$.breaker", found=request.breaker, wanted=wanted)]
    wrong = complaints("$.levels", request.levels, below=about.below, is_floor=about.is_floor)
    return [*found, *wrong]


def _words(name: str, panel: Panel) -> str:
    breaker = panel.breakers[name]
    said = [f"{level.response} at {breaker.about.level_text(level.at)}" for level in breaker.levels]
    return ", ".join(said) or "no level"


def _answer(
    asked: BreakerAsked, message: str, now_ns: int, *, errors: Sequence[FieldError] = ()
) -> ControlAnswered:
    return ControlAnswered(
        at_ns=now_ns,
        request_id=asked.request_id,
        request="breaker",
        is_ok=not errors,
        message=message,
        errors=tuple(errors),
    )
