"""By which price a position's size is judged: the most that a unit may trade at."""

import pytest

from schemas.orders import OrderType
from services.strategy.context import Terms, at_limit
from tests.builders import ALPHA, BETA, dec
from tests.unit.test_strategy_limits import Rig, rules

STOP = Terms(order_type=OrderType.STOP, stop_price=dec(150))


@pytest.mark.req("S-08")
@pytest.mark.parametrize(
    ("side", "quantity", "terms", "expected"),
    [
        ("sell", "11", at_limit(dec(1)), ["max_position_size"]),
        ("sell", "10", at_limit(dec(1)), []),
        ("sell", "8", at_limit(dec(150)), ["max_position_size"]),
        ("buy", "11", at_limit(dec(90)), []),
        ("buy", "11", at_limit(dec(-100)), ["max_position_size"]),
        ("buy", "8", STOP, ["max_position_size"]),
        ("buy", "6", STOP, []),
    ],
)
def test_a_position_is_sized_by_the_most_that_it_may_trade_at(
    side: str, quantity: str, terms: Terms, expected: list[str]
) -> None:
    """The market is at 100; a limit to sell below it sells at the market."""
    rig = Rig({"max_position_size": "1000"})
    rig.begin()
    assert rules(rig.do((side, ALPHA, quantity, terms))) == expected


@pytest.mark.req("S-08")
def test_what_a_limit_to_sell_brings_where_no_price_is_known_is_not_known() -> None:
    rig = Rig({"max_position_size": "1000"})
    rig.start("obeys", symbols=("sim:ALPHA", "sim:BETA"))
    sold = rig.do(("sell", BETA, "5", at_limit(dec(1))))
    assert rules(sold) == ["position_size_limit"]
