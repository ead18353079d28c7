"""A start is checked whole: every mistake in one answer, and none of it starts anything."""

from decimal import Decimal
from typing import Any

import pytest

from schemas.errors import FieldError
from schemas.instruments import Instrument
from schemas.market import QuoteReceived
from services.strategy.catalogue import BUILT_IN
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore
from tests.builders import ACCOUNT, ALPHA, BETA, instrument
from tests.strategy_rig import GAMMA, INSTRUMENTS, StrategyRig, config, request

NAMES = ", ".join(sorted(BUILT_IN))


def errors(asked: Any, settings: StrategyConfig | None = None) -> dict[str, tuple[str, str]]:
    """Return what is said against a start: found and wanted, by path."""
    answer = StrategyRig(settings).prepare(asked)
    assert answer.session is None or not answer.errors
    return {each.path: (each.found, each.wanted) for each in answer.errors}


@pytest.mark.req("S-01")
def test_a_start_that_is_right_is_promised_the_id_of_its_session() -> None:
    rig = StrategyRig()
    answer = rig.prepare(request("ema_cross", symbols=("ALPHA", "sim:BETA")), "start-7")
    assert (answer.start_id, answer.component, answer.boot_id) == (
        "start-7",
        "strategy",
        "strategy-1",
    )
    assert (answer.errors, answer.session, answer.limits_hash) == ((), "ema_cross-1", "")
    assert rig.core.sessions == {}, "preparing makes nothing"


@pytest.mark.req("S-01")
def test_all_mistakes_of_a_start_come_back_in_one_answer() -> None:
    asked = request(
        "ema_cros",
        symbols=("ALHPA", "sim:BETA", "BETA"),
        initial_capital=Decimal(0),
        share_class="EUR",
        execution_mode="AUT",
        risk_limits={"max_positions": "2.5"},
    )
    assert errors(asked, StrategyConfig()) == {
        "$.strategy": (
            "'ema_cros'",
            f"one of {NAMES}, or module:Class; did you mean ema_cross?",
        ),
        "$.symbols[0]": (
            "ALHPA",
            "an instrument of the configuration (`sluice config show`); did you mean ALPHA?",
        ),
        "$.symbols[2]": ("BETA, a second time", "each instrument once"),
        "$.initial_capital": ("0", "a decimal number above 0"),
        "$.share_class": ("EUR", "USDT or ETH"),
        "$.execution_mode": ("AUT", "one of AUTO, SEMI_AUTO, MANUAL; did you mean AUTO?"),
        "$.risk_limits.max_positions": ("'2.5'", "a whole number above 0"),
    }


@pytest.mark.req("S-01")
def test_all_mistakes_in_overrides_and_configuration_are_named_by_field() -> None:
    settings = config(parameters={"ema_cross": {"slow": 0, "fsat": 3}})
    overrides = {"fast": "12", "quantity": "many", "can_short": True, "sloww": 1}
    found = errors(request("ema_cross", config_overrides=overrides), settings)
    section = "sluice.toml: strategy.parameters.ema_cross"
    names = (
        "quantity, capital_share, target_volatility, volatility_window, volatility_every_s,"
        " retry_ms, fast, slow, source, tick_ms, can_short"
    )
    assert found == {
        f"{section}.slow": ("0", "Expected `int` >= 1"),
        f"{section}.fsat": ("fsat", f"{names}; did you mean fast?"),
        "$.config_overrides.fast": ("'12'", "Expected `int`, got `str`"),
        "$.config_overrides.quantity": ("'many'", "Invalid decimal string"),
        "$.config_overrides.sloww": ("sloww", f"{names}; did you mean slow?"),
    }


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        ({"fast": 30}, "fast below slow: fast is 30, slow is 26"),
        ({"quantity": "-1"}, "quantity above 0: it is -1"),
        ({"capital_share": 2}, "capital_share above 0 and up to 1: it is 2"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    overrides: dict[str, Any], wanted: str
) -> None:
    found = errors(request("ema_cross", config_overrides=overrides))
    assert found["$.config_overrides"][1] == wanted


@pytest.mark.req("S-02")
def test_overrides_are_laid_over_a_copy_of_the_configured_parameters() -> None:
    settings = config(parameters={"ema_cross": {"fast": 3, "slow": 9}})
    rig = StrategyRig(settings)
    session = rig.start("ema_cross", config_overrides={"slow": 5})
    made = rig.strategy(session).parameters
    assert (made.fast, made.slow) == (3, 5)
    assert settings.parameters == {"ema_cross": {"fast": 3, "slow": 9}}


@pytest.mark.req("S-01")
@pytest.mark.parametrize("capital", [None, Decimal("-5"), Decimal("NaN"), Decimal("Infinity")])
def test_capital_must_be_a_number_above_zero(capital: Decimal | None) -> None:
    assert list(errors(request(initial_capital=capital))) == ["$.initial_capital"]


def test_a_start_without_symbols_names_some_that_exist() -> None:
    found = errors(request(symbols=()))
    assert found == {"$.symbols": ("none", "some of sim:ALPHA, sim:BETA")}


def test_a_symbol_at_two_venues_must_name_its_venue() -> None:
    known: dict[Any, Instrument] = {**INSTRUMENTS, GAMMA: instrument(GAMMA)}
    core = StrategyCore(config(), ACCOUNT, known, boot_id=StrategyRig().core._boot_id)
    rig = StrategyRig()
    rig.core = core
    answer = rig.prepare(request(symbols=("ALPHA",)))
    wanted = "one venue's: sim:ALPHA or other:ALPHA"
    assert answer.errors == (FieldError(path="$.symbols[0]", found="ALPHA", wanted=wanted),)


def test_a_quantity_that_is_no_whole_number_of_lots_is_refused() -> None:
    overrides = {"quantity": 7}
    asked = request("buy_and_hold", symbols=("ALPHA", "BETA"), config_overrides=overrides)
    found = {"$.config_overrides.quantity": (f"7 of {BETA}", "a multiple of its lot size, 5")}
    assert errors(asked) == found
    asked = request("buy_and_hold", symbols=("BETA",), config_overrides={"quantity": "5.01E+2"})
    found = {"$.config_overrides.quantity": (f"501 of {BETA}", "a multiple of its lot size, 5")}
    assert errors(asked) == found, "as people write numbers"


def test_a_start_of_trading_alone_makes_no_session_and_may_name_nothing() -> None:
    assert errors(request(None)) == {}
    asked = request(None, symbols=("ALPHA",), initial_capital=Decimal(5))
    wanted = "a strategy to go with it, or nothing"
    assert errors(asked) == {
        "$.symbols": ("('ALPHA',)", wanted),
        "$.initial_capital": ("5", wanted),
    }


@pytest.mark.req("S-11")
def test_a_session_beyond_the_configured_number_is_refused() -> None:
    rig = StrategyRig(config(sessions_max=1))
    rig.start("idle")
    [error] = rig.prepare(request("idle")).errors
    assert error.found == "1 sessions at work"
    assert error.wanted == "fewer than 1 (strategy.sessions_max): stop one of idle-1"
    rig.ask("stop")
    assert rig.prepare(request("idle")).errors == ()


@pytest.mark.parametrize(
    ("target", "found", "wanted"),
    [
        (
            "no.such:Thing",
            "module no.such cannot be loaded: ModuleNotFoundError: No module named 'no'",
            "a module in strategy.folders, or an installed one; mend it, then restart strategy",
        ),
        (
            "tests.strategy_rig:NotAStrategy",
            "NotAStrategy in tests.strategy_rig is not a Strategy",
            "a class made from services.strategy.interface.Strategy",
        ),
        (
            "services.strategy.library.ema_cross:EmaCros",
            "module services.strategy.library.ema_cross has no EmaCros",
            "one of its strategies: EmaCross",
        ),
        (
            "services.strategy.library.ema:",
            "module services.strategy.library.ema has no name behind the colon",
            "one of its strategies: it has no strategy",
        ),
    ],
)
def test_a_class_that_cannot_be_had_is_refused_with_what_to_do(
    target: str, found: str, wanted: str
) -> None:
    assert errors(request(target)) == {"$.strategy": (found, wanted)}


def test_a_strategy_of_your_own_starts_by_its_name_or_by_its_class() -> None:
    rig = StrategyRig()
    assert rig.start("idle") == "idle-1"
    assert rig.start("tests.strategy_rig:BuyEachQuote") == "buy_each_quote-2"


def test_a_market_event_that_nobody_named_is_not_listened_to() -> None:
    found = errors(request("tests.strategy_rig:Watching"))
    wanted = "its name in [strategy.classes], then a restart of the strategy service"
    assert found["$.strategy"][1] == wanted
    settings = StrategyConfig(classes={"watching": "tests.strategy_rig:Watching"})
    assert errors(request("watching"), settings) == {}


def test_only_what_a_known_strategy_takes_is_subscribed_to() -> None:
    plain = StrategyRig(StrategyConfig()).core.hears
    assert QuoteReceived in plain
    assert "TradeReceived" not in {each.__name__ for each in plain}
    broken = StrategyConfig(classes={"broken": "no.such:Thing"})
    assert StrategyRig(broken).core.hears == plain, "it is reported when it is started"


def test_the_instruments_asked_for_keep_their_order() -> None:
    rig = StrategyRig()
    session = rig.start("idle", symbols=("BETA", "ALPHA"))
    assert rig.core.sessions[session].terms.instruments == (BETA, ALPHA)
