"""What the documents say a user may type, set, open and look up, taken out of their text."""

import re
import shlex
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import msgspec

from tests.conftest import ROOT

FILES = (
    ROOT / "README.md",
    *sorted((ROOT / "ops").rglob("*.md")),
    ROOT / "compose.yaml",
    ROOT / "ops" / "nats" / "server.conf",
    ROOT / "services" / "cli" / "sluice.toml",
)
HISTORY = ROOT / "ops" / "CHANGELOG.md"
"""Says what once was: what it names may be gone."""

CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```")
COMMENT = re.compile(r"(?:^|\s)#(?:\s.*)?$")
AS_SLUICE = (
    ("docker compose run --rm keeper ", "sluice "),
    ("docker compose run --rm init ", "sluice "),
    ("docker compose run --rm operator ", "sluice "),
    ("./ops/up", "sluice up"),
    (".venv/bin/sluice", "sluice"),
)
"""Other ways to type a command of ours."""

BEGINS = re.compile(r"(?<!\S)(?<!--context )sluice (?=[a-z])")
FLAG = re.compile(r"--[a-z][a-z-]*")
GOES_ON = re.compile(r"^\s+\[?--")


class Command(msgspec.Struct, frozen=True):
    """One command line as a document has it."""

    where: str
    words: tuple[str, ...]
    """Command, subcommand and plain arguments, as far as the first option."""

    flags: tuple[str, ...]


def documents() -> list[Path]:
    """Return every document that says how things are now."""
    return [each for each in FILES if each != HISTORY]


def lines_of(path: Path) -> Iterator[tuple[str, str, bool]]:
    """Give each line with its place, and whether it is one that is typed as it stands."""
    name, is_fenced = str(path.relative_to(ROOT)), False
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if FENCE.match(line):
            is_fenced = not is_fenced
            continue
        is_indented = line.startswith("    ") and path.suffix == ".md"
        yield f"{name}:{number}", line, is_fenced or is_indented


def spans(path: Path) -> Iterator[tuple[str, str]]:
    """Give each piece of code in the text, with its place."""
    for where, line, is_typed in lines_of(path):
        if is_typed or path.suffix != ".md":
            yield where, line
        if not is_typed:
            yield from ((where, found) for found in CODE.findall(line))


def commands(path: Path) -> Iterator[Command]:
    """Give each command line of ours that stands in a document."""
    before: tuple[str, str] | None = None
    for where, text in [*spans(path), ("", "")]:
        if before is not None and GOES_ON.match(text):
            before = (before[0], f"{before[1]} {text.strip()}")
            continue
        if before is not None:
            yield from _in_line(*before)
        before = (where, text)


def _in_line(where: str, text: str) -> Iterator[Command]:
    text = text.lstrip("# ") if text.lstrip().startswith("#") else text
    for typed, ours in AS_SLUICE:
        text = text.replace(typed, ours)
    for piece in BEGINS.split(COMMENT.sub("", text))[1:]:
        yield from _expanded(where, re.split(r"\s{3,}|`", piece)[0])


def _expanded(where: str, piece: str) -> Iterator[Command]:
    """Give the command; of `a|b|c`, one of each."""
    flags = tuple(FLAG.findall(piece))
    plain = re.split(r"\s\[?--", piece)[0].replace("[", " ").replace("]", " ")
    try:
        words = shlex.split(plain)
    except ValueError:
        words = plain.split()
    for chosen in product(*(word.split("|") for word in words[:2])):
        yield Command(where, (*chosen, *words[2:]), flags)
