"""Folders of formula files, read once when the service begins."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from schemas.errors import FieldError
from services.strategy.formulas import Formula, read_formula
from services.strategy.formulas_strategy import strategy_of
from services.strategy.interface import Strategy

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
Found = type[Strategy[Any]] | tuple[FieldError, ...]
"""The class that a file became, or everything that is wrong with it."""


def formulas_in(folders: Iterable[str], taken: Iterable[str] = ()) -> dict[str, Found]:
    """Return what each formula file became, by the name it is started by: its file's own.

    Nothing raises: a file that cannot be read, or whose name is taken, is reported to whoever
    starts it. A folder that is not there is reported under its own name.
    """
    found: dict[str, Found] = {}
    used = frozenset(taken)
    for folder in map(Path, folders):
        if not folder.is_dir():
            wanted = "a folder of formula files; mend strategy.formulas, then restart strategy"
            error = FieldError(path="strategy.formulas", found=f"{folder}: none", wanted=wanted)
            found[folder.name] = (error,)
            continue
        for path in sorted(folder.glob("*.toml")):
            name = path.stem
            if name in used or name in found or not NAME.fullmatch(name):
                wanted = "a name that no other strategy has, of letters, digits, - and _"
                error = FieldError(path=str(path), found=name, wanted=wanted)
                found.setdefault(name if name not in used else path.name, (error,))
            else:
                found[name] = _read(path, name)
    return found


def _read(path: Path, name: str) -> Found:
    try:
        data = path.read_bytes()
    except OSError as error:
        said = error.strerror or str(error)
        return (FieldError(path=str(path), found=said, wanted="a file that can be read"),)
    made = read_formula(data, name, str(path))
    return strategy_of(made, (str(path),)) if isinstance(made, Formula) else tuple(made)
