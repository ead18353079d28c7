"""What a strategy has in another form than is wanted is told, and breaks nothing else."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, cast

import pytest

from schemas.errors import FieldError
from schemas.instruments import DataKind, Instrument
from schemas.orders import Side, SignalRaised
from schemas.sessions import SessionState, StrategyFailed
from schemas.wire import decode_kept, encode
from services.strategy.context import Terms
from services.strategy.interface import Parameters, Strategy
from tests.builders import ALPHA, quote
from tests.strategy_rig import OWN, StrategyRig, config, only, request

HERE = "tests.unit.test_strategy_shapes"


class Silent(Strategy[Parameters]):
    """Forget to return what speaks against the parameters."""

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> Any:
        return None


class Wordy(Strategy[Parameters]):
    """Say it in words alone."""

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> Any:
        return ["too small"]


class ReadsOne(Strategy[Parameters]):
    """Name one kind where several are wanted."""

    reads = cast(Any, DataKind.FUNDING)


class Plain(Strategy[Parameters]):
    """Take a dictionary for parameters."""

    parameters_type = cast(Any, dict)


async def _awaiting(self: Strategy[Parameters], quote: object) -> None:
    self.context.buy(ALPHA, Decimal(1))


class Awaits(Strategy[Parameters]):
    """Have a coroutine where a method is called."""

    on_quote = cast(Any, _awaiting)


def _yielding(self: Strategy[Parameters], quote: object) -> Iterator[None]:
    self.context.buy(ALPHA, Decimal(1))
    yield


class Yields(Strategy[Parameters]):
    """Have a generator where a method is called."""

    on_quote = cast(Any, _yielding)


class Says(Strategy[Parameters]):
    """Do at a quote what the test says."""

    def on_quote(self, quote: object) -> None:
        self.do(self.context)

    def do(self, context: Any) -> None:
        """Nothing, until the test says what."""


def rig_of(name: str) -> StrategyRig:
    return StrategyRig(config(classes=OWN | {name.lower(): f"{HERE}:{name}"}))


@pytest.mark.req("S-01", "S-14")
@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "Silent",
            FieldError(
                path="$.config_overrides",
                found="TypeError when they were looked at: 'NoneType' object is not iterable",
                wanted="parameters that can be looked at",
            ),
        ),
        (
            "Wordy",
            FieldError(
                path="$.config_overrides",
                found="too small",
                wanted="what its check has nothing against; as FieldError it could say what",
            ),
        ),
        (
            "ReadsOne",
            FieldError(
                path="$.strategy",
                found="reads of ReadsOne is <DataKind.FUNDING: 'funding'>",
                wanted="a tuple, like (DataKind.FUNDING,)",
            ),
        ),
        (
            "Plain",
            FieldError(
                path="$.strategy",
                found="parameters_type of Plain is <class 'dict'>",
                wanted="a class made from services.strategy.interface.Parameters",
            ),
        ),
        (
            "Awaits",
            FieldError(
                path="$.strategy",
                found="on_quote of Awaits is a coroutine, which nobody awaits: it would do nothing",
                wanted="`def on_quote`, without `async`",
            ),
        ),
        (
            "Yields",
            FieldError(
                path="$.strategy",
                found="on_quote of Yields has a `yield`, and nobody goes on with it:"
                " it would do nothing",
                wanted="`def on_quote`, without `yield`",
            ),
        ),
    ],
)
def test_a_strategy_of_another_shape_is_refused_with_what_is_wrong(
    name: str, error: FieldError
) -> None:
    answer = rig_of(name).prepare(request(name.lower()))
    assert list(answer.errors) == [error]


def said_by_one(do: Any) -> StrategyRig:
    rig = rig_of("Says")
    session = rig.start("says")
    rig.start("recording")
    rig.strategy(session).do = do
    rig.tell(quote())
    return rig


@pytest.mark.req("S-10", "S-13", "S-14")
@pytest.mark.parametrize(
    ("do", "said"),
    [
        (
            lambda context: context.buy(ALPHA, Decimal(1), Terms(expiry_ms=cast(Any, 1.5))),
            "ValueError: a signal that nobody can read: "
            "Expected `int`, got `float` - at `$.expires_at_ns`",
        ),
        (
            lambda context: context.buy(ALPHA, Decimal(1), Terms(replaces=cast(Any, 5))),
            "ValueError: a signal that nobody can read: "
            "Expected `str | null`, got `int` - at `$.replaces`",
        ),
        (
            lambda context: context.set_timer(float("nan")),
            "ValueError: cannot convert float NaN to integer",
        ),
    ],
    ids=["expiry", "replaces", "timer"],
)
def test_what_nobody_could_read_ends_the_session_that_says_it(do: Any, said: str) -> None:
    """In the journal it would keep the service from starting again."""
    rig = said_by_one(do)
    assert only(StrategyFailed, rig.said).error == said
    states = [each.state for each in rig.core.describe(0).sessions]
    assert states == [SessionState.FAILED, SessionState.RUNNING]
    assert [decode_kept(encode(each), where="journal") for each in rig.kept] == rig.kept
    assert rig.tell(None) == []


@pytest.mark.req("S-10")
def test_a_side_in_words_is_that_side_and_a_whole_number_is_a_decimal() -> None:
    """Compared by identity, `"buy"` would be taken for a sale."""
    rig = said_by_one(lambda context: context.submit(ALPHA, "buy", 2))
    signal = only(SignalRaised, rig.said)
    assert signal.side is Side.BUY
    assert (type(signal.quantity), signal.quantity) == (Decimal, Decimal(2))


@pytest.mark.req("S-10")
def test_a_timer_of_a_number_with_a_point_rings_at_the_whole_nanosecond() -> None:
    rig = said_by_one(lambda context: context.set_timer(2.5e9))
    [timer] = [
        each.context.timer_ns for each in rig.core.sessions.values() if each.context.timer_ns
    ]
    assert (type(timer), timer) == (int, 2_500_000_000)
