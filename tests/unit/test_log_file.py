"""A process's log turns at the end of a UTC day, and no line is lost by it."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from schemas.base import NS_PER_S
from services.runtime.log_file import LOG_COPY, LOG_FILE, OwnFile, put_aside, put_aside_if_old

pytestmark = pytest.mark.req("O-03")

MIDNIGHT_NS = 1_700_006_400 * NS_PER_S  # 2023-11-15 00:00 UTC
OLD = "gate.log.2023-11-14"
HEAD = f"""
import os, sys, threading, types
from services.runtime import log_file
from services.runtime.log import configure, logger
now_ns = [{MIDNIGHT_NS} - 1]
log_file.time = types.SimpleNamespace(time_ns=lambda: now_ns[0])
configure("gate", "b")
def say(text): logger().info(text)
def midnight(): now_ns[0] = {MIDNIGHT_NS}
"""


def run(program: str, path: Path, named: Path | None = None) -> None:
    """Run as the supervisor does: both outputs are the file, and a variable names it."""
    with path.open("ab") as file:
        subprocess.run(
            [sys.executable, "-c", HEAD + program],
            env={**os.environ, LOG_FILE: str(named or path)},
            stdout=file,
            stderr=file,
            check=True,
        )


def said(path: Path) -> list[str]:
    """What the lines of a file say, ours and others'."""
    return [
        line.partition('"event":"')[2].partition('"')[0] or line
        for line in path.read_text().splitlines()
    ]


def test_a_line_of_the_new_day_begins_a_new_file_and_the_old_one_bears_its_day(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gate.log"
    run("say('late'); midnight(); say('early'); say('then')", path)
    assert {each.name: said(each) for each in tmp_path.iterdir()} == {
        OLD: ["late"],
        "gate.log": ["early", "then"],
    }


def test_what_is_written_past_the_logger_turns_with_it(tmp_path: Path) -> None:
    path = tmp_path / "gate.log"
    program = """
say('late'); midnight(); os.write(2, b'raw and late\\n'); say('early')
os.write(2, b'raw to error\\n'); os.write(1, b'raw to output\\n')
"""
    run(program, path)
    assert said(tmp_path / OLD) == ["late", "raw and late"]
    assert said(path) == ["early", "raw to error", "raw to output"]


def test_no_line_is_lost_or_torn_while_many_threads_write_across_midnight(tmp_path: Path) -> None:
    path = tmp_path / "gate.log"
    program = """
def work(name):
    for n in range(300):
        say(f"{name}-{n}")
        os.write(2, f"raw {name}-{n}\\n".encode())
        if (name, n) == (0, 150): midnight()
threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    run(program, path)
    old, new = said(tmp_path / OLD), said(path)
    wanted = [f"{name}-{n}" for name in range(6) for n in range(300)]
    assert sorted(old + new) == sorted([*wanted, *(f"raw {each}" for each in wanted)])
    assert len(old) > 300
    assert len(new) > 300


def test_a_file_that_is_not_what_it_writes_to_is_left_alone(tmp_path: Path) -> None:
    path, named = tmp_path / "mine.log", tmp_path / "gate.log"
    named.write_text("another's\n")
    run("say('late'); midnight(); say('early')", path, named)
    assert said(path) == ["late", "early"]
    assert {each.name for each in tmp_path.iterdir()} == {"mine.log", "gate.log"}


def test_where_there_can_be_no_new_file_it_goes_on_in_the_old_one_and_tries_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gate.log"
    program = """
real, say_no = log_file.put_aside, True
def refusing(path, day):
    if say_no: raise OSError(28, 'no space')
    real(path, day)
log_file.put_aside = refusing
say('late'); midnight(); say('early'); say_no = False; say('then')
"""
    run(program, path)
    assert (said(tmp_path / OLD), said(path)) == (["late", "early"], ["then"])


def test_what_a_process_starts_does_not_turn_its_file(tmp_path: Path) -> None:
    path = tmp_path / "gate.log"
    run(f"print(os.environ.get('{LOG_FILE}'))", path)
    assert said(path) == ["None"]


def test_a_name_that_is_taken_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "gate.log"
    for text in ("first", "second", "third"):
        path.write_text(text)
        put_aside(path, date(2023, 11, 14))
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {
        OLD: "first",
        f"{OLD}-2": "second",
        f"{OLD}-3": "third",
    }


def test_at_a_start_a_file_of_an_earlier_day_is_put_aside_and_one_of_today_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gate.log"
    put_aside_if_old(path, MIDNIGHT_NS)  # there is none yet
    path.write_text("x" * 20_000_000)
    os.utime(path, ns=(MIDNIGHT_NS - 1, MIDNIGHT_NS - 1))
    put_aside_if_old(path, MIDNIGHT_NS - 1)
    assert [each.name for each in tmp_path.iterdir()] == ["gate.log"]
    put_aside_if_old(path, MIDNIGHT_NS)
    assert [each.name for each in tmp_path.iterdir()] == [OLD]
    assert datetime.fromtimestamp(MIDNIGHT_NS // NS_PER_S, UTC).date() == date(2023, 11, 15)


def of_own(tmp_path: Path, program: str) -> list[bytes]:
    """Run as in a container, whose log is somebody else's; return what that gets."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + program],
        env={**os.environ, LOG_COPY: str(tmp_path / "log" / "gate.log")},
        capture_output=True,
        check=True,
    )
    return done.stderr.splitlines(keepends=True)


def test_a_copy_has_every_line_that_standard_error_has(tmp_path: Path) -> None:
    lines = of_own(tmp_path, "say('one'); say('two')")
    assert len(lines) == 2
    assert (tmp_path / "log" / "gate.log").read_bytes() == b"".join(lines)


def test_a_copy_turns_daily_too(tmp_path: Path) -> None:
    path = tmp_path / "log" / "gate.log"
    path.parent.mkdir()
    path.write_text("late\n")
    os.utime(path, ns=(MIDNIGHT_NS - 1, MIDNIGHT_NS - 1))
    of_own(tmp_path, "midnight(); say('early')")
    assert {each.name: said(each) for each in path.parent.iterdir()} == {
        OLD: ["late"],
        "gate.log": ["early"],
    }


def test_what_a_process_starts_writes_no_copy(tmp_path: Path) -> None:
    [line] = of_own(tmp_path, f"say(repr(os.environ.get('{LOG_COPY}')))")
    assert b'"event":"None"' in line


def test_where_no_copy_can_be_written_the_process_goes_on(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("in the way")
    [line] = of_own(tmp_path, "say('one')")
    assert b'"event":"one"' in line


def test_a_file_that_somebody_removed_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "supervisor.log"
    file = OwnFile(path)
    assert file.write(b"one\n") == 4
    path.unlink()
    file.write(b"two\n")
    assert path.read_bytes() == b"two\n"
