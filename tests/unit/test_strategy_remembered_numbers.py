"""What is no number cannot be kept: JSON has nothing for it, and nothing means to forget."""

import math
from typing import Any

import pytest

from tests.strategy_rig import StrategyRig


@pytest.mark.req("S-13")
@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {"level": -math.inf}, [1.0, (2.0, {"deep": math.nan})]],
)
def test_what_is_no_number_does_not_take_the_place_of_a_stop(value: Any) -> None:
    rig = StrategyRig()
    session = rig.start()
    context = rig.strategy(session).context
    context.remember("stop", 95.5)
    with pytest.raises(TypeError, match="wanted a finite number"):
        context.remember("stop", value)
    assert context.remembered.copy() == {"stop": 95.5}


def test_numbers_and_words_are_kept_as_they_are() -> None:
    rig = StrategyRig()
    context = rig.strategy(rig.start()).context
    kept = {"level": 1.5, "sides": ["long", 2, None, True]}
    context.remember("stop", kept)
    assert context.remembered.copy() == {"stop": kept}
