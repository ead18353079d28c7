"""The set-up: which Python it takes, and that one that was named and cannot be used is said."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NO_ENVIRONMENT = (
    "setup: could not make a virtual environment; on Debian or Ubuntu: apt install python3-venv\n"
)


def set_up(folder: Path, **said: str) -> "subprocess.CompletedProcess[str]":
    (folder / "ops").mkdir()
    for name in ("ops/setup", "ops/requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    command = [str(folder / "ops" / "setup")]
    return subprocess.run(command, env=kept | said, capture_output=True, text=True, check=False)


def stand_in(place: Path, version: str, loop_us: int | None = None) -> str:
    """Return the path of one that says it is this version, and takes so long for the loop.

    Without a time it cannot be used; none of them makes an environment.
    """
    can_be_used = "exit 1" if loop_us is None else f"echo {place}; exit 0"
    place.parent.mkdir(exist_ok=True)
    place.write_text(
        f"""#!/bin/sh
case "$*" in
  --version) echo "{version}"; exit 0 ;;
  *ensurepip*) {can_be_used} ;;
  *perf_counter*) echo {loop_us}; exit 0 ;;
esac
exit 1
"""
    )
    place.chmod(0o755)
    return str(place)


@pytest.mark.req("X-06")
@pytest.mark.parametrize("version", ["Python 3.10.13", "not there"])
def test_a_python_that_was_named_and_cannot_be_used_is_said_and_no_other_is_taken(
    tmp_path: Path, version: str
) -> None:
    named = str(tmp_path / "bin" / "python")
    if version != "not there":
        stand_in(tmp_path / "bin" / "python", version)
    done = set_up(tmp_path, PYTHON=named)
    wanted = f"setup: PYTHON={named} is no Python 3.11 or newer with venv: it is {version}.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", wanted)
    assert not (tmp_path / ".venv").exists()


@pytest.mark.req("X-06")
@pytest.mark.parametrize(
    ("first_us", "other_us", "said"),
    [
        pytest.param(
            100,
            84,
            "setup: python3.13 runs clearly faster than python3; "
            "PYTHON=python3 ./ops/setup takes that\n"
            "setup: making .venv with Python 3.13.0\n",
            id="clearly faster",
        ),
        pytest.param(100, 85, "setup: making .venv with Python 3.12.0\n", id="about as fast"),
        pytest.param(
            None, 100, "setup: making .venv with Python 3.13.0\n", id="the first cannot be used"
        ),
    ],
)
def test_the_first_python_is_taken_or_one_that_is_clearly_faster_and_that_is_said(
    tmp_path: Path, first_us: int | None, other_us: int, said: str
) -> None:
    """No real one on this machine does the loop in so few microseconds."""
    stand_in(tmp_path / "bin" / "python3", "Python 3.12.0", first_us)
    stand_in(tmp_path / "bin" / "python3.13", "Python 3.13.0", other_us)
    done = set_up(tmp_path, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert (done.returncode, done.stdout, done.stderr) == (2, said, NO_ENVIRONMENT)


@pytest.mark.req("X-06")
def test_a_python_that_is_named_is_taken_though_another_is_faster(tmp_path: Path) -> None:
    named = stand_in(tmp_path / "bin" / "named", "Python 3.12.0", 100)
    stand_in(tmp_path / "bin" / "python3", "Python 3.13.0", 1)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = set_up(tmp_path, PATH=path, PYTHON=named)
    said = "setup: making .venv with Python 3.12.0\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, said, NO_ENVIRONMENT)
