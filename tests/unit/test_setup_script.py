"""The set-up: a Python that was named and cannot be used is said, and nothing is made."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def set_up(folder: Path, python: str) -> "subprocess.CompletedProcess[str]":
    (folder / "ops").mkdir()
    for name in ("ops/setup", "ops/requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    command, said = [str(folder / "ops" / "setup")], os.environ | {"PYTHON": python}
    return subprocess.run(command, env=said, capture_output=True, text=True, check=False)


def script(place: Path, version: str) -> str:
    """Return the path of a stand-in that says it is this version, and can do nothing."""
    place.write_text(f"""#!/bin/sh\n[ "$1" = --version ] && echo "{version}" && exit 0\nexit 1\n""")
    place.chmod(0o755)
    return str(place)


@pytest.mark.req("X-06")
@pytest.mark.parametrize("version", ["Python 3.10.13", "not there"])
def test_a_python_that_was_named_and_cannot_be_used_is_said_and_no_other_is_taken(
    tmp_path: Path, version: str
) -> None:
    named = str(tmp_path / "python")
    if version != "not there":
        script(tmp_path / "python", version)
    done = set_up(tmp_path, named)
    wanted = f"setup: PYTHON={named} is no Python 3.11 or newer with venv: it is {version}.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", wanted)
    assert not (tmp_path / ".venv").exists()
