"""How many messages go to the venue."""

from services.gate.case import Case, Verdict
from services.gate.check import ACCESS, Check


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


ROWS: tuple[Check, ...] = (
    Check(
        session_messages,
        "orders and cancels of the session in message_window_ms",
        "count + 1 <= session_messages_max",
        "messages",
        ("session_messages_max", "message_window_ms"),
        ACCESS,
    ),
    Check(
        account_messages,
        "orders and cancels of the account in message_window_ms",
        "count + 1 <= account_messages_max",
        "messages",
        ("account_messages_max", "message_window_ms"),
        ACCESS,
    ),
)
