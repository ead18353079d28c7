"""Limits of a part of the account: sector, asset class, venue, strategy, session.

Those of sectors, asset classes, venues and strategies hold once their table has a row; a session's
always do. Each is measured like the account's own: every open order filled, by worst case.
"""

from collections.abc import Callable
from decimal import Decimal

from services.gate.account import Account
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.checks.exposure import (
    gross,
    gross_of,
    gross_room,
    lowers,
    net,
    net_room,
    no_price,
    only_reduces,
)
from services.gate.checks.order import quotient_down
from services.gate.exposure import ZERO, Lane
from services.gate.groups import Group
from services.gate.kinds import ANY, OWN_LIMIT, SOMEBODYS, UNASSIGNED
from services.gate.limits import Bound
from services.gate.measured import Found, Measured, at_most

_Find = Callable[[Case], Group]


def is_nobodys(case: Case) -> bool:
    """Return whether the order closes positions in nobody's name, as a flatten does.

    It is reduce-only, which has been checked by quantity, and its session was never created: what
    fills is taken over by the sessions that held it, so it has no part of its own to be limited.
    """
    signal = case.signal
    return signal.is_reduce_only and signal.session not in case.account.holders.strategy_of


def _tighter(limit: Bound[Decimal], own: Bound[Decimal]) -> Bound[Decimal]:
    return limit if limit.value <= own.value else own


def _in_gross(find: _Find) -> Callable[[Callable[[Case], Found]], Measured]:
    """Return the decorator of a check on a group's worst case."""
    return at_most(
        lambda case: find(case).gross_notional_max,
        lets_out=lowers,
        blind=lambda case: no_price(find(case).totals),
    )


def _in_net(
    find: _Find,
    unless: Callable[[Case], bool] | None = None,
    lets_out: Callable[[Case], bool] = only_reduces,
) -> Callable[[Callable[[Case], Found]], Measured]:
    """Return the decorator of a check on a group's net."""
    return at_most(
        lambda case: find(case).net_notional_max,
        lets_out=lets_out,
        blind=lambda case: no_price(find(case).totals),
        unless=unless,
    )


def _sector(case: Case) -> Group:
    return _known(case.route.sector)


def _asset_class(case: Case) -> Group:
    return _known(case.route.asset_class)


def _venue(case: Case) -> Group:
    return _known(case.route.venue)


def _strategy(case: Case) -> Group:
    return _known(case.route.group)


def _reduces_strategy(case: Case) -> bool:
    """Return whether it only reduces what its own strategy holds: another's is no cover."""
    return case.signal.is_reduce_only or case.reach_of(case.route.part) <= ZERO


def _known(group: Group | None) -> Group:
    assert group is not None, "there is one where these checks are made and strategy_known passes"
    return group


@_in_gross(_sector)
def sector_gross(case: Case) -> Found:
    """Return the sector's worst case."""
    return gross(case, case.route.sector_totals)


@_in_net(_sector)
def sector_net(case: Case) -> Found:
    """Return the sector's net on the order's side."""
    return net(case, case.route.sector_totals)


@_in_gross(_asset_class)
def asset_class_gross(case: Case) -> Found:
    """Return the asset class's worst case."""
    return gross(case, case.route.asset_class_totals)


@_in_net(_asset_class)
def asset_class_net(case: Case) -> Found:
    """Return the asset class's net on the order's side."""
    return net(case, case.route.asset_class_totals)


@_in_gross(_venue)
def venue_gross(case: Case) -> Found:
    """Return the worst case of all that is at the venue."""
    return gross(case, case.route.venue_totals)


@_in_net(_venue)
def venue_net(case: Case) -> Found:
    """Return the net of all that is at the venue on the order's side."""
    return net(case, case.route.venue_totals)


def strategy_known(case: Case) -> Verdict:
    """Return whether it is known which strategy the session runs."""
    holder = case.holder
    if (holder is not None and holder.group is not None) or is_nobodys(case):
        return PASS
    return (False, f"nobody has told what session {case.signal.session} runs", "")


def _lowers_strategy(case: Case) -> bool:
    part = case.route.part
    is_lower = part is not None and case.reach_of(part) <= part.worst
    return is_lower or case.signal.is_reduce_only


@at_most(
    lambda case: _strategy(case).gross_notional_max,
    lets_out=_lowers_strategy,
    blind=lambda case: no_price(_strategy(case).totals),
    unless=is_nobodys,
)
def strategy_gross(case: Case) -> Found:
    """Return the worst case of all sessions of the strategy."""
    route = case.route
    return gross_of(case, route.strategy_totals, route.part, case.reach_of(route.part))


@_in_net(_strategy, is_nobodys, _reduces_strategy)
def strategy_net(case: Case) -> Found:
    """Return the strategy's net on the order's side."""
    return net(case, case.route.strategy_totals)


def session_order(case: Case) -> Verdict:
    """Return whether the order is within the limit that its session was started with."""
    holder = case.holder
    if holder is None or holder.order_notional_max is None:
        return PASS
    limit, notional = holder.order_notional_max, case.notional
    return (notional <= limit.value, str(notional), limit.text)


def _position_limit(case: Case) -> Bound[Decimal]:
    limit, holder = case.limits.session_position_notional_max, case.holder
    own = None if holder is None else holder.position_notional_max
    return limit if own is None else _tighter(limit, own)


def _gross_limit(case: Case) -> Bound[Decimal]:
    limit, holder = case.limits.session_gross_notional_max, case.holder
    own = None if holder is None else holder.gross_notional_max
    return limit if own is None else _tighter(limit, own)


def _lowers_session(case: Case) -> bool:
    own = case.own
    is_lower = own is not None and case.own_reach <= own.worst
    return is_lower or case.signal.is_reduce_only


def _gets_out(case: Case) -> bool:
    """Return whether it is reduce-only, and so within what the session holds.

    What is nobody's would be counted against it here: it must be possible to get out.
    """
    return case.signal.is_reduce_only


def _no_price_of_session(case: Case) -> str:
    assert case.holder is not None, "who has nothing needs no price for it"
    return no_price(case.holder.totals)


@at_most(_position_limit, lets_out=_gets_out, unless=is_nobodys)
def session_position(case: Case) -> Found:
    """Return the session's position on the order's side by value."""
    return case.own_value


@at_most(_gross_limit, lets_out=_lowers_session, blind=_no_price_of_session, unless=is_nobodys)
def session_gross(case: Case) -> Found:
    """Return the session's worst case, over all its instruments."""
    holder = case.holder
    if holder is None:
        return case.own_value
    return gross_of(case, holder.totals, case.own, case.own_reach)


def _rooms(find: _Find) -> tuple[Callable[[Case], Decimal], Callable[[Case], Decimal]]:
    """Return what is left of a group's gross and net limit, as functions of the case."""

    def in_gross(case: Case) -> Decimal:
        group, reach = find(case), case.reach
        return gross_room(case, group.totals, group.gross_notional_max, case.lane, reach)

    def in_net(case: Case) -> Decimal:
        group = find(case)
        return net_room(case, group.totals, group.net_notional_max)

    return in_gross, in_net


def _strategy_gross_room(case: Case) -> Decimal:
    group, part = _strategy(case), case.route.part
    reach = case.reach_of(part)
    return gross_room(case, group.totals, group.gross_notional_max, part, reach)


def _strategy_net_room(case: Case) -> Decimal:
    group, reach = _strategy(case), case.reach_of(case.route.part)
    return net_room(case, group.totals, group.net_notional_max, reach)


def _session_order_room(case: Case) -> Decimal:
    holder = case.holder
    if holder is None or holder.order_notional_max is None:
        return case.signal.quantity
    return quotient_down(holder.order_notional_max.value, case.worth)


def _session_position_room(case: Case) -> Decimal:
    fits = quotient_down(_position_limit(case).value, case.worth)
    return fits - case.own_reach + case.signal.quantity


def _session_gross_room(case: Case) -> Decimal:
    holder, limit, reach = case.holder, _gross_limit(case), case.own_reach
    if holder is None:
        return quotient_down(limit.value, case.worth) - reach + case.signal.quantity
    return gross_room(case, holder.totals, limit, case.own, reach)


def _has_sector(account: Account, lane: Lane) -> bool:
    return lane.instrument.id in account.sector_of


def _has_asset_class(account: Account, lane: Lane) -> bool:
    return lane.instrument.id in account.asset_class_of


def _has_venue(account: Account, lane: Lane) -> bool:
    return lane.instrument.id in account.venue_of


def _has_strategies(account: Account, lane: Lane) -> bool:
    return account.holders.groups.is_limited


_SUMS = "positions and open orders of the {}, newest prices"
_GROSS = "sum of worst cases <= gross_notional_max of the {}'s row, or the order does not raise it"
_NET = (
    "long - short, all open orders of the side filled, + the order <= net_notional_max of the {}'s"
    " row for a buy, short - long for a sell; or the order only reduces what is held"
)
_MONEY, _RULE = "account currency", "G-02, I8"


def _rows(
    what: str,
    table: str,
    checks: tuple[Callable[[Case], Verdict], Callable[[Case], Verdict]],
    rooms: tuple[Callable[[Case], Decimal], Callable[[Case], Decimal]],
    applies: Callable[[Account, Lane], bool],
    about: int = ANY,
) -> tuple[Check, Check]:
    """Return the two rows of one kind of group."""
    limits = (table, "currency_values")
    reads, (in_gross, in_net) = _SUMS.format(what), rooms
    return (
        Check(
            checks[0],
            reads,
            _GROSS.format(what),
            _MONEY,
            limits,
            _RULE,
            room=in_gross,
            applies=applies,
            about=about,
        ),
        Check(
            checks[1],
            reads,
            _NET.format(what),
            _MONEY,
            limits,
            _RULE,
            room=in_net,
            applies=applies,
            about=about,
        ),
    )


ROWS: tuple[Check, ...] = (
    *_rows("sector", "sectors", (sector_gross, sector_net), _rooms(_sector), _has_sector),
    *_rows(
        "asset class",
        "asset_classes",
        (asset_class_gross, asset_class_net),
        _rooms(_asset_class),
        _has_asset_class,
    ),
    *_rows("venue", "venues", (venue_gross, venue_net), _rooms(_venue), _has_venue),
    Check(
        strategy_known,
        "SessionCreated of the session",
        "it names the strategy, where strategies have limits; or the order is reduce-only and of"
        " nobody's session",
        "",
        ("strategies",),
        "G-02, fail closed",
        applies=_has_strategies,
        about=UNASSIGNED,
    ),
    *_rows(
        "strategy",
        "strategies",
        (strategy_gross, strategy_net),
        (_strategy_gross_room, _strategy_net_room),
        _has_strategies,
        SOMEBODYS,
    ),
    Check(
        session_order,
        "signal.quantity; dearest of ask, limit and stop price; risk_limits of the start",
        "quantity x multiplier x price x currency value <= the session's own order_notional_max",
        _MONEY,
        ("currency_values",),
        "G-01, S-08",
        room=_session_order_room,
        about=OWN_LIMIT,
    ),
    Check(
        session_position,
        "position and open orders of the session, and what no session accounts for;"
        " risk_limits of the start",
        "(position + open + quantity) x multiplier x price x currency value"
        " <= session_position_notional_max, or the session's own limit, per side; or the order is"
        " reduce-only",
        _MONEY,
        ("session_position_notional_max", "currency_values"),
        "G-01, S-08, I8",
        room=_session_position_room,
        about=SOMEBODYS,
    ),
    Check(
        session_gross,
        "positions and open orders of the session, newest prices; risk_limits of the start",
        "sum of worst cases <= session_gross_notional_max, or the session's own limit,"
        " or the order does not raise it",
        _MONEY,
        ("session_gross_notional_max", "currency_values"),
        "G-01, G-11, S-08, I8",
        room=_session_gross_room,
        about=SOMEBODYS,
    ),
)
