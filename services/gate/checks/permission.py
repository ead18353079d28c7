"""May anything pass at all, and do we know whose signal this is."""

from schemas.base import NS_PER_MS
from schemas.instruments import TOKEN
from schemas.restrictions import Level
from services.gate.case import PASS, Case, Verdict
from services.gate.check import ACCESS, CLOSED, Check
from services.gate.exposure import Lane
from services.gate.kinds import DOUBTED, REFUSED, RESTRICTED, UNMET
from services.gate.measured import Found, at_most
from services.gate.state import GateState

_HALT = Level.HALT


def session_named(case: Case) -> Verdict:
    """Return whether the session's name can be a token of a bus subject."""
    session = case.signal.session
    if case.is_account_known and session in case.account.sessions:
        return PASS
    return PASS if TOKEN.fullmatch(session) else (False, "", "")


def trading_permitted(case: Case) -> Verdict:
    """Return whether an epoch is served, its lease runs, and the control link is up."""
    return PASS if not case.refusal else (False, case.refusal, "")


def not_restricted(case: Case) -> Verdict:
    """Return whether nobody has halted the part of the account or market that the order is in."""
    restriction = case.restriction
    if restriction is None or restriction.level is not _HALT:
        return PASS
    who = restriction.operator or "nobody named"
    why = restriction.reason or "no reason"
    return (False, f"{restriction.scope} halted by {who}: {why}", "")


def account_known(case: Case) -> Verdict:
    """Return whether the account has a row of limits."""
    return PASS if case.is_account_known else (False, case.signal.account, "")


def exposure_known(case: Case) -> Verdict:
    """Return whether nothing is missing since the executor's last reconciled book."""
    doubt = case.account.doubt
    return PASS if not doubt else (False, doubt, "")


def instrument_known(case: Case) -> Verdict:
    """Return whether the instrument is configured."""
    return PASS if case.is_instrument_known else (False, case.signal.instrument, "")


def _left_ms(case: Case) -> int:
    return -((case.now_ns - case.signal.expires_at_ns) // NS_PER_MS)  # rounded up


@at_most(lambda case: case.limits.signal_life_ms_max, blind=lambda case: str(_left_ms(case)))
def signal_in_time(case: Case) -> Found:
    """Return for how long the signal may still be sent, in ms; None where it is expired."""
    left_ms = _left_ms(case)
    return left_ms if left_ms > 0 else None


def signal_new(case: Case) -> Verdict:
    """Return whether no signal of this id was decided before, and there is room to remember it."""
    objection = case.state.ids.objection(case.order_id, case.now_ns)
    return PASS if not objection else (False, objection, "")


def _is_of_a_lane(state: GateState, lane: Lane) -> bool:
    """Return True: who asks has found the instrument in the account already."""
    return True


ROWS: tuple[Check, ...] = (
    Check(
        session_named,
        "signal.session",
        "letters, digits, - and _ only",
        "",
        (),
        "the bus: a name becomes part of a subject",
        about=UNMET,
    ),
    Check(
        trading_permitted,
        "epoch, lease and link of the control guard",
        "an epoch started and not halted, its lease running, the control link up",
        "",
        (),
        "I1, I3, I6, " + CLOSED,
        about=REFUSED,
    ),
    Check(
        not_restricted,
        "restrictions that the control guard heard",
        "no halt of the account, session, venue or symbol",
        "",
        (),
        "control protocol: scopes; " + CLOSED,
        about=RESTRICTED,
    ),
    Check(
        account_known,
        "signal.account",
        "the account has a row of limits",
        "",
        (),
        CLOSED,
        settled=_is_of_a_lane,
    ),
    Check(
        exposure_known,
        "gaps, link losses, restarts",
        "nothing missing since the executor's last reconciled book",
        "",
        (),
        "I8, I11, " + CLOSED,
        about=DOUBTED,
    ),
    Check(
        instrument_known,
        "signal.instrument",
        "the instrument is configured",
        "",
        (),
        CLOSED,
        settled=_is_of_a_lane,
    ),
    Check(
        signal_in_time,
        "signal.expires_at_ns, now",
        "0 < expiry - now <= signal_life_ms_max",
        "ms",
        ("signal_life_ms_max",),
        "bus: what is late is not sent",
    ),
    Check(
        signal_new,
        "id of the order: hash of account, session, signal, leg",
        "not decided before",
        "",
        (),
        "I2, " + ACCESS,
    ),
)
