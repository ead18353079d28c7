"""Defaults, file, environment and command line: who wins, and who is to blame."""

import tomllib
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from schemas.errors import FieldError, UserError
from schemas.masking import MASK
from services.cli.config_command import masked, shown_rows
from services.cli.config_layers import DEFAULTS_FILE, lines_of
from services.cli.config_resolve import Config, ConfigError, load_config
from services.cli.config_sections import SECTIONS
from services.cli.config_types import wanted_of
from services.gate.config import InstrumentLimits

LIMITS_ARE_CHOSEN = {
    ("gate", "default"),
    ("gate", "market"),
    ("gate", "accounts"),
    ("gate", "compliance"),
    ("breaker", "profile"),
}
"""The services have no default for these: the shipped file chooses them, for paper."""

LEFT_OUT = {
    ("venue", "maker_fee_bps"),
    ("venue", "taker_fee_bps"),
    ("breaker", "drawdown_max"),
    ("breaker", "daily_loss_max"),
    ("breaker", "daily_loss_amount_max"),
    ("breaker", "order_count_max"),
    ("breaker", "error_count_max"),
}
"""No value of TOML means `what the instrument says`; the shipped file has them as comments."""


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLUICE_CONFIG", raising=False)


def load(toml: str = "", *sets: str, **environment: str) -> Config:
    if toml:
        Path("sluice.toml").write_text(toml)
    return load_config(settings=sets, environment=environment)


def errors_of(toml: str = "", *sets: str, **environment: str) -> list[FieldError]:
    with pytest.raises(ConfigError) as caught:
        load(toml, *sets, **environment)
    return list(caught.value.errors)


def test_the_shipped_file_holds_every_default_of_every_section() -> None:
    shipped = tomllib.loads(DEFAULTS_FILE.read_text())
    for section, kind in SECTIONS.items():
        for field in msgspec.structs.fields(kind):
            path = (section, field.encode_name)
            if path in LIMITS_ARE_CHOSEN:
                continue
            if path in LEFT_OUT:
                assert field.encode_name not in shipped[section]
                continue
            default = field.default
            if field.default_factory is not msgspec.NODEFAULT:
                default = field.default_factory()
            said = msgspec.convert(shipped[section][field.encode_name], field.type)
            assert said == default, path


def test_the_shipped_file_chooses_every_limit_of_the_gate() -> None:
    chosen = load().merged.values["gate"]["default"]
    assert set(chosen) == set(InstrumentLimits.__struct_fields__)


@pytest.mark.req("S-12")
def test_the_command_line_beats_environment_file_and_defaults() -> None:
    toml = "[feed]\nspeed = '2x'\nseed = 2\nquotes_per_s = 20\n"
    variables = {"SLUICE_FEED__SPEED": "3x", "SLUICE_FEED__SEED": "3"}
    feed = load(toml, "feed.speed=4x", **variables).feed
    assert (feed.speed, feed.seed, feed.quotes_per_s, feed.frame_max) == ("4x", 3, 20, 64)


def test_show_says_where_each_value_came_from() -> None:
    toml = "[feed]\n\nspeed = '2x'\n"
    config = load(toml, "feed.frame_max=8", SLUICE_FEED__SEED="3")
    origins = {name: origin for name, _, origin in shown_rows(config)}
    assert origins["feed.speed"] == "sluice.toml:3"
    assert origins["feed.seed"] == "environment SLUICE_FEED__SEED"
    assert origins["feed.frame_max"] == "command line --set feed.frame_max"
    assert origins["feed.quotes_per_s"] == "default"


@pytest.mark.req("A-05")
@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("smtp_password", "hunter2", MASK),
        ("api_token", "abc", MASK),
        ("url", "nats://kim:hunter2@host:4222", "nats://***@host:4222"),
        ("url", "SU" + "A" * 56, MASK),
        ("seed", 1, 1),
        ("speed", "1x", "1x"),
    ],
)
def test_secrets_are_masked_by_name_and_by_form(name: str, value: object, shown: object) -> None:
    assert masked(("live", name), value) == shown


def test_everything_wrong_is_told_at_once_with_its_line() -> None:
    toml = (
        "[feed]\nspeeed = '2x'\nseed = 'one'\n"
        "[gate.default]\norder_quantity_max = 'many'\n"
        "[breaker]\ndrawdown_max = '2'\nstart_approvals = 3\n"
        "[brekaer]\nx = 1\n"
    )
    assert errors_of(toml) == [
        FieldError(
            path="sluice.toml:2: feed.speeed",
            found="a name that nothing here has",
            wanted="did you mean `speed`?",
        ),
        FieldError(path="sluice.toml:3: feed.seed", found='"one"', wanted="a whole number"),
        FieldError(
            path="sluice.toml:5: gate.default.order_quantity_max",
            found='"many"',
            wanted=wanted_of(Decimal),
        ),
        FieldError(
            path="sluice.toml:8: breaker.start_approvals",
            found="3",
            wanted="a whole number, at least 1, at most 2",
        ),
        FieldError(
            path="sluice.toml:9: brekaer",
            found="a section that nothing here has",
            wanted="did you mean `breaker`?",
        ),
    ]


def test_a_rule_between_fields_names_the_field_it_is_about() -> None:
    [error] = errors_of("[breaker]\ndrawdown_max = '2'\n")
    assert error == FieldError(
        path="sluice.toml:2: breaker.drawdown_max",
        found="drawdown_max is 2",
        wanted="a fraction, like 0.10",
    )


def test_a_file_that_is_not_toml_names_the_line() -> None:
    with pytest.raises(UserError) as caught:
        load("[feed\n")
    assert caught.value.fields["path"] == "sluice.toml"
    assert "line 1" in caught.value.fields["found"]


def test_a_missing_file_that_was_named_is_an_error() -> None:
    with pytest.raises(UserError) as caught:
        load_config(Path("absent.toml"), environment={})
    assert caught.value.code == "SLU-102"


def test_lines_are_found_in_tables_dotted_keys_and_quotes() -> None:
    text = '[a]\nx = 1\n\n[a."b:c"]  # comment\ny.z = [\n  1,\n]\n[[rows]]\nid = "r"\n'
    assert lines_of(text) == {
        ("a",): 1,
        ("a", "x"): 2,
        ("a", "b:c"): 4,
        ("a", "b:c", "y", "z"): 5,
        ("rows",): 8,
        ("rows", "id"): 9,
    }


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    file = folder / "mine.toml"
    file.write_text('[paths]\ndata_dir = "state"\n[feed]\nsource = "replay:tape.csv"\n')
    config = load_config(file, environment={})
    assert config.data_dir == folder / "state"
    assert config.feed.source == f"replay:{folder / 'tape.csv'}"
    named = load_config(file, environment={"SLUICE_PATHS__DATA_DIR": "state"})
    assert named.data_dir == tmp_path / "state"


def test_a_wrong_option_is_told_with_the_option() -> None:
    errors = errors_of("", "feed.sped=2x", "nonsense")
    assert [error.path for error in errors] == [
        "command line --set: feed.sped",
        "command line --set: nonsense",
    ]
