"""The tables that people query: what each column holds, and how a batch of rows gets into it."""

from typing import NamedTuple

DECIMAL = "DECIMAL(28,10)"
"""Amounts in tables, so that they can be multiplied and summed; `body` has every digit. One that
does not fit is not known here: nothing that somebody publishes may stop the store."""


class Column(NamedTuple):
    """One column."""

    name: str
    kind: str
    """As the store names it."""

    is_number: bool = False
    """Whether it comes as an int, 0 standing for nothing; else as text, empty for nothing."""

    is_zero_known: bool = False
    """Whether a 0 means 0."""

    @property
    def expression(self) -> str:
        """How a batch's column becomes the table's."""
        if self.is_number:
            return self.name if self.is_zero_known else f"nullif({self.name}, 0)"
        if self.kind == "VARCHAR":
            return f"nullif({self.name}, '')"
        return f"TRY_CAST(nullif({self.name}, '') AS {self.kind})"


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "VARCHAR") for name in names)


def _amounts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, DECIMAL) for name in names)


def _times(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, "BIGINT", True) for name in names)


_RECORD = Column("record", "BIGINT", True)
_DAY = Column("day", "DATE")

TABLES: dict[str, tuple[Column, ...]] = {
    "events": (
        _RECORD,
        Column("part", "INTEGER", True, True),
        _DAY,
        *_times("at_ns", "recv_ns"),
        *_texts("type", "component", "stream", "subject"),
        *_texts("account", "session", "instrument", "order_id", "body"),
    ),
    "decisions": (
        _RECORD,
        _DAY,
        *_times("at_ns"),
        *_texts("account", "session", "strategy", "instrument", "signal_id", "order_id"),
        *_texts("outcome", "rule", "detail", "side"),
        *_amounts("quantity", "approved_quantity", "bid", "ask"),
        *_times("took_ns"),
    ),
    "fills": (
        _RECORD,
        _DAY,
        *_times("at_ns", "venue_ns"),
        *_texts("account", "session", "strategy", "instrument", "venue", "order_id"),
        *_texts("execution_id", "side", "liquidity"),
        *_amounts("price", "quantity", "fee", "notional", "cash", "realized"),
    ),
    "marks": (
        _RECORD,
        _DAY,
        *_times("at_ns"),
        *_texts("account"),
        *_amounts("equity", "cash", "high_water_mark", "drawdown"),
    ),
    "alerts": (
        _RECORD,
        _DAY,
        *_times("at_ns"),
        *_texts("severity", "component", "code", "message"),
    ),
}
"""Tables that only grow, by name."""

KEYED: dict[str, tuple[Column, ...]] = {
    "orders": (
        *_texts("order_id"),
        _DAY,
        *_texts("account", "session", "strategy", "instrument", "venue", "signal_id"),
        *_texts("side", "order_type", "time_in_force", "status", "outcome", "rule", "reason"),
        *_amounts("asked", "quantity", "filled", "average_price", "fees"),
        *_amounts("limit_price", "stop_price", "arrival_bid", "arrival_ask", "slippage_bps"),
        Column("fill_count", "BIGINT", True, True),
        Column("is_open", "BOOLEAN"),
        *_times("signal_ns", "decided_ns", "submitted_ns", "accepted_ns"),
        *_times("first_fill_ns", "last_fill_ns", "closed_ns"),
    ),
    "sessions": (
        *_texts("session", "strategy", "account"),
        *_amounts("initial_capital"),
        *_texts("share_class", "execution_mode", "operator", "state", "reason"),
        *_times("created_ns", "changed_ns"),
    ),
    "positions": (
        *_texts("key", "account", "session", "strategy", "instrument"),
        *_amounts("quantity", "average_price", "realized", "fees", "cash", "multiplier", "rate"),
        Column("fill_count", "BIGINT", True, True),
        *_texts("exact"),
    ),
    "prices": (
        *_texts("instrument"),
        *_amounts("price"),
        *_times("at_ns"),
        *_texts("source"),
    ),
    "instruments": (
        *_texts("instrument", "venue", "symbol", "asset_class", "currency", "sector"),
        *_amounts("multiplier", "tick_size", "lot_size"),
        *_texts("exact"),
    ),
    "counts": (
        *_texts("key", "what"),
        Column("day", "DATE"),
        *_texts("name", "component"),
        Column("bucket", "BIGINT", True, True),
        Column("count", "BIGINT", True, True),
    ),
    "folds": _texts("key", "exact"),
}
"""Tables with one row a key, the first column; a newer row takes the place of an older one."""

ALL = {**TABLES, **KEYED}


def create_sql(table: str) -> str:
    """Return the statement that makes a table."""
    columns = ", ".join(f"{each.name} {each.kind}" for each in ALL[table])
    return f"CREATE TABLE IF NOT EXISTS {table} ({columns})"


def insert_sql(table: str, source: str) -> str:
    """Return the statement that takes the rows of a registered batch in."""
    columns = ", ".join(each.expression for each in ALL[table])
    return f"INSERT INTO {table} SELECT {columns} FROM {source}"


def delete_sql(table: str, source: str) -> str:
    """Return the statement that makes room for newer rows of the same keys."""
    key = KEYED[table][0].name
    return f"DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {source})"
