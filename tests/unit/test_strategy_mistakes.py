"""Whatever a strategy's own code raises, and wherever, its start or its session fails alone."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from schemas.errors import FieldError
from schemas.ids import order_id_of
from schemas.instruments import DataKind, Instrument
from schemas.orders import CancelRequested, SignalRaised
from schemas.sessions import (
    SessionBreach,
    SessionState,
    SessionStateChanged,
    SignalBlocked,
    StrategyFailed,
)
from services.strategy.alerts import words
from services.strategy.config import ExecutionLimits
from services.strategy.context import Terms, at_limit
from services.strategy.interface import Parameters, Strategy
from services.strategy.mistakes import SAID_CHARS_MAX
from tests.builders import ALPHA, S_NS, quote
from tests.strategy_rig import OWN, StrategyRig, config, every, only, request


class WordlessError(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Wordless(Strategy[Parameters]):
    """Fail, and fail to say why."""

    def on_quote(self, quote: object) -> None:
        raise WordlessError


class Talks(Strategy[Parameters]):
    """Fail with more than the bus takes."""

    def on_quote(self, quote: object) -> None:
        raise ValueError("x" * 3_000_000)


class Lapses(Strategy[Parameters]):
    """Rest an order at first; then raise one that has expired already, look at it, and fail."""

    seen = 0

    def on_quote(self, quote: object) -> None:
        self.seen += 1
        if self.seen == 1:
            self.context.buy(ALPHA, Decimal(1), at_limit(Decimal(90)))
            return
        self.context.buy(ALPHA, Decimal(1), Terms(expiry_ms=-5_000))
        self.context.open_orders(ALPHA)
        raise ValueError("it is gone")


class Hears(Strategy[Parameters]):
    """Raise two that are too large, and fail on hearing of the first."""

    def on_quote(self, quote: object) -> None:
        for _ in range(2):
            self.context.buy(ALPHA, Decimal(1_000_000))

    def on_blocked(self, blocked: object) -> None:
        raise ValueError("too large")


class Unneeding(Strategy[Parameters]):
    """Fail when asked what it needs."""

    @classmethod
    def needs(cls, parameters: Any, instrument: Instrument) -> tuple[DataKind, ...]:
        raise KeyError("lot")


class Complains(Strategy[Parameters]):
    """Fail when it looks at its parameters, and fail to say why."""

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        raise WordlessError


class Picky(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Looks itself up in a table."""

    size: int = 0

    def __post_init__(self) -> None:
        {0: "small"}[self.size]


class Looks(Strategy[Picky]):
    """Have parameters with a check that fails in its own way."""

    parameters_type = Picky


def rig() -> StrategyRig:
    names = ("Wordless", "Talks", "Lapses", "Hears", "Unneeding", "Complains", "Looks")
    here = "tests.unit.test_strategy_mistakes"
    classes = OWN | {each.lower(): f"{here}:{each}" for each in names}
    return StrategyRig(config(classes=classes, execution=ExecutionLimits()))


@pytest.mark.req("S-14")
@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ("wordless", "WordlessError: its text cannot be made: RuntimeError"),
        ("talks", "ValueError: " + "x" * (SAID_CHARS_MAX - len("ValueError: "))),
    ],
)
def test_an_error_that_cannot_be_told_as_it_is_ends_its_session_alone(
    strategy: str, said: str
) -> None:
    run = rig()
    run.start(strategy)
    run.start("recording")
    assert only(StrategyFailed, run.tell(quote())).error == said
    states = [each.state for each in run.core.describe(0).sessions]
    assert states == [SessionState.FAILED, SessionState.RUNNING]


@pytest.mark.req("S-14")
@pytest.mark.parametrize("has_order", [False, True])
def test_a_signal_that_lapsed_before_its_strategy_failed_takes_no_other_with_it(
    has_order: bool,
) -> None:
    """What rests at the venue is cancelled with its session; nothing else ends."""
    run = rig()
    session = run.start("lapses")
    run.now_ns = 100 * S_NS
    resting = every(SignalRaised, run.tell(quote()))
    if not has_order:
        run.core.sessions[session].book.drop(resting[0].signal_id)
    said = run.tell(quote())
    assert only(StrategyFailed, said).error == "ValueError: it is gone"
    wanted = [order_id_of(e.account, e.session, e.signal_id, e.leg) for e in resting]
    found = [each.order_id for each in every(CancelRequested, said)]
    assert found == (wanted if has_order else [])


@pytest.mark.req("S-14")
def test_a_strategy_that_has_failed_is_told_nothing_more() -> None:
    """It would fail again at the next of what it is told at once, and people would hear twice."""
    run = rig()
    run.start("hears")
    said = run.tell(quote())
    assert len(every(SignalBlocked, said)) == 2
    assert only(StrategyFailed, said).error == "ValueError: too large"
    assert only(SessionStateChanged, said).state is SessionState.FAILED


@pytest.mark.req("S-01", "S-14")
@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (
            request("unneeding"),
            FieldError(
                path="$.strategy",
                found="KeyError when it was asked what it needs: 'lot'",
                wanted="a strategy that says what it needs",
            ),
        ),
        (
            request("complains"),
            FieldError(
                path="$.config_overrides",
                found="WordlessError when they were looked at: its text cannot be made: "
                "RuntimeError",
                wanted="parameters that can be looked at",
            ),
        ),
        (
            request("looks", config_overrides={"size": 2}),
            FieldError(path="$.config_overrides", found="size = 2", wanted="KeyError: 2"),
        ),
    ],
)
def test_a_check_that_fails_refuses_its_own_start(asked: Any, error: FieldError) -> None:
    answer = rig().prepare(asked)
    assert [(each.path, each.found, each.wanted) for each in answer.errors] == [
        (error.path, error.found, error.wanted)
    ]


@pytest.mark.req("S-08")
def test_a_breach_of_a_limit_with_many_places_is_told_in_full() -> None:
    """Rounded to the limit's places, it would have more digits than a sum here has."""
    limit, current = Decimal("1.000000000000000000"), Decimal(50_000_000_000)
    breach = SessionBreach(limit_name="max_daily_loss", limit=limit, current=current)
    assert words(breach) == "max_daily_loss is 50000000000, the limit 1.000000000000000000"


def test_a_breach_is_told_to_the_places_of_its_limit() -> None:
    breach = SessionBreach(
        limit_name="max_drawdown", limit=Decimal("0.05"), current=Decimal("0.0712")
    )
    assert words(breach) == "max_drawdown is 0.07, the limit 0.05"
