"""The breaker's state word (B-06): everything that can change it stands in this one table.

ops/runbooks/breaker-states.md is drawn from it.
"""

import enum

from schemas.control import BreakerState

NORMAL = BreakerState.NORMAL
TRIPPED = BreakerState.TRIPPED
MANUALLY_HALTED = BreakerState.MANUALLY_HALTED
RESETTING = BreakerState.RESETTING


class Trigger(enum.Enum):
    """What can happen to the state word."""

    HALT = "somebody pulled the cord"
    TRIP = "a breaker of ours passed its limit"
    RESET_ASKED = "a person named the newest halt and wants it cleared"
    RESET_DONE = "the control stream holds no halt that this person had not seen"
    HALT_STANDS = "the reset failed, and a person's halt is still open"
    TRIP_STANDS = "the reset failed, and only trips are open"


TRANSITIONS: dict[tuple[BreakerState, Trigger], BreakerState] = {
    (NORMAL, Trigger.HALT): MANUALLY_HALTED,
    (NORMAL, Trigger.TRIP): TRIPPED,
    (TRIPPED, Trigger.HALT): MANUALLY_HALTED,
    (TRIPPED, Trigger.TRIP): TRIPPED,
    (TRIPPED, Trigger.RESET_ASKED): RESETTING,
    (MANUALLY_HALTED, Trigger.HALT): MANUALLY_HALTED,
    (MANUALLY_HALTED, Trigger.TRIP): MANUALLY_HALTED,  # a person's halt wins over all
    (MANUALLY_HALTED, Trigger.RESET_ASKED): RESETTING,
    (RESETTING, Trigger.HALT): MANUALLY_HALTED,
    (RESETTING, Trigger.RESET_DONE): NORMAL,
    (RESETTING, Trigger.HALT_STANDS): MANUALLY_HALTED,
    (RESETTING, Trigger.TRIP_STANDS): TRIPPED,
}
"""State and trigger -> next state. A pair that is not here does not happen: a reset is asked for
only where something is open, and a trip first ends a reset under way (`*_STANDS`)."""


def diagram() -> str:
    """Return the table as a mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {NORMAL}"]
    lines += [
        f"    {state} --> {after}: {trigger.value}"
        for (state, trigger), after in TRANSITIONS.items()
    ]
    return "\n".join(lines)
