"""What a person mistyped is told in words, where it used to pass or to break."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.bounds import WANTED_NUMBER
from schemas.instruments import AssetClass, Instrument
from services.cli import backtest_plan
from services.cli.config_resolve import ConfigError, load_config
from tests.unit.test_cli_commands import leave_home, runner

pytestmark = pytest.mark.req("S-14")


@pytest.fixture(autouse=True)
def _nobody_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_home(tmp_path, monkeypatch)


@pytest.fixture
def sluice(capsys: pytest.CaptureFixture[str]) -> Any:
    return runner(capsys)


@pytest.mark.parametrize("url", ["nats://[::1", "nats://[::1:4222", "nats://]", "//", "nats://h:x"])
@pytest.mark.parametrize("command", ["status", "doctor", "halt", "up"])
def test_an_address_that_is_none_is_told(sluice: Any, command: str, url: str) -> None:
    said = sluice(command, "--nats-url", url)
    assert said.code == 2
    assert "SLU-100" in said.err
    assert "wanted: nats://HOST:PORT" in said.err
    assert "Traceback" not in said.err


def test_a_section_that_is_none_is_told_with_those_there_are(sluice: Any) -> None:
    said = sluice("config", "show", "nope")
    assert (said.code, said.out) == (2, "")
    assert "found: 'nope'" in said.err
    assert "wanted: one of system, paths, bus, account," in said.err
    assert "did you mean `gate`?" in sluice("config", "show", "gaet").err
    assert sluice("config", "show", "gate").code == 0


@pytest.mark.req("S-10")
@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ema_crss", "'ema_crss'"),
        ("absent_module:Class", "module absent_module cannot be loaded"),
    ],
)
def test_a_strategy_that_is_none_does_not_pass_the_check(
    sluice: Any, name: str, found: str
) -> None:
    Path("sluice.toml").write_text(f'\n[up]\nstrategy = "{name}"\n')
    said = sluice("config", "check")
    assert (said.code, said.out) == (2, "")
    assert f"sluice.toml:3: up.strategy: found {found}" in said.err
    assert sluice("config", "check", "--set", "up.strategy=buy_and_hold").code == 0


@pytest.mark.req("G-01")
@pytest.mark.parametrize("number", ["1e999999", "1e-400", "1e16", "inf", "-1e999999"])
@pytest.mark.parametrize(
    "path",
    ["account.initial_cash", "gate.default.order_quantity_max", "feed.scanner.move_bps_min"],
)
def test_a_number_that_nothing_can_be_computed_with_is_no_setting(path: str, number: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(settings=[f"{path}={number}"], environment={})
    [error] = caught.value.errors
    assert error.path == f"command line --set {path}: {path}"
    assert (error.found, error.wanted) == (f'"{number}"', WANTED_NUMBER)


@pytest.mark.req("G-12")
@pytest.mark.parametrize("number", ["1e999999", "1e-400", "10000000000000000", "NaN", "Infinity"])
def test_a_limit_is_not_set_to_such_a_number(sluice: Any, number: str) -> None:
    said = sluice("limits", "set", f"gate.default.order_quantity_max={number}", "--reason", "r")
    assert said.code == 2
    assert WANTED_NUMBER in said.err
    assert "limits set gate.default.order_quantity_max" in said.err


@pytest.mark.req("S-05")
def test_a_backtest_does_not_begin_with_such_a_number(sluice: Any) -> None:
    said = sluice("backtest", "buy_and_hold", "--hours", "0.001", "--capital", "1e999999")
    assert said.code == 2
    assert f"--capital: found 1e999999; wanted {WANTED_NUMBER}" in said.err


@pytest.mark.req("G-01", "S-05")
@pytest.mark.parametrize("name", ["tick_size", "lot_size", "multiplier"])
def test_a_recording_whose_sizes_are_nothing_is_not_backtested(
    sluice: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sound = Instrument(
        id=backtest_plan.REFERENCE,
        asset_class=AssetClass.EQUITY,
        currency="USD",
        tick_size=Decimal("0.01"),
        lot_size=Decimal(1),
    )
    instrument = msgspec.structs.replace(sound, **{name: Decimal(0)})
    monkeypatch.setattr(backtest_plan, "with_hours", lambda _: instrument)
    said = sluice("backtest", "buy_and_hold", "--hours", "0.001")
    assert said.code == 2
    assert f"--data.usa:SPY.{name}: found 0; wanted a number above 0" in said.err
