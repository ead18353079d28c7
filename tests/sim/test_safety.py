"""`ops/safety.md` names only tests that exist, and the promises in the words they were made in."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ops" / "safety.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`(?: \[([^\]]+)\])?")
PROMISES = (
    "nothing acknowledged as durable is lost by a single fault, and more is never lost silently",
    "once an executor has acknowledged a halt it starts no order until a new epoch",
    "and if it cannot hear the halt it stops within the lease",
    "one order id is submitted at most once",
    "a process paused between its last check and the socket write on a venue without a deadline",
    "a cancel that loses the race to a fill",
)


@pytest.mark.req("O-05")
@pytest.mark.parametrize(("file", "test", "case"), sorted(set(NAMED.findall(TEXT))))
def test_every_test_that_safety_names_is_there(file: str, test: str, case: str) -> None:
    source = (ROOT / file).read_text()
    assert re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), f"{file} has no {test}"
    assert not case or f'id="{case}"' in source, f"{file} has no case {case}"


def test_every_row_of_a_table_or_list_of_safeguards_names_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) > 20
    assert [row for row in rows if not NAMED.search(row)] == []


@pytest.mark.parametrize("number", [f"I{number}" for number in range(1, 15)])
def test_every_invariant_has_a_safeguard_that_a_test_removes(number: str) -> None:
    rows = [line.split("|") for line in TEXT.splitlines() if line.startswith("| ")]
    assert [row for row in rows if number in re.findall(r"I\d+", row[2])]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_stands_in_the_words_in_which_it_was_made(promise: str) -> None:
    words = " ".join(re.sub(r"[*\n]|^\d\.", " ", TEXT).split()).lower()
    assert promise in words
