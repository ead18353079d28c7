"""What one run of the system is told: account, instruments, limits."""

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import AccountId, InstrumentId
from schemas.errors import FieldError
from schemas.executions import BookReported, PositionView
from services.breaker.valuation import AccountTerms, Valuation
from services.cli.config_resolve import (
    Config,
    ConfigError,
    account_of,
    chosen_symbols,
    document,
    instruments_of,
    load_config,
)
from services.gate.config import GateConfig
from services.runtime.config import BusConfig
from services.runtime.settings import load_settings
from tests.builders import ALPHA, BETA, instrument, quote

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLUICE_CONFIG", raising=False)


def config(*sets: str) -> Config:
    return load_config(settings=sets, environment={})


def account(found: Config, *, is_fresh: bool = False) -> dict[str, Any]:
    return account_of(found, [instrument()], is_fresh=is_fresh, now=NOW)


def test_the_simulated_market_trades_the_paper_account_in_its_currency() -> None:
    assert account(config()) == {"id": "paper", "currency": "USD", "initial_cash": "1000000"}


def test_a_recording_gets_an_account_of_its_own_each_time() -> None:
    found = config("feed.source=replay:tape.csv")
    assert account(found)["id"] == "replay-20260102T030405"
    named = config("feed.source=replay:tape.csv", "account.id=mine")
    assert account(named)["id"] == "mine"


def test_a_fresh_account_is_another_one() -> None:
    assert account(config(), is_fresh=True)["id"] == "paper-20260102T030405"


def test_instruments_of_two_currencies_need_a_chosen_one() -> None:
    both = [instrument(), msgspec.structs.replace(instrument(BETA), currency="JPY")]
    with pytest.raises(ConfigError) as caught:
        account_of(config(), both, is_fresh=False, now=NOW)
    assert caught.value.errors[0].found == "instruments in JPY, USD"
    chosen = account_of(config("account.currency=JPY"), both, is_fresh=False, now=NOW)
    assert chosen["currency"] == "JPY"


def test_a_configured_instrument_replaces_that_of_the_feed(tmp_path: Path) -> None:
    (tmp_path / "sluice.toml").write_text(
        '[[instruments]]\nid = "sim:ALPHA"\nasset_class = "future"\ncurrency = "USD"\n'
        'tick_size = "0.25"\nlot_size = "1"\nmultiplier = "50"\n'
    )
    found = {each.id: each for each in instruments_of(config())}
    assert found[ALPHA].multiplier == Decimal(50)
    assert set(found) == {f"sim:{name}" for name in ("ALPHA", "BETA", "DELTA", "GAMMA")}


def test_symbols_may_be_named_with_and_without_their_venue() -> None:
    both = [instrument(ALPHA), instrument(BETA)]
    assert chosen_symbols(config("up.symbols=BETA,sim:ALPHA"), both) == (BETA, ALPHA)
    assert chosen_symbols(config("up.symbols_max=1"), both) == (ALPHA,)
    with pytest.raises(ConfigError) as caught:
        chosen_symbols(config("up.symbols=ALHPA"), both)
    assert caught.value.errors[0].path == "up.symbols"
    assert "ALPHA" in caught.value.errors[0].wanted


def test_no_lending_market_is_traded_by_a_session_that_nobody_asked_for() -> None:
    both = instruments_of(config("feed.pools=USDC", "feed.symbols=ALPHA"))
    assert [each.id for each in both] == ["lend:USDC", "sim:ALPHA"]
    assert chosen_symbols(config(), both) == (ALPHA,)
    assert chosen_symbols(config("up.symbols=USDC"), both) == ("lend:USDC",)


def test_a_better_description_of_an_instrument_keeps_what_its_feed_tells(tmp_path: Path) -> None:
    (tmp_path / "sluice.toml").write_text(
        '[[instruments]]\nid = "sim:ALPHA"\nasset_class = "equity"\ncurrency = "USD"\n'
        'tick_size = "0.05"\nlot_size = "1"\n'
    )
    found = {each.id: each for each in instruments_of(config())}
    assert found[ALPHA].tick_size == Decimal("0.05")
    assert found[ALPHA].offers == found[BETA].offers == ("prices", "trades")


def gate_of(found: Config, who: dict[str, Any]) -> GateConfig:
    made = document(found, [instrument()], who, BusConfig())
    return msgspec.convert(made["gate"], GateConfig)


def test_the_gate_gets_a_row_for_this_very_account() -> None:
    found = config()
    row = gate_of(found, account(found, is_fresh=True)).accounts
    assert list(row) == ["paper-20260102T030405"]
    [limits] = row.values()
    assert limits.currency_values == {"USD": Decimal(1)}


@pytest.mark.req("B-01", "S-18")
@pytest.mark.parametrize("value", ["0.0067", "1.08"])
def test_an_instrument_in_money_that_counts_another_sum_is_refused(value: str) -> None:
    both = [instrument(), msgspec.structs.replace(instrument(BETA), currency="JPY")]
    found = config("account.currency=USD")
    values = found.merged.values["gate"]["accounts"]["default"]["currency_values"]
    values["ETH"] = "3000"  # a share class, and no instrument's
    values["JPY"] = "1"
    document(found, both, account(found), BusConfig())
    values["JPY"] = value
    with pytest.raises(ConfigError) as caught:
        document(found, both, account(found), BusConfig())
    assert list(caught.value.errors) == [
        FieldError(
            path="instruments",
            found=f"{BETA} in JPY",
            wanted="instruments in USD or what is worth one of it: another account",
        )
    ]


@pytest.mark.req("B-01", "S-18")
def test_without_the_look_at_currencies_yen_are_counted_as_dollars(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.cli.config_resolve._check_currencies", lambda *_: None)
    both = [instrument(), msgspec.structs.replace(instrument(BETA), currency="JPY")]
    found = config("account.currency=USD")
    found.merged.values["gate"]["accounts"]["default"]["currency_values"]["JPY"] = "0.0067"
    document(found, both, account(found), BusConfig())  # nobody objects
    known = {each.id: each for each in both}
    terms = AccountTerms(id=AccountId("paper"), initial_cash=Decimal(0), instruments=known)
    valuation = Valuation(terms)
    held = PositionView(instrument=BETA, quantity=Decimal(1), average_price=Decimal(9_000))
    valuation.on_book(
        BookReported(
            at_ns=0,
            account=terms.id,
            cash=Decimal(0),
            fees=Decimal(0),
            positions=(held,),
            open_orders=(),
            is_reconciled=True,
        )
    )
    valuation.quotes[BETA] = quote("9000", "9000", instrument=BETA)
    assert valuation.equity() == Decimal(9_000)  # dollars, where it is worth 60


def test_an_account_that_nobody_gave_limits_has_none(tmp_path: Path) -> None:
    found = config()
    del found.merged.values["gate"]["accounts"]["default"]
    assert gate_of(found, account(found)).accounts == {}


def test_the_written_configuration_is_what_services_read(tmp_path: Path) -> None:
    found = config()
    file = tmp_path / "config.json"
    bus = BusConfig(url="nats://127.0.0.1:1", keys_dir=tmp_path / "keys")
    made = document(found, instruments_of(found), account(found), bus)
    file.write_bytes(msgspec.json.encode(made, enc_hook=str))
    settings = load_settings(file)
    assert settings.data_dir == found.data_dir
    assert settings.account.id == "paper"
    assert InstrumentId("sim:ALPHA") in settings.instruments
    assert settings.section("bus", BusConfig) == bus
