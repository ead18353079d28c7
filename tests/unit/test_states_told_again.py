"""Whoever lost the bus for a moment hears again, each second, what holds: and knows until then."""

from typing import Any

import msgspec
import pytest

from schemas.base import InstrumentId
from schemas.control import EpochStarted
from schemas.health import LinkChanged
from schemas.market import (
    InstrumentStatusChanged,
    MarketEvent,
    StatesTold,
    TradeReceived,
    Trading,
)
from schemas.market_rules import (
    MarketRule,
    MarketRuleInvoked,
    MarketWideHaltDeclared,
    ShortSaleRestrictionChanged,
)
from services.core import tell
from services.feed.core import FeedCore, FeedPlan
from services.feed.told import LOWS_NS
from services.gate.config_market import MarketWide, ShortSaleRule
from services.gate.data_quality import DataQuality
from tests.builders import ALPHA, BETA, S_NS, dec, quote
from tests.feed_builders import read
from tests.gate_rig import Rig, book, reading
from tests.market_rig import IBM, MINUTE_NS, SPX, MarketRig, at
from tests.unit.test_gate_market_restart import (
    NOON_NS,
    SELL,
    asked,
    following,
    restarted,
    shorted,
    sold,
    without_the_bus,
)

pytestmark = pytest.mark.req("G-05", "M-05")

NOW = 1_000 * S_NS
GONE_NS, BACK_NS = NOON_NS + S_NS, NOON_NS + S_NS + 100_000_000
"""The bus is away for a tenth of a second."""


def feed() -> FeedCore:
    return FeedCore(FeedPlan(source="test", stale_after_ns=5 * S_NS))


def states(said: Any) -> list[StatesTold]:
    return [each for each in said if isinstance(each, StatesTold)]


def status(trading: Trading, at_ns: int = NOW) -> InstrumentStatusChanged:
    return InstrumentStatusChanged(at_ns=at_ns, instrument=ALPHA, trading=trading)


def traded(price: str, at_ns: int = NOW) -> TradeReceived:
    return TradeReceived(at_ns=at_ns, instrument=ALPHA, price=dec(price), quantity=dec(1))


def test_the_feed_says_each_second_what_holds() -> None:
    core = feed()
    halt = MarketWideHaltDeclared(at_ns=NOW, market="XNYS", level=1, resumes_ns=NOW + 2 * S_NS)
    word = ShortSaleRestrictionChanged(at_ns=NOW, instrument=ALPHA, is_restricted=True)
    news: list[MarketEvent] = [quote(), quote(instrument=BETA), status(Trading.HALTED), halt, word]
    assert states(tell(core, read(*news, traded("9"), traded("8")), NOW)) == []
    told = StatesTold(
        at_ns=NOW + S_NS,
        source="test",
        since_ns=NOW,
        trading={ALPHA: Trading.HALTED, BETA: Trading.OPEN},
        halts=(halt,),
        restrictions=(word,),
        lows={ALPHA: dec(8)},
        lows_since_ns=NOW,
    )
    assert states(tell(core, read(traded("9"), position=2), NOW + S_NS)) == [told]
    assert states(tell(core, read(quote(), position=3), NOW + 2 * S_NS - 1)) == []
    [later] = states(tell(core, read(quote(), position=4), NOW + 2 * S_NS))
    assert later.halts == (), "it is over by its own word"
    silent = tell(core, read(quote(), position=5), NOW + 6 * S_NS)
    assert states(silent)[0].trading == {ALPHA: Trading.HALTED, BETA: Trading.UNKNOWN}


def test_a_feed_whose_own_bus_was_away_says_it_at_once() -> None:
    core, back = feed(), LinkChanged(at_ns=NOW, is_up=True)
    assert list(tell(core, back, NOW)) == [back], "nothing is known yet"
    tell(core, read(quote()), NOW)
    assert [type(each) for each in tell(core, back, NOW + 1)] == [LinkChanged, StatesTold]
    gone = LinkChanged(at_ns=NOW, is_up=False)
    assert list(tell(core, gone, NOW + 2)) == [gone]


def test_lows_are_forgotten_after_two_windows_and_it_is_said_since_when_they_are_known() -> None:
    core = feed()
    found = []
    for number, price in enumerate(("7", "9", "8")):
        now_ns = NOW + number * LOWS_NS
        tell(core, read(traded(price, now_ns), position=2 * number), now_ns)
        said = tell(core, read(quote(), position=2 * number + 1), now_ns + S_NS)
        found += [(each.lows, each.lows_since_ns) for each in states(said)[-1:]]
    assert found == [
        ({ALPHA: dec(7)}, NOW),
        ({ALPHA: dec(7)}, NOW),
        ({ALPHA: dec(8)}, NOW + LOWS_NS),
    ]


def cut_off(rig: Rig) -> None:
    """Let the gate lose the bus for a moment, and come back with a book and a quote."""
    rig.tell(LinkChanged(at_ns=rig.now_ns, is_up=False))
    rig.tell(LinkChanged(at_ns=rig.now_ns, is_up=True))
    rig.tell(book(at_ns=rig.now_ns))
    rig.quote()


def known_open() -> Rig:
    rig = Rig()
    rig.tell(status(Trading.OPEN, rig.now_ns))
    assert rig.rule("before") == "all"
    return rig


def told(rig: Rig, **trading: Trading) -> None:
    named = {InstrumentId(f"sim:{key}"): each for key, each in trading.items()}
    rig.tell(StatesTold(at_ns=rig.now_ns, source="test", since_ns=1, trading=named))


def test_a_gate_that_missed_a_halt_lets_nothing_through() -> None:
    rig = known_open()
    cut_off(rig)
    read_off = reading(rig.decide(rig.signal("a")), "instrument_open")
    assert (read_off.is_ok, read_off.value) == (False, "unknown")
    told(rig, BETA=Trading.OPEN)
    assert rig.rule("of another") == "instrument_open"
    told(rig, ALPHA=Trading.HALTED)
    assert reading(rig.decide(rig.signal("b")), "instrument_open").value == "halted"
    told(rig, ALPHA=Trading.OPEN)
    assert rig.rule("c") == "all"


def test_without_the_doubt_what_is_halted_is_traded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DataQuality, "_doubt", lambda self: None)
    rig = known_open()
    cut_off(rig)
    assert rig.rule("a") == "all"


def test_where_nobody_says_what_is_open_a_lost_bus_closes_nothing() -> None:
    rig = Rig()
    cut_off(rig)
    assert rig.rule("a") == "all"


def after_a_restart(rig: Rig) -> Rig:
    rig.restart()
    rig.tell(book(at_ns=rig.now_ns))
    rig.quote()
    return rig


def test_a_gate_that_was_not_there_takes_nothing_for_open_that_was_open_before() -> None:
    rig = after_a_restart(known_open())
    read_off = reading(rig.decide(rig.signal("a")), "instrument_open")
    assert (read_off.is_ok, read_off.value) == (False, "unknown")
    told(rig, ALPHA=Trading.OPEN)
    assert rig.rule("b") == "all"


def test_what_is_halted_stays_so_over_a_restart() -> None:
    rig = known_open()
    rig.tell(status(Trading.HALTED, rig.now_ns))
    after_a_restart(rig)
    assert reading(rig.decide(rig.signal("a")), "instrument_open").value == "halted"


def test_a_halt_that_was_told_only_again_is_not_forgotten_with_the_process() -> None:
    rig = known_open()
    cut_off(rig)
    told(rig, ALPHA=Trading.HALTED)
    assert after_a_restart(rig).rule("a") == "instrument_open"


def test_what_is_open_is_said_at_a_start_to_a_gate_that_is_new() -> None:
    core = feed()
    started = EpochStarted(at_ns=NOW, epoch=1, start_id="s", operator="kim", members={})
    assert states(tell(core, started, NOW)) == [], "nothing is known yet"
    tell(core, read(quote()), NOW)
    rig = after_a_restart(known_open())
    [said] = states(tell(core, started, NOW + 1))
    rig.tell(said)
    assert rig.rule("a") == "all"


def know(found: MarketRig, since_ns: int = NOON_NS - 5 * MINUTE_NS, **more: Any) -> None:
    """Let the feed, which was there, say again what holds; then let the gate keep what follows."""
    more.setdefault("trading", {IBM: Trading.OPEN, SPX: Trading.OPEN})
    more.setdefault("since_ns", since_ns)
    found.tell(StatesTold(at_ns=found.now_ns, source="test", lows_since_ns=since_ns, **more))
    found.go(found.now_ns)


def test_a_bus_that_was_away_for_a_moment_restricts_short_sales_no_longer_than_that() -> None:
    found = shorted()
    without_the_bus(found, GONE_NS, BACK_NS)
    assert sold(found, "a") == "short_sale"
    know(found, lows={IBM: dec("90.01")})
    assert sold(found, "b") == "all"
    restarted(found, BACK_NS)
    know(found)
    assert sold(found, "c") == "all"


def test_that_it_was_found_out_outlasts_a_restart() -> None:
    found = shorted()
    without_the_bus(found, GONE_NS, BACK_NS)
    know(found)
    kept = [each for each in found.kept if isinstance(each, MarketRuleInvoked)]
    assert [each.until_ns for each in kept if each.instrument == IBM] == [
        at("2025-11-20 20:00"),
        BACK_NS,
    ]
    found.now_ns = at("2025-11-19 16:30")
    found.close("100", day="2025-11-19 16:00")
    restarted(found, at("2025-11-20 09:00"))
    found.go(at("2025-11-20 12:00"))
    assert sold(found, "a") == "all"


def test_a_fall_while_the_bus_was_away_is_found() -> None:
    found = shorted()
    without_the_bus(found, GONE_NS, BACK_NS)
    know(found, lows={IBM: dec(90)})
    until_ns = at("2025-11-20 20:00")
    found.quote()
    read_off = reading(found.ask("a", side=SELL), "short_sale")
    assert read_off.value == f"None; short sales restricted until {until_ns} ns"
    kept = [each for each in found.kept if isinstance(each, MarketRuleInvoked)]
    assert kept[-1] == MarketRuleInvoked(
        at_ns=BACK_NS,
        rule=MarketRule.SHORT_SALE,
        instrument=IBM,
        from_ns=BACK_NS,
        until_ns=until_ns,
        price=dec(90),
    )


@pytest.mark.parametrize(
    "more",
    [
        {"since_ns": GONE_NS - MINUTE_NS + 1},
        {"trading": {SPX: Trading.OPEN}},
        {
            "restrictions": (
                ShortSaleRestrictionChanged(at_ns=GONE_NS, instrument=IBM, is_restricted=True),
            )
        },
    ],
    ids=["it came too late", "it is another's", "the listing market restricts"],
)
def test_a_feed_that_does_not_know_better_leaves_the_restriction(more: dict[str, Any]) -> None:
    found = shorted()
    without_the_bus(found, GONE_NS, BACK_NS)
    know(found, **more)
    assert sold(found, "a") == "short_sale"


def test_without_a_closing_price_nobody_knows_whether_it_fell() -> None:
    found = MarketRig(NOON_NS, short_sale_rule=ShortSaleRule.RULE_201)
    without_the_bus(found, GONE_NS, BACK_NS)
    know(found, lows={IBM: dec(90)})
    found.close("100")
    assert sold(found, "a") == "short_sale"
    know(found, lows={IBM: dec(91)})
    assert sold(found, "b") == "all"


def test_a_market_goes_on_once_the_feed_has_said_that_no_halt_was_declared() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    without_the_bus(found, GONE_NS, BACK_NS)
    assert asked(found, "a")[0] is False
    know(found, trading={SPX: Trading.OPEN})
    assert asked(found, "of another")[0] is False
    know(found, since_ns=GONE_NS)
    assert asked(found, "not there for it")[0] is False
    know(found)
    assert asked(found, "b") == (True, "")


def test_a_halt_that_was_declared_while_the_bus_was_away_holds() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    without_the_bus(found, GONE_NS, BACK_NS)
    resumes_ns = GONE_NS + 15 * MINUTE_NS
    halt = MarketWideHaltDeclared(at_ns=GONE_NS, market="XNYS", level=1, resumes_ns=resumes_ns)
    know(found, halts=(halt,))
    assert asked(found, "a") == (False, f"halted, level 1, until {resumes_ns} ns")
    found.go(resumes_ns)
    assert asked(found, "b") == (True, "")


@pytest.mark.parametrize(
    ("low", "wanted"), [("931", ""), ("930", f"halted, level 1, until {BACK_NS + 900 * S_NS} ns")]
)
def test_how_low_the_reference_was_tells_of_a_halt_that_nobody_heard(low: str, wanted: str) -> None:
    found = following()
    without_the_bus(found, GONE_NS, BACK_NS)
    know(found, lows={SPX: dec(low)})
    assert asked(found, "a") == (not wanted, wanted)


def test_what_a_feed_tells_of_others_is_none_of_the_gates_business() -> None:
    rig = known_open()
    told(rig, GAMMA=Trading.HALTED, ALPHA=Trading.HALTED)
    assert rig.rule("a") == "instrument_open"


def test_a_price_that_is_no_number_is_no_low() -> None:
    core = feed()
    tell(core, read(traded("9"), traded("NaN"), traded("8")), NOW)
    [said] = states(tell(core, read(quote(), position=2), NOW + S_NS))
    assert said.lows == {ALPHA: dec(8)}


def test_an_old_word_of_the_listing_market_tells_nothing_of_what_was_missed() -> None:
    found = shorted()
    without_the_bus(found, GONE_NS, BACK_NS)
    free = ShortSaleRestrictionChanged(
        at_ns=GONE_NS - 2 * MINUTE_NS, instrument=IBM, is_restricted=False
    )
    know(found, GONE_NS, restrictions=(free,))
    assert sold(found, "a") == "short_sale"
    know(found, GONE_NS, restrictions=(msgspec.structs.replace(free, at_ns=GONE_NS),))
    assert sold(found, "b") == "all"


TWICE_NS = GONE_NS + 3 * MINUTE_NS
"""The bus is away once more; a feed that came in between knows of the second time alone."""


def twice_without_the_bus(found: MarketRig) -> None:
    without_the_bus(found, GONE_NS, BACK_NS)
    without_the_bus(found, TWICE_NS, TWICE_NS + S_NS)
    know(found, TWICE_NS - MINUTE_NS)


def test_who_knows_of_the_last_time_alone_leaves_the_restriction() -> None:
    found = shorted()
    twice_without_the_bus(found)
    assert sold(found, "a") == "short_sale"
    know(found)
    assert sold(found, "b") == "all"


def test_who_knows_of_the_last_time_alone_does_not_know_whether_it_is_halted() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    twice_without_the_bus(found)
    assert asked(found, "a")[0] is False
    know(found)
    assert asked(found, "b")[0] is True


@pytest.mark.parametrize(
    "more",
    [{"since_ns": GONE_NS - MINUTE_NS + 1}, {"trading": {IBM: Trading.OPEN}}],
    ids=["it came too late", "it does not tell of the reference"],
)
def test_a_feed_that_does_not_know_how_low_the_reference_was_leaves_the_doubt(
    more: dict[str, Any],
) -> None:
    found = following()
    without_the_bus(found, GONE_NS, BACK_NS)
    know(found, **more)
    assert asked(found, "a")[0] is False


def test_without_a_closing_price_nobody_knows_whether_the_reference_fell() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US, market_references={"XNYS": SPX})
    without_the_bus(found, GONE_NS, BACK_NS)
    know(found, lows={SPX: dec(930)})
    found.close("1000", SPX)
    assert asked(found, "a")[0] is False
    know(found, lows={SPX: dec(930)})
    assert asked(found, "b")[1].startswith("halted, level 1")


def test_where_nothing_is_quoted_a_feed_tells_of_no_market() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    found.gate.state.markets[IBM].quote = None
    without_the_bus(found, GONE_NS, BACK_NS)
    know(found)
    assert asked(found, "a")[0] is False


def test_a_halt_of_another_market_halts_nothing_here() -> None:
    found = MarketRig(NOON_NS, market_wide=MarketWide.US)
    without_the_bus(found, GONE_NS, BACK_NS)
    know(found, halts=(MarketWideHaltDeclared(at_ns=GONE_NS, market="XLON", level=3),))
    assert asked(found, "a") == (True, "")


def test_where_nothing_was_missed_what_is_told_again_is_no_news() -> None:
    found = following()
    know(found, lows={SPX: dec(900)})
    assert asked(found, "a") == (True, "")
