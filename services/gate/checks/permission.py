"""May anything pass at all, and do we know whose signal this is."""

from schemas.base import NS_PER_MS
from schemas.instruments import TOKEN
from services.gate.case import PASS, Case, Verdict


def session_named(case: Case) -> Verdict:
    """Return whether the session's name can be a token of a bus subject."""
    session = case.signal.session
    if case.is_account_known and session in case.account.sessions:
        return PASS
    return (TOKEN.fullmatch(session) is not None, "", "")


def trading_permitted(case: Case) -> Verdict:
    """Return whether an epoch is served, its lease runs, and the control link is up."""
    return PASS if not case.refusal else (False, case.refusal, "")


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


def signal_in_time(case: Case) -> Verdict:
    """Return whether the signal is not expired, and does not expire too far ahead."""
    limit = case.limits.signal_life_ms_max
    left_ms = -((case.now_ns - case.signal.expires_at_ns) // NS_PER_MS)  # rounded up
    return (0 < left_ms <= limit.value, str(left_ms), limit.text)


def signal_new(case: Case) -> Verdict:
    """Return whether no signal of this id was decided before, and there is room to remember it."""
    objection = case.ids.objection(case.order_id, case.now_ns)
    return PASS if not objection else (False, objection, "")
