"""How many messages go to the venue."""

from services.gate.case import Case
from services.gate.check import ACCESS, Check
from services.gate.measured import Found, at_most


@at_most(lambda case: case.limits.session_messages_max)
def session_messages(case: Case) -> Found:
    """Return the session's messages in the window, with one more."""
    sent, window_ms = case.route.messages, case.limits.message_window_ms.value
    return 1 if sent is None else sent.count(case.now_ns, window_ms) + 1


@at_most(lambda case: case.limits.account_messages_max)
def account_messages(case: Case) -> Found:
    """Return the account's messages in the window, with one more."""
    return case.account.messages.count(case.now_ns, case.limits.message_window_ms.value) + 1


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
