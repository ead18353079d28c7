"""Figures hold where capital comes and goes, and where the worth is not known any more."""

import pytest

from schemas.base import InstrumentId
from services.performance.curve import DAY_NS, Curve
from tests.builders import S_NS, dec
from tests.performance_rig import Rig

pytestmark = pytest.mark.req("R-03", "S-04")
NOON = DAY_NS // 2


def test_what_is_paid_in_on_a_new_day_takes_nothing_from_the_day_before() -> None:
    curve = Curve()
    curve.pay_in(dec(100), 0)
    curve.note(dec(110), NOON)
    curve.pay_in(dec(1000), DAY_NS + 1)
    curve.note(dec(1221), DAY_NS + NOON)
    returns = curve.ended(None, 0).returns
    assert returns.count == 2
    assert returns.growth == pytest.approx(1.1 * 1.1)


def test_a_day_on_which_only_capital_came_has_no_return() -> None:
    curve = Curve()
    curve.pay_in(dec(100), 0)
    curve.note(dec(110), NOON)
    curve.pay_in(dec(1000), DAY_NS)
    curve.pay_in(dec(1000), 2 * DAY_NS)
    assert curve.ended(None, 0).returns.count == 1
    curve.note(dec(2321), 3 * DAY_NS)
    returns = curve.ended(None, 0).returns
    assert returns.count == 2
    assert returns.growth == pytest.approx(1.1 * 1.1)


@pytest.mark.parametrize("amount", ["-1050", "-500", "9000"])
def test_capital_that_comes_or_goes_makes_no_drawdown_and_mends_none(amount: str) -> None:
    curve = Curve()
    curve.pay_in(dec(1000), 0)
    curve.note(dec(1100), 1)
    curve.note(dec(1080), 2)
    curve.pay_in(dec(amount), 3)
    curve.note(dec(1080) + dec(amount), 4)
    assert curve.drawdown == pytest.approx(20 / 1100)
    assert curve.drawdown_max == pytest.approx(20 / 1100)


def test_who_takes_all_that_is_left_out_has_lost_no_more_than_before() -> None:
    curve = Curve()
    curve.pay_in(dec(1000), 0)
    curve.note(dec(800), 1)
    curve.pay_in(dec(-800), 2)
    curve.note(dec(0), 3)
    assert curve.drawdown_max == pytest.approx(0.2)
    curve.pay_in(dec(500), 4)
    curve.note(dec(500), 5)
    assert curve.drawdown == 0.0
    assert curve.drawdown_max == pytest.approx(0.2)


def test_capital_moves_a_mark_that_stands_at_the_worth_exactly() -> None:
    curve = Curve()
    curve.pay_in(dec("0.3"), 0)
    curve.note(dec("0.7"), 1)
    curve.pay_in(dec("0.1"), 2)
    curve.note(dec("0.8"), 3)
    assert (curve.drawdown, curve.drawdown_ns_max) == (0.0, 0)


def test_exposure_is_a_share_of_the_time_also_where_the_worth_is_not_known_any_more() -> None:
    rig = Rig()
    rig.quote("100")
    rig.fill("1", "100", 2 * S_NS)
    rig.quote("101", 5 * S_NS)
    rig.fill("1", "5", 6 * S_NS, key=InstrumentId("sim:NOBODY"))
    figures = rig.told.figures(8 * S_NS)
    assert (figures.final_value, figures.exposure) == (None, 0.75)
