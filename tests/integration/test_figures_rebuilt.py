"""Two strategies over a midnight: what the services told, and what their record comes to (R-03)."""

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import Event
from schemas.control import AccountMarked, StartRequest
from schemas.executions import OrderFilled
from schemas.market import QuoteReceived
from schemas.reports import TermsDeclared
from schemas.subjects import subject_of
from schemas.wire import encode
from services.bench.open_limits import open_limits
from services.cli.__main__ import run
from services.core import Core
from services.executor.config import VenueConfig
from services.recorder.chain import Message
from services.recorder.journal import Journal as Chain
from services.runtime.fused import Fused, Journal
from services.strategy.config import UNHELD, StrategyConfig
from services.strategy.core import StrategyCore
from services.strategy.interface import Parameters, Strategy
from services.strategy.measured import Measured, MeasureTerms
from services.system import FusedSystem, FusedTerms
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, instrument, quote

pytestmark = pytest.mark.req("R-03", "O-07")
CASH = Decimal(1_000_000)
DAY, NEXT_DAY = "2026-11-25", "2026-11-26"
MIDNIGHT_NS = int(datetime(2026, 11, 26, tzinfo=UTC).timestamp()) * S_NS
QUIET_NS = MIDNIGHT_NS + 235 * S_NS
"""From then on nothing is traded: the last executions are in the account's last valuation."""

FROM_NS, UNTIL_NS = MIDNIGHT_NS - 240 * S_NS, MIDNIGHT_NS + 240 * S_NS
INSTRUMENTS = {
    ALPHA: instrument(ALPHA, taker_bps="3"),
    BETA: instrument(BETA, multiplier="5", taker_bps="7"),
}
CLASSES = {
    name: f"tests.integration.test_figures_rebuilt:{kind}"
    for name, kind in (("rider", "Rider"), ("fader", "Fader"))
}


class _Counting(Strategy[Parameters]):
    """Trade at every so manieth quote, and never be flat for long."""

    every = 1
    steps: Sequence[int] = ()

    def on_start(self) -> None:
        self.seen = 0

    def on_quote(self, quote: QuoteReceived) -> None:
        self.seen += 1
        if self.seen % self.every or quote.at_ns > QUIET_NS:
            return
        step = self.steps[self.seen // self.every % len(self.steps)]
        trade = self.context.buy if step > 0 else self.context.sell
        trade(quote.instrument, Decimal(abs(step)))


class Rider(_Counting):
    """Hold more and more, and close it from time to time."""

    every, steps = 5, (3, 4, -7, 2, 1)


class Fader(_Counting):
    """Be short as often as long."""

    every, steps = 7, (-6, 11, -3, -4)


class Lived:
    """A system of all cores, fed for eight minutes around a midnight of UTC.

    Attributes:
        data_dir: with the record of what its services said; prices are not in it, as live.
        said: the same, in order.
        sessions: what the strategy service tells of its sessions at the end.
        book: what the executor tells of the account then.
        place: how commands are told where all of this is.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.place = ("--data-dir", str(data_dir), "--json")
        self.said: list[Event] = []
        terms = FusedTerms(
            account=ACCOUNT,
            initial_cash=CASH,
            instruments=INSTRUMENTS,
            gate=open_limits(ACCOUNT, currency_values={"USD": Decimal(1)}),
            strategy=StrategyConfig(classes=CLASSES, execution=UNHELD),
            venue=VenueConfig(),
        )
        system = FusedSystem(terms, journal=self._keep, runtime=self._measuring)
        system.fused.now_ns = FROM_NS
        for strategy, symbols in (("rider", ("ALPHA",)), ("fader", ("ALPHA", "BETA"))):
            asked = StartRequest(
                operator="kim",
                strategy=strategy,
                symbols=tuple(f"sim:{each}" for each in symbols),
                initial_capital=Decimal(50_000),
            )
            system.fused.run(prices(FROM_NS, FROM_NS + S_NS))
            system.start(asked, FROM_NS)
        system.fused.run(prices(FROM_NS, UNTIL_NS))
        system.fused.finish(UNTIL_NS)
        newest_ns = max(each.at_ns for each in self.said if is_recorded(each))
        self.sessions = self._measured.describe(newest_ns)
        self.book = system.executor.describe(newest_ns)
        self._record()

    def _measuring(self, cores: Sequence[Core], journal: Journal | None) -> Fused:
        """Run the cores, the sessions measured as in the live service."""
        values = {"USD": Decimal(1)}
        terms = MeasureTerms(instruments=INSTRUMENTS, currency_values=values, is_paper=True)
        [sessions] = [each for each in cores if isinstance(each, StrategyCore)]
        self._measured = Measured(sessions, terms)
        return Fused([self._measured if each is sessions else each for each in cores], journal)

    def _keep(self, event: Event) -> None:
        self.said.append(event)

    def _record(self) -> None:
        told = TermsDeclared(
            at_ns=FROM_NS,
            account=ACCOUNT,
            currency="USD",
            initial_cash=CASH,
            calendar="24x7",
            instruments=tuple(INSTRUMENTS.values()),
        )
        messages = [
            Message("AUDIT", seq, subject_of(each), each.at_ns, encode(each), each.at_ns)
            for seq, each in enumerate(filter(is_recorded, (told, *self.said)), start=1)
        ]
        chain = Chain(self.data_dir / "record", file_bytes_max=1 << 20)
        chain.append(messages)
        chain.note(chain.head.n)
        chain.close()

    def of(self, kind: type[Event]) -> list[Any]:
        return [each for each in self.said if isinstance(each, kind)]


def is_recorded(event: Event) -> bool:
    """Return whether it goes out on the bus, and from there into the record."""
    try:
        return not subject_of(event).startswith("market.")
    except KeyError:
        return False


def prices(from_ns: int, until_ns: int) -> Iterator[Event]:
    """Two markets that wander, each quoted every second at its own moment."""
    chance = random.Random("prices")
    cents = {ALPHA: 10_000, BETA: 4_000}
    for at_ns in range(from_ns, until_ns, S_NS):
        for place, name in enumerate(cents):
            cents[name] += chance.randint(-9, 9)
            bid, ask = (Decimal(cents[name] + side) / 100 for side in (-1, 2))
            yield quote(str(bid), str(ask), at_ns=at_ns + place * 300_000_000 + 7, instrument=name)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    return Lived(tmp_path_factory.mktemp("lived"))


@pytest.fixture
def rebuilt(lived: Lived, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The figures of the record alone, its store made anew before."""
    assert run(["audit", "rebuild", *lived.place]) == 0
    capsys.readouterr()
    assert run(["figures", *lived.place]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def plain(value: Any) -> Any:
    """Return what a program would read of it."""
    return json.loads(msgspec.json.encode(value))


def test_eight_minutes_over_midnight_have_both_strategies_trading_on_both_days(
    lived: Lived,
) -> None:
    traded = {(e.session, e.at_ns < MIDNIGHT_NS) for e in lived.of(OrderFilled)}
    assert traded == {(s, day) for s in ("rider-1", "fader-2") for day in (True, False)}
    held = {v.instrument: v.quantity for s in lived.sessions.sessions for v in s.positions}
    assert all(held.values()), "something is open at the end, whose price matters"


def test_every_figure_of_a_session_is_the_live_one(lived: Lived, rebuilt: dict[str, Any]) -> None:
    live = {each.session: each for each in lived.sessions.measures}
    assert rebuilt["session"] == plain({name: each.figures for name, each in live.items()})
    assert rebuilt["shares"] == plain({name: each.shares for name, each in live.items()})
    values = {name: each["final_value"] for name, each in rebuilt["session"].items()}
    assert values == plain({name: each.current_value for name, each in live.items()})


def test_every_figure_of_a_strategy_is_the_live_one(lived: Lived, rebuilt: dict[str, Any]) -> None:
    assert rebuilt["attribution"] == plain(lived.sessions.attribution)
    of_sessions = {each.strategy: each.figures for each in lived.sessions.measures}
    assert rebuilt["strategy"] == plain(of_sessions), "each has one session, in the same currency"


def test_the_book_is_worth_what_the_breaker_said(lived: Lived, rebuilt: dict[str, Any]) -> None:
    last, fills = lived.of(AccountMarked)[-1], lived.of(OrderFilled)
    book = rebuilt["book"][ACCOUNT]
    found = (book["final_value"], rebuilt["equity"], rebuilt["cash"])
    assert found == (str(last.equity), str(last.equity), str(last.cash))
    assert (book["fill_count"], book["fees"]) == (len(fills), str(sum(e.fee for e in fills)))
    assert rebuilt["account_positions"] == plain(lived.book.positions)


def test_each_day_is_what_the_services_told_of_it(lived: Lived, rebuilt: dict[str, Any]) -> None:
    assert list(rebuilt["days"]) == [DAY, NEXT_DAY]
    opening = CASH
    for name, is_before in ((DAY, True), (NEXT_DAY, False)):
        day = rebuilt["days"][name]
        marks, fills = (
            [e for e in lived.of(kind) if (e.at_ns < MIDNIGHT_NS) is is_before]
            for kind in (AccountMarked, OrderFilled)
        )
        closing, low = marks[-1].equity, min(e.equity for e in marks)
        assert day == {
            "day": name,
            "opening": str(opening),
            "closing": str(closing),
            "low": str(low),
            "profit": str(closing - opening),
            "worst": str(min(Decimal(0), low / opening - 1)),
            "drawdown_max": str(max(e.drawdown for e in marks)),
            "fill_count": len(fills),
            "fees": str(sum(e.fee for e in fills)),
            "adjusted": "0",
            "up_ns": 0,
            "measured_ns": 0,
            "uptime": None,
        }
        opening = closing


def test_between_book_and_parts_lies_what_prices_did_between_their_valuations(
    rebuilt: dict[str, Any],
) -> None:
    parts = rebuilt["attribution"]
    profits = {by: sum(Decimal(p["profit"]) for p in parts[by].values()) for by in parts}
    assert len({*profits.values()}) == 1, "however it is divided, it is one profit"
    marks, moved = rebuilt["marks"], Decimal(0)
    for view in rebuilt["account_positions"]:
        name = view["instrument"]
        step = Decimal(marks["account"][name]) - Decimal(marks["sessions"][name])
        moved += Decimal(view["quantity"]) * step * INSTRUMENTS[name].multiplier
    book = Decimal(rebuilt["book"][ACCOUNT]["final_value"]) - CASH
    assert book == profits["session"] + moved


def test_the_store_made_anew_knows_the_same_realized_profit(
    lived: Lived, rebuilt: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["query", "--named", "pnl_by_session", *lived.place]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    views = {each.session: each.positions for each in lived.sessions.sessions}
    assert {row[0]: (Decimal(row[4]), Decimal(row[5])) for row in rows} == {
        name: (
            round(sum((v.realized for v in held), Decimal(0)), 4),
            round(sum((v.fees for v in held), Decimal(0)), 4),
        )
        for name, held in views.items()
    }
