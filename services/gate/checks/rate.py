"""How many messages go to the venue."""

from services.gate.case import Case, Verdict


def session_messages(case: Case) -> Verdict:
    """Return whether the session may send one more message in this window."""
    limit, window_ms = case.limits.session_messages_max, case.limits.message_window_ms
    sent = case.account.sessions.get(case.signal.session)
    count = 1 if sent is None else sent.count(case.now_ns, window_ms.value) + 1
    return (count <= limit.value, str(count), limit.text)


def account_messages(case: Case) -> Verdict:
    """Return whether the account may send one more message in this window."""
    limit, window_ms = case.limits.account_messages_max, case.limits.message_window_ms
    count = case.account.messages.count(case.now_ns, window_ms.value) + 1
    return (count <= limit.value, str(count), limit.text)
