"""The version of a strategy: a hash of what it is made of, so that no change goes unseen."""

import hashlib
import inspect
import sys
from pathlib import Path
from typing import Any

from services.strategy.interface import Strategy

VERSION_CHARS = 16
TOLD = "version_told"
"""A class that stands for one in another process has its version here."""

SOURCES = "version_sources"
"""A class made from a file (a formula) names it here: a tuple of paths, read with its code."""


def version_of(strategy: type[Strategy[Any]]) -> str:
    """Return the version of this class: a hash over its file and those of the classes it extends.

    Library modules that it calls are no part of it. Empty where a file cannot be read: then
    nothing that was recorded of it can be told from something else.
    """
    if told := getattr(strategy, TOLD, ""):
        return str(told)
    digest = hashlib.sha256()
    for path in _sources(strategy):
        try:
            content = path.read_bytes()
        except OSError:
            return ""
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:VERSION_CHARS]


def _sources(strategy: type[Strategy[Any]]) -> list[Path]:
    """Return its files, each once: its own first, then those of its bases, then its formula."""
    end = strategy.__mro__.index(Strategy)
    modules = dict.fromkeys(each.__module__ for each in strategy.__mro__[:end])
    found: list[Path] = []
    for name in modules:
        module = sys.modules.get(name)
        file = None if module is None else inspect.getsourcefile(module)
        found.append(Path(file or f"<{name}>"))
    return [*found, *map(Path, getattr(strategy, SOURCES, ()))]
