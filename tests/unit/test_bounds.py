"""A number that nothing could compute with is refused where it comes in, and touches nobody."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.bounds import WANTED_NUMBER, is_bounded
from schemas.breakers import BreakerRequest
from schemas.errors import FieldError
from schemas.instruments import Instrument
from services.cli import __main__ as cli
from services.strategy.library.ema_cross import EmaCross
from tests.strategy_rig import StrategyRig, request


@pytest.mark.parametrize(
    ("text", "is_within"),
    [
        *(("1e15", True), ("-1e15", True), ("0", True), ("1e-18", True), ("99999.123456", True)),
        *(("1e16", False), ("1e28", False), ("1e999999", False), ("-1e999999", False)),
        *(("1e999999999", False), ("-1e999999999", False), ("1e-999999999", False)),
        *(("1e-19", False), ("1e-400", False), ("Infinity", False), ("NaN", False)),
        ("1.00000000000000000000000000001", False),
    ],
)
@pytest.mark.req("S-01")
def test_a_number_is_within_bounds_or_not(text: str, is_within: bool) -> None:
    assert is_bounded(Decimal(text)) is is_within


@pytest.mark.req("S-01", "G-11")
@pytest.mark.parametrize("number", ["1E+999999999", "1E+999999", "1E+28", "1E-400"])
@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("$.initial_capital", lambda n: {"initial_capital": Decimal(n)}),
        ("$.config_overrides.quantity", lambda n: {"config_overrides": {"quantity": n}}),
        ("$.risk_limits.max_daily_loss", lambda n: {"risk_limits": {"max_daily_loss": n}}),
    ],
)
def test_a_start_with_a_number_out_of_bounds_is_refused(path: str, ask: Any, number: str) -> None:
    rig = StrategyRig()
    assert rig.prepare(request("ema_cross", **ask(number))).errors == (
        FieldError(path=path, found=number, wanted=WANTED_NUMBER),
    )
    assert rig.core.sessions == {}


@pytest.mark.req("S-01", "G-11")
def test_a_check_of_parameters_that_raises_is_a_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    def complaints(parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        raise ZeroDivisionError("no lots")

    monkeypatch.setattr(EmaCross, "complaints", complaints)
    assert StrategyRig().prepare(request("ema_cross")).errors == (
        FieldError(
            path="$.config_overrides",
            found="ZeroDivisionError when they were looked at: no lots",
            wanted="parameters that can be looked at",
        ),
    )


@pytest.mark.req("B-12")
@pytest.mark.parametrize("number", [b"1e999999", b"1e999999999"])
def test_a_breaker_level_out_of_bounds_is_no_request(number: bytes) -> None:
    sent = (
        b'{"operator":"kim","reason":"r","breaker":"order_rate",'
        b'"levels":[{"at":"%b","response":"halt"}]}' % number
    )
    with pytest.raises(msgspec.ValidationError, match=r"levels\[0\].at: found 1E\+999999"):
        msgspec.json.decode(sent, type=BreakerRequest)
    within = msgspec.json.decode(sent.replace(number, b"12"), type=BreakerRequest)
    assert within.levels[0].at == 12


@pytest.mark.req("B-12")
def test_a_breaker_level_out_of_bounds_is_a_mistake_of_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["breaker", "set", "order_rate", "1e999999=halt", "--reason", "r"]) == 2
    assert WANTED_NUMBER in capsys.readouterr().err
