"""The one place where the table of checks is gone through, and where an order is made to fit."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import compress

from schemas.base import AccountId
from schemas.orders import Reading, TimeInForce
from services.gate.account import Account
from services.gate.answers import Denial
from services.gate.case import PASS, Case, Verdict
from services.gate.check import Check
from services.gate.exposure import ZERO, Lane
from services.gate.limits import LimitMissingError


class Plan:
    """The checks that can have anything to say about one instrument of one account.

    Attributes:
        checks: those, in the order of the table.
        rows: place, name and function of each.
        passed: a reading for each, as of one that has nothing to measure.
    """

    __slots__ = ("checks", "passed", "rows")

    def __init__(self, checks: tuple[Check, ...]) -> None:
        self.checks = checks
        self.passed = [Reading(check.name, True) for check in checks]
        self.rows: tuple[tuple[int, str, Callable[[Case], Verdict]], ...] = tuple(
            (index, check.name, check.read) for index, check in enumerate(checks)
        )


class Judge:
    """Goes through the table. A check that raises denies, and so does a limit nobody has chosen."""

    def __init__(self, checks: tuple[Check, ...], accounts: Mapping[AccountId, Account]) -> None:
        self._whole = Plan(checks)
        self._plans: dict[Lane, Plan] = {}
        made: dict[tuple[bool, ...], Plan] = {}
        for account in accounts.values():
            for lane in account.lanes.values():
                asked = tuple(
                    check.applies is None or check.applies(account, lane) for check in checks
                )
                if asked not in made:
                    made[asked] = Plan(tuple(compress(checks, asked)))
                self._plans[lane] = made[asked]

    def judge(self, case: Case) -> tuple[list[Reading], Denial | None]:
        """Return what every check read, up to the one that denied; and the denial, if one did."""
        plan = self._plans[case.lane] if case.is_instrument_known else self._whole
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
        checks = self._plans[case.lane].checks
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


def _cut(readings: list[Reading], index: int) -> list[Reading]:
    """Return the readings with the last check as one that did not pass."""
    return [*readings[:index], Reading(readings[index].check, False)]
