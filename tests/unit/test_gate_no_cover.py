"""What another session or strategy holds is no cover: each part closes only what is its own."""

import pytest

from schemas.base import SessionId
from schemas.orders import Side
from services.gate.config_groups import GroupLimits
from tests.builders import SESSION, dec
from tests.gate_rig import Rig, config
from tests.rules_rig import RulesRig

S2 = SessionId("s2")
SELL = Side.SELL


@pytest.mark.req("G-02", "G-11")
def test_a_strategys_net_is_limited_beside_anothers_position() -> None:
    limits = {"small": GroupLimits(gross_notional_max=dec(10**6), net_notional_max=dec(1_000))}
    wide = GroupLimits(gross_notional_max=dec(10**6), net_notional_max=dec(10**6))
    rig = RulesRig(strategies={**limits, "default": wide})
    rig.session(SESSION, "small")
    rig.session(S2, "big")
    rig.fill(rig.approve("a", quantity="100", session=S2), "100", "e1")
    assert rig.rule("b", side=SELL, quantity="20") == "strategy_net"
    assert rig.rule("c", side=SELL, quantity="9") == "all"
    assert rig.rule("d", side=SELL, quantity="100", session=S2) == "all", "getting out of its own"


@pytest.mark.req("G-07", "G-11")
def test_a_sessions_quantity_of_a_period_is_limited_beside_anothers_position() -> None:
    rig = Rig(config(period_ms=60_000, session_period_quantity_max=dec(20)))
    rig.fill(rig.approve("a", quantity="15", session=S2), "15", "e1")
    assert rig.rule("b", side=SELL, quantity="15") == "all"
    assert rig.rule("c", side=SELL, quantity="15") == "session_period_quantity"
    rig.fill(rig.approve("d", quantity="15", side=SELL, session=S2), "15", "e2")  # its own
