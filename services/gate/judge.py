"""The one place where the table of checks is gone through, and where an order is made to fit."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import compress
from operator import le
from typing import Any, cast

from schemas.orders import Reading, TimeInForce
from schemas.readings import Form, Written
from services.gate.account import Account
from services.gate.answers import Denial
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.exposure import ZERO, Lane
from services.gate.kinds import ANY
from services.gate.limits import Bound, LimitMissingError
from services.gate.measured import Measured
from services.gate.state import GateState

_Readings = tuple[Reading, ...]


class Plan:
    """The checks that are made of one kind of order, in one instrument of one account.

    Attributes:
        checks: those that can ever have anything to say there, in the order of the table.
        rows: place, name and function of each that must be read; all others pass.
        passed: a reading for each of `checks`, as of one that has nothing to measure.
        reads: functions of those among `rows` that find no number to compare.
        compared: place of each that does, and the check.
        finds: functions that find the numbers.
    """

    __slots__ = ("checks", "compared", "finds", "passed", "reads", "rows")

    def __init__(self, checks: tuple[Check, ...], settled: frozenset[str], kind: int) -> None:
        self.checks = checks
        self.passed = [Reading(check.name, True) for check in checks]
        self.rows: tuple[tuple[int, str, Callable[[Case], Verdict]], ...] = tuple(
            (index, check.name, check.read)
            for index, check in enumerate(checks)
            if check.name not in settled and (check.about == ANY or check.about & kind)
        )
        self.reads = tuple(row[2] for row in self.rows if not isinstance(row[2], Measured))
        self.compared: tuple[tuple[int, Measured], ...] = tuple(
            (index, read) for index, _, read in self.rows if isinstance(read, Measured)
        )
        self.finds: tuple[Callable[[Case], Any], ...] = tuple(
            check.find for _, check in self.compared
        )

    def form(self, bounds: Sequence[Bound[Any]]) -> Form:
        """Return the form of the readings when all pass, with these limits compared."""
        texts = {index: bound.text for (index, _), bound in zip(self.compared, bounds, strict=True)}
        return Form([(check.name, texts.get(index)) for index, check in enumerate(self.checks)])


class Ready:
    """A plan with the limits of one route in it; routes with the same limits share one.

    Attributes:
        reads, finds: of the plan.
        limits: what is compared with what is found.
        form: of the readings when all pass.
    """

    __slots__ = ("finds", "form", "limits", "reads")

    def __init__(self, plan: Plan, bounds: tuple[Bound[Any], ...]) -> None:
        self.reads, self.finds = plan.reads, plan.finds
        self.limits: tuple[Any, ...] = tuple(bound.value for bound in bounds)
        self.form = plan.form(bounds)


class Judge:
    """Goes through the table. A check that raises denies, and so does a limit nobody has chosen.

    What a check asks of an order is in the table alone. First all of them are made at once; unless
    every one passes without a word, they are made again, one by one, and the first that does not
    pass decides. Left out is only what the table says passes for all orders of the kind, or for all
    in the instrument.
    """

    def __init__(self, checks: tuple[Check, ...], state: GateState) -> None:
        self._state = state
        self._whole = Plan(checks, frozenset(), ANY)
        self._applying: dict[Lane, tuple[Check, ...]] = {
            lane: tuple(compress(checks, _asked(checks, account, lane)))
            for account in state.accounts.values()
            for lane in account.lanes.values()
        }
        self._plans: dict[tuple[tuple[str, ...], frozenset[str], int], Plan] = {}
        self._ready: dict[tuple[Plan, tuple[Bound[Any], ...]], Ready] = {}
        """Both by what they are made of: there are few, however many instruments and sessions."""

    def judge(self, case: Case) -> tuple[_Readings, Denial | None]:
        """Return what every check read, up to the one that denied; and the denial, if one did."""
        if not case.is_instrument_known:
            return self._one_by_one(case, self._whole)
        try:
            ready = case.route.ready.get(case.kind) or self._make_ready(case)
            for read in ready.reads:
                if read(case) is not PASS:
                    return self._one_by_one(case, self._plan_of(case))
            found = [find(case) for find in ready.finds]
            if all(map(le, found, ready.limits)):
                return cast(_Readings, Written(ready.form, found)), None
        except Exception:  # which check it was, and what it says, is found out one by one
            return self._one_by_one(case, self._plan_of(case))
        return self._one_by_one(case, self._plan_of(case))

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

    def _one_by_one(self, case: Case, plan: Plan) -> tuple[_Readings, Denial | None]:
        readings, index = plan.passed.copy(), 0
        try:
            for index, name, read in plan.rows:
                verdict = read(case)
                if verdict is PASS:
                    continue
                is_ok, value, limit = verdict
                readings[index] = Reading(name, is_ok, value, limit)
                if not is_ok:
                    return tuple(readings[: index + 1]), Denial.by(plan.checks[index], value, limit)
        except Exception as error:  # whatever it is, nothing may pass because of it
            cause = case.cause_of(error)
            if isinstance(cause, LimitMissingError):
                return _cut(readings, index), Denial("limit_missing", str(cause))
            return _cut(readings, index), Denial.after(plan.checks[index].name, cause)
        return tuple(readings), None

    def _plan_of(self, case: Case) -> Plan:
        """Return the plan of an order in a known instrument."""
        checks = self._applying[case.lane]
        settled = frozenset(
            check.name
            for check in checks
            if check.settled is not None and check.settled(self._state, case.lane)
        )
        key = (tuple(check.name for check in checks), settled, case.kind)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = Plan(checks, settled, case.kind)
        return plan

    def _make_ready(self, case: Case) -> Ready:
        """Return the plan with the limits in it; the route remembers it.

        Raises:
            LimitMissingError: nobody has chosen one of them.
        """
        plan = self._plan_of(case)
        key = (plan, tuple(check.limit(case) for _, check in plan.compared))
        ready = self._ready.get(key)
        if ready is None:
            ready = self._ready[key] = Ready(*key)
        case.route.ready[case.kind] = ready
        return ready


def _asked(checks: tuple[Check, ...], account: Account, lane: Lane) -> list[bool]:
    return [check.applies is None or check.applies(account, lane) for check in checks]


def _cut(readings: list[Reading], index: int) -> _Readings:
    """Return the readings with the last check as one that did not pass."""
    return (*readings[:index], Reading(readings[index].check, False))
