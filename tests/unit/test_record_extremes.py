"""Whatever number an event carries, the query store goes on, and so does every later event."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from msgspec.structs import replace

from schemas.base import Event
from schemas.errors import StateError
from schemas.executions import OrderFilled, OrderSubmitted
from schemas.orders import OrderApproved, OrderType, SignalDecided
from schemas.reports import QueryRequest
from schemas.subjects import subject_of
from schemas.wire import encode
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import REBUILD, STORE_FOLDER, Keeper
from services.recorder.queries.making import RECORD_FOLDER, chain_records
from services.recorder.queries.named import NAMED
from services.recorder.queries.store import Store
from services.recorder.queries.tables import ALL
from tests.builders import ACCOUNT, S_NS, dec, instrument
from tests.report_rig import BEGIN_NS, NOON_NS, Life, Recorded, a_day, created, marked, terms

pytestmark = pytest.mark.req("R-04")

HUGE, TINY = "1E+19", "1E-30"
LARGEST = "999999999999999999.9999999999"
VALUES = {
    HUGE: None,
    "-1E+19": None,
    "1" + "0" * 400: None,
    "1E+9000": None,
    "NaN": None,
    TINY: Decimal("0E-10"),
    LARGEST: Decimal(LARGEST),
    f"-{LARGEST}": Decimal(f"-{LARGEST}"),
}
"""What comes, and what the column holds: nothing where it does not fit."""


def extreme(value: str) -> Iterator[Event]:
    """Yield one event of every kind that has an amount, each with this one in all its amounts."""
    each = dec(value)
    traded = replace(instrument(), multiplier=each, tick_size=each, lot_size=each)
    yield replace(terms(), instruments=(traded,))
    yield replace(created(), initial_capital=each)
    life = Life("odd")
    amounts = {"quantity": each, "limit_price": each, "stop_price": each}
    order = replace(life.order, order_type=OrderType.STOP_LIMIT, **amounts)
    found: list[Any] = [*life.opened(), life.filled("1", "1")]
    for event in found:
        if isinstance(event, SignalDecided):
            event = replace(event, quantity=each, approved_quantity=each, bid=each, ask=each)
        elif isinstance(event, OrderApproved | OrderSubmitted):
            event = replace(event, order=order)
        elif isinstance(event, OrderFilled):
            event = replace(event, price=each, quantity=each, fee=each, leaves=each)
        yield event
    yield replace(
        marked(NOON_NS + 1, "1"),
        equity=each,
        cash=each,
        high_water_mark=each,
        drawdown=each,
        marks={instrument().id: each},
    )


def feeding(recorded: Recorded) -> Keeper:
    keeper = Keeper(recorded.data_dir, ReportsConfig(delay_s=0), ACCOUNT)
    keeper.is_wanted = True
    return keeper


def told(keeper: Keeper, sql: str) -> Any:
    return keeper.ask(QueryRequest(sql=sql)).rows


def everything(keeper: Keeper) -> dict[str, list[Any]]:
    return {name: sorted(map(repr, told(keeper, f"SELECT * FROM {name}"))) for name in ALL}


@pytest.mark.parametrize("value", VALUES)
def test_the_store_goes_on_after_any_amount_and_is_rebuilt_the_same(
    tmp_path: Path, value: str
) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(*extreme(value))
    keeper = feeding(recorded)
    assert keeper.feed(0).detail == ""
    recorded.add(terms(), *a_day(days_later=1))  # whatever came before
    mark = keeper.feed(0)
    count = len(list(chain_records(tmp_path / RECORD_FOLDER)))
    assert (mark.detail, mark.recorded_count, mark.lag_bytes) == ("", count, 0)
    before = everything(keeper)
    (tmp_path / STORE_FOLDER / REBUILD).touch()
    assert keeper.feed(0).detail == ""
    assert everything(keeper) == before
    keeper.close()


DIRECT = {
    "decisions": ("quantity", "approved_quantity", "bid", "ask"),
    "marks": ("equity", "cash", "high_water_mark", "drawdown"),
    "sessions": ("initial_capital",),
    "instruments": ("multiplier", "tick_size", "lot_size"),
    "orders": ("limit_price", "stop_price"),
}
"""Columns that hold what an event says, as it says it."""


@pytest.mark.parametrize("value", VALUES)
def test_an_amount_that_does_not_fit_is_empty_and_its_event_has_every_digit(
    tmp_path: Path, value: str
) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(*extreme(value))
    keeper = feeding(recorded)
    assert keeper.feed(0).detail == ""
    store = keeper._store
    assert store is not None
    for table, columns in DIRECT.items():
        [row] = store.values(f"SELECT {', '.join(columns)} FROM {table}")
        assert row == (VALUES[value],) * len(columns), table
    sql = "SELECT json_extract_string(body, '$.quantity') FROM events WHERE type = 'SignalDecided'"
    assert told(keeper, sql) == ((str(dec(value)),),)
    keeper.close()


def test_an_execution_of_any_amount_leaves_the_fills_of_others_alone(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(terms(), created(), *(e for e in extreme(HUGE) if isinstance(e, OrderFilled)))
    recorded.add(*a_day())
    keeper = feeding(recorded)
    assert keeper.feed(0).detail == ""
    rows = told(keeper, "SELECT price, quantity, fee, notional FROM fills ORDER BY record")
    assert rows == (
        (None, None, None, None),
        ("101", "6", "1", "606"),
        ("101", "4", "0.5", "404"),
        ("110", "4", "0.4", "440"),
    )
    keeper.close()


@pytest.mark.parametrize("at_ns", [2**63, 10**30, -(10**30), -1])
def test_a_time_that_is_none_stops_nothing(tmp_path: Path, at_ns: int) -> None:
    recorded = Recorded(tmp_path)
    decided = replace(Life().decided, at_ns=at_ns, took_ns=at_ns)
    recorded.add_bytes([(subject_of(decided), BEGIN_NS, encode(decided))])
    recorded.add(marked(BEGIN_NS + S_NS, "5"))
    keeper = feeding(recorded)
    assert keeper.feed(0).detail == ""
    assert told(keeper, "SELECT equity FROM marks") == (("5",),)
    kept = -1 if at_ns == -1 else None
    assert told(keeper, "SELECT at_ns, took_ns FROM decisions") == ((kept, kept),)
    keeper.close()


@pytest.mark.parametrize("value", VALUES)
def test_named_queries_are_answered_whatever_was_recorded(tmp_path: Path, value: str) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(*extreme(value), terms(), *a_day())
    keeper = feeding(recorded)
    assert keeper.feed(0).detail == ""
    errors = {name: keeper.ask(QueryRequest(named=name)).error for name in NAMED}
    assert errors == dict.fromkeys(NAMED)
    keeper.close()


def test_a_position_of_a_hundred_million_has_a_profit(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    life = Life("large", quantity="5000000")
    recorded.add(terms(), created(), *life.opened(), life.filled("2500", "5000000"))
    recorded.add(marked(NOON_NS + S_NS, "1", "2501"))
    keeper = feeding(recorded)
    assert keeper.feed(0).detail == ""
    [row] = keeper.ask(QueryRequest(named="pnl_by_session")).rows
    assert row[-1] == "5000000"
    keeper.close()


def test_the_error_of_a_failed_batch_is_told_and_not_what_it_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    sql = "INSERT INTO marks (record) SELECT CAST(account AS BIGINT) FROM batch"
    monkeypatch.setattr("services.recorder.queries.store.insert_sql", lambda *_: sql)
    recorded = Recorded(tmp_path)
    recorded.add(marked(BEGIN_NS, "1"))
    for record in chain_records(tmp_path / RECORD_FOLDER):
        store.rows.add(record)
    with pytest.raises(StateError) as caught:
        store.commit()
    assert "Could not convert string 'paper'" in caught.value.fields["found"]
    assert "room on the disk" not in caught.value.fields["wanted"]
    assert isinstance(caught.value.__cause__, duckdb.ConversionException)
    store.close()
