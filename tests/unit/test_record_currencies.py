"""Profit in several currencies is summed in the account's, or is not known."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas.base import Event
from schemas.executions import OrderFilled
from schemas.reports import QueryRequest, TermsDeclared
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.keeper import Keeper
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, instrument
from tests.report_rig import BEGIN_NS, DAY, NOON_NS, Life, Recorded, created, marked, terms

pytestmark = pytest.mark.req("R-03", "R-04")


def declared(at_ns: int = BEGIN_NS, **values: str) -> TermsDeclared:
    """An account in USD that trades ALPHA in USD and BETA in JPY."""
    both = (instrument(ALPHA), replace(instrument(BETA), currency="JPY"))
    known = {name: dec(value) for name, value in values.items()}
    return replace(terms(at_ns), instruments=both, currency_values=known)


def traded() -> Iterator[Event]:
    """Yield ten bought of each at 100, for 2 each; then ALPHA is worth 110, and BETA 600."""
    yield created()
    for number, key in enumerate((ALPHA, BETA)):
        life = Life(f"sig{number}", at_ns=NOON_NS + number * S_NS)
        fill = replace(life.filled("100", "10", fee="2"), execution_id=f"e{number}")
        yield replace(fill, instrument=key)
    prices = {ALPHA: dec(110), BETA: dec(600)}
    yield replace(marked(NOON_NS + 9 * S_NS, "100000"), marks=prices)


def sold() -> Iterator[OrderFilled]:
    """Yield the sale of both at 200, without a fee."""
    for number, fill in enumerate(each for each in traded() if isinstance(each, OrderFilled)):
        sale = {"side": "sell", "price": dec(200), "fee": dec(0), "execution_id": f"s{number}"}
        yield replace(fill, **sale)


def asked(folder: Path, *names: str) -> list[list[tuple[object, ...]]]:
    """Return the answers to queries, in a process of their own."""
    keeper = Keeper(folder, ReportsConfig(), ACCOUNT)
    try:
        keeper.is_wanted = True
        assert keeper.feed(0).detail == ""
        return [list(keeper.ask(QueryRequest(named=name)).rows) for name in names]
    finally:
        keeper.close()


def test_profit_of_a_book_is_in_the_accounts_currency(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(declared(JPY="0.01"), *traded())
    [[book], [day]] = asked(tmp_path, "pnl_by_book", "pnl_by_day")
    assert book == (ACCOUNT, 2, 2, "0", "2.02", "147.98"), "100 - 2, and 5,000 - 2 of a hundredth"
    assert day == (DAY, ACCOUNT, 2, "0", "2.02", "1010")


def test_a_currency_of_unknown_worth_makes_the_sum_unknown(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(declared(), *traded(), *sold())
    found = asked(tmp_path, "pnl_by_instrument", "pnl_by_book", "pnl_by_day")
    assert found == [
        [(ALPHA, 0, 2, "1000", "2", "998"), (BETA, 0, 2, None, None, None)],
        [(ACCOUNT, 0, 4, None, None, None)],
        [(DAY, ACCOUNT, 4, None, None, None)],
    ]


@pytest.mark.parametrize("is_reopened", [False, True])
def test_a_worth_that_is_declared_anew_counts_for_what_is_held(
    tmp_path: Path, is_reopened: bool
) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(declared(JPY="0.5"), *traded())
    if is_reopened:
        asked(tmp_path, "pnl_by_book")
    recorded.add(declared(NOON_NS + 10 * S_NS, JPY="0.01"))
    assert asked(tmp_path, "pnl_by_book") == [[(ACCOUNT, 2, 2, "0", "2.02", "147.98")]]


def test_what_was_declared_before_a_restart_counts_for_what_is_held_after_it(
    tmp_path: Path,
) -> None:
    recorded, events = Recorded(tmp_path), list(traded())
    recorded.add(declared(JPY="0.01"), events[0])
    asked(tmp_path, "pnl_by_book")
    recorded.add(*events[1:])
    assert asked(tmp_path, "pnl_by_book") == [[(ACCOUNT, 2, 2, "0", "2.02", "147.98")]]


@pytest.mark.parametrize("spoilt", ['"currency":7', '"currency_values":{"JPY":"sNaN"}'])
def test_terms_that_nobody_can_read_keep_nobody_from_asking_later(
    tmp_path: Path, spoilt: str
) -> None:
    recorded = Recorded(tmp_path)
    recorded.add(declared(JPY="0.01"), *traded())
    said = f'{{"type":"TermsDeclared","at_ns":{NOON_NS},"account":"{ACCOUNT}",{spoilt}}}'
    recorded.add_bytes([("terms.paper", NOON_NS, said.encode())])
    told = [asked(tmp_path, "pnl_by_book") for _ in range(2)]
    assert told == [[[(ACCOUNT, 2, 2, "0", "2.02", "147.98")]]] * 2
