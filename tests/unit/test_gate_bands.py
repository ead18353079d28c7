"""Limit up-limit down: widths by tier and price, reference price, limit state, pause, reopening."""

from decimal import Decimal

import pytest

from services.calendars.calendar import Session
from services.gate.bands_rules import RULES, bands, is_doubled, rule_at
from services.gate.bands_state import BandPhase, LimitBands
from services.gate.config_market import LimitTier
from tests.builders import S_NS, dec, quote
from tests.market_rig import CLOSE_NS, IBM, MINUTE_NS, OPEN_NS, at

DAY = Session(open_ns=OPEN_NS, close_ns=CLOSE_NS, pre_open_ns=OPEN_NS, post_close_ns=CLOSE_NS)
ONE, TWO = LimitTier.ONE, LimitTier.TWO
NOON_NS = at("2025-11-19 12:00")


def state(tier: LimitTier = ONE, closing: str = "100", session: Session = DAY) -> LimitBands:
    """Return the bands of a day, before its first trade."""
    found = LimitBands(tier)
    found.begin(session, dec(closing))
    return found


def quoted(found: LimitBands, bid: str, ask: str, now_ns: int) -> BandPhase:
    found.quoted(quote(bid, ask, at_ns=now_ns, instrument=IBM), now_ns)
    return found.phase_at(now_ns)


def in_limit(now_ns: int = NOON_NS, session: Session = DAY) -> LimitBands:
    """Return bands of 95 to 105 that have just entered a limit state."""
    found = state(session=session)
    found.traded(dec(100), now_ns)
    assert quoted(found, "94.90", "95.00", now_ns) is BandPhase.LIMIT
    return found


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("tier", "closing", "doubled", "wanted"),
    [
        (ONE, "3.01", False, ("95.00", "105.00")),
        (ONE, "3.01", True, ("90.00", "110.00")),
        (TWO, "3.01", False, ("90.00", "110.00")),
        (TWO, "3.01", True, ("80.00", "120.00")),
        (ONE, "3.00", False, ("80.00", "120.00")),
        (TWO, "3.00", False, ("80.00", "120.00")),
        (TWO, "0.75", False, ("80.00", "120.00")),
        (TWO, "0.75", True, ("60.00", "140.00")),
        (TWO, "0.74", False, ("99.85", "100.15")),
        (ONE, "0.74", True, ("99.70", "100.30")),
    ],
)
def test_the_width_is_chosen_by_tier_and_the_close_of_the_day_before(
    tier: LimitTier, closing: str, doubled: bool, wanted: tuple[str, str]
) -> None:
    found = bands(tier, dec(closing), dec(100), doubled=doubled)
    assert tuple(map(str, found)) == wanted


def test_below_75_cents_the_width_is_the_lesser_of_15_cents_and_75_percent() -> None:
    assert bands(TWO, dec("0.10"), dec("0.20"), doubled=False) == (dec("0.05"), dec("0.35"))
    assert bands(TWO, dec("0.10"), dec("0.10"), doubled=False) == (dec("0.03"), dec("0.18"))
    assert bands(TWO, dec("0.10"), dec("0.10"), doubled=True) == (dec("0.00"), dec("0.25"))


def test_bands_are_rounded_to_the_nearest_cent() -> None:
    assert bands(ONE, dec(10), dec("10.01"), doubled=False) == (dec("9.51"), dec("10.51"))


@pytest.mark.parametrize(
    ("day", "name"),
    [
        ("2013-10-07 12:00", "as begun on 8 April 2013"),
        ("2020-02-23 23:59", "as begun on 8 April 2013"),
        ("2020-02-24 00:00", "Amendment 18, in operation since 24 February 2020"),
        ("2025-11-19 12:00", "Amendment 18, in operation since 24 February 2020"),
    ],
)
def test_the_version_of_the_plan_is_the_one_of_that_day(day: str, name: str) -> None:
    assert rule_at(at(day)).name == name


@pytest.mark.parametrize(
    ("rule", "tier", "closing", "minutes", "wanted"),
    [
        (0, ONE, "100", (0, 390), True),
        (0, TWO, "100", (14, 376), True),
        (0, TWO, "100", (15, 375), False),
        (0, TWO, "100", (365, 25), True),
        (1, ONE, "100", (0, 390), False),
        (1, TWO, "1", (14, 376), False),
        (1, ONE, "100", (364, 26), False),
        (1, ONE, "100", (365, 25), True),
        (1, TWO, "3.00", (365, 25), True),
        (1, TWO, "3.01", (365, 25), False),
    ],
)
def test_bands_are_twice_as_wide_when_the_version_says_so(
    rule: int, tier: LimitTier, closing: str, minutes: tuple[int, int], wanted: bool
) -> None:
    since_ns, to_ns = (each * MINUTE_NS for each in minutes)
    assert is_doubled(RULES[rule], tier, dec(closing), since_ns, to_ns) is wanted


def test_a_band_widens_to_the_ns_25_minutes_before_the_close() -> None:
    found, widens_ns = state(), at("2025-11-19 15:35")
    found.traded(dec(100), widens_ns - S_NS)
    assert found.bands_at(widens_ns - 1) == (dec("95.00"), dec("105.00"))
    assert found.bands_at(widens_ns) == (dec("90.00"), dec("110.00"))


def test_on_a_half_day_a_band_widens_at_1235() -> None:
    half = Session(
        open_ns=at("2025-11-28 09:30"),
        close_ns=at("2025-11-28 13:00"),
        pre_open_ns=at("2025-11-28 04:00"),
        post_close_ns=at("2025-11-28 17:00"),
    )
    found, widens_ns = state(session=half), at("2025-11-28 12:35")
    found.traded(dec(100), widens_ns - S_NS)
    assert found.bands_at(widens_ns - 1) == (dec("95.00"), dec("105.00"))
    assert found.bands_at(widens_ns) == (dec("90.00"), dec("110.00"))


def test_the_first_trade_of_the_day_is_the_first_reference_price() -> None:
    found = state()
    assert found.phase_at(OPEN_NS) is BandPhase.BLIND
    found.traded(dec(50), OPEN_NS)
    assert (found.reference, found.phase_at(OPEN_NS)) == (dec(50), BandPhase.NORMAL)


def test_without_a_closing_price_nobody_knows_the_bands() -> None:
    found = LimitBands(ONE)
    found.begin(DAY, None)
    found.traded(dec(100), OPEN_NS)
    assert found.phase_at(OPEN_NS) is BandPhase.BLIND


def test_the_reference_follows_the_mean_of_five_minutes_once_it_is_one_percent_away() -> None:
    found = state()
    found.traded(dec(100), NOON_NS)
    found.traded(dec("101.98"), NOON_NS + 40 * S_NS)  # mean 100.99
    assert found.reference == dec(100)
    found.traded(dec("101.02"), NOON_NS + 41 * S_NS)  # mean 101, 1 % away
    assert found.reference == dec(101)


def test_a_reference_price_stays_for_thirty_seconds() -> None:
    found = state()
    found.traded(dec(100), NOON_NS)
    found.traded(dec(104), NOON_NS + 1)
    assert (found.phase_at(NOON_NS + 30 * S_NS - 1), found.reference) == (
        BandPhase.NORMAL,
        dec(100),
    )
    assert (found.phase_at(NOON_NS + 30 * S_NS), found.reference) == (BandPhase.NORMAL, dec(102))


def test_a_trade_leaves_the_mean_after_five_minutes_to_the_ns() -> None:
    found = state()
    found.traded(dec(100), NOON_NS)
    found.traded(dec("101.50"), NOON_NS + 60 * S_NS)
    ends_ns = NOON_NS + 5 * MINUTE_NS
    assert (found.phase_at(ends_ns - 1), found.reference) == (BandPhase.NORMAL, dec(100))
    assert (found.phase_at(ends_ns), found.reference) == (BandPhase.NORMAL, dec("101.50"))


def test_without_trades_the_reference_price_stays() -> None:
    found = state()
    found.traded(dec(100), NOON_NS)
    assert found.phase_at(NOON_NS + 60 * MINUTE_NS) is BandPhase.NORMAL
    assert found.reference == dec(100)


@pytest.mark.parametrize(
    ("bid", "ask", "wanted"),
    [
        ("99", "101", BandPhase.NORMAL),
        ("94.99", "95.01", BandPhase.STRADDLE),
        ("104.99", "105.01", BandPhase.STRADDLE),
        ("94.90", "95.00", BandPhase.LIMIT),
        ("105.00", "105.10", BandPhase.LIMIT),
        ("0", "95.00", BandPhase.LIMIT),
        ("105.00", "0", BandPhase.LIMIT),
        ("95.00", "95.00", BandPhase.NORMAL),  # locked: nobody is stuck at the band
        ("95.00", "105.00", BandPhase.NORMAL),
        ("nan", "95.00", BandPhase.NORMAL),
    ],
)
def test_the_state_is_read_from_the_best_bid_and_ask(bid: str, ask: str, wanted: BandPhase) -> None:
    found = state()
    found.traded(dec(100), NOON_NS)
    assert quoted(found, bid, ask, NOON_NS) is wanted


@pytest.mark.req("G-05")
def test_a_limit_state_becomes_a_pause_after_fifteen_seconds_and_ends_after_five_minutes() -> None:
    found = in_limit()
    begins_ns = NOON_NS + 15 * S_NS
    ends_ns = begins_ns + 5 * MINUTE_NS
    assert found.due_ns == begins_ns
    assert found.phase_at(begins_ns - 1) is BandPhase.LIMIT
    assert found.phase_at(begins_ns) is BandPhase.PAUSED
    assert found.phase_at(ends_ns - 1) is BandPhase.PAUSED
    assert found.phase_at(ends_ns) is BandPhase.BLIND
    assert (found.pause_from_ns, found.pause_until_ns) == (begins_ns, ends_ns)


def test_after_a_pause_the_reopening_price_is_the_reference() -> None:
    found = in_limit()
    ends_ns = NOON_NS + 15 * S_NS + 5 * MINUTE_NS
    found.traded(dec(90), ends_ns - 1)
    assert (found.phase_at(ends_ns), found.reference) == (BandPhase.BLIND, None)
    found.traded(dec(80), ends_ns)
    assert found.phase_at(ends_ns) is BandPhase.NORMAL
    assert found.bands_at(ends_ns) == (dec("76.00"), dec("84.00"))


def test_a_limit_state_that_is_left_in_time_pauses_nothing() -> None:
    found = in_limit()
    left_ns = NOON_NS + 15 * S_NS - 1
    assert quoted(found, "94.90", "95.01", left_ns) is BandPhase.STRADDLE
    assert found.due_ns is None
    assert found.phase_at(NOON_NS + 60 * S_NS) is BandPhase.STRADDLE


def test_fifteen_seconds_begin_anew_with_each_limit_state() -> None:
    found = in_limit()
    quoted(found, "96", "97", NOON_NS + 14 * S_NS)
    again_ns = NOON_NS + 16 * S_NS
    assert quoted(found, "94.90", "95.00", again_ns) is BandPhase.LIMIT
    assert found.due_ns == again_ns + 15 * S_NS


def test_the_reference_price_stands_still_in_a_limit_state() -> None:
    found = state()
    found.traded(dec(100), NOON_NS - 60 * S_NS)
    assert quoted(found, "94.90", "95.00", NOON_NS) is BandPhase.LIMIT
    found.traded(dec(95), NOON_NS + S_NS)
    assert found.phase_at(NOON_NS + 14 * S_NS) is BandPhase.LIMIT
    assert found.reference == dec(100)
    assert quoted(found, "95.90", "96.00", NOON_NS + 14 * S_NS) is BandPhase.NORMAL
    assert (found.phase_at(NOON_NS + 14 * S_NS), found.reference) == (
        BandPhase.NORMAL,
        dec("97.5"),
    )


@pytest.mark.parametrize(
    ("limit_since", "until"),
    [
        ("15:49:44", "15:54:59"),
        ("15:49:45", "16:00:00"),  # begins ten minutes before the close: no reopening
        ("15:59:44", "16:00:00"),
    ],
)
def test_a_pause_in_the_last_ten_minutes_lasts_until_the_close(
    limit_since: str, until: str
) -> None:
    since_ns = at(f"2025-11-19 {limit_since}")
    found = state(closing="100")
    found.traded(dec(100), since_ns)
    assert quoted(found, "89.00", "90.00", since_ns) is BandPhase.LIMIT
    assert found.phase_at(since_ns + 15 * S_NS) is BandPhase.PAUSED
    assert found.pause_until_ns == at(f"2025-11-19 {until}")


def test_published_bands_win_over_computed_ones_for_the_rest_of_the_day() -> None:
    found = state()
    found.traded(dec(100), NOON_NS)
    found.publish(dec(90), dec(92), NOON_NS)
    assert found.bands_at(NOON_NS) == (dec(90), dec(92))
    assert quoted(found, "91", "91.50", NOON_NS) is BandPhase.NORMAL
    tomorrow = Session(
        open_ns=at("2025-11-20 09:30"),
        close_ns=at("2025-11-20 16:00"),
        pre_open_ns=at("2025-11-20 04:00"),
        post_close_ns=at("2025-11-20 20:00"),
    )
    found.begin(tomorrow, dec(100))
    assert found.phase_at(tomorrow.open_ns) is BandPhase.BLIND


@pytest.mark.parametrize(("lower", "upper"), [("95", "94"), ("-1", "5"), ("0", "0"), ("1", "inf")])
def test_bands_that_cannot_be_are_not_taken(lower: str, upper: str) -> None:
    found = state()
    found.publish(Decimal(lower), Decimal(upper), NOON_NS)
    assert found.published is None


def test_two_pauses_that_meet_are_one_that_ends_with_the_later() -> None:
    found = state()
    found.pause(NOON_NS, NOON_NS + 100)
    found.pause(NOON_NS + 50, NOON_NS + 80)
    assert (found.pause_from_ns, found.pause_until_ns) == (NOON_NS, NOON_NS + 100)
    found.pause(NOON_NS + 60, NOON_NS + 200)
    assert (found.pause_from_ns, found.pause_until_ns) == (NOON_NS, NOON_NS + 200)


def test_prices_that_are_no_prices_make_no_reference() -> None:
    found = state()
    for odd in ("0", "-1", "nan", "inf"):
        found.traded(Decimal(odd), NOON_NS)
    assert found.phase_at(NOON_NS) is BandPhase.BLIND
