"""The resolved configuration: read whole or refused, with the field that is wrong."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import AccountId
from schemas.errors import UserError
from services.breaker.config import BreakerConfig
from services.runtime.config import BusConfig
from services.runtime.settings import AccountConfig, Settings, load_settings
from tests.builders import ALPHA, instrument


def config(**changed: Any) -> dict[str, Any]:
    return {
        "bus": {"url": "nats://127.0.0.1:4222", "keys_dir": "var/keys"},
        "account": {"id": "paper", "currency": "USD", "initial_cash": "100000"},
        "instruments": [msgspec.to_builtins(instrument())],
        "gate": {"order_notional_max": "10000"},
        "executor": {},
        "breaker": {"drawdown_max": "0.10"},
        "paths": {"data_dir": "var"},
        **changed,
    }


def load(folder: Path, value: object) -> Settings:
    file = folder / "config.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return load_settings(file)


def refusal(folder: Path, value: object, section: str = "", kind: Any = None) -> dict[str, str]:
    """Return what the refusal says, the folder left out."""

    def read() -> None:
        settings = load(folder, value)
        settings.section(section, kind)

    with pytest.raises(UserError) as caught:
        read()
    return {key: said.replace(f"{folder}/", "") for key, said in caught.value.fields.items()}


def test_a_valid_configuration_is_read_into_its_structs(tmp_path: Path) -> None:
    settings = load(tmp_path, config())
    account = AccountConfig(id=AccountId("paper"), currency="USD", initial_cash=Decimal(100_000))
    assert (settings.data_dir, settings.account) == (Path("var"), account)
    assert settings.instruments == {ALPHA: instrument()}
    assert settings.section("bus", BusConfig) == BusConfig(keys_dir=Path("var/keys"))
    chosen = BreakerConfig(drawdown_max=Decimal("0.10"))
    assert settings.section("breaker", BreakerConfig) == chosen


def test_a_section_that_is_left_out_has_its_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, config(breaker={})).section("breaker", BreakerConfig) == BreakerConfig()
    left_out = config()
    del left_out["breaker"]
    assert load(tmp_path, left_out).section("breaker", BreakerConfig) == BreakerConfig()


def test_an_unknown_field_is_refused_by_name(tmp_path: Path) -> None:
    said = refusal(tmp_path, config(breaker={"drawdown_mx": 1}), "breaker", BreakerConfig)
    assert said["path"] == "config.json: breaker"
    assert said["found"] == "Object contains unknown field `drawdown_mx`"
    assert said["wanted"].startswith("fields drawdown_max, ")


def test_a_bad_value_is_refused_where_it_stands(tmp_path: Path) -> None:
    bad = config(account={"id": "paper", "currency": "USD", "initial_cash": "much"})
    said = refusal(tmp_path, bad)
    assert (said["path"], said["found"]) == (
        "config.json: account.initial_cash",
        "Invalid decimal string",
    )


def test_a_bad_instrument_is_named_by_its_place(tmp_path: Path) -> None:
    listed = [msgspec.to_builtins(instrument()), {"id": "sim:BETA"}]
    said = refusal(tmp_path, config(instruments=listed))
    assert said["path"] == "config.json: instruments[1]"
    assert said["found"] == "Object missing required field `asset_class`"


def test_a_missing_account_is_refused_not_guessed(tmp_path: Path) -> None:
    without = config()
    del without["account"]
    said = refusal(tmp_path, without)
    assert (said["path"], said["found"]) == (
        "config.json: account",
        "Object missing required field `id`",
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '{"paths": {"data_dir": 3}}'])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, text)["path"].startswith("config.json")


def test_a_missing_file_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_settings(tmp_path / "none.json")
    assert (caught.value.code, caught.value.fields["found"]) == (
        "SLU-102",
        "No such file or directory",
    )
    assert "sluice up" in caught.value.fields["wanted"]


def limits_hash(folder: Path, **changed: Any) -> str:
    return load(folder, config(**changed)).limits_hash


@pytest.mark.req("G-12")
def test_the_limits_hash_changes_with_every_limit_and_with_nothing_else(tmp_path: Path) -> None:
    base = limits_hash(tmp_path)
    assert len(base) == 16
    assert limits_hash(tmp_path, bus={"url": "nats://other:4222"}) == base
    assert limits_hash(tmp_path, paths={"data_dir": "elsewhere"}) == base
    assert limits_hash(tmp_path, feed={"speed": "max"}) == base
    changed = [
        limits_hash(tmp_path, gate={"order_notional_max": "10001"}),
        limits_hash(tmp_path, executor={"x": 1}),
        limits_hash(tmp_path, breaker={"drawdown_max": "0.11"}),
        limits_hash(tmp_path, instruments=[]),
        limits_hash(tmp_path, account={"id": "b", "currency": "USD", "initial_cash": "100000"}),
    ]
    assert len({base, *changed}) == 1 + len(changed)


def test_the_limits_hash_does_not_depend_on_how_the_file_is_written(tmp_path: Path) -> None:
    turned = dict(reversed(config(gate={"b": 1, "a": 2}).items()))
    assert limits_hash(tmp_path, gate={"a": 2, "b": 1}) == load(tmp_path, turned).limits_hash
    spaced = json.dumps(config(), indent=4)
    assert load(tmp_path, spaced).limits_hash == limits_hash(tmp_path)


def test_a_decimal_is_read_to_the_last_digit_however_it_is_written(tmp_path: Path) -> None:
    number = json.dumps(config()).replace('"100000"', "100000.10000000000000000001")
    assert load(tmp_path, number).account.initial_cash == Decimal("100000.10000000000000000001")
