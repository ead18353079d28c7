"""Folders that something is unpacked into: one at a time, and what a killed one left is removed.

A restore is made ready in a draft and then put in place. Where the wanted folder is not there, the
draft stands beside it and gets its name: all at once. Where it is there and empty, which may be a
mounted disk that nobody can rename, the draft stands in it, and its members move up one by one; as
long as the draft is there, nothing may start over it.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from schemas.errors import StateError, UserError
from services.runtime.journal import sync_folder
from services.runtime.paths import is_there

UNFINISHED = ".restoring"
VERIFYING = ".verifying"
"""Ends of the names of such folders."""

MOVING = ".moving"
"""In a draft whose members move up: their names."""

_DONE = ".restored"
_FOREIGN = ("lost+found",)
"""What a fresh disk holds of itself."""


@contextlib.contextmanager
def disk_errors(path: Path, wanted: str = "room on the disk, and the right") -> Iterator[None]:
    """Say of a disk that does not take something that it is the disk.

    Raises:
        StateError: SLU-141, instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        where, found = error.filename or path, error.strerror or str(error)
        raise StateError("SLU-141", path=where, found=found, wanted=wanted) from error


@contextlib.contextmanager
def held_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder of ours, empty: what a killed one left in it is removed first.

    Raises:
        UserError: SLU-163, another one is at work in it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor, folder)
        _clear(folder)
        yield folder
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder of ours that is removed in the end, or else by the next one."""
    with held_folder(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def drafting(data_dir: Path) -> Iterator[Path]:
    """Yield the draft of a data folder; when the block ends without an error it stands in place.

    When the block raises, nothing is left of it.

    Raises:
        UserError: the data folder is in use, or another restore is at work.
        OSError: the disk does not take it.
    """
    _refuse_in_use(data_dir)
    draft = _inside(data_dir) if data_dir.is_dir() else _beside(data_dir)
    with held_folder(draft):
        try:
            _refuse_in_use(data_dir)  # who starts looks for the draft once the folder is theirs
            yield draft
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        if draft == _inside(data_dir):
            _move_up(draft, data_dir)
            _forget(_beside(data_dir))
        else:
            sync(draft)
            draft.rename(data_dir)
            sync_folder(data_dir.parent)


def refuse_unfinished(data_dir: Path) -> None:
    """Refuse to start where a restore was cut short.

    Raises:
        StateError: SLU-148, the draft of one is there.
    """
    inside, beside = _inside(data_dir), _beside(data_dir)
    draft = inside if is_there(inside) else beside
    if not is_there(inside) and (not is_there(beside) or is_there(data_dir / "state")):
        return  # nothing of one, or what it was to bring is there by other means
    wanted = "a restore that came to its end: `sluice backup restore` again, it begins anew"
    raise StateError("SLU-148", path=draft, found="a restore without its end", wanted=wanted)


def sync(folder: Path) -> None:
    """Have every file and folder in it on the disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)


def _move_up(draft: Path, data_dir: Path) -> None:
    """Let the members of a draft move up into the data folder; the draft goes last, at once."""
    names = sorted(each.name for each in draft.iterdir())
    (draft / MOVING).write_bytes(msgspec.json.encode(names))
    sync(draft)
    for name in names:
        (draft / name).rename(data_dir / name)
    sync_folder(data_dir)
    done = data_dir / _DONE
    draft.rename(done)
    sync_folder(data_dir)
    shutil.rmtree(done, ignore_errors=True)


def _forget(draft: Path) -> None:
    """Remove what a restore left that was cut short when its folder was not there yet."""
    if is_there(draft):
        with scratch_folder(draft):
            pass


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        wanted = "one restore or verification at a time: wait for its end"
        raise UserError("SLU-163", path=folder, found="another one", wanted=wanted) from error


def _clear(folder: Path) -> None:
    """Empty a draft, and take back what it had moved up: nothing has started over it."""
    for name in _moved(folder):
        _remove(folder.parent / name)
    for each in folder.iterdir():
        _remove(each)


def _moved(draft: Path) -> list[str]:
    """Return the names of what a draft has moved up; what it still holds came from elsewhere."""
    try:
        names = msgspec.json.decode((draft / MOVING).read_bytes(), type=list[str])
    except (OSError, msgspec.MsgspecError):  # it had not begun to
        return []
    return [each for each in names if Path(each).name == each and not is_there(draft / each)]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _refuse_in_use(data_dir: Path) -> None:
    """Refuse a data folder with anything in it that no restore has put there."""
    if not is_there(data_dir):
        return
    ours = {UNFINISHED, _DONE, *_FOREIGN, *_moved(_inside(data_dir))}
    found = sorted(each.name for each in data_dir.iterdir() if each.name not in ours)
    if found:
        wanted = "a folder that is not there, or empty: move it away, or give --data-dir"
        said = "a folder with files: " + ", ".join(found[:5])
        raise UserError("SLU-103", path=data_dir, found=said, wanted=wanted)


def _inside(data_dir: Path) -> Path:
    return data_dir / UNFINISHED


def _beside(data_dir: Path) -> Path:
    return data_dir.with_name(data_dir.name + UNFINISHED)
