"""Has a person confirmed it, where the session's mode asks for one (S-09)."""

from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.checks.groups import is_nobodys
from services.gate.exposure import ZERO

AUTO, SEMI_AUTO = "AUTO", "SEMI_AUTO"


def signal_confirmed(case: Case) -> Verdict:
    """Return whether the session's mode lets the signal pass, or a person did.

    The mode of a session that nobody told of is not known, and denies: a strategy cannot get
    round its mode by another session's name. What closes positions in nobody's name passes, as a
    flatten must.
    """
    confirmations, signal = case.state.confirmations, case.signal
    mode = confirmations.mode_of.get(signal.session)
    if mode == AUTO:
        return PASS
    if mode is None:
        if is_nobodys(case):
            return PASS
        return (False, f"session {signal.session} was never created", "its execution mode")
    if mode == SEMI_AUTO and case.own_reach <= ZERO:
        return PASS
    objection = confirmations.objection(signal)
    return PASS if not objection else (False, objection, f"{mode}: a person's word")


ROWS: tuple[Check, ...] = (
    Check(
        signal_confirmed,
        "SessionCreated of the session; control.confirm and what it was shown for; position and"
        " open orders of the session",
        "AUTO; or SEMI_AUTO and the order only reduces what the session holds, open orders counted;"
        " or a person confirmed this very signal; or it is reduce-only and of nobody's session",
        "",
        (),
        "S-09, fail closed",
    ),
)
