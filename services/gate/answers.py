"""What the gate says: approvals, denials with their reasons, alerts, and its report."""

from typing import Any

from schemas.base import NS_PER_S, Event, SessionId
from schemas.health import AlertRaised, GateReported, Severity
from schemas.instruments import TOKEN, symbol_of, venue_of
from schemas.orders import (
    CancelApproved,
    CancelRequested,
    Order,
    OrderApproved,
    Outcome,
    Reading,
    SignalDecided,
)
from services.control import ControlGuard
from services.gate.account import Account
from services.gate.case import Case
from services.gate.check import Check
from services.gate.dynamic_limits_report import views
from services.gate.state import GateState

_APPROVED = Outcome.APPROVED

NAMELESS = SessionId("nameless")
"""Stands in a decision for a session whose name no subject can hold."""

ALERT_EVERY_NS = 60 * NS_PER_S
"""An error of one kind in one check is alerted once in this time; every signal is denied."""


def approval(
    case: Case,
    readings: tuple[Reading, ...],
    epoch: int,
    gate_token: int,
    denial: "Denial | None" = None,
) -> list[Event]:
    """Return the decision and the order that follow when every check has passed.

    Args:
        case: the order that passed.
        readings: of every check.
        epoch: the epoch that the order is of.
        gate_token: fencing token of this gate.
        denial: what the signal, as it was raised, was denied for; where the order was made smaller.
    """
    signal, now_ns = case.signal, case.now_ns
    outcome, rule, detail, wanted = _APPROVED, "all", "", signal.quantity
    if denial is not None and case.asked is not None:
        outcome, rule, wanted = Outcome.REDUCED, denial.rule, case.asked
        detail = f"made smaller, from {wanted} to {signal.quantity}: {denial.detail}"
    decided = SignalDecided(
        at_ns=now_ns,
        signal_id=signal.signal_id,
        account=signal.account,
        session=signal.session,
        instrument=signal.instrument,
        outcome=outcome,
        order_id=case.order_id,
        rule=rule,
        detail=detail,
        epoch=epoch,
        side=signal.side,
        quantity=wanted,
        approved_quantity=signal.quantity,
        readings=readings,
        bid=case.quote.bid,
        ask=case.quote.ask,
    )
    order = _order_of(case)
    approved = OrderApproved(
        at_ns=now_ns,
        order=order,
        epoch=epoch,
        gate_token=gate_token,
        notional=case.notional,
        asked_quantity=case.asked,
    )
    return [decided, approved]


def _order_of(case: Case) -> Order:
    """Return the one order that the signal can become."""
    signal = case.signal
    return Order(
        order_id=case.order_id,
        account=signal.account,
        session=signal.session,
        signal_id=signal.signal_id,
        instrument=signal.instrument,
        side=signal.side,
        quantity=signal.quantity,
        order_type=signal.order_type,
        time_in_force=signal.time_in_force,
        limit_price=signal.limit_price,
        stop_price=signal.stop_price,
        is_post_only=signal.is_post_only,
        is_reduce_only=signal.is_reduce_only,
        expires_at_ns=signal.expires_at_ns,
        replaces=signal.replaces,
        leg=signal.leg,
        parent_id=signal.parent_id,
        parent_quantity=signal.parent_quantity,
    )


class Denial:
    """Why a signal is rejected.

    Attributes:
        rule: the check that decided, or `limit_missing`, or `error`.
        detail: for people: what was found and what was wanted.
        error: what a check raised, if that is why.
    """

    __slots__ = ("detail", "error", "rule")

    def __init__(self, rule: str, detail: str, error: Exception | None = None) -> None:
        self.rule = rule
        self.detail = detail
        self.error = error

    @classmethod
    def by(cls, check: Check, value: str, limit: str) -> "Denial":
        """Return the denial of a check that did not pass."""
        parts = [f"found {value}" if value else "", f"limit {limit}" if limit else ""]
        unit = f" ({check.unit})" if check.unit else ""
        found = ", ".join(part for part in parts if part)
        wanted = f"wanted: {check.formula}"
        return cls(check.name, f"{found}{unit}; {wanted}" if found else wanted)

    @classmethod
    def after(cls, name: str, error: Exception) -> "Denial":
        """Return the denial of a check that raised (LT-007)."""
        return cls("error", f"{name} raised {type(error).__name__}: {error}", error)

    def events(self, case: Case, readings: tuple[Reading, ...], epoch: int) -> list[Event]:
        """Return the decision that says so."""
        signal = case.signal
        is_nameless = self.rule == "session_named"
        decided = SignalDecided(
            at_ns=case.now_ns,
            signal_id=signal.signal_id,
            account=signal.account,
            session=NAMELESS if is_nameless else signal.session,
            instrument=signal.instrument,
            outcome=Outcome.REJECTED,
            order_id=case.order_id,
            rule=self.rule,
            detail=self.detail,
            epoch=epoch,
            side=signal.side,
            quantity=signal.quantity,
            readings=readings,
        )
        return [decided]


class Alarms:
    """Alerts of checks that raise: at once, and not a flood of the same."""

    def __init__(self) -> None:
        self._alerted_ns: dict[str, int] = {}

    def raised(self, denial: Denial, case: Case) -> list[AlertRaised]:
        """Return the alert, or nothing when the same one was raised within the last minute."""
        kind = denial.detail.partition(":")[0]
        last_ns = self._alerted_ns.get(kind)
        if last_ns is not None and case.now_ns - last_ns < ALERT_EVERY_NS:
            return []
        self._alerted_ns[kind] = case.now_ns
        signal = case.signal
        alert = AlertRaised(
            at_ns=case.now_ns,
            severity=Severity.CRITICAL,
            component="gate",
            code="LT-007",
            message=f"{denial.detail}; the signal was denied",
            fields={
                "signal": signal.signal_id,
                "session": signal.session,
                "instrument": signal.instrument,
            },
        )
        return [alert]


def is_addressable(cancel: CancelRequested) -> bool:
    """Return whether account and instrument can be tokens of the subject a cancel goes out on."""
    names = (cancel.account, venue_of(cancel.instrument), symbol_of(cancel.instrument))
    return all(TOKEN.fullmatch(name) for name in names)


def nowhere(cancel: CancelRequested, now_ns: int) -> AlertRaised:
    """Return the alert of a cancel that no subject can carry, and so no order of ours is meant."""
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component="gate",
        code="SLU-101",
        message="a cancel names an account or instrument that cannot be; nothing was cancelled",
        fields={
            "order": cancel.order_id,
            "account": cancel.account,
            "instrument": cancel.instrument,
            "wanted": "letters, digits, - and _ in account, venue and symbol",
        },
    )


def uncounted(cancel: CancelApproved, error: Exception) -> AlertRaised:
    """Return the alert of a cancel that was passed on although counting it raised (LT-007)."""
    return AlertRaised(
        at_ns=cancel.at_ns,
        severity=Severity.CRITICAL,
        component="gate",
        code="LT-007",
        message=f"counting a cancel raised {type(error).__name__}: {error}; it was passed on",
        fields={"order": cancel.order_id, "account": cancel.account},
    )


def unseen(account: Account, now_ns: int) -> AlertRaised:
    """Return the alert of orders that a book shows no more, and that may have traded both ways."""
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.CRITICAL,
        component="gate",
        code="SLU-188",
        message="orders ended while the gate was cut off, and no book shows whether they traded: "
        "their sessions are limited as if they had",
        fields={
            "account": account.id,
            "orders": " ".join(account.unseen.found),
            "wanted": "what they traded, at the venue; a session that is started anew takes over",
        },
    )


def report(
    state: GateState, limits: dict[str, Any], guard: ControlGuard, now_ns: int
) -> GateReported:
    """Return the gate's answer to `query.gate`."""
    exposure = {
        f"{account.id} {key}": str(lane.notional)
        for account in state.accounts.values()
        for key, lane in account.lanes.items()
        if lane.worst
    }
    rejected = dict(sorted(state.rejected_counts.items()))
    return GateReported(
        at_ns=now_ns,
        trading_state=guard.trading_state(now_ns),
        epoch=guard.epoch,
        limits_hash=guard.limits_hash,
        decided_count=state.decided_count,
        approved_count=state.decided_count - sum(rejected.values()),
        rejected_by_rule=rejected,
        exposure=exposure,
        limits=limits,
        limits_change_seq=state.dynamic.changes.change_seq,
        in_force=views(state),
    )
