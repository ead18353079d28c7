"""The table of checks, in the order they are made. It is the gate's documentation too.

Each family keeps its rows beside its functions. What decides at once and costs nothing comes first;
a check may rely on every check before it: where it is made, they have passed.
"""

from services.gate.check import Check
from services.gate.checks import (
    access,
    bands,
    compliance,
    confirmation,
    exposure,
    groups,
    hours,
    market,
    order,
    permission,
    portfolio,
    rate,
)

CHECKS: tuple[Check, ...] = (
    *permission.ROWS,
    *hours.ROWS,
    *market.ROWS,
    *bands.ROWS,
    *order.ROWS,
    *compliance.ROWS,
    *exposure.ROWS,
    *confirmation.ROWS,
    *groups.ROWS,
    *portfolio.ROWS,
    *access.ROWS,
    *rate.ROWS,
)
"""Every check there is. A signal is approved when all pass; the first that does not decides."""

MEASURES_EXPOSURE = frozenset(check.name for check in (*exposure.ROWS, *groups.ROWS))
"""The rules that an approval which got lost on its way can make deny."""
