"""What README and `ops` say a user may type, set, open or look up is there, as they say it."""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cyclopts import App

from schemas.errors import REGISTRY
from schemas.subjects import SUBJECTS
from schemas.users import USERS
from services.cli.app import make_app
from services.cli.config_environment import type_at
from services.cli.config_sections import SECTIONS
from services.cli.config_types import complaints
from services.cli.exits import Exit
from services.feed.config import FeedConfig
from services.recorder.config import RecorderConfig
from services.strategy.catalogue import BUILT_IN
from services.strategy.config import StrategyConfig
from services.strategy.formulas_strategy import FormulaParameters
from tests.conftest import ROOT
from tests.documents import Command, commands, documents, lines_of, spans

README = ROOT / "README.md"
DOCS = ROOT / "ops" / "docs"
TEXTS = [path for path in documents() if path.suffix == ".md"]

SETTING = re.compile(rf"(?<![\w./$-])((?:{'|'.join(SECTIONS)})(?:\.[a-z]\w*)+)(?![\w.]*[A-Z])")
VARIABLE = re.compile(r"(?<![\w$])SLUICE_[A-Z]+__[A-Z_]+")
CODE = re.compile(r"\b(?:SLU|LT|LTS)-\d{3}\b")
PATH = re.compile(r"(?<![\w./-])((?:ops|tests|services|schemas)/[\w./-]*\w)")
LINK = re.compile(r"\]\(([^)#:]+)\)")
NAME = re.compile(r"(?<![\w/.-])(?!test_)[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w/])")
TEST = re.compile(r"`(tests/[\w/]+\.py::\w+)`")
REQUIREMENT = re.compile(r"(?<![\w-])[A-Z]-\d\d(?![\w-])")

OURS = re.compile(r"(?!.*\b(?:docker|nats) )")
ALONE = re.compile(r"(?<!\S)--[a-z][a-z-]*")
"""An option, named without its command."""

NO_SETTING = frozenset(
    {"feed.ended", "feed.states", "breaker.locks", "gate.log", "repository.db", "venue.example"}
)
"""Subjects, files and a host that look like settings."""

NOT_OURS = frozenset(
    {"my_idea", "my_module", "my_strategies", "duckdb_settings", "pg_catalog"}
    | {"calm_market", "narrow_bps", "wide_bps", "spread_bps", "small_until_counted_p50_us"}
)
"""Names that a user makes up, that others gave, or that are put together from parts."""

COMPOSED = re.compile(r"^sluice_|_total$")
"""Begins and ends that our code puts to the name of a metric by itself."""


def _places(pattern: re.Pattern[str], *, in_code: bool = False) -> Iterator[tuple[str, str]]:
    """Give what documents name, each with its place."""
    for path in documents():
        lines = spans(path) if in_code else ((where, line) for where, line, _ in lines_of(path))
        yield from ((where, found) for where, text in lines for found in pattern.findall(text))


@cache
def _app() -> App:
    return make_app()


@cache
def _options(words: tuple[str, ...]) -> tuple[str, frozenset[str]]:
    """Return what is wrong with a command's words, and the options that it takes."""
    chain, apps, rest = _app().parse_commands(list(words))
    if not chain:
        return f"no command {words[0]}", frozenset()
    found = apps[-1]
    nested = [name for name in found if not name.startswith("-")]
    if nested and rest and found.default_command is None:
        return f"{chain[0]} has no {rest[0]}, only {', '.join(nested)}", frozenset()
    if found.default_command is None:
        return "", frozenset({"--help"})
    names = {name for each in found.assemble_argument_collection() for name in each.names}
    return "", frozenset({*names, "--help"})


def _complaint(command: Command) -> str:
    wrong, options = _options(command.words)
    unknown = [flag for flag in command.flags if flag not in options]
    return wrong or (f"{' '.join(command.words)} has no {', '.join(unknown)}" if unknown else "")


def test_every_command_that_a_document_names_exists_with_its_options() -> None:
    found = [command for path in documents() for command in commands(path)]
    assert len(found) > 150
    assert [(each.where, wrong) for each in found if (wrong := _complaint(each))] == []


def test_every_option_that_stands_alone_is_one_of_some_command() -> None:
    known = {option for each in _commands_of(_app()) for option in _options(each)[1]}
    assert len(known) > 80
    assert [
        (where, option)
        for path in TEXTS
        for where, text in spans(path)
        if OURS.match(text)
        for option in ALONE.findall(text)
        if option not in known
    ] == []


def _commands_of(app: App) -> Iterator[tuple[str, ...]]:
    """Give the words of every command, its subcommands included."""
    for name in (each for each in app if not each.startswith("-")):
        found = app.parse_commands([name])[1][-1]
        nested = [each for each in found if not each.startswith("-")]
        yield from ((name, each) for each in nested)
        if found.default_command is not None:
            yield (name,)


@pytest.mark.parametrize(
    ("words", "flags", "wrong"),
    [
        (("halted",), (), "no command halted"),
        (("audit", "look"), (), "audit has no look, only "),
        (("halt", "why"), ("--now",), "halt why has no --now"),
    ],
)
def test_a_command_that_does_not_exist_is_found(
    words: tuple[str, ...], flags: tuple[str, ...], wrong: str
) -> None:
    assert _complaint(Command("README.md:1", words, flags)).startswith(wrong)


@pytest.mark.req("S-12")
def test_every_setting_that_a_document_names_exists() -> None:
    found = set(_places(SETTING, in_code=True))
    assert len(found) > 40
    assert [
        (where, name)
        for where, name in sorted(found)
        if name not in NO_SETTING and type_at(tuple(name.split(".")), SECTIONS) is None
    ] == []


@pytest.mark.req("S-12")
def test_every_piece_of_configuration_in_a_document_would_be_accepted() -> None:
    blocks = [
        (path.name, tomllib.loads(block))
        for path in TEXTS
        for block in re.findall(r"^```toml\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
    ]
    of_ours = [(name, block) for name, block in blocks if set(block) <= set(SECTIONS)]
    assert len(of_ours) == len(blocks) - 1  # the formula file is tested as one, where formulas are
    assert [
        (name, complaint)
        for name, block in of_ours
        for section, values in block.items()
        for complaint in complaints((section,), values, SECTIONS[section])
    ] == []


@pytest.mark.req("S-12")
def test_every_variable_that_a_document_names_sets_something() -> None:
    assert [
        (where, name)
        for where, name in _places(VARIABLE)
        if type_at(tuple(name.removeprefix("SLUICE_").lower().split("__")), SECTIONS) is None
    ] == []


@pytest.mark.req("S-14")
def test_every_error_code_that_a_document_names_is_in_the_registry() -> None:
    found = list(_places(CODE))
    assert len(found) > 15
    assert [(where, code) for where, code in found if code not in REGISTRY] == []


def test_every_file_and_link_that_a_document_names_is_there() -> None:
    assert [(w, p) for w, p in _places(PATH) if not _is_there(ROOT / p)] == []
    assert [
        f"{path.name}: {to}"
        for path in TEXTS
        for to in LINK.findall(path.read_text())
        if not (path.parent / to).exists()
    ] == []


def _is_there(path: Path) -> bool:
    """Return whether it is; a decision may be named by its number."""
    return path.exists() or (path.parent.name == "adr" and any(path.parent.glob(f"{path.name}-*")))


def test_every_test_that_a_document_names_is_there() -> None:
    found = [(where, *named.split("::")) for where, named in _places(TEST)]
    assert len(found) > 80
    assert [
        (where, test)
        for where, file, test in found
        if not re.search(rf"def {test}\(", (ROOT / file).read_text())
    ] == []


def test_every_requirement_that_a_document_names_is_one() -> None:
    table = tomllib.loads((ROOT / "ops" / "features.toml").read_text())
    known = {id_ for family in table.values() for id_ in family}
    assert [(where, id_) for where, id_ in _places(REQUIREMENT) if id_ not in known] == []


def test_every_name_in_code_that_a_document_has_is_one_of_the_program() -> None:
    known = _names_of_the_program()
    assert [
        (where, name)
        for path in TEXTS
        for where, text in spans(path)
        for name in NAME.findall(text)
        if COMPOSED.sub("", name) not in known and name not in NOT_OURS
    ] == []


def _names_of_the_program() -> set[str]:
    """Return every word in its source, as names of fields and members are written."""
    folders = (ROOT / "services", ROOT / "schemas", ROOT / "ops")
    kinds = {".py", ".toml", ".conf", ".yml", ""}
    files = [ROOT / "compose.yaml", *(path for each in folders for path in each.rglob("*"))]
    text = "\n".join(
        path.read_text() for path in files if path.is_file() and path.suffix in {*kinds, ".yaml"}
    )
    return {word.lower() for word in re.findall(r"\w+", text)}


@pytest.mark.req("A-01")
def test_every_subject_that_the_bus_lets_pass_is_one_of_the_table_or_asked_of_a_service() -> None:
    text = (ROOT / "ops" / "nats" / "server.conf").read_text()
    heads = {subject.split(".")[0] for subject in SUBJECTS.values()} | {"query", "_INBOX"}
    named = re.findall(r'"([a-z_A-Z]+)\.[^"]*"', text)
    assert set(named) - heads == set()
    assert set(re.findall(r'"query\.([a-z]+)"', text)) <= {*USERS, "sql"}


def test_the_exit_codes_of_the_readme_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| (\d) \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert [int(code) for code, _ in rows] == [int(each) for each in Exit]


PAGES = [*BUILT_IN.items(), ("formulas", FormulaParameters)]


@pytest.mark.req("S-10")
@pytest.mark.parametrize(("name", "kind"), PAGES, ids=[name for name, _ in PAGES])
def test_the_page_of_a_strategy_has_each_parameter_with_its_default(name: str, kind: Any) -> None:
    struct = getattr(kind, "parameters_type", kind)
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|", _section(name, "## Parameters"), re.M)
    assert dict(rows) == {
        field.name: _shown(field.default, field) for field in msgspec.structs.fields(struct)
    }


@pytest.mark.req("M-04")
def test_the_page_of_the_scanner_has_each_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \|", _section("scanner", "## Param"), re.M)
    scanner = FeedConfig().scanner
    assert dict(rows) | {"is_on": "true"} == {
        name: _shown(getattr(scanner, name)) for name in scanner.__struct_fields__
    }


@pytest.mark.req("S-11")
def test_the_limits_of_sessions_have_the_defaults_that_their_page_says() -> None:
    text = (DOCS / "sessions.md").read_text()
    rows = re.findall(r"^\| `strategy\.([\w.]+)`[^|]* \| ([\d,]+)", text, re.MULTILINE)
    assert len(rows) == 8
    for name, default in rows:
        value: Any = StrategyConfig()
        for part in name.split("."):
            value = getattr(value, part)
        assert (name, int(default.replace(",", ""))) == (name, int(value))


@pytest.mark.req("R-06")
def test_the_ages_of_what_is_recorded_are_those_that_their_page_says() -> None:
    text = (DOCS / "retention.md").read_text()
    rows = re.findall(r"\| ((?:`\w+_days`(?:, )?)+) \| (\d+)", text)
    policy = RecorderConfig().retention
    said = {name: int(days) for names, days in rows for name in re.findall(r"\w+", names)}
    assert said == {name: getattr(policy, name) for name in said}
    assert set(said) == {name for name in policy.__struct_fields__ if name != "record_days"}


def _section(page: str, heading: str) -> str:
    return (DOCS / f"{page}.md").read_text().split(heading)[1].split("\n## ")[0]


def _shown(default: Any, field: Any = None) -> str:
    """Return a default as pages write it."""
    if default is None:
        return "none"
    if default is msgspec.NODEFAULT:
        return "required"
    if isinstance(default, bool):
        return str(default).lower()
    return f"`{default}`" if isinstance(default, str) else str(default)


@pytest.mark.req("O-05")
def test_every_promise_of_the_readme_stands_in_the_same_words_over_the_tests_that_hold_it() -> None:
    listed = README.read_text().split("## What is promised")[1].split("Not promised:")[0]
    promises = [_flat(each) for each in re.split(r"^- ", listed, flags=re.MULTILINE)[1:]]
    text = (ROOT / "ops" / "safety.md").read_text().split("## What we promise")[1].split("\n## ")[0]
    held = _flat(" ".join(re.findall(r"\*\*(.+?)\*\*", text, re.DOTALL)))
    assert len(promises) == 9
    assert [each for each in promises if each not in held] == []


def _flat(text: str) -> str:
    """Return a text in one line, without what stands in brackets."""
    return " ".join(re.sub(r"\s*\([^)]*\)", "", text).split())
