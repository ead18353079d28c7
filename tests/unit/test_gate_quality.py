"""Market data that is stale, crossed, locked, no number, or has jumped is not traded on."""

from typing import Any

import msgspec
import pytest

from schemas.market import QuoteReceived
from services.gate.config_market import DEFAULT, LockedMarket, MarketRules, row_of
from services.gate.data_quality import WINDOW_NS, ClockWatch, JumpWatch
from tests.builders import ALPHA, BETA, MS_NS, S_NS, dec, quote
from tests.gate_rig import NOW_NS, Rig, book, config, reading

ODD = ["0", "-1", "nan", "inf", "-inf", "1e15"]


def rig(**more: Any) -> Rig:
    """Return a gate that watches jumps of 5 % and wants three quotes to believe one."""
    chosen = {"jump_bps_max": dec(500), "jump_quotes_min": 3, "spread_bps_max": dec(9_999)}
    found = Rig(config(**(chosen | more)))
    found.quote()
    found.quote()
    return found


def watched(*middles: str, quotes_min: int = 3) -> JumpWatch:
    """Return a watch of 5 % that has seen quotes of these prices."""
    watch = JumpWatch(dec(500), quotes_min)
    for middle in middles:
        watch.quoted(quote(middle, middle))
    return watch


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("side", ["bid", "ask"])
def test_a_side_that_is_no_price_is_no_market(odd: str, side: str) -> None:
    found = rig()
    bid, ask = (odd, "100.00") if side == "bid" else ("99.90", odd)
    found.quote(bid, ask)
    read = reading(found.decide(found.signal()), "market_sane")
    assert (read.is_ok, read.value) == (False, f"{dec(bid)}/{dec(ask)}")


@pytest.mark.parametrize(
    ("bid", "ask", "locked", "wanted"),
    [
        ("100.00", "99.99", LockedMarket.ALLOW, "market_sane"),
        ("100.00", "100.00", LockedMarket.ALLOW, "all"),
        ("100.00", "100.00", LockedMarket.DENY, "market_locked"),
        ("100.00", "100.00", None, "limit_missing"),
        ("99.99", "100.00", LockedMarket.DENY, "all"),
        ("99.99", "100.00", None, "all"),
    ],
)
def test_a_crossed_market_is_never_traded_and_a_locked_one_as_chosen(
    bid: str, ask: str, locked: LockedMarket | None, wanted: str
) -> None:
    found = rig(locked_market=locked)
    found.quote(bid, ask)
    assert found.rule() == wanted


@pytest.mark.parametrize(
    ("prices", "accepted", "suspect"),
    [
        (("100",), None, "100"),
        (("100", "100"), None, "100"),
        (("100", "100", "100"), "100", None),
        (("100", "105", "110"), "110", None),  # each is near the one before
        (("100", "200", "200"), None, "200"),
        (("100", "100", "100", "105"), "105", None),
        (("100", "100", "100", "105.01"), "100", "105.01"),
        (("100", "100", "100", "95"), "95", None),
        (("100", "100", "100", "94.99"), "100", "94.99"),
        (("100", "100", "100", "120", "100"), "100", None),
        (("100", "100", "100", "120", "121"), "100", "121"),
        (("100", "100", "100", "120", "121", "122"), "122", None),
        (("100", "100", "100", "120", "140", "140"), "100", "140"),
        (("100", "100", "100", "120", "nan", "120", "120"), "100", "120"),
    ],
)
def test_a_jump_is_believed_after_so_many_quotes_in_a_row(
    prices: tuple[str, ...], accepted: str | None, suspect: str | None
) -> None:
    watch = watched(*prices)
    wanted = None if accepted is None else dec(accepted) * 2
    assert (watch.accepted, watch.suspect) == (
        wanted,
        None if suspect is None else dec(suspect) * 2,
    )
    assert bool(watch.objection()) == (suspect is not None)


def test_the_gate_denies_until_a_jump_is_confirmed() -> None:
    found = rig()
    assert found.rule("a") == "all"
    found.quote("120.00", "120.00")
    read = reading(found.decide(found.signal("b")), "market_jump")
    assert (read.is_ok, read.value, read.limit) == (
        False,
        "2006.0 from 99.95 to 120.00, confirmed by 1 of 3 quotes",
        "500",
    )
    found.quote("120.00", "120.00")
    assert found.rule("c") == "market_jump"
    found.quote("120.00", "120.00")
    assert found.rule("d") == "all"


def test_before_the_first_price_is_confirmed_nothing_passes() -> None:
    found = Rig(config(jump_bps_max=dec(500), jump_quotes_min=2))
    read = reading(found.decide(found.signal("a")), "market_jump")
    assert read.value == "first price 99.95, confirmed by 1 of 2 quotes"
    found.quote()
    assert found.rule("b") == "all"


def test_one_instruments_jump_is_nothing_to_another() -> None:
    found = rig()
    for _ in range(3):
        found.quote(instrument=BETA)
    found.quote("150", "150", instrument=BETA)
    assert [found.rule("a"), found.rule("b", instrument=BETA)] == ["all", "market_jump"]


def test_a_restart_wants_prices_confirmed_anew() -> None:
    found = rig()
    found.restart()
    found.tell(book(at_ns=found.now_ns))
    found.quote()
    assert found.rule("a") == "market_jump"


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        ({"jump_bps_max": None}, "jump_bps_max"),
        ({"jump_quotes_min": None}, "jump_quotes_min"),
        ({"clock_offset_ms_max": None}, "clock_offset_ms_max"),
    ],
)
def test_what_nobody_has_chosen_denies_and_says_where(chosen: dict[str, Any], wanted: str) -> None:
    decided = rig(**chosen).decide(Rig().signal())
    assert (decided.rule, decided.detail) == (
        "limit_missing",
        f'no limit {wanted}: set gate.market."sim:ALPHA".{wanted} or gate.market.default.{wanted}',
    )


def test_where_jumps_are_not_watched_no_quote_is_looked_at() -> None:
    assert QuoteReceived not in Rig(config()).gate.state.quality.hears
    assert QuoteReceived in rig().gate.state.quality.hears


@pytest.mark.parametrize(
    ("delay_ms", "wanted"), [(50, "all"), (51, "market_clock"), (-50, "all"), (-51, "market_clock")]
)
def test_the_clock_may_be_off_by_the_limit_either_way(delay_ms: int, wanted: str) -> None:
    found = Rig(config(clock_offset_ms_max=50))
    told = quote("99.90", "100.00", at_ns=NOW_NS)
    found.tell(msgspec.structs.replace(told, venue_ns=NOW_NS - delay_ms * MS_NS))
    read = reading(found.decide(found.signal()), "market_clock")
    assert (read.is_ok, read.value, read.limit) == (wanted == "all", str(delay_ms), "50")


def test_a_venue_that_gives_no_time_denies_where_a_limit_is_set() -> None:
    found = Rig(config(clock_offset_ms_max=50))
    read = reading(found.decide(found.signal()), "market_clock")
    assert (read.is_ok, read.value) == (False, "the venue gives no time")


def test_the_offset_is_the_least_delay_of_one_to_two_windows() -> None:
    watch = ClockWatch()
    begin_ns = 10 * WINDOW_NS
    for delay_ms, second in ((70, 0), (20, 1), (90, 2)):
        now_ns = begin_ns + second * S_NS
        stamped = msgspec.structs.replace(quote(), venue_ns=now_ns - delay_ms * MS_NS)
        watch.quoted(stamped, now_ns)
    assert watch.offset_ns(begin_ns + 2 * S_NS) == 20 * MS_NS
    later_ns = begin_ns + WINDOW_NS
    watch.quoted(msgspec.structs.replace(quote(), venue_ns=later_ns - 80 * MS_NS), later_ns)
    assert watch.offset_ns(later_ns) == 20 * MS_NS
    last_ns = begin_ns + 2 * WINDOW_NS
    assert watch.offset_ns(last_ns) == 80 * MS_NS
    watch.quoted(msgspec.structs.replace(quote(), venue_ns=last_ns), last_ns)
    assert watch.offset_ns(last_ns) == 0
    assert watch.offset_ns(last_ns + 2 * WINDOW_NS) is None


def test_an_own_row_comes_before_the_default_one_field_by_field() -> None:
    rows = {
        DEFAULT: MarketRules(jump_bps_max=dec(1), jump_quotes_min=2),
        ALPHA: MarketRules(jump_bps_max=dec(7), locked_market=LockedMarket.DENY),
    }
    assert row_of(rows, ALPHA) == MarketRules(
        jump_bps_max=dec(7), jump_quotes_min=2, locked_market=LockedMarket.DENY
    )
    assert row_of(rows, BETA) == rows[DEFAULT]
    assert row_of({}, BETA) == MarketRules()


@pytest.mark.parametrize(
    "row", [{"jump_bps_max": "-1"}, {"jump_quotes_min": 0}, {"clock_offset_ms_max": -1}]
)
def test_a_rule_that_cannot_be_is_refused_by_name(row: dict[str, Any]) -> None:
    [name] = row
    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.convert(row, MarketRules)
