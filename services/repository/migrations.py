"""The tables, version by version: only ever forward, and never one that has been released anew.

The same text serves SQLite and PostgreSQL.
"""

from schemas.errors import StateError

VERSIONS = (
    "CREATE TABLE IF NOT EXISTS schema_versions"
    " (version INTEGER PRIMARY KEY, applied_ns BIGINT NOT NULL)"
)
NEWEST = "SELECT COALESCE(MAX(version), 0) FROM schema_versions"
APPLIED = "INSERT INTO schema_versions (version, applied_ns) VALUES ($1, $2)"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE records (kind TEXT NOT NULL, key TEXT NOT NULL, at_ns BIGINT NOT NULL,"
        " strategy TEXT NOT NULL, session TEXT NOT NULL, account TEXT NOT NULL,"
        " body TEXT NOT NULL, PRIMARY KEY (kind, key))",
        "CREATE INDEX records_by_strategy ON records (kind, strategy, at_ns)",
        "CREATE INDEX records_by_session ON records (kind, session, at_ns)",
    ),
)
"""Each one takes the tables from the version before to the next; the first makes version 1."""


def steps_from(version: int, where: str) -> list[tuple[int, tuple[str, ...]]]:
    """Return what is still to be done, with the version that each step makes.

    Raises:
        StateError: SLU-201 a newer release has written there; this one would misread it.
    """
    if version > len(MIGRATIONS):
        wanted = f"at most {len(MIGRATIONS)}, or a newer release"
        raise StateError("SLU-201", where=where, found=f"version {version}", wanted=wanted)
    return [(number, MIGRATIONS[number - 1]) for number in range(version + 1, len(MIGRATIONS) + 1)]
