"""The one place where the table of checks is gone through, and where an order is made to fit."""

from collections.abc import Callable
from decimal import Decimal
from itertools import compress

from schemas.orders import Reading, TimeInForce
from services.gate.account import Account
from services.gate.answers import Denial
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.exposure import ZERO, Lane
from services.gate.kinds import ANY
from services.gate.limits import LimitMissingError
from services.gate.state import GateState


class Plan:
    """The checks that are made of one kind of order, in one instrument of one account.

    Attributes:
        checks: those that can ever have anything to say there, in the order of the table.
        rows: place, name and function of each that must be read; all others pass.
        passed: a reading for each of `checks`, as of one that has nothing to measure.
    """

    __slots__ = ("checks", "passed", "rows")

    def __init__(self, checks: tuple[Check, ...], settled: frozenset[str], kind: int) -> None:
        self.checks = checks
        self.passed = [Reading(check.name, True) for check in checks]
        self.rows: tuple[tuple[int, str, Callable[[Case], Verdict]], ...] = tuple(
            (index, check.name, check.read)
            for index, check in enumerate(checks)
            if check.name not in settled and (check.about == ANY or check.about & kind)
        )


class Plans:
    """The plans of one instrument of one account, by kind of order; made as they are needed."""

    __slots__ = ("_checks", "_settled", "by_kind")

    def __init__(self, checks: tuple[Check, ...], settled: frozenset[str]) -> None:
        self._checks, self._settled = checks, settled
        self.by_kind: dict[int, Plan] = {}

    def make(self, kind: int) -> Plan:
        """Return the plan of a kind that is met for the first time."""
        plan = self.by_kind[kind] = Plan(self._checks, self._settled, kind)
        return plan


class Judge:
    """Goes through the table. A check that raises denies, and so does a limit nobody has chosen.

    What a check asks of an order is in the table alone. Here is left out only what the table says
    passes for all of a kind, or for all in an instrument.
    """

    def __init__(self, checks: tuple[Check, ...], state: GateState) -> None:
        self._state = state
        self._whole = Plan(checks, frozenset(), ANY)
        self._applying: dict[Lane, tuple[Check, ...]] = {
            lane: tuple(compress(checks, _asked(checks, account, lane)))
            for account in state.accounts.values()
            for lane in account.lanes.values()
        }
        self._plans: dict[Lane, tuple[int, Plans]] = {}
        self._made: dict[tuple[tuple[str, ...], frozenset[str]], Plans] = {}
        """Plans by what they are made of; shared, so that there are few however many lanes."""

    def judge(self, case: Case) -> tuple[list[Reading], Denial | None]:
        """Return what every check read, up to the one that denied; and the denial, if one did."""
        plan = self._plan_of(case)
        readings, index = plan.passed.copy(), 0
        try:
            for index, name, read in plan.rows:
                verdict = read(case)
                if verdict is PASS:
                    continue
                is_ok, value, limit = verdict
                readings[index] = Reading(name, is_ok, value, limit)
                if not is_ok:
                    return readings[: index + 1], Denial.by(plan.checks[index], value, limit)
        except LimitMissingError as missing:
            return _cut(readings, index), Denial("limit_missing", str(missing))
        except Exception as error:  # whatever it is, nothing may pass because of it
            return _cut(readings, index), Denial.after(plan.checks[index].name, error)
        return readings, None

    def fitted(self, case: Case, denial: Denial) -> Decimal:
        """Return the largest whole number of lots that every limit that denies has room for.

        It is a proposal only: the order that it makes is judged by the whole table again.
        """
        signal = case.signal
        checks = self._applying[case.lane]
        is_helped = any(check.name == denial.rule and check.room for check in checks)
        if not is_helped or signal.time_in_force is TimeInForce.FOK:
            return ZERO
        try:
            room = min(
                check.room(case)
                for check in checks
                if check.room is not None and not check.read(case)[0]
            )
        except Exception:  # what cannot be measured has no room
            return ZERO
        lot = case.lane.instrument.lot_size
        quantity = room // lot * lot
        return quantity if ZERO < quantity < signal.quantity else ZERO

    def _plan_of(self, case: Case) -> Plan:
        if not case.is_instrument_known:
            return self._whole
        found = self._plans.get(case.lane)
        if found is None or found[0] != case.limits.put_count:
            plans = self._plans_of(case.lane)
        else:
            plans = found[1]
        return plans.by_kind.get(case.kind) or plans.make(case.kind)

    def _plans_of(self, lane: Lane) -> Plans:
        """Return the plans of a lane that is met first, or has another limit than before."""
        checks = self._applying[lane]
        settled = frozenset(
            check.name
            for check in checks
            if check.settled is not None and check.settled(self._state, lane)
        )
        key = (tuple(check.name for check in checks), settled)
        plans = self._made.get(key)
        if plans is None:
            plans = self._made[key] = Plans(checks, settled)
        self._plans[lane] = (lane.limits.put_count, plans)
        return plans


def _asked(checks: tuple[Check, ...], account: Account, lane: Lane) -> list[bool]:
    return [check.applies is None or check.applies(account, lane) for check in checks]


def _cut(readings: list[Reading], index: int) -> list[Reading]:
    """Return the readings with the last check as one that did not pass."""
    return [*readings[:index], Reading(readings[index].check, False)]
