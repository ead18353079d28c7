"""Portfolio risk, whatever is asked and filled: never beyond the limit; wilder is never larger."""

import empyrical
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import InstrumentId
from schemas.orders import OrderApproved
from services.gate.config_portfolio import Method, PortfolioLimits
from tests.builders import ACCOUNT, ALPHA, BETA, dec
from tests.risk_rig import PERP, RiskRig, risky, value_at_risk

LIMIT = 1_000
orders = st.lists(
    st.tuples(
        st.sampled_from([ALPHA, BETA, PERP]),
        st.integers(1, 400).map(str),
        st.booleans(),
        st.booleans(),
    ),
    max_size=12,
)


@pytest.mark.req("G-03", "I8")
@settings(max_examples=40, deadline=None)
@given(orders)
def test_what_was_bought_never_loses_more_than_the_limit_by_the_oracle(
    wanted: list[tuple[InstrumentId, str, bool, bool]],
) -> None:
    """Held against empyrical after every approval, as if all that is open had filled."""
    rig = RiskRig(risky(value_at_risk(amount_max=dec(LIMIT), method=Method.HISTORICAL)))
    rig.pass_seconds(40)
    for number, (key, quantity, is_filled, is_second_over) in enumerate(wanted):
        said = rig.tell(rig.signal(f"s{number}", quantity=quantity, instrument=key))
        for event in said:
            if isinstance(event, OrderApproved) and is_filled:
                rig.fill(event.order, quantity, f"x{number}")
        if is_second_over:
            rig.pass_time(1)
        profits = np.zeros(39)
        for each, lane in rig.gate.state.accounts[ACCOUNT].lanes.items():
            profits += float(lane.worst) * rig.prices[each] * np.array(rig.moves[each][1:])
        assert -empyrical.value_at_risk(profits, cutoff=0.01) <= LIMIT * (1 + 1e-9)


def allowed(share: float) -> int:
    """Return the largest of ever smaller orders that is let through where prices swing by this."""
    rig = RiskRig(risky(PortfolioLimits(risk_budget=dec(1_000), risk_horizon_s=1)))
    rig.pass_seconds(30, share=share)
    quantity = 10**7
    while quantity and rig.ask(f"q{quantity}", quantity=str(quantity)).rule != "all":
        quantity = quantity * 9 // 10
    return quantity


@pytest.mark.req("G-04")
@settings(max_examples=15, deadline=None)
@given(st.floats(0.001, 0.2), st.floats(0.001, 0.2))
def test_a_wilder_instrument_never_gets_the_larger_position(one: float, other: float) -> None:
    calm, wild = sorted([one, other])
    assert allowed(wild) <= allowed(calm)
