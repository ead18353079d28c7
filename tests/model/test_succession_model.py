"""One executor after the other: after an order of the new epoch comes none of the old (I5)."""

import pytest

from tests.model.checker import check
from tests.model.succession_model import Succession, succession_model


@pytest.mark.req("X-10", "G-09")
def test_a_successor_that_waits_for_the_lease_before_it_sends_after_every_older_order() -> None:
    verdict = check(succession_model(Succession()))
    assert (verdict.broken, verdict.is_exhausted) == ("", True)


@pytest.mark.parametrize(
    "rules",
    [
        Succession(waits_for_the_one_before=False),
        Succession(waits_after_its_own_restart=False),
        Succession(lease_counts_from_the_question=False),
    ],
    ids=[
        "M14 leased at once",
        "M15 leased at once by an arbiter that just began",
        "M16 a lease counts from its answer",
    ],
)
def test_a_succession_that_does_one_thing_wrong_lets_an_older_order_follow(
    rules: Succession,
) -> None:
    assert check(succession_model(rules)).broken == "I5"
