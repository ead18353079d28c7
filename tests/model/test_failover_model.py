"""Two gates never exceed one limit together, and one order id is executed at most once."""

import pytest

from tests.model.checker import check
from tests.model.failover_model import Sending, Takeover, executor_model, gates_model


def test_a_takeover_that_fences_and_then_rebuilds_keeps_the_limit() -> None:
    verdict = check(gates_model(Takeover()))
    assert (verdict.broken, verdict.is_exhausted) == ("", True)


@pytest.mark.parametrize(
    "takeover",
    [
        Takeover(executor_checks_token=False),
        Takeover(fences_before_rebuilding=False),
        Takeover(rebuilds_from_accepted_orders=False),
    ],
    ids=[
        "M7 the executor does not check the token",
        "M8 rebuilt before fencing",
        "M9 rebuilt from fills",
    ],
)
def test_a_takeover_that_does_one_thing_wrong_exceeds_the_limit(takeover: Takeover) -> None:
    assert check(gates_model(takeover)).broken == "I8"


@pytest.mark.req("X-10")
@pytest.mark.parametrize("venue_knows_repeats", ["open", "none", "forever"])
def test_an_executor_that_journals_first_and_never_resends_executes_once(
    venue_knows_repeats: str,
) -> None:
    verdict = check(executor_model(Sending(venue_knows_repeats=venue_knows_repeats)))
    assert (verdict.broken, verdict.is_exhausted) == ("", True)


@pytest.mark.parametrize(
    "sending",
    [
        Sending(journals_before_sending=False),
        Sending(resends_after_timeout=True),
        Sending(resends_if_not_found=True),
    ],
    ids=["M10 journalled after sending", "M11 sent again late", "M12 sent again if not found"],
)
def test_an_executor_that_does_one_thing_wrong_executes_twice(sending: Sending) -> None:
    assert check(executor_model(sending)).broken == "I2"


@pytest.mark.parametrize(
    "sending",
    [
        Sending(resends_after_timeout=True, venue_knows_repeats="forever"),
        Sending(resends_if_not_found=True, venue_knows_repeats="forever"),
    ],
    ids=["after a timeout", "if not found"],
)
def test_only_a_venue_that_never_forgets_an_id_would_make_resending_safe(
    sending: Sending,
) -> None:
    assert check(executor_model(sending)).broken == ""
