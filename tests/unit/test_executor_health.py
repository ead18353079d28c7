"""What a venue says of how safe the account is there reaches whoever listens, whole."""

from decimal import Decimal

import pytest

from schemas.limits import AccountHealthReported
from schemas.venue import VenueHealth
from services.core import tell
from tests.builders import ACCOUNT
from tests.executor_rig import submitted


@pytest.mark.req("S-18")
@pytest.mark.parametrize(
    ("health_factor", "margin_ratio"), [("1.5", None), (None, "0.25"), ("Infinity", "3")]
)
def test_a_health_factor_and_a_margin_ratio_are_passed_on_each_where_it_is_told(
    health_factor: str | None, margin_ratio: str | None
) -> None:
    factor = None if health_factor is None else Decimal(health_factor)
    ratio = None if margin_ratio is None else Decimal(margin_ratio)
    told = VenueHealth(at_ns=7, venue="lend", health_factor=factor, margin_ratio=ratio)
    assert tell(submitted(), told, 7) == [
        AccountHealthReported(
            at_ns=7, account=ACCOUNT, venue="lend", health_factor=factor, margin_ratio=ratio
        )
    ]
