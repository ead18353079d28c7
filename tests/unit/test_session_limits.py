"""The limits that a start names for its session, read by whoever must keep to them."""

import pytest

from schemas.bounds import WANTED_NUMBER
from schemas.errors import FieldError
from schemas.sessions import SessionLimits
from services.session_limits import session_limits
from tests.builders import dec

pytestmark = pytest.mark.req("S-01", "S-08")


def test_what_is_in_bounds_is_taken() -> None:
    given = {"max_positions": 3, "max_daily_loss": "1e15", "max_drawdown": "0.05"}
    chosen = SessionLimits(
        max_positions=dec(3), max_daily_loss=dec("1e15"), max_drawdown=dec("0.05")
    )
    assert session_limits(given) == (chosen, ())


@pytest.mark.parametrize("name", ["max_positions", "max_daily_loss_pct", "gross_notional_max"])
@pytest.mark.parametrize("number", ["1E+30", "1E+999999", "1E+999999999", "1E-999999999"])
def test_a_number_that_nothing_can_be_computed_with_is_an_error_and_no_limit(
    name: str, number: str
) -> None:
    error = FieldError(path=f"$.risk_limits.{name}", found=number, wanted=WANTED_NUMBER)
    assert session_limits({name: number, "max_drawdown": "0.1"}) == (
        SessionLimits(max_drawdown=dec("0.1")),
        (error,),
    )
