"""Strategies of one's own, where a command runs or checks them itself, without a service."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from schemas.errors import FieldError
from services.strategy.catalogue import catalogue_of
from services.strategy.config import StrategyConfig


def search(config: StrategyConfig) -> None:
    """Have modules looked for in the folders of the configuration first, as the service has."""
    sys.path[:0] = [each for each in config.folders if each not in sys.path]


def mistakes_of(name: str, config: StrategyConfig) -> list[FieldError]:
    """Return what a start would say of the strategy `name`, and of every folder and formula file.

    Of a folder of modules that is not there it would only say that no module is found.
    """
    search(config)
    catalogue = catalogue_of(config)
    said = [*_absent(config.folders), *catalogue.formula_mistakes(), *catalogue.mistakes(name)]
    return list(dict.fromkeys(said))


def _absent(folders: Iterable[str]) -> Iterator[FieldError]:
    for folder in folders:
        if not Path(folder).is_dir():
            found = "a file" if Path(folder).exists() else "none"
            wanted = "a folder of modules that is there"
            yield FieldError(path="strategy.folders", found=f"{folder}: {found}", wanted=wanted)
