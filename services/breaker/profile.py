"""The profiles of the breakers (B-07), as shipped files: three for trading, and one for paper."""

import enum
import tomllib
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from schemas.breakers import LevelSetting


class ProfileName(enum.StrEnum):
    """How much is risked before the breakers act."""

    CONSERVATIVE = "conservative"
    MODERATE = "moderate"
    AGGRESSIVE = "aggressive"
    PAPER = "paper"
    """Moderate, but for the order rate: minutes of a simulated market, or of a recording played
    faster than life, are no minutes."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of `services/breaker/profiles`: the levels of every breaker, by its name."""

    levels: dict[str, tuple[LevelSetting, ...]]


@cache
def profile_named(name: ProfileName) -> Profile:
    """Return a shipped profile; the files are part of the program and read once."""
    file = resources.files("services.breaker") / "profiles" / f"{name}.toml"
    found: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    return msgspec.convert(found, Profile)
