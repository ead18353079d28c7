"""What a `sluice backup create` left that was killed: the next one removes it."""

import contextlib
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from services.cli.locate import is_running

COPY = "backup-incomplete-"
"""How the folder of a copy of the repository begins, in the data folder; then the process."""

QUIET_S = 600.0
"""Without a write for so long, a draft is nobody's: its process may be on another machine."""

_OF_COPY = re.compile(rf"{COPY}(?:(\d+)-)?[^-]+")
_DRAFT_END = r"\.(\d+)\.incomplete"
_NAMED_BY_US = r"sluice-backup-\d{8}T\d{6}\.tar\.gz(?:\.age)?"


def sweep(data_dir: Path, backup: Path) -> None:
    """Remove drafts that nobody writes any more; what cannot be removed stays.

    Args:
        data_dir: may hold copies of the repository.
        backup: the file to be made; drafts of it, and of those that we named, lie beside it.
    """
    of_backup = re.compile(rf"(?:{re.escape(backup.name)}|{_NAMED_BY_US}){_DRAFT_END}")
    found = [*_matching(data_dir, _OF_COPY), *_matching(backup.parent, of_backup)]
    for path, pid in found:
        with contextlib.suppress(OSError):
            if (pid is None or not is_running(pid)) and _quiet_s(path) >= QUIET_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _matching(folder: Path, pattern: re.Pattern[str]) -> Iterator[tuple[Path, int | None]]:
    """Yield what is named so in a folder, and the process that it is named after."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if match := pattern.fullmatch(path.name):
            yield path, int(match[1]) if match[1] else None


def _quiet_s(path: Path) -> float:
    """Return how long ago a file, or anything in a folder, was written, in seconds."""
    written_s = max(each.stat().st_mtime for each in (path, *path.glob("*")))
    return time.time() - written_s
