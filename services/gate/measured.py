"""Checks that compare: what is found is at most a limit, or the order does no harm by it.

A comparing check is written as what it finds. Who only wants to know whether all of them pass, as
the judge does of an ordinary order, gathers what they find and compares it in one go; who wants the
word of a single one calls it.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from services.gate.case import PASS, Case, Verdict
from services.gate.limits import Bound

Found = Decimal | int | None
"""What a check finds; None where it cannot be measured, and then it compares with nothing."""


class Measured:
    """A check that what is found is at most its limit.

    Attributes:
        find: what is found in a case.
        limit: what it is compared with.
        lets_out: whether the case passes although more was found: it must be possible to get out.
        blind: why nothing could be found, for people.
        unless: whether it has nothing to say of a case.
    """

    def __init__(
        self,
        find: Callable[[Case], Found],
        limit: Callable[[Case], Bound[Any]],
        lets_out: Callable[[Case], bool] | None,
        blind: Callable[[Case], str] | None,
        unless: Callable[[Case], bool] | None,
    ) -> None:
        self.__name__ = find.__name__
        self.__doc__ = find.__doc__
        self.find, self.limit = find, limit
        self.lets_out, self.blind, self.unless = lets_out, blind, unless

    def __call__(self, case: Case) -> Verdict:
        """Return the verdict on a case."""
        if self.unless is not None and self.unless(case):
            return PASS
        limit, found = self.limit(case), self.find(case)
        if found is None:
            assert self.blind is not None, f"{self.__name__} does not say why it found nothing"
            return (False, self.blind(case), limit.text)
        is_ok = found <= limit.value or (self.lets_out is not None and self.lets_out(case))
        return (is_ok, str(found), limit.text)


def at_most(
    limit: Callable[[Case], Bound[Any]],
    *,
    lets_out: Callable[[Case], bool] | None = None,
    blind: Callable[[Case], str] | None = None,
    unless: Callable[[Case], bool] | None = None,
) -> Callable[[Callable[[Case], Found]], Measured]:
    """Return the decorator that makes a check of what is found; see `Measured`."""

    def of(find: Callable[[Case], Found]) -> Measured:
        return Measured(find, limit, lets_out, blind, unless)

    return of
