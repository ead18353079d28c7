"""Whether something is there: what cannot be looked at is not the same as what is not."""

from pathlib import Path


def is_there(path: Path) -> bool:
    """Return whether a file or folder is there.

    `Path.exists` answers no, from Python 3.14 on, to whatever goes wrong: a record that must not be
    read would be none, and a journal that cannot be reached a new one.

    Raises:
        OSError: nobody can tell.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
