"""Which trades bring holdings to target weights, and no more of them than that takes. Pure.

A holding is left alone while its weight is within a band around its target. One outside is traded
to the target or only to the band's edge: where costs grow with what is traded, the edge is what
costs least (Davis and Norman, Portfolio Selection with Transaction Costs, 1990).
"""

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple

import msgspec

from schemas.base import InstrumentId

ZERO = Decimal(0)
ONE = Decimal(1)


class Holding(NamedTuple):
    """One instrument as it is held, and what trading it takes."""

    quantity: Decimal
    """Signed, in units."""

    unit: Decimal
    """What one unit is worth, in the account's currency: price times multiplier."""

    lot: Decimal
    """Smallest step of quantity, in units."""

    fee_rate: Decimal
    """What trading costs, as a fraction of what is traded."""

    target: Decimal
    """Wanted weight, as a fraction of equity; negative is short."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How holdings are brought to their targets."""

    band: Decimal
    """Weight that a holding may be away from its target, as a fraction of equity."""

    is_to_edge: bool
    """Whether one outside its band is traded to the band's edge only, not to the target."""

    trade_min: Decimal
    """Smallest trade, in the account's currency."""

    leverage_max: Decimal
    """Most that all holdings together may be worth, as a multiple of equity."""


Trades = dict[InstrumentId, Decimal]
"""Signed quantity to trade, by instrument."""


def reductions(holdings: Mapping[InstrumentId, Holding], equity: Decimal, rules: Rules) -> Trades:
    """Return the trades that make holdings smaller: they come first, and pay for the others."""
    return {
        name: quantity
        for name, each in holdings.items()
        if (quantity := _reduction(each, equity, rules))
    }


def additions(holdings: Mapping[InstrumentId, Holding], equity: Decimal, rules: Rules) -> Trades:
    """Return the trades that make holdings larger, within what the leverage leaves, fees included.

    The one that is furthest from its target comes first, so that the room goes where it is missed
    most.
    """
    gross = sum((abs(each.quantity) * each.unit for each in holdings.values()), ZERO)
    room = equity * rules.leverage_max - gross
    wanted = {
        name: quantity
        for name, each in holdings.items()
        if (quantity := _addition(each, equity, rules))
    }
    found: Trades = {}
    for name in sorted(wanted, key=lambda key: -abs(wanted[key]) * holdings[key].unit):
        each = holdings[name]
        most = max(room, ZERO) / (each.unit * (ONE + each.fee_rate))
        quantity = _lots(min(abs(wanted[name]), most), each).copy_sign(wanted[name])
        if quantity and abs(quantity) * each.unit >= rules.trade_min:
            found[name] = quantity
            room -= abs(quantity) * each.unit * (ONE + each.fee_rate)
    return found


def _reduction(each: Holding, equity: Decimal, rules: Rules) -> Decimal:
    """Return what brings a holding nearer to zero; one on the wrong side is closed whole."""
    missing = _missing(each, equity, rules)
    if not missing or missing * each.quantity >= 0:
        return ZERO
    return _worth_it(min(abs(missing), abs(each.quantity)).copy_sign(missing), each, rules)


def _addition(each: Holding, equity: Decimal, rules: Rules) -> Decimal:
    missing = _missing(each, equity, rules)
    is_away = missing * each.quantity < 0  # what is held goes first
    return ZERO if is_away else _worth_it(missing, each, rules)


def _missing(each: Holding, equity: Decimal, rules: Rules) -> Decimal:
    """Return the signed quantity that is missing to where it should be; 0 within the band.

    A target of zero has no band: what is not wanted at all is sold whole.
    """
    weight = each.quantity * each.unit / equity
    away = each.target - weight
    if not each.target:
        return -each.quantity
    if abs(away) <= rules.band:
        return ZERO
    aim = each.target - rules.band.copy_sign(away) if rules.is_to_edge else each.target
    return aim * equity / each.unit - each.quantity


def _worth_it(quantity: Decimal, each: Holding, rules: Rules) -> Decimal:
    whole = _lots(abs(quantity), each).copy_sign(quantity)
    return whole if abs(whole) * each.unit >= rules.trade_min else ZERO


def _lots(quantity: Decimal, each: Holding) -> Decimal:
    return (quantity / each.lot).to_integral_value(ROUND_DOWN) * each.lot
