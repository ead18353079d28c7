"""The step that prices or quantities move in, told from the numbers themselves."""

import math
from collections.abc import Iterable
from decimal import Decimal

STEP_UNIT = Decimal("1e-8")
"""The finest step there is: what a coin is divided into."""


def in_units(number: Decimal | str) -> int:
    """Return `number` in whole units of `STEP_UNIT`; what is finer is cut off."""
    return int(Decimal(number) / STEP_UNIT)


def largest_step(numbers: Iterable[Decimal | str]) -> Decimal:
    """Return the largest step that all numbers are whole multiples of; 1 if all of them are 0."""
    return step_of_units(math.gcd(*map(in_units, numbers)))


def step_of_units(units: int) -> Decimal:
    """Return a step counted in `STEP_UNIT` as a number; 1 for 0, which is no step."""
    return (units * STEP_UNIT).normalize() if units else Decimal(1)
