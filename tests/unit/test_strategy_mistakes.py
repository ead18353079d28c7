"""Whatever a strategy's own code raises, and wherever, its start or its session fails alone."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from schemas.errors import FieldError
from schemas.instruments import DataKind, Instrument
from schemas.sessions import SessionBreach, SessionState, StrategyFailed
from services.strategy.alerts import words
from services.strategy.interface import Parameters, Strategy
from services.strategy.mistakes import SAID_CHARS_MAX
from tests.builders import quote
from tests.strategy_rig import OWN, StrategyRig, config, only, request


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
    names = ("Wordless", "Talks", "Unneeding", "Complains", "Looks")
    here = "tests.unit.test_strategy_mistakes"
    return StrategyRig(config(classes=OWN | {each.lower(): f"{here}:{each}" for each in names}))


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
