"""Strategies of one's own, where a command runs or checks them itself, without a service."""

import sys

from schemas.errors import FieldError
from services.strategy.catalogue import catalogue_of
from services.strategy.config import StrategyConfig


def search(config: StrategyConfig) -> None:
    """Have modules looked for in the folders of the configuration first, as the service has."""
    sys.path[:0] = [each for each in config.folders if each not in sys.path]


def mistakes_of(name: str, config: StrategyConfig) -> list[FieldError]:
    """Return what a start would say of the strategy `name`, and of every formula file."""
    search(config)
    catalogue = catalogue_of(config)
    said = [*catalogue.formula_mistakes(), *catalogue.mistakes(name)]
    return list(dict.fromkeys(said))
