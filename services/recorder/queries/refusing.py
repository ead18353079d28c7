"""What is not asked at all: anything but one SELECT over our tables."""

from collections.abc import Iterator
from typing import Any

import duckdb
import msgspec

FORBIDDEN = frozenset(
    {
        "checkpoint",
        "force_checkpoint",
        "write_log",
        "truncate_duckdb_logs",
        "enable_logging",
        "disable_logging",
        "query",
        "query_table",
        "nextval",
        "setseed",
        "current_setting",
        "which_secret",
        "getenv",
    }
)
"""Functions of a SELECT that do more than read our tables, or tell where this machine keeps things;
files and the network are out of reach by the store's own settings."""

SYSTEM = ("duckdb_", "pragma_", "sqlite_", "pg_")
"""How tables of the system begin; functions of its own begin so too, but for `pg_typeof` and the
like, which tell nothing of this machine."""

SYSTEM_FUNCTIONS = SYSTEM[:2]
SCHEMAS = ("", "main")
"""Where our tables are."""

TREE = "SELECT json_serialize_sql(?::VARCHAR)"


class Refusal(Exception):  # noqa: N818 - it is an answer
    """Why something is not asked.

    Attributes:
        found: what was asked.
        wanted: what can be.
    """

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(found)
        self.found, self.wanted = found, wanted


def refuse_all_but_reading(connection: "duckdb.DuckDBPyConnection", sql: str) -> None:
    """Let one SELECT over our tables pass.

    Names are looked for in the parsed statement: comments, quotes and missing brackets hide none.

    Raises:
        Refusal: it is another statement, or names what is the machine's.
        duckdb.Error: it is no SQL.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise Refusal(f"{len(statements)} statements", "one SELECT")
    kind = statements[0].type
    if kind is not duckdb.StatementType.SELECT:
        wanted = "a SELECT: the record is read, never changed"
        raise Refusal(f"a statement of the kind {kind.name}", wanted)
    row = connection.execute(TREE, [sql]).fetchone()
    tree = msgspec.json.decode(row[0] if row else "{}")
    if tree.get("error", True):
        raise Refusal("a statement that cannot be looked at", "a plain SELECT")
    forbidden = sorted(set(_forbidden(tree)))
    if forbidden:
        raise Refusal(", ".join(forbidden), "the tables that `sluice query` lists")


def _forbidden(tree: Any) -> Iterator[str]:
    """Yield the names in a parsed statement that nobody may use."""
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left.extend(node)
        elif isinstance(node, dict):
            left.extend(node.values())
            function = str(node.get("function_name", "")).lower()
            if function in FORBIDDEN or function.startswith(SYSTEM_FUNCTIONS):
                yield function
            if node.get("type") == "BASE_TABLE":
                schema = str(node.get("schema_name", "")).lower()
                table = str(node.get("table_name", "")).lower()
                if schema not in SCHEMAS or table.startswith(SYSTEM):
                    yield f"{schema}.{table}" if schema else table
