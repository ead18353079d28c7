"""What the gate may be told, and how it explains itself."""

import msgspec
import pytest

from services.gate.config import GateConfig, InstrumentLimits
from services.gate.explain import Explained, explain
from services.gate.table import CHECKS
from tests.builders import ALPHA, dec
from tests.gate_rig import INSTRUMENTS, config


def refusal(text: str) -> str:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(text, type=GateConfig)
    return str(caught.value)


@pytest.mark.req("G-07")
def test_no_limit_has_a_default() -> None:
    empty = GateConfig()
    assert all(getattr(empty.default, name) is None for name in InstrumentLimits.__struct_fields__)
    assert empty.accounts == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"default":{"order_quantity_mx":"1"}}',
            "Object contains unknown field `order_quantity_mx` - at `$.default`",
        ),
        (
            '{"default":{"order_quantity_max":"-1"}}',
            "order_quantity_max: found -1, wanted a number of 0 or more - at `$.default`",
        ),
        (
            '{"default":{"price_collar_bps":"Infinity"}}',
            "price_collar_bps: found Infinity, wanted a number of 0 or more - at `$.default`",
        ),
        (
            '{"instruments":{"sim:A":{"stale_after_ms":-5}}}',
            "stale_after_ms: found -5, wanted 0 or more - at `$.instruments[...]`",
        ),
        (
            '{"accounts":{"paper":{"gross_notional_max":"NaN"}}}',
            "gross_notional_max: found NaN, wanted a number of 0 or more - at `$.accounts[...]`",
        ),
        (
            '{"accounts":{"paper":{"currency_values":{"USD":"0"}}}}',
            "currency_values.USD: found 0, wanted a number > 0 - at `$.accounts[...]`",
        ),
        ('{"approved_ids_max":0}', "approved_ids_max: found 0, wanted 1 or more"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_refused_by_name(text: str, said: str) -> None:
    assert refusal(text) == said


def test_the_explanation_has_every_check_in_the_order_made() -> None:
    rows = explain(config(), INSTRUMENTS)
    assert [row.name for row in rows] == [check.name for check in CHECKS]


def test_the_explanation_shows_the_limits_in_force_and_for_whom() -> None:
    own = {
        ALPHA: InstrumentLimits(order_quantity_max=dec(5)),
        "sim:ALHPA": InstrumentLimits(order_quantity_max=dec(1)),
    }
    changed = msgspec.structs.replace(config(), instruments=own)
    [row] = [row for row in explain(changed, INSTRUMENTS) if row.name == "order_quantity"]
    assert row == Explained(
        name="order_quantity",
        reads="signal.quantity",
        formula="quantity <= order_quantity_max",
        unit="units",
        source="G-07, market access controls (SEC 15c3-5, MiFID II RTS 6)",
        limits={
            "order_quantity_max": "default 100; sim:ALPHA 5; sim:ALHPA (not configured) 1",
        },
    )


def test_the_explanation_says_which_limits_nobody_has_chosen() -> None:
    limits = {k: v for row in explain(GateConfig(), ()) for k, v in row.limits.items()}
    assert limits["order_quantity_max"] == "default not chosen: denies"
    assert limits["gross_notional_max"] == "no account has a row of limits: not chosen: denies"
    limits = {k: v for row in explain(config(), ()) for k, v in row.limits.items()}
    assert limits["currency_values"] == "paper USD=1"
