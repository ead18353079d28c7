"""A record cut anywhere: what is left tells of the account what the whole one tells (R-03)."""

import itertools
import json
import random
from decimal import Decimal
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.base import Event, ExecutionId, InstrumentId, OrderId, SessionId
from schemas.control import AccountMarked
from schemas.executions import BookReported, Liquidity, OrderFilled, OrderStatus
from schemas.orders import Side
from schemas.repeats import FactRepeated
from schemas.settlement import PositionSettled, SettlementKind
from services.cli.__main__ import run
from services.portfolio import Portfolio
from services.recorder.config import Retention
from services.recorder.journal import Journal
from services.recorder.key_file import ensure_record_key
from services.recorder.retention import enforce
from services.reports.figures import FiguresFold
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, instrument
from tests.report_rig import BEGIN_NS, DAY_NS, Recorded, created, terms

pytestmark = pytest.mark.req("R-03", "R-06")
INSTRUMENTS = {ALPHA: instrument(ALPHA), BETA: instrument(BETA, multiplier="5")}
DAYS = 8


class History:
    """Days of an account that trades by chance: what executor and breaker say of it, in order.

    Attributes:
        said: all of it.
        begins: where in it each day begins, with the terms.
        folio: the executor's book.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.folio = Portfolio(INSTRUMENTS, dec("100000"))
        self.said: list[Event] = []
        self.begins: list[int] = []
        self._late: list[Event] = []
        self._count = 0
        for day in range(DAYS):
            self._day(day)

    def _day(self, day: int) -> None:
        self.now_ns = BEGIN_NS + day * DAY_NS
        self.begins.append(len(self.said))
        self._say(replace(terms(self.now_ns), instruments=tuple(INSTRUMENTS.values())))
        self._say(created(self.now_ns, SessionId(f"s{day}")))
        for _ in range(self._chance.randint(2, 12)):
            self.now_ns += self._chance.randint(1, 5_000) * S_NS // 1_000 * 1_000
            does = self._chance.choice((self._fill, self._fill, self._settle, self._book))
            does(day)
            if self._chance.random() < 0.5:
                self._mark()
        self._book(day)
        self.now_ns += S_NS
        self._fill(day)
        self._mark()
        self._say(*self._late)

    def said_last(self) -> AccountMarked:
        """Return the newest valuation."""
        return [each for each in self.said if isinstance(each, AccountMarked)][-1]

    def _say(self, *events: Event) -> None:
        self.said += events

    def _fill(self, day: int) -> None:
        self._count += 1
        signed = self._chance.choice((-7, -3, 2, 5))
        fill = OrderFilled(
            at_ns=self.now_ns,
            account=ACCOUNT,
            session=SessionId(f"s{self._chance.randint(0, day)}"),
            instrument=self._chance.choice((ALPHA, BETA)),
            order_id=OrderId(f"o{self._count}"),
            execution_id=ExecutionId(f"e{self._count}"),
            side=Side.BUY if signed > 0 else Side.SELL,
            price=self._price(),
            quantity=Decimal(abs(signed)),
            leaves=dec("0"),
            fee=dec("0.13"),
            liquidity=Liquidity.TAKER,
            status=OrderStatus.FILLED,
        )
        self.folio.apply(fill)
        self._say(fill)
        if self._chance.random() < 0.3:  # told again, much later
            self._late = [FactRepeated(at_ns=self.now_ns, account=ACCOUNT, fact=fill)]

    def _settle(self, day: int) -> None:
        self._count += 1
        paid = PositionSettled(
            at_ns=self.now_ns,
            account=ACCOUNT,
            instrument=ALPHA,
            settlement_id=f"f{self._count}",
            kind=SettlementKind.FUNDING,
            payment=dec("-0.01"),
        )
        self.folio.settle(paid)
        self._say(paid)

    def _book(self, day: int) -> None:
        book = BookReported(
            at_ns=self.now_ns,
            account=ACCOUNT,
            cash=self.folio.cash,
            fees=self.folio.fees,
            positions=self.folio.views({}),
            fill_count=self.folio.fill_count,
        )
        self._say(book)

    def _mark(self) -> None:
        self.now_ns += S_NS
        held = [name for name, each in self.folio.positions.items() if each.quantity]
        marks: dict[InstrumentId, Decimal] = {name: self._price() for name in held}
        equity = self.folio.equity(marks)
        assert equity is not None
        marked = AccountMarked(
            at_ns=self.now_ns,
            account=ACCOUNT,
            equity=equity,
            cash=self.folio.cash,
            high_water_mark=equity,
            drawdown=dec("0"),
            marks=marks,
        )
        self._say(marked)

    def _price(self) -> Decimal:
        return Decimal(self._chance.randint(9_000, 11_000)) / 100


def folded(events: list[Event], *, is_headless: bool) -> FiguresFold:
    fold = FiguresFold(ACCOUNT, is_headless=is_headless)
    for event in events:
        fold.apply(event)
    return fold


@given(st.integers(0, 10**6), st.integers(1, DAYS - 1))
@settings(max_examples=60, deadline=None)
def test_after_any_cut_the_book_is_the_live_one_and_measured_since_its_opening(
    seed: int, day: int
) -> None:
    history = History(seed)
    left = history.said[history.begins[day] :]
    whole, fold = folded(history.said, is_headless=False), folded(left, is_headless=True)
    opening = fold.opening
    assert opening is not None
    found, wanted = (each.figures()["book"][ACCOUNT] for each in (fold, whole))
    last = history.said_last()
    assert found.final_value == wanted.final_value == last.equity
    held, live = fold.holdings[""], history.folio
    assert held.views({}) == whole.holdings[""].views({}) == live.views({})
    assert (held.cash, held.fees, held.fill_count) == (live.cash, live.fees, live.fill_count)
    for name in [*whole.days][day:]:
        now, then = fold.days[name], whole.days[name]
        opened = now.opening if name == [*whole.days][day] else then.opening
        assert now == replace(then, opening=opened)
    since = [e for e in left if isinstance(e, OrderFilled) and e.at_ns > opening.at_ns]
    assert (found.fill_count, found.fees) == (len(since), sum((e.fee for e in since), dec("0")))
    assert_returns(found, opening.equity, ends(left, opening.at_ns))


def ends(left: list[Event], from_ns: int) -> list[Decimal]:
    """Return what the account was worth at the end of each day since."""
    marks = [e for e in left if isinstance(e, AccountMarked) and e.at_ns >= from_ns]
    return [*{each.at_ns // DAY_NS: each.equity for each in marks}.values()]


def assert_returns(found: Any, capital: Decimal, worth: list[Decimal]) -> None:
    """Hold figures against returns that are computed without the fold."""
    returns = [float(b / a - 1) for a, b in zip([capital, *worth], worth, strict=False)]
    assert found.initial_capital == capital
    assert found.total_return == pytest.approx(float(worth[-1] / capital - 1))
    if len(returns) > 1 and stdev(returns) > 1e-9:
        assert found.sharpe == pytest.approx(mean(returns) / stdev(returns) * 365**0.5, rel=1e-6)


def test_a_book_opens_only_where_the_breaker_agrees_with_it() -> None:
    history = History(7)
    left = history.said[history.begins[5] :]
    places = [n for n, each in enumerate(left) if isinstance(each, BookReported)]
    for n in places[:-1]:
        left[n] = BookReported(at_ns=left[n].at_ns, account=ACCOUNT, cash=dec("1"))
    fold = folded(left, is_headless=True)
    assert fold.opening is not None
    assert fold.opening.book_ns == left[places[-1]].at_ns
    assert fold.figures()["book"][ACCOUNT].final_value == history.said_last().equity
    del left[places[-1] :]
    assert folded(left, is_headless=True).figures()["book"] == {}


def test_what_is_described_later_is_folded_into_what_is_held() -> None:
    """An execution of it was a KeyError."""
    said = History(3).said
    fills = [each for each in said if isinstance(each, OrderFilled)]
    alpha, beta = (next(e for e in fills if e.instrument == name) for name in (ALPHA, BETA))
    fold = folded([terms(BEGIN_NS), alpha, said[0], beta], is_headless=False)
    alone = Portfolio(INSTRUMENTS, dec("100000"))
    assert alone.apply(alpha)
    assert alone.apply(beta)
    assert fold.holdings[""].views({}) == alone.views({})


def test_what_retention_leaves_of_the_files_tells_the_live_book(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history, recorded = History(11), Recorded(tmp_path)
    for begin, end in itertools.pairwise([*history.begins, None]):
        recorded.add(*history.said[begin:end])
    place = ("--data-dir", str(tmp_path))
    assert run(["figures", *place, "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert not {"opening", "untold"} & {*whole}
    journal = Journal(tmp_path / "record", file_bytes_max=1 << 20)
    assert enforce(
        journal,
        ensure_record_key(tmp_path / "keys"),
        data_dir=tmp_path,
        events_dir=tmp_path / "logs" / "events",
        policy=Retention(record_days=3),
        now_ns=BEGIN_NS + DAYS * DAY_NS,
    )
    journal.close()
    assert run(["figures", *place, "--json"]) == 0
    left = json.loads(capsys.readouterr().out)
    book = left["book"][ACCOUNT]
    assert book["final_value"] == whole["book"][ACCOUNT]["final_value"]
    assert book["initial_capital"] == left["opening"]["equity"]
    assert left["account_positions"] == whole["account_positions"]
    assert [left["days"][name] for name in [*whole["days"]][-2:]] == [
        whole["days"][name] for name in [*whole["days"]][-2:]
    ]
    assert left["untold"]
    assert run(["figures", *place]) == 0
    text = capsys.readouterr().out
    assert "the book is measured since" in text
    assert ", ".join(left["untold"]) in text
