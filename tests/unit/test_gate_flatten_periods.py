"""A person's flatten is no session's: the limits of a session over a period let it out."""

from decimal import Decimal

import pytest

from schemas.base import SessionId
from schemas.orders import Side
from tests.builders import dec
from tests.gate_rig import Rig, config


@pytest.mark.req("G-07", "G-11")
@pytest.mark.parametrize(
    "limits",
    [{"session_period_quantity_max": dec(20)}, {"session_period_notional_max": dec(2_000)}],
)
def test_a_flatten_closes_more_than_a_session_may_send_in_a_period(
    limits: dict[str, Decimal],
) -> None:
    rig = Rig(config(period_ms=60_000, **limits))
    for number in range(3):
        order = rig.approve(f"a{number}", quantity="15", session=SessionId(f"s{number}"))
        rig.fill(order, "15", f"e{number}")
    flatten = SessionId("flatten-1")
    for name in ("x", "y", "z"):
        rule = rig.rule(name, side=Side.SELL, quantity="15", session=flatten, is_reduce_only=True)
        assert rule == "all"
