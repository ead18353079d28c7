"""The `[repository]` section: where sessions and results are kept."""

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from services.repository.postgres import PostgresRepository
from services.repository.repository import Repository
from services.repository.sqlite import SqliteRepository

FILE = "repository.db"
SCHEMES = ("postgresql", "postgres")


class RepositoryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where what outlives a session is kept.

    Raises:
        ValueError: the url is none of a database known here, or carries a password.
    """

    url: str = ""
    """`postgresql://USER@HOST:PORT/DATABASE`; empty: a file in the data folder."""

    def __post_init__(self) -> None:
        if not self.url:
            return
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"url is {self.url!r}: wanted postgresql://..., or empty")
        if parts.password is not None:
            raise ValueError(
                "url holds a password, which this file and its copies would show: wanted none"
                " there; put it into PGPASSWORD, or into ~/.pgpass"
            )


async def opened(config: RepositoryConfig, data_dir: Path) -> Repository:
    """Return the repository that the configuration names; the caller closes it.

    Raises:
        StateError: SLU-200 it is away; SLU-201 a newer release wrote it.
        UserError: SLU-100 the library for it is not installed.
    """
    if config.url:
        return await PostgresRepository.opened(config.url)
    return await SqliteRepository.opened(data_dir / FILE)
