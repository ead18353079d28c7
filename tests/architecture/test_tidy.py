"""The house rules that a machine can check, kept as tests so that they stay true."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from schemas import wire

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("schemas/**/*.py"), *ROOT.glob("services/**/*.py")])
FUNCTION_LINES_MAX = 70
FUNCTION_LINES_WANTED = 40
FUNCTIONS_OVER_WANTED_MAX = 0
"""A ratchet: may only go down."""

FILE_LINES_MAX = 400
PARAMETERS_MAX = 8
SUPPRESSIONS_PER_1000_LINES_MAX = 1.0
UNITS = ("_ns", "_ms", "_s", "_bps", "_bytes", "_count", "_max", "_min", "_id", "_seq")
UNITLESS = {
    "seq": "a count of events",
    "halts": "a count of halts",
    "halt": "the number of a halt",
    "fence": "an epoch",
    "epoch": "a number of its own kind",
    "epoch_max": "an epoch",
    "gate_token": "a number of its own kind",
    "leg": "an index",
    "level": "of a market-wide breaker: 1, 2 or 3",
    "pid": "a process",
    "restarts": "a count",
    "counts": "counts by kind",
}
PURE_BANNED = re.compile(
    r"^\s*(import|from)\s+(asyncio|datetime|logging|nats|os|random|secrets|socket|threading|time|uuid)\b",
    re.MULTILINE,
)
SET_ITERATION = re.compile(r"\bfor\b[^\n]*\bin\s+(set\(|\{[^:}\n]*\})")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= (function.body[0].end_lineno or 0) - function.body[0].lineno + 1
    return lines


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_and_its_functions_fit_their_budget(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES_MAX
    for function in functions(path):
        assert length(function) <= FUNCTION_LINES_MAX, function.name
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        named = [each.arg for each in arguments if each.arg not in ("self", "cls")]
        is_command = "cli" in path.parts  # a command's parameters are its options
        assert is_command or len(named) <= PARAMETERS_MAX, function.name


def test_long_functions_only_become_fewer() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name} {length(function)}"
        for path in SOURCES
        for function in functions(path)
        if length(function) > FUNCTION_LINES_WANTED
    ]
    assert len(long) <= FUNCTIONS_OVER_WANTED_MAX, long


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_public_name_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "the module"
    todo: list[ast.AST] = [tree]
    while todo:
        for node in ast.iter_child_nodes(todo.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if node.name.startswith("_"):
                    continue
                assert ast.get_docstring(node), f"{node.name} at line {node.lineno}"
                if isinstance(node, ast.ClassDef):
                    todo.append(node)


def pure_files() -> list[Path]:
    """Return what must be pure: all schemas, and every module that a core is made of."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [pure] = [c for c in contracts["contracts"] if c["name"].startswith("Cores and schemas")]
    found: list[Path] = []
    for module in pure["source_modules"]:
        path = ROOT / module.replace(".", "/")
        found += path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")]
    return sorted(found)


def test_cores_do_not_escape_from_determinism() -> None:
    files = pure_files()
    assert len(files) > 20
    for path in files:
        text = path.read_text()
        assert not PURE_BANNED.search(text), path
        assert not SET_ITERATION.search(text), path


def test_every_service_stands_in_the_contract_of_independence() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [independence] = [c for c in contracts["contracts"] if c["type"] == "independence"]
    folders = {p.parent.name for p in ROOT.glob("services/*/__main__.py")} - {"cli"}
    assert {f"services.{name}" for name in folders} == set(independence["modules"])


def test_every_number_in_an_event_names_its_unit() -> None:
    for event in wire._ALL:
        for field in msgspec.structs.fields(event):
            is_number = field.type in (int, float) or field.type == int | None
            is_named = field.name in UNITLESS or field.name.endswith(UNITS)
            assert not is_number or is_named, f"{event.__name__}.{field.name}"


def test_suppressions_stay_rare() -> None:
    lines = [line for path in SOURCES for line in path.read_text().splitlines()]
    found = [
        line for line in lines if re.search(r"#\s*(noqa|type:\s*ignore|pragma: no cover)", line)
    ]
    assert len(found) <= len(lines) / 1_000 * SUPPRESSIONS_PER_1000_LINES_MAX, found


def test_no_file_names_a_place_or_a_maker() -> None:
    banned = re.compile(r"/work/|/root/|pypi\.(org|internal)|\bclaude\b|\bLLM\b", re.IGNORECASE)
    for pattern in (
        "schemas/**/*.*",
        "services/**/*.*",
        "ops/**/*",
        "tests/**/*.py",
        "*.md",
        "*.yaml",
    ):
        for path in ROOT.glob(pattern):
            if path.is_file() and "__pycache__" not in path.parts and path != Path(__file__):
                assert not banned.search(path.read_text(errors="replace")), path


def test_every_decision_has_a_number_and_a_title_of_its_own() -> None:
    files = sorted((ROOT / "ops" / "adr").glob("*.md"))
    numbers = [int(path.name.split("-")[0]) for path in files]
    assert numbers == list(range(1, len(files) + 1))
    for number, path in zip(numbers, files, strict=True):
        title = path.read_text().splitlines()[0]
        assert title.startswith(f"# {number}. "), f"{path.name} begins with {title!r}"
    titles = [path.read_text().split(". ", 1)[1].splitlines()[0] for path in files]
    assert len(set(titles)) == len(titles), titles
