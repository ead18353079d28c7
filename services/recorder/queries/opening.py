"""How the store's file is opened: to be fed, or only to be read; and what whoever asks may use."""

from pathlib import Path
from typing import NamedTuple

import duckdb

FILE, SPILL_FOLDER = "events.duckdb", "spill"
"""In the store's folder. What a question apart puts on the disk lies in a folder of its own: it is
removed when the process that put it there was killed."""

SETTINGS = (
    "SET enable_external_access = false",
    "SET python_enable_replacements = false",
    "SET allow_community_extensions = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET lock_configuration = true",
)
"""From here on nobody reads or writes another file, or undoes this."""


class Limits(NamedTuple):
    """What the store may use."""

    memory_mb: int = 256
    """In MiB; as much again on the disk, for what does not fit."""

    threads: int = 1


def connected(
    folder: Path, limits: Limits, *, is_read_only: bool = False
) -> "duckdb.DuckDBPyConnection":
    """Return the opened file; one that is read only lets others read it too.

    Raises:
        duckdb.Error: it cannot be opened, or another process has it.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{limits.memory_mb}MiB",
        "max_temp_directory_size": f"{limits.memory_mb}MiB",
        "threads": limits.threads,
    }
    if is_read_only:
        config["temp_directory"] = str(folder / SPILL_FOLDER)
    return duckdb.connect(str(folder / FILE), read_only=is_read_only, config=config)


def lock_down(connection: "duckdb.DuckDBPyConnection") -> None:
    """Take everything from a connection but our tables."""
    for each in SETTINGS:
        connection.execute(each)
