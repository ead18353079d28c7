"""What nobody knows is shown as unknown, what failed as failed, and what must be seen is seen."""

import asyncio
import io
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from schemas.base import InstrumentId
from schemas.control import AccountMarked
from schemas.errors import SluiceError, UserError
from schemas.executions import BookReported, OrderStatus, OrderView, PositionView
from schemas.health import FeedReported, ServiceView
from schemas.restrictions import Level, Lock, Restriction
from services.cli import __main__ as cli
from services.cli import status as page
from services.cli.books import _marked
from services.cli.control import newest_open
from services.cli.exits import Exit, exit_of
from services.cli.locate import Place
from services.cli.output import Output, banner_of, restriction_text, signed
from services.cli.restrict import REPORTED_QUOTES_MAX as RESTRICT_MAX
from services.cli.restrict import _warning
from services.cli.status import Answers, _feed_lines, status_of
from services.cli.up import _Up, up
from services.cli.up_start import start_by_itself
from services.cli.up_view import document_of, line_of, page_of
from services.cli.up_watch import UpWatch
from services.feed.core import REPORTED_QUOTES_MAX
from tests.builders import ACCOUNT, order
from tests.control_rig import ControlRig, restriction
from tests.unit.test_arbiter_restrictions import report
from tests.unit.test_cli_output import BOOK, GATE, arbiter

IBM = InstrumentId("nyse:IBM")
SHORT = PositionView(instrument=IBM, quantity=Decimal(-995), average_price=Decimal(100))
DEAD = FeedReported(
    at_ns=0, source="replay", rate_per_s=5.5, stale=("sim:A",), detail="trades.csv:301: side BUY"
)


class Desk:
    """Answers for whoever asks."""

    def __init__(self, feed: FeedReported | None = None, equity: Decimal | None = None) -> None:
        self._feed, self.equity = feed, equity

    async def feed(self) -> FeedReported | None:
        return self._feed

    async def arbiter(self) -> Any:
        return arbiter(equity=self.equity)

    async def gate(self) -> None:
        return None

    async def book(self) -> None:
        return None


def watch(**given: Any) -> Any:
    return UpWatch(Desk(**given))  # type: ignore[arg-type]


@pytest.mark.req("O-05")
@pytest.mark.parametrize(
    ("quote", "mark"),
    [
        *(("100/101", Decimal("100.5")), ("-38/-37", Decimal("-37.5"))),
        *(("0/100.01", None), ("100/0", None), ("0/0", None), ("/", None), ("NaN/1", None)),
    ],
)
def test_a_position_has_a_mark_only_between_two_sides(quote: str, mark: Decimal | None) -> None:
    assert _marked(SHORT, {IBM: quote}).mark == mark


def marked(unmarked: tuple[str, ...]) -> AccountMarked:
    return AccountMarked(
        at_ns=0,
        account=ACCOUNT,
        equity=Decimal(100),
        cash=Decimal(1),
        high_water_mark=Decimal(100),
        drawdown=Decimal(0),
        unmarked=unmarked,
    )


@pytest.mark.req("O-05")
def test_the_equity_is_unknown_once_something_held_has_no_price() -> None:
    desk = Desk(equity=Decimal(100))
    found = UpWatch(desk)  # type: ignore[arg-type]
    asyncio.run(found.refresh())
    assert found.equity == 100
    found._hear(marked((IBM,)))
    assert found.equity is None
    assert "equity unknown" in line_of(found, ())
    found._hear(marked(()))
    assert found.equity == 100
    desk.equity = None
    asyncio.run(found.refresh())
    assert found.equity is None


@pytest.mark.req("O-05")
def test_status_shows_a_dead_feed_with_its_failure_and_what_is_stale() -> None:
    found = status_of(Answers(None, None, None, None, DEAD, None, None))
    assert found.feed is not None
    assert found.feed["detail"] == "trades.csv:301: side BUY"
    assert _feed_lines(found) == [
        "feed replay, FAILED   unknown events/s   decisions unknown",
        "feed FAILED: trades.csv:301: side BUY",
        "STALE, no news for longer than allowed: sim:A",
    ]


@pytest.mark.req("O-05")
def test_status_of_a_dead_feed_ends_unhealthy_and_with_somebody_silent_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Nowhere:
        async def __aenter__(self) -> None:
            return None

        async def __aexit__(self, *_: object) -> None:
            return None

    found: list[tuple[FeedReported | None, list[str]]] = [
        *((DEAD, []), (None, [])),
        *((None, [each]) for each in ("breaker", "feed", "recorder")),
    ]

    async def ask_all(_: object) -> Answers:
        return Answers(None, None, None, None, found[0][0], None, None)

    def status_of_all(answers: Answers) -> page.Status:
        return msgspec.structs.replace(status_of(answers), silent=found.pop(0)[1])

    monkeypatch.setattr(page, "at_desk", lambda _: Nowhere())
    monkeypatch.setattr(page, "ask_all", ask_all)
    monkeypatch.setattr(page, "status_of", status_of_all)
    codes = [page.status(place=Place()) for _ in range(len(found))]
    assert codes == [Exit.UNHEALTHY, Exit.OK, Exit.SILENT, Exit.SILENT, Exit.SILENT]


@pytest.mark.req("O-01")
def test_until_end_ends_with_an_error_where_the_feed_failed() -> None:
    found = _Up.__new__(_Up)
    found._code, found._until_end, found._for_s = Exit.OK, True, None

    class Over:
        def is_set(self) -> bool:
            return False

        async def wait(self) -> None:
            return None

    found._asked = Over()  # type: ignore[assignment]
    seen = watch(feed=DEAD)
    assert not asyncio.run(found._is_over(seen))
    asyncio.run(seen.refresh())
    seen.book = BookReported(at_ns=0, account=ACCOUNT)
    assert asyncio.run(found._is_over(seen))
    assert found._code == Exit.FAILED
    assert "FEED FAILED: trades.csv:301: side BUY" in line_of(seen, ())


async def nothing(*_: object, **__: object) -> None:
    return None


class Last(Desk):
    """Answers as at the end of a run, but for one service."""

    def __init__(self, silent: str) -> None:
        super().__init__(feed=None if silent == "feed" else FeedReported(at_ns=0, source="x"))
        self._silent = silent
        self.connection: Any = self

    async def take(self, _subject: str, _heard: Any) -> None:
        return None

    async def arbiter(self) -> Any:
        return None if self._silent == "breaker" else await super().arbiter()

    async def gate(self) -> Any:
        return None if self._silent == "gate" else GATE

    async def book(self) -> Any:
        return None if self._silent == "executor" else BOOK


@pytest.mark.req("O-01", "O-05")
@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("silent", ["breaker", "gate", "feed", "executor", ""])
def test_last_words_that_are_not_known_to_be_true_end_with_another_code(
    capsys: pytest.CaptureFixture[str], silent: str, as_json: bool
) -> None:
    found: Any = _Up.__new__(_Up)
    found._code, found._is_starting, found._is_stopping = Exit.OK, False, False
    found._began_s, found._output = 0.0, Output(as_json)
    found._run = SimpleNamespace(config=SimpleNamespace(data_dir="var"))

    found._show, found._supervisor = nothing, SimpleNamespace(stop=nothing)
    asyncio.run(found._trade(Last(silent)))
    found._say_goodbye()
    out, err = capsys.readouterr()
    said = f"no answer at the end from {silent}: what only they know is not in these lines"
    expected = (Exit.SILENT, f"sluice: {said}\n") if silent else (Exit.OK, "")
    assert (found._code, err) == expected
    if as_json:
        assert msgspec.json.decode(out)["summary"]["silent"] == ([silent] if silent else [])


@pytest.mark.req("O-01")
def test_what_nobody_reads_any_more_is_stopped_in_order_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: list[bool] = []

    async def done(*_: object, **__: object) -> None:
        stopped.append(True)

    def unread(_self: Output, _text: str = "") -> None:
        raise BrokenPipeError

    found: Any = _Up.__new__(_Up)
    found._output, found._is_stopping = Output(False), False
    found._listen = lambda: None
    found._say_what_starts, found._views = lambda: None, lambda: ()
    found._asked, found._began_s = asyncio.Event(), 0.0
    found._supervisor = SimpleNamespace(start=nothing, stop=done)
    found._run = SimpleNamespace(retire=lambda: None)
    monkeypatch.setattr(Output, "line", unread)
    with pytest.raises(BrokenPipeError):
        asyncio.run(found.run())
    assert stopped == [True]


@pytest.mark.req("O-01")
@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_up_for_a_time_that_never_passes_is_refused(seconds: float) -> None:
    with pytest.raises(UserError, match="--for"):
        up(for_s=seconds)
    assert cli.run(["up", f"--for={seconds}"]) == Exit.BAD_INPUT


@pytest.mark.req("O-05")
def test_notes_are_read_once_and_in_order() -> None:
    found = watch()
    found.note("first")
    found.note("second")
    assert (found.unread(), found.unread()) == (["first", "second"], [])


@pytest.mark.req("O-05")
def test_no_warning_where_the_feed_names_only_some_of_its_symbols() -> None:
    assert RESTRICT_MAX == REPORTED_QUOTES_MAX
    quotes = {f"sim:S{number}": "1/2" for number in range(REPORTED_QUOTES_MAX)}
    many: Any = Desk(FeedReported(at_ns=0, source="x", quotes=quotes))
    assert asyncio.run(_warning(many, "symbol.sim.S111")) == ""
    few: Any = Desk(FeedReported(at_ns=0, source="x", quotes={"sim:S1": "1/2"}))
    assert asyncio.run(_warning(few, "symbol.sim.S1")) == ""
    assert asyncio.run(_warning(few, "symbol.sim.S111")) == (
        "the feed has shown no symbol sim.S111 yet: is it the one meant? There are sim.S1"
    )


def drawn(found: UpWatch, width: int, height: int) -> list[str]:
    services = tuple(
        ServiceView(name=name, state="running", pid=1, uptime_s=1.0, restarts=0)
        for name in ("nats", "recorder", "executor", "breaker", "gate", "strategy", "feed")
    )
    screen = Console(width=width, height=height, file=io.StringIO(), color_system=None)
    title = "sluice up   feed simulated at 1x   account paper   bus nats://127.0.0.1:4222   99 s"
    lines = screen.render_lines(page_of(found, services, title, (width, height)), pad=False)
    return ["".join(segment.text for segment in line).rstrip() for line in lines]


@pytest.mark.req("O-05")
@pytest.mark.parametrize("height", [10, 24, 30, 50])
def test_the_page_of_up_fits_the_terminal_and_shows_alerts_and_what_to_do(height: int) -> None:
    found = watch()
    views = tuple(
        OrderView(order=order(), status=OrderStatus.FILLED, filled=Decimal(1), at_ns=1)
        for _ in range(6)
    )
    held = tuple(
        PositionView(instrument=InstrumentId(f"sim:S{n}"), quantity=Decimal(1)) for n in range(8)
    )
    found.book = BookReported(at_ns=0, account=ACCOUNT, positions=held, recent_orders=views)
    for number in range(5):
        found.note(f"CRITICAL: feed: alert {number}")
    lines = drawn(found, 80, height)
    text = "\n".join(lines)
    assert len(lines) <= height
    assert "In another terminal: sluice status   sluice halt   sluice start" in text
    assert "alert 4" in text
    assert ("alert 0" in text) is (height >= 24)
    assert ("sim:S5" in text) is (height >= 24), "what is held, before the last orders"
    assert ("last orders" in text) is (height >= 30)
    assert ("sim:S7" in text) is (height >= 30)
    assert ("more: sluice positions" in text) is (height == 24)


@pytest.mark.req("O-05")
def test_what_is_held_is_not_known_where_the_executor_did_not_answer_at_the_end() -> None:
    found = watch()
    found.book = BookReported(
        at_ns=0, account=ACCOUNT, cash=Decimal(0), fees=Decimal(0), is_reconciled=True
    )
    assert (document_of(found, ())["positions"], "positions none" in line_of(found, ())) == (
        {},
        True,
    )
    asyncio.run(found.close())
    assert document_of(found, ())["positions"] is None
    assert "positions unknown" in line_of(found, ())


@pytest.mark.req("O-01")
def test_up_ends_as_over_a_silent_component_where_the_breaker_does_not_answer() -> None:
    class Silent(Desk):
        async def arbiter(self) -> None:
            return None

    with pytest.raises(SluiceError, match="the breaker service") as caught:
        asyncio.run(start_by_itself(Silent(), None))  # type: ignore[arg-type]
    assert exit_of(caught.value) == Exit.SILENT


RESTRICTION = Restriction(
    scope="session.a", level=Level.REDUCE, number=2, reason="thin", operator="kim", at_ns=0
)
LOCK = Lock(number=4, at_ns=0, component="executor", code="SLU-130", reason="books differ")


@pytest.mark.req("O-05")
def test_up_and_status_say_locked_alike_where_only_the_arbiter_knows_of_the_lock() -> None:
    seen, locked = watch(), arbiter(locks=(LOCK,))
    seen.arbiter, seen.gate, seen.book = locked, GATE, BOOK
    said = status_of(Answers(locked, GATE, BOOK, None, None, None, None))
    assert (seen.trading_state, said.trading_state) == ("LOCKED", "LOCKED")
    seen.book = None
    said = status_of(Answers(locked, GATE, None, None, None, None, None))
    assert (seen.trading_state, said.trading_state) == ("unknown", "unknown")


@pytest.mark.req("O-05")
def test_what_only_reduces_is_told_before_trading_is_started_too() -> None:
    waiting = arbiter(is_leasing=False, detail="no epoch", restrictions=(RESTRICTION,))
    assert banner_of(waiting) == (
        "HALTED: no epoch. Next: sluice start; "
        "REDUCE ONLY session.a since 1970-01-01 00:00:00 UTC by kim: thin (2)"
    )


@pytest.mark.req("B-05")
def test_a_reset_that_names_no_number_takes_what_is_open() -> None:
    newer = msgspec.structs.replace(RESTRICTION, number=3)
    assert newest_open(arbiter(halts=9)) == 9, "nothing is open: the answer says so"
    assert newest_open(arbiter(halts=9, restrictions=(RESTRICTION,))) == 2
    assert newest_open(arbiter(halts=9, restrictions=(newer, RESTRICTION))) == 3
    assert newest_open(arbiter(halts=1, halt_at_ns=5, restrictions=(RESTRICTION,))) == 1


@pytest.mark.req("B-05")
def test_what_is_reset_already_is_known_by_its_mark_and_by_the_one_of_before() -> None:
    typed = "thin (reset: ends with the next start)"
    ending = msgspec.structs.replace(RESTRICTION, number=3, is_ending=True)
    before = msgspec.structs.replace(RESTRICTION, number=4, reason=typed)
    assert newest_open(arbiter(restrictions=(RESTRICTION, ending))) == 2
    assert newest_open(arbiter(restrictions=(RESTRICTION, before))) == 2, "an earlier release's"
    for each, number in ((ending, 3), (before, 4)):
        assert restriction_text(each) == (
            "REDUCE ONLY session.a since 1970-01-01 00:00:00 UTC by kim: "
            f"thin (reset: ends with the next start) ({number})"
        )


@pytest.mark.req("B-05")
def test_a_reset_that_names_no_number_takes_none_that_is_reset_already() -> None:
    rig = ControlRig().ready()
    rig.tell(restriction("symbol.sim.ALPHA"))
    rig.tell(restriction("symbol.sim.BETA"))
    rig.run()
    assert newest_open(report(rig)) == 2
    assert rig.reset(2).is_ok
    assert newest_open(report(rig)) == 1
    assert rig.reset(1).is_ok


@pytest.mark.req("O-05")
def test_what_the_executor_held_is_unknown_once_it_alone_is_silent() -> None:
    desk = Last("")
    seen = UpWatch(desk)  # type: ignore[arg-type]
    asyncio.run(seen.refresh())
    assert seen.book == BOOK
    desk._silent = "executor"
    asyncio.run(seen.refresh())
    assert seen.book is None
    assert "positions unknown" in line_of(seen, ())


@pytest.mark.req("O-05")
def test_a_book_that_comes_while_the_executor_is_asked_in_vain_is_kept() -> None:
    class Late(Last):
        async def book(self) -> None:
            seen._hear(BOOK)

    seen = UpWatch(Late(""))  # type: ignore[arg-type]
    asyncio.run(seen.refresh())
    assert seen.book == BOOK


@pytest.mark.req("O-05")
@pytest.mark.parametrize(
    ("quantity", "said"),
    [
        ("65.00", "+65"),
        ("0.0", "0"),
        ("-5E+2", "-500"),
        ("0.125", "+0.125"),
        ("12345.678", "+12345.678"),
    ],
)
def test_a_quantity_is_shown_with_its_side_and_no_digits_that_say_nothing(
    quantity: str, said: str
) -> None:
    assert signed(Decimal(quantity)) == said
    seen = watch()
    held = PositionView(instrument=IBM, quantity=Decimal(quantity))
    seen.book = BookReported(at_ns=0, account=ACCOUNT, positions=(held,))
    shown = f"nyse:IBM {said}" if held.quantity else "none"
    assert f"positions {shown}" in line_of(seen, ())
