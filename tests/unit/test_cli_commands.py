"""Commands that need no system: their answers, and what they make of a user's mistake."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.errors import REGISTRY
from schemas.subjects import SUBJECTS
from services.cli import __main__ as cli
from services.cli.app import COMMANDS
from services.cli.schema import asyncapi, json_schema
from services.simulation.plan import Plan
from services.simulation.run import simulate
from services.strategy.formulas_folder import formulas_in


def leave_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go where no system runs, and where nothing of the caller's environment matters."""
    monkeypatch.chdir(tmp_path)
    for variable in ("SLUICE_CONFIG", "SLUICE_BUS__URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SLUICE_PATHS__DATA_DIR", str(tmp_path / "var"))


@pytest.fixture(autouse=True)
def _nobody_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_home(tmp_path, monkeypatch)


class Said:
    """What one command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


def runner(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Return what runs one command in this process."""

    def run(*arguments: str) -> Said:
        code = cli.run(list(arguments))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def sluice(capsys: pytest.CaptureFixture[str]) -> Any:
    return runner(capsys)


def test_every_command_promised_is_there(sluice: Any) -> None:
    promised = (
        "up service start halt reset status sessions positions orders watch explain schema doctor "
        "config bench sim nats-context reduce flatten venue-kill unlock reconcile breaker limits"
    )
    assert {name for name, _, _ in COMMANDS} >= set(promised.split())
    for name, _, _ in COMMANDS:
        assert sluice(name, "--help").code == 0, name


@pytest.mark.parametrize(
    "command",
    [
        *("status", "positions", "orders", "sessions", "doctor", "halt", "reduce", "flatten"),
        *("reset", "unlock", "reconcile", "breaker list", "breaker explain", "limits list"),
        *("halt --scope session.a", "reconcile adopt d1", "limits set gate.default.x=1"),
    ],
)
def test_without_a_system_a_command_says_so_and_exits_3(sluice: Any, command: str) -> None:
    said = sluice(*command.split())
    assert (said.code, said.out) == (3, "")
    assert "SLU-104 no system is running here" in said.err
    assert "Traceback" not in said.err


def test_under_json_an_error_is_json_on_standard_error(sluice: Any) -> None:
    said = sluice("status", "--json")
    assert (said.code, said.out) == (3, "")
    assert json.loads(said.err)["error"]["code"] == "SLU-104"


@pytest.mark.parametrize(
    "arguments",
    [
        ("stats",),
        ("status", "--nonsense"),
        ("start", "--capital", "much"),
        ("start", "--override", "novalue"),
        ("explain", "gaet"),
        ("service", "gaet"),
        ("up", "--feed", "tape"),
        ("up", "--feed", "replay:/nowhere/at/all.csv"),
        ("up", "--speed", "fast"),
        ("up", "--set", "feed.sped=1x"),
        ("config", "check", "--config", "absent.toml"),
        ("reduce", "--scope", "sesion.a"),
        ("reduce", "--scope", "symbol.ALPHA"),
        ("flatten", "--scope", "account"),
        ("reconcile", "adobt", "d1"),
        ("reconcile", "adopt"),
        ("limits", "set"),
        ("limits", "set", "gate.default.order_quantity_max"),
        ("breaker", "set", "drawdown", "0.1=stop"),
        ("breaker", "set", "drawdown", "ten=halt"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_in_words_and_exits_2(sluice: Any, arguments: tuple[str, ...]) -> None:
    said = sluice(*arguments)
    assert said.code == 2, said.err
    assert said.err.startswith("sluice: SLU-")
    assert "next step" in said.err
    assert "Traceback" not in said.err


def test_a_mistyped_command_is_answered_with_the_one_meant(sluice: Any) -> None:
    assert 'Did you mean "status"?' in sluice("stauts").err


def test_a_fault_of_ours_is_called_one(sluice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: list[str]) -> int:
        raise KeyError("x")

    monkeypatch.setattr(cli, "_run", broken)
    said = sluice("status")
    assert said.code == 1
    assert "this is a fault of sluice, not yours: KeyError('x')" in said.err


@pytest.mark.req("G-09", "B-05")
def test_a_halt_with_arguments_that_make_no_sense_halts_all_the_same(
    sluice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, ...]] = []

    def halt(*words: str, operator: str | None, place: object) -> int:
        heard.append(words)
        return 0

    monkeypatch.setattr("services.cli.halt.halt", halt)
    assert sluice("halt", "--raeson", "fat finger").code == 0
    assert heard == [("--raeson", "fat finger")]


@pytest.mark.req("G-09")
def test_a_broken_configuration_keeps_nobody_from_looking_for_the_bus(sluice: Any) -> None:
    Path("sluice.toml").write_text("[paths\n")
    said = sluice("halt")
    assert said.code == 3  # no system here: that, and not the file, is what stops it
    assert "SLU-104" in said.err


def test_a_valid_configuration_is_said_to_be(sluice: Any) -> None:
    said = sluice("config", "check", "--json")
    document = json.loads(said.out)
    assert (said.code, document["is_ok"]) == (0, True)
    assert document["instruments"] == ["sim:ALPHA", "sim:BETA", "sim:DELTA", "sim:GAMMA"]


@pytest.mark.req("S-10")
def test_a_broken_formula_file_is_reported_by_the_check_as_by_a_start(
    sluice: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "formulas"
    folder.mkdir()
    (folder / "broken.toml").write_text("[paths\n")
    (folder / "unknown.toml").write_text('colour = "red"\n')
    Path("sluice.toml").write_text('[strategy]\nformulas = ["formulas"]\n')
    said = sluice("config", "check")
    assert (said.code, said.out) == (2, "")
    mistakes = formulas_in([str(folder)])
    for found in mistakes.values():
        assert isinstance(found, tuple)
        for error in found:
            assert error.path in said.err
            assert error.found in said.err
            assert error.wanted in said.err
    assert sorted(mistakes) == ["broken", "unknown"]


@pytest.mark.req("S-10")
def test_a_folder_of_formulas_that_is_not_there_is_reported_by_the_check(sluice: Any) -> None:
    said = sluice("config", "check", "--set", 'strategy.formulas=["absent"]')
    assert said.code == 2
    assert "absent: none" in said.err


@pytest.mark.req("S-10")
def test_a_folder_of_strategies_that_is_not_there_is_reported_with_where_it_is_named(
    sluice: Any, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "file").write_text("")
    Path("sluice.toml").write_text('[strategy]\nfolders = ["here", "absent", "file"]\n')
    said = sluice("config", "check")
    assert (said.code, said.out) == (2, "")
    where = f"  sluice.toml:2: strategy.folders: found {tmp_path}"
    assert said.err.splitlines()[1:3] == [
        f"{where}/absent: none; wanted a folder of modules that is there",
        f"{where}/file: a file; wanted a folder of modules that is there",
    ]


@pytest.mark.parametrize("name", ["nope", "absent_module:Strategy"])
def test_a_backtest_of_no_strategy_says_what_was_found_and_wanted_and_where(
    sluice: Any, name: str
) -> None:
    document = json.loads(sluice("backtest", name, "--json").err)["error"]
    assert (document["code"], document["fields"]["path"]) == ("SLU-100", "STRATEGY")
    found = {"nope": "'nope'", "absent_module:Strategy": "module absent_module cannot be loaded"}
    assert document["fields"]["found"].startswith(found[name])
    assert document["fields"]["wanted"].startswith(("one of btc_basis", "a module in"))


def test_show_prints_every_value_with_its_source(sluice: Any) -> None:
    document = json.loads(sluice("config", "show", "--set", "feed.seed=9", "--json").out)
    assert document["feed.seed"] == {"value": 9, "from": "command line --set feed.seed"}
    assert document["breaker.profile"] == {"value": "paper", "from": "default"}


@pytest.mark.parametrize(
    "topic", ["gate", "breaker", "errors", "exit-codes", "subjects", "streams"]
)
def test_each_topic_is_explained_from_its_table(sluice: Any, topic: str) -> None:
    said = sluice("explain", topic, "--json")
    assert said.code == 0
    assert json.loads(said.out)
    assert sluice("explain", topic).out


@pytest.mark.req("S-14")
def test_every_error_can_be_explained_by_its_code(sluice: Any) -> None:
    for code, entry in REGISTRY.items():
        said = sluice("explain", code)
        assert entry.resolution in said.out, code


def test_the_asyncapi_document_has_every_event_on_its_channel() -> None:
    document = asyncapi()
    assert document["asyncapi"] == "3.0.0"
    on_a_channel = {name for each in document["channels"].values() for name in each["messages"]}
    said = {event.__name__ for event, subject in SUBJECTS.items() if subject[:7] != "report."}
    assert on_a_channel >= said
    assert (
        document["channels"]["market_any_any_quote"]["address"] == "market.{token1}.{token2}.quote"
    )
    start = document["operations"]["control_start"]
    assert start["messages"] == [{"$ref": "#/channels/control_start/messages/StartRequest"}]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [each for value in node.values() for each in references(value)]
    return [each for value in node for each in references(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("document", [asyncapi(), json_schema()], ids=["asyncapi", "json-schema"])
def test_every_reference_of_a_document_leads_somewhere(document: dict[str, Any]) -> None:
    found = references(document)
    assert found
    for reference in found:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_a_schema_can_be_written_to_a_file(sluice: Any, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    assert sluice("schema", "--format", "json-schema", "--output", str(file)).code == 0
    assert json.loads(file.read_text())["$defs"]["QuoteReceived"]["type"] == "object"


def test_a_simulation_says_what_it_went_through(sluice: Any) -> None:
    said = sluice("sim", "--seeds", "1", "--json")
    document = json.loads(said.out)
    assert (said.code, document["runs"], document["violation"]) == (0, 1, "")
    assert document["faults"]["late"] > 0


def test_a_simulation_that_broke_says_how_to_see_it_again(
    sluice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = simulate(3, Plan(seconds=0.1))
    broken = msgspec.structs.replace(run, violation="I1: an old order", invariant="I1")
    monkeypatch.setattr("services.simulation.run.simulate", lambda seed: broken)
    said = sluice("sim", "--seed", "3")
    assert said.code == 1
    assert "VIOLATION with seed 3: I1: an old order" in said.out
    assert "Next: sluice sim --seed 3" in said.out


@pytest.mark.parametrize(("is_reached", "code"), [(True, 0), (False, 1)])
def test_a_benchmark_ends_by_whether_its_goals_were_reached(
    sluice: Any, monkeypatch: pytest.MonkeyPatch, is_reached: bool, code: int
) -> None:
    monkeypatch.setattr("services.bench.main.run", lambda *_: is_reached)
    assert sluice("bench", "gate").code == code


def test_a_benchmark_that_does_not_exist_is_a_mistake(sluice: Any) -> None:
    assert sluice("bench", "gaet").code == 2
