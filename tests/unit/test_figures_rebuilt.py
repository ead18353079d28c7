"""Figures made again from what was recorded are the live ones: two strategies, over a midnight."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import pytest

from schemas.base import Event, SessionId
from schemas.control import AccountMarked
from schemas.executions import OrderFilled
from schemas.orders import SignalDecided, SignalRaised
from schemas.reports import TermsDeclared, UptimeMeasured
from services.performance.core import By
from services.reports.figure_days import Safety
from services.reports.figures import FiguresFold
from services.strategy.measured import TICK_NS
from tests.builders import ACCOUNT, S_NS, quote
from tests.control_rig import ControlRig, book
from tests.strategy_rig import INSTRUMENTS, every
from tests.unit.test_strategy_measured import MeasuredRig

DAY_NS = 86_400 * S_NS
BEGIN_NS = 20_000 * DAY_NS - 3_600 * S_NS
"""An hour before a midnight (UTC)."""


class Account:
    """Sessions and breakers told the same market and executions; all of it recorded.

    Attributes:
        recorded: what a recorder would have, in the order of time.
    """

    def __init__(self) -> None:
        terms = TermsDeclared(
            at_ns=1,
            account=ACCOUNT,
            currency="USD",
            initial_cash=Decimal(100_000),
            calendar="24x7",
            instruments=tuple(INSTRUMENTS.values()),
            currency_values={},
        )
        self.recorded: list[Event] = [terms]
        self.sessions = MeasuredRig()
        self.other = self.sessions.start("beats")
        self.sessions.now_ns = BEGIN_NS
        self.breakers = ControlRig(now_ns=BEGIN_NS).ready()
        self.breakers.tell(book())
        self.said_count = 0

    def quote(self, middle: str, seconds: int) -> None:
        """Let time pass, then move the market and execute what is asked for, a fee each."""
        self.sessions.pass_time(seconds * S_NS)
        self.breakers.wait(seconds * S_NS)
        bid, ask = Decimal(middle) - 1, Decimal(middle) + 1
        moved = quote(str(bid), str(ask), at_ns=self.sessions.now_ns)
        self.breakers.tell(moved)
        self.sessions.tell(moved)
        for raised in self._new(self.sessions.said):
            self._execute(raised, str(bid), str(ask))
        self.breakers.wait(S_NS)
        self.sessions.pass_time(S_NS)

    def _new(self, said: Sequence[Event]) -> list[SignalRaised]:
        found = every(SignalRaised, said[self.said_count :])
        self.said_count = len(said)
        return found

    def _execute(self, raised: SignalRaised, bid: str, ask: str) -> None:
        decided: SignalDecided = self.sessions.decided(raised, bid, ask)
        fill: OrderFilled = msgspec.structs.replace(
            self.sessions.fill(raised), price=Decimal(ask), fee=Decimal("0.1")
        )
        for event in (decided, fill):
            self.sessions.tell(event)
            self.breakers.tell(event)

    def rebuilt(self) -> FiguresFold:
        """Return the figures of the record alone."""
        marks = every(AccountMarked, self.breakers.said)
        told = [*self.recorded, *self.sessions.kept, *marks]
        created = [event for event in told if type(event).__name__ == "SessionCreated"]
        fold = FiguresFold(ACCOUNT)
        for event in (self.recorded[0], *created):
            fold.apply(event)
        rest = [each for each in told if each is not self.recorded[0] and each not in created]
        for event in sorted(rest, key=lambda each: each.at_ns):
            fold.apply(event)
        return fold


@pytest.mark.req("R-03", "O-07")
def test_two_strategies_over_a_midnight_have_their_live_figures_again() -> None:
    live = Account()
    for step in range(60):
        live.quote(str(100 + step % 7), 120)
    live.sessions.pass_time(TICK_NS)
    # The account is valued once more before the sessions are: that is no news of theirs.
    live.breakers.now_ns = live.sessions.now_ns
    live.breakers.tell(quote("149", "151", at_ns=live.sessions.now_ns))
    live.breakers.wait(2 * S_NS)
    fold = live.rebuilt()
    report = live.sessions.report()
    assert {SessionId(each.session) for each in report.measures} == {*fold.sessions}
    attribution = {by: {**parts} for by, parts in report.attribution.items()}
    again = {
        by.value: {
            name: msgspec.convert(msgspec.to_builtins(share), type(attribution[by.value][name]))
            for name, share in fold.attribution(by).items()
        }
        for by in By
    }
    assert again == attribution
    assert len(attribution["strategy"]) == len(attribution["session"]) == 2
    now_ns = live.sessions.now_ns
    figures = fold.figures()
    for measure in report.measures:
        mine = figures["session"][measure.session]
        assert (mine.final_value, mine.fees, mine.fill_count, mine.slippage) == (
            measure.current_value,
            measure.figures.fees,
            measure.figures.fill_count,
            measure.figures.slippage,
        )
        assert mine == fold.sessions[measure.session].figures(fold.now_ns)
    assert now_ns > BEGIN_NS + 3_600 * S_NS


@pytest.mark.req("R-03", "O-07")
def test_the_days_of_the_record_are_those_of_the_breakers() -> None:
    live = Account()
    for step in range(60):
        live.quote(str(100 + step % 7), 120)
    live.breakers.wait(2 * S_NS)
    fold = live.rebuilt()
    marks = every(AccountMarked, live.breakers.said)
    midnight_ns = 20_000 * DAY_NS
    before = [each.equity for each in marks if each.at_ns < midnight_ns]
    after = [each.equity for each in marks if each.at_ns >= midnight_ns]
    first, second = fold.days.values()
    assert (first.day, second.day) == ("2024-10-03", "2024-10-04")
    assert (first.opening, first.closing) == (before[0], before[-1])
    assert (second.opening, second.closing, second.low) == (before[-1], after[-1], min(after))
    assert second.closing == live.breakers.core.describe(live.breakers.now_ns).equity
    fills = every(OrderFilled, live.sessions.kept)
    counts = [sum((f.at_ns < midnight_ns) is is_first for f in fills) for is_first in (True, False)]
    assert [first.fill_count, second.fill_count] == counts
    assert first.fees + second.fees == Decimal("0.1") * len(fills)


HOUR_NS = 3_600 * S_NS
XNYS_OPEN_NS = 1_769_783_400 * S_NS
"""Friday 2026-01-30, 9:30 in New York."""


def _safety(calendar: str, *stretches: tuple[float, float, float], begin_ns: int = 0) -> Safety:
    """Return it after stretches (from, until, up) that were measured, in hours since the begin."""
    fold = FiguresFold(ACCOUNT)
    fold.apply(
        TermsDeclared(
            at_ns=1,
            account=ACCOUNT,
            currency="USD",
            initial_cash=Decimal(1),
            calendar=calendar,
            instruments=(),
        )
    )
    for each in stretches:
        from_ns, until_ns, up_ns = (round(hours * HOUR_NS) for hours in each)
        fold.apply(
            UptimeMeasured(
                at_ns=begin_ns + until_ns,
                from_ns=begin_ns + from_ns,
                until_ns=begin_ns + until_ns,
                up_ns=up_ns,
                ready_ns={},
            )
        )
    return fold.safety()


@pytest.mark.req("O-07")
@pytest.mark.parametrize(
    ("stretches", "kept", "unmeasured_hours"),
    [
        (((0, 1, 1), (1, 2, 1)), True, 0),
        (((0, 1, 1), (7, 8, 1)), None, 6),  # all may have been down: nobody knows
        (((0, 1, 0.5), (1.5, 2, 0.5)), False, 0.5),  # not even if it was up meanwhile
        (((0, 1000, 1000), (1000.5, 2000, 999.5)), True, 0.5),  # enough, whatever it was
        ((), None, 0),
    ],
)
def test_hours_in_which_nobody_measured_are_never_taken_for_up(
    stretches: tuple[tuple[float, float, float], ...], kept: bool | None, unmeasured_hours: float
) -> None:
    found = _safety("24x7", *stretches)
    assert found.is_uptime_kept is kept
    assert found.unmeasured_ns == round(unmeasured_hours * HOUR_NS)


@pytest.mark.req("O-07")
def test_only_market_hours_are_missed() -> None:
    # measured until an hour before Friday's close, and again from an hour after Monday's open
    until_close, weekend = 6.5, 3 * 24
    stretches = ((0, 5.5, 5.5), (weekend + 1, weekend + 2, 1))
    found = _safety("XNYS", *stretches, begin_ns=XNYS_OPEN_NS)
    assert found.unmeasured_ns == (until_close - 5.5 + 1) * HOUR_NS
