"""The order id is the same for whoever computes it, and for no other signal."""

import pytest

from schemas.base import AccountId, SessionId, SignalId
from schemas.ids import order_id_of


@pytest.mark.req("X-10")
def test_an_order_id_never_changes_between_versions() -> None:
    made = order_id_of(AccountId("paper"), SessionId("ema_cross-1"), SignalId("ema_cross-1-1"), 0)
    assert made == "03e63eceed3eacd44b070b0df3f7451d"


def test_no_two_different_signals_share_an_order_id() -> None:
    parts = [("a", "b", "c", 0), ("ab", "", "c", 0), ("a", "bc", "", 0), ("a", "b", "c", 1)]
    made = [order_id_of(AccountId(a), SessionId(b), SignalId(c), leg) for a, b, c, leg in parts]
    assert len(set(made)) == len(parts)
    assert all(len(each) == 32 for each in made)
