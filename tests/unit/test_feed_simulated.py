"""The simulated market is repeatable, plausible, and never at rest."""

import subprocess
import sys
from decimal import Decimal
from itertools import islice, pairwise

import pytest

from schemas.market import MarketEvent, PlaybackMarked, QuoteReceived, TradeReceived
from schemas.wire import encode
from services.feed.simulated import START_NS, START_TICKS, TICK, Simulated, synthetic_quotes
from tests.builders import ALPHA, S_NS
from tests.conftest import ROOT


def some(count: int, seed: int = 1) -> list[MarketEvent]:
    return list(islice(Simulated(seed=seed), count))


def quotes(events: list[MarketEvent]) -> list[QuoteReceived]:
    return [event for event in events if isinstance(event, QuoteReceived)]


@pytest.mark.req("M-01")
def test_the_same_seed_gives_the_same_market() -> None:
    assert some(5_000) == some(5_000)
    assert some(100) != some(100, seed=2)


def test_the_market_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from itertools import islice; from schemas.wire import encode; "
        "from services.feed.simulated import Simulated; "
        "print(b''.join(map(encode, islice(Simulated(), 500))).hex())"
    )
    for hash_seed in ("0", "1"):
        told = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        )
        assert bytes.fromhex(told.stdout) == b"".join(map(encode, some(500)))


def test_one_more_symbol_does_not_change_the_others() -> None:
    few = list(islice(Simulated(symbols=("ALPHA", "BETA")), 5_000))
    more = list(islice(Simulated(symbols=("ALPHA", "BETA", "NEW")), 5_000))
    mine = [e for e in quotes(few) if e.instrument == ALPHA][:1_000]
    assert mine == [e for e in quotes(more) if e.instrument == ALPHA][:1_000]


def test_time_never_goes_back_and_every_symbol_speaks() -> None:
    events = some(20_000)
    assert all(earlier.at_ns <= later.at_ns for earlier, later in pairwise(events))
    assert len({event.instrument for event in quotes(events)}) == 4


def test_every_quote_is_a_market_in_whole_ticks() -> None:
    for each in quotes(some(20_000)):
        assert 0 < each.bid < each.ask
        assert each.bid % TICK == each.ask % TICK == 0
        assert min(each.bid_size, each.ask_size) >= 100


def test_a_trade_takes_what_was_just_quoted() -> None:
    last: dict[str, QuoteReceived] = {}
    trades = 0
    for event in some(20_000):
        if isinstance(event, QuoteReceived):
            last[event.instrument] = event
        elif isinstance(event, TradeReceived):
            trades += 1
            quoted = last[event.instrument]
            side = (quoted.ask, quoted.ask_size), (quoted.bid, quoted.bid_size)
            price, size = side[0] if event.aggressor == "buy" else side[1]
            assert (event.price, event.quantity <= size) == (price, True)
    assert trades > 1_000


def test_the_market_has_bursts_and_silences_shorter_than_stale() -> None:
    times = [event.at_ns for event in quotes(some(100_000)) if event.instrument == ALPHA]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert min(waits) < S_NS // 1_000
    assert S_NS // 2 < max(waits) < 3 * S_NS


@pytest.mark.parametrize("seed", range(5))
def test_an_average_cross_happens_within_seconds_of_any_seed(seed: int) -> None:
    crossed: set[str] = set()
    fast: dict[str, float] = {}
    slow: dict[str, float] = {}
    above: dict[str, bool] = {}
    for each in quotes(some(2_500, seed)):
        assert each.at_ns < START_NS + 15 * S_NS
        price, key = float(each.bid), each.instrument
        fast[key] = fast.get(key, price) + (price - fast.get(key, price)) * 2 / 13
        slow[key] = slow.get(key, price) + (price - slow.get(key, price)) * 2 / 27
        is_above = fast[key] > slow[key]
        if above.setdefault(key, is_above) != is_above:
            crossed.add(key)
    assert len(crossed) == 4


def test_prices_stay_near_where_they_began() -> None:
    for each in quotes(some(100_000)):
        if each.instrument == ALPHA:
            assert abs(each.bid / TICK - START_TICKS[0]) < START_TICKS[0] / 4


def test_after_a_restart_prices_go_on_from_where_they_were() -> None:
    mark = PlaybackMarked(at_ns=1, run="r", position_count=9, prices={ALPHA: Decimal("123.45")})
    market = Simulated()
    resumed = next(e for e in quotes(list(islice(market.after(mark), 50))) if e.instrument == ALPHA)
    assert abs(resumed.bid - Decimal("123.45")) < 1
    assert list(islice(market.after(mark), 50)) != some(50)


def test_events_made_are_counted_by_kind() -> None:
    market = Simulated()
    made = list(islice(market, 100))
    assert market.counts == {
        "quote": len(quotes(made)),
        "trade": 100 - len(quotes(made)),
        "total": 100,
    }


def test_synthetic_quotes_are_repeatable_and_share_their_prices() -> None:
    made = synthetic_quotes(10_000)
    assert made == synthetic_quotes(10_000)
    assert [each.at_ns for each in made[:2]] == [START_NS, START_NS + 1_000_000]
    assert len({id(each.bid) for each in made}) < 1_500
    assert all(each.ask - each.bid == TICK for each in made)
