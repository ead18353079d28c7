"""Who forbade, closed or permitted what on a day: halts, restrictions, flattens, locks. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from schemas.base import AccountId, Event, SessionId
from schemas.control import BreakerState, BreakerStateChanged, ControlAnswered, HaltRequested
from schemas.restrictions import (
    ALL,
    FlattenAsked,
    FlattenReported,
    Level,
    Lock,
    LocksChanged,
    Restriction,
    RestrictionRequested,
    RestrictionsChanged,
)
from schemas.sessions import SessionCreated

FLATTEN = "flatten"


class Intervention(msgspec.Struct, frozen=True, kw_only=True):
    """One of them."""

    n: int
    """Number of the record that says it."""

    at_ns: int
    what: str
    scope: str
    operator: str
    reason: str
    """Of a flatten's end: what came of it."""


class Interventions:
    """The list of a day, in order of time.

    Args:
        account: whose day; what is in the scope of another, or of its sessions, is left out.
        from_ns: when the day began, in ns since the epoch.
        sessions: those that were created so far.

    Attributes:
        found: what was done since the day began.
    """

    def __init__(
        self, account: AccountId, from_ns: int, sessions: Mapping[SessionId, SessionCreated]
    ) -> None:
        self.found: list[Intervention] = []
        self._account, self._from_ns, self._sessions = account, from_ns, sessions
        self._restrictions: dict[int, Restriction] = {}
        self._locks: dict[int, Lock] = {}

    def table(self) -> dict[type[Event], Callable[[int, Any], None]]:
        """Return what is to be told of which event, from the record's beginning."""
        return {
            HaltRequested: lambda n, e: self._add(n, e, "halt", ALL, e.operator, e.reason),
            RestrictionRequested: self._restricted,
            RestrictionsChanged: self._lifted,
            BreakerStateChanged: self._reset,
            LocksChanged: self._locked,
            FlattenAsked: self._asked,
            FlattenReported: self._ended,
            ControlAnswered: self._refused,
        }

    def _restricted(self, n: int, event: RestrictionRequested) -> None:
        self._add(n, event, str(event.level), event.scope, event.operator, event.reason)

    def _lifted(self, n: int, event: RestrictionsChanged) -> None:
        """Tell what is restricted no more; what is anew was told by whoever asked for it."""
        now = {each.number: each for each in event.restrictions}
        for number, each in self._restrictions.items():
            if number not in now:
                level = "halt" if each.level is Level.HALT else "reduce"
                what = f"reset of {level} {number}"
                self._add(n, event, what, each.scope, event.operator, event.reason)
        self._restrictions = now

    def _reset(self, n: int, event: BreakerStateChanged) -> None:
        is_done = event.previous is BreakerState.RESETTING and event.state is BreakerState.NORMAL
        if is_done:
            what = f"reset of halt {event.halt}"
            self._add(n, event, what, ALL, event.operator, event.reason)

    def _locked(self, n: int, event: LocksChanged) -> None:
        now = {each.number: each for each in event.locks}
        for number in self._locks:
            if number not in now:
                self._add(n, event, f"unlock of {number}", ALL, event.operator, event.reason)
        for number, each in now.items():
            is_known = number in self._locks or each.at_ns < self._from_ns
            if not is_known:  # where the record's beginning is gone, the first list has old ones
                why = f"{each.code} {each.reason}".strip()
                self._add(n, event, f"lock {number}", ALL, each.component, why)
        self._locks = now

    def _asked(self, n: int, event: FlattenAsked) -> None:
        asked = event.request
        self._add(n, event, FLATTEN, asked.scope, asked.operator, asked.reason)

    def _ended(self, n: int, event: FlattenReported) -> None:
        if event.is_ended:
            what = "flatten ended, flat" if event.is_flat else "flatten ended, NOT FLAT"
            self._add(n, event, what, event.scope, "executor", event.detail)

    def _refused(self, n: int, event: ControlAnswered) -> None:
        if event.request == FLATTEN and not event.is_ok:
            self._add(n, event, "flatten refused", "", "executor", event.message)

    def _add(self, n: int, event: Event, what: str, scope: str, operator: str, reason: str) -> None:
        if event.at_ns < self._from_ns or self._is_others(scope):
            return
        self.found.append(
            Intervention(
                n=n, at_ns=event.at_ns, what=what, scope=scope, operator=operator, reason=reason
            )
        )

    def _is_others(self, scope: str) -> bool:
        kind, _, name = scope.partition(".")
        if kind == "session":
            created = self._sessions.get(SessionId(name))
            return created is not None and created.account != self._account
        return kind == "account" and name != self._account
