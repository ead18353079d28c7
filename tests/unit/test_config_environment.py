"""Every field by an environment variable, and the names that other programs use (S-12)."""

import re
from pathlib import Path

import msgspec
import pytest

from schemas.errors import FieldError
from services.cli.config_environment import (
    ALIASES,
    READ_ELSEWHERE,
    READ_ELSEWHERE_PREFIX,
    coerced,
    type_at,
    variable_of,
)
from services.cli.config_resolve import ConfigError, load_config
from services.cli.config_sections import SECTIONS
from services.cli.config_types import field_types
from tests.conftest import ROOT

pytestmark = pytest.mark.req("S-12")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLUICE_CONFIG", raising=False)


def every_field() -> list[tuple[str, str]]:
    return [(name, field) for name, kind in SECTIONS.items() for field in field_types(kind)]


@pytest.mark.parametrize(("section", "field"), every_field())
def test_every_field_has_a_variable_that_sets_it(section: str, field: str) -> None:
    """The default, written as text, must come back as the value it was."""
    values = load_config(environment={}).merged.values[section]
    if field not in values:
        pytest.skip("has no default that could be written down")
    text = values[field]
    if not isinstance(text, str):
        text = msgspec.json.encode(text).decode()
    config = load_config(environment={variable_of((section, field)): text})
    kind = field_types(SECTIONS[section])[field]
    found = config.merged.values[section][field]
    assert msgspec.convert(found, kind) == msgspec.convert(values[field], kind)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("ALPHA, BETA", ("feed", "symbols"), ["ALPHA", "BETA"]),
        ('["A"]', ("feed", "symbols"), ["A"]),
        ("true", ("recorder", "chain_market"), True),
        ("off", ("recorder", "market"), False),
        ("250", ("breaker", "mark_every_ms"), 250),
        ("0.05", ("breaker", "drawdown_max"), "0.05"),
        ("123", ("account", "id"), "123"),
        ("5", ("strategy", "parameters", "ema_cross", "fast"), 5),
        ("quote", ("strategy", "parameters", "ema_cross", "source"), "quote"),
        ("nonsense", ("breaker", "mark_every_ms"), "nonsense"),
    ],
)
def test_a_text_becomes_the_value_its_field_wants(
    text: str, path: tuple[str, ...], value: object
) -> None:
    assert coerced(text, type_at(path, SECTIONS)) == value


def test_nested_fields_can_be_set_too() -> None:
    config = load_config(
        environment={
            "SLUICE_GATE__DEFAULT__ORDER_QUANTITY_MAX": "5",
            "SLUICE_GATE__INSTRUMENTS": '{"sim:ALPHA": {"order_quantity_max": "2"}}',
            "SLUICE_GATE__ACCOUNTS__DEFAULT__GROSS_NOTIONAL_MAX": "7",
        }
    )
    gate = config.merged.values["gate"]
    assert gate["default"]["order_quantity_max"] == "5"
    assert gate["instruments"] == {"sim:ALPHA": {"order_quantity_max": "2"}}
    assert gate["accounts"]["default"]["gross_notional_max"] == "7"


def test_a_mistyped_variable_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(environment={"SLUICE_FEED__SPEEED": "2x"})
    [error] = caught.value.errors
    assert error.path == "environment: SLUICE_FEED__SPEEED"
    assert error.wanted == "did you mean `SLUICE_FEED__SPEED`?"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SLUICE_BREAKER_ORDER_COUNT_MAX", "SLUICE_BREAKER__ORDER_COUNT_MAX"),
        ("SLUICE_GATE_DEFAULT_ORDER_QUANTITY_MAX", "SLUICE_GATE__DEFAULT__ORDER_QUANTITY_MAX"),
        ("SLUICE_GATE__DEFAULT_ORDER_QUANTITY_MAX", "SLUICE_GATE__DEFAULT__ORDER_QUANTITY_MAX"),
        (
            "SLUICE_GATE_ACCOUNTS_DEFAULT_GROSS_NOTIONAL_MAX",
            "SLUICE_GATE__ACCOUNTS__DEFAULT__GROSS_NOTIONAL_MAX",
        ),
        ("SLUICE_GATE__DEFAULT__ORDER__QUANTITY_MAX", "SLUICE_GATE__DEFAULT__ORDER_QUANTITY_MAX"),
    ],
)
def test_a_limit_whose_name_has_the_wrong_underscores_is_refused_and_not_passed_over(
    variable: str, meant: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(environment={variable: "5"})
    [error] = caught.value.errors
    assert error == FieldError(
        path=f"environment: {variable}",
        found="a name that nothing here has, so what it says is not in force",
        wanted=f"did you mean `{meant}`, with two underscores between each two names?",
    )


@pytest.mark.parametrize(
    ("variable", "wanted"),
    [
        ("SLUICE_BREAKER_ORDR_COUNT_MAX", "did you mean `SLUICE_BREAKER__ORDER_COUNT_MAX`?"),
        ("SLUICE_FED__SPEED", "did you mean `SLUICE_FEED__SPEED`?"),
        ("SLUICE_GATE", "SLUICE_<section>__<field>, of system, paths, bus"),
        ("SLUICE_", "SLUICE_<section>__<field>, of system, paths, bus"),
        ("SLUICE_NONSENSE", "SLUICE_<section>__<field>, of system, paths, bus"),
        ("SLUICE_FOREIGN__FIELD_OF_ITS_OWN", "SLUICE_<section>__<field>, of system, paths, bus"),
    ],
)
def test_any_other_name_of_ours_that_nothing_reads_is_refused(variable: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(environment={variable: "{}"})
    [error] = caught.value.errors
    assert error.path == f"environment: {variable}"
    assert error.wanted.startswith(wanted)


def test_variables_that_others_read_are_left_alone() -> None:
    others = {name: "x" for name in READ_ELSEWHERE if name != "SLUICE_CONFIG"}
    config = load_config(environment={**others, "SLUICE_NKEY_GATE": "U", "SLUICER": "x"})
    assert config.merged == load_config(environment={}).merged


def test_every_name_of_ours_that_is_written_anywhere_is_known() -> None:
    """A script, a compose file or a service that reads a new one must not make it a mistake."""
    folders = [ROOT / name for name in ("services", "ops", "tests/e2e", "tests/bench")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    texts = [path.read_text(errors="replace") for path in files if path.suffix != ".pyc"]
    texts += [(ROOT / name).read_text() for name in ("compose.yaml", "tests/conftest.py")]
    names = {found for text in texts for found in re.findall(r"\bSLUICE_[A-Z_]*[A-Z]\b", text)}
    assert "SLUICE_RECORDINGS" in names
    strange = [each for each in sorted(names - READ_ELSEWHERE) if "__" not in each]
    assert [each for each in strange if not each.startswith(READ_ELSEWHERE_PREFIX)] == []


@pytest.mark.parametrize(
    ("variable", "text", "path"),
    [
        ("BASIS_LOG_LEVEL", "DEBUG", ("system", "log_level")),
        ("BASIS_ENVIRONMENT", "staging", ("system", "environment")),
        ("BASIS_EXECUTION_MODE", "live", ("system", "execution_mode")),
        ("LIVE_TRADING_MAX_CONCURRENT", "3", ("strategy", "sessions_max")),
        ("LIVE_TRADING_TIMEOUT", "60", ("strategy", "session_timeout_s")),
        ("LIVE_TRADING_MEMORY_LIMIT", "512", ("strategy", "session_memory_mb_max")),
    ],
)
def test_names_that_other_programs_use_are_understood(
    variable: str, text: str, path: tuple[str, str]
) -> None:
    section, field = path
    found = load_config(environment={variable: text}).merged
    assert str(found.values[section][field]) == text
    assert str(found.origin_of(path)) == f"environment {variable}"


def test_the_data_folder_may_be_named_by_its_alias(tmp_path: Path) -> None:
    found = load_config(environment={"BASIS_DATA_DIR": "elsewhere"})
    assert found.data_dir == tmp_path / "elsewhere"


def test_our_own_name_of_a_field_beats_its_alias() -> None:
    environment = {"BASIS_LOG_LEVEL": "DEBUG", "SLUICE_SYSTEM__LOG_LEVEL": "ERROR"}
    assert load_config(environment=environment).system.log_level == "ERROR"


def test_the_live_system_refuses_to_be_a_backtest() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(environment={"BASIS_EXECUTION_MODE": "backtest"})
    [error] = caught.value.errors
    assert error.path == "environment BASIS_EXECUTION_MODE: system.execution_mode"
    assert error.found == "execution_mode is backtest"
    assert error.wanted.startswith("live; ")


@pytest.mark.req("S-12")
@pytest.mark.parametrize("variable", ALIASES)
def test_every_alias_sets_a_field_that_there_is(variable: str) -> None:
    assert type_at(ALIASES[variable], SECTIONS) is not None
