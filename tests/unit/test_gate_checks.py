"""Each check of the gate: what passes, what does not, and the limit itself."""

from typing import Any

import msgspec
import pytest

from schemas.base import AccountId, InstrumentId, SessionId
from schemas.control import EpochEnded
from schemas.health import GapSeen, LinkChanged
from schemas.market import InstrumentStatusChanged, Trading
from schemas.orders import OrderType, Reading, Side, SignalRaised
from services.gate.table import CHECKS
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, S_NS, dec
from tests.gate_rig import Rig, book, config, halt, reading, resting, view

NAMES = [check.name for check in CHECKS]
STRANGER = InstrumentId("sim:OMEGA")


def status(trading: Trading) -> InstrumentStatusChanged:
    return InstrumentStatusChanged(at_ns=0, instrument=ALPHA, trading=trading)


@pytest.mark.req("G-08")
def test_an_approval_shows_every_check_in_force_in_the_order_of_the_table() -> None:
    rig = Rig()
    decided = rig.decide(rig.signal())
    account = rig.gate.state.accounts[ACCOUNT]
    lane = account.lanes[ALPHA]
    asked = [c.name for c in CHECKS if c.applies is None or c.applies(account, lane)]
    assert [each.check for each in decided.readings] == asked
    assert all(each.is_ok for each in decided.readings)


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a>", "ü"])
def test_a_session_whose_name_no_subject_can_hold_is_denied(name: str) -> None:
    decided = Rig().decide(Rig().signal(session=SessionId(name)))
    assert (decided.rule, decided.session) == ("session_named", "nameless")


@pytest.mark.req("G-09")
def test_a_halted_gate_denies_and_says_who_halted_it() -> None:
    rig = Rig()
    rig.guard.halt()
    rig.tell(halt())
    decided = rig.decide(rig.signal())
    assert decided.rule == "trading_permitted"
    assert reading(decided, "trading_permitted").value == "halted by kim: fat finger"


def test_an_epoch_that_ended_by_itself_is_not_blamed_on_an_earlier_halt() -> None:
    rig = Rig()
    rig.guard.handle(EpochEnded(at_ns=0, epoch=1, reason="executor restarted"), rig.now_ns)
    decided = rig.decide(rig.signal())
    assert reading(decided, "trading_permitted").value == "halted"


@pytest.mark.req("G-09")
def test_a_gate_without_a_lease_denies() -> None:
    rig = Rig()
    rig.guard.lease_until_ns = rig.now_ns
    assert rig.rule("late") == "trading_permitted"
    rig.guard.lease_until_ns = rig.now_ns + 1
    assert rig.rule("in time") == "all"


@pytest.mark.req("G-09")
def test_a_gate_that_cannot_hear_control_denies() -> None:
    rig = Rig()
    rig.guard.is_link_up = False
    assert rig.rule() == "trading_permitted"


def test_an_account_without_a_row_of_limits_is_denied() -> None:
    assert Rig().rule(account=AccountId("other")) == "account_known"


def test_exposure_that_is_not_known_denies_until_a_reconciled_book() -> None:
    rig = Rig()
    gap = GapSeen(at_ns=0, subject="exec.sim.paper", publisher="e", expected_seq=4, got_seq=6)
    rig.tell(gap)
    assert rig.rule("a") == "exposure_known"
    rig.tell(book(is_reconciled=False))
    assert rig.rule("b") == "exposure_known"
    rig.tell(book())
    assert rig.rule("c") == "all"


def test_a_lost_bus_connection_makes_exposure_unknown() -> None:
    rig = Rig()
    rig.tell(LinkChanged(at_ns=0, is_up=False))
    rig.tell(LinkChanged(at_ns=0, is_up=True))
    assert rig.rule() == "exposure_known"


def test_a_hole_in_market_data_leaves_exposure_known() -> None:
    rig = Rig()
    rig.tell(
        GapSeen(at_ns=0, subject="market.sim.A.quote", publisher="f", expected_seq=1, got_seq=3)
    )
    assert rig.rule() == "all"


def test_an_instrument_that_is_not_configured_is_denied() -> None:
    assert Rig().rule(instrument=STRANGER) == "instrument_known"


@pytest.mark.req("G-07")
@pytest.mark.parametrize(
    ("left_ns", "rule", "value"),
    [
        (-1, "signal_in_time", "0"),
        (0, "signal_in_time", "0"),
        (1, "all", "1"),
        (5_000 * MS_NS, "all", "5000"),
        (5_000 * MS_NS + 1, "signal_in_time", "5001"),
    ],
)
def test_a_signal_lives_until_its_expiry_and_not_longer_than_the_limit(
    left_ns: int, rule: str, value: str
) -> None:
    decided = Rig().decide(Rig().signal(expires_in_ns=left_ns))
    assert decided.rule == rule
    assert (reading(decided, "signal_in_time").value) == value


@pytest.mark.req("G-07")
def test_a_signal_told_twice_is_approved_once() -> None:
    rig = Rig()
    assert (rig.rule("same"), rig.rule("same")) == ("all", "signal_new")


def test_a_rejected_signal_is_not_approved_when_it_comes_again() -> None:
    rig = Rig()
    rig.quote(bid="100.01")
    assert rig.rule("same") == "market_sane"
    rig.quote()
    assert rig.rule("same") == "signal_new"


@pytest.mark.req("G-05")
@pytest.mark.parametrize(
    ("trading", "rule"),
    [
        (Trading.OPEN, "all"),
        (Trading.HALTED, "instrument_open"),
        (Trading.CLOSED, "instrument_open"),
        (Trading.UNKNOWN, "instrument_open"),
    ],
)
def test_only_an_open_instrument_trades(trading: Trading, rule: str) -> None:
    rig = Rig()
    rig.tell(status(trading))
    assert rig.rule() == rule


@pytest.mark.req("G-05")
def test_trading_resumes_when_the_venue_opens_the_instrument_again() -> None:
    rig = Rig()
    rig.tell(status(Trading.HALTED))
    rig.tell(status(Trading.OPEN))
    assert rig.rule() == "all"


@pytest.mark.parametrize(
    ("age_ns", "rule", "value"),
    [
        (1_000 * MS_NS, "all", "1000"),
        (1_000 * MS_NS + 1, "market_fresh", "1001"),
    ],
)
def test_a_stale_quote_denies_the_signal(age_ns: int, rule: str, value: str) -> None:
    rig = Rig()
    rig.now_ns += age_ns
    decided = rig.decide(rig.signal())
    assert decided.rule == rule
    fresh = Reading(check="market_fresh", is_ok=rule == "all", value=value, limit="1000")
    assert reading(decided, "market_fresh") == fresh


def test_freshness_is_by_our_own_clock_and_not_by_the_feeds() -> None:
    rig = Rig()
    rig.now_ns += 10 * S_NS
    rig.quote(instrument=ALPHA)
    assert rig.rule() == "all"


def test_an_instrument_without_any_quote_is_denied() -> None:
    decided = Rig().decide(Rig().signal(instrument=BETA))
    assert (decided.rule, reading(decided, "market_fresh").value) == (
        "market_fresh",
        "no quote yet",
    )


@pytest.mark.parametrize(
    ("bid", "ask", "rule"),
    [
        ("99.99", "100.00", "all"),
        ("100.00", "100.00", "all"),
        ("100.01", "100.00", "market_sane"),
        ("0", "100.00", "market_sane"),
        ("99.99", "0", "market_sane"),
        ("-1", "100.00", "market_sane"),
        ("NaN", "100.00", "market_sane"),
        ("99.99", "sNaN", "market_sane"),
        ("99.99", "Infinity", "market_sane"),
        ("99.99", "1E+999999", "market_sane"),
    ],
)
def test_a_market_that_cannot_be_denies(bid: str, ask: str, rule: str) -> None:
    rig = Rig()
    rig.quote(bid, ask)
    assert rig.rule() == rule


@pytest.mark.parametrize(
    ("bid", "ask", "rule", "value"),
    [
        ("99.75", "100.25", "all", "50"),
        ("99.75", "100.26", "market_spread", "50.9974502"),
    ],
)
def test_a_wide_market_denies(bid: str, ask: str, rule: str, value: str) -> None:
    rig = Rig(config(order_notional_max=dec(100_000)))
    rig.quote(bid, ask)
    decided = rig.decide(rig.signal())
    assert (decided.rule, reading(decided, "market_spread").value) == (rule, value)


def test_a_spread_barely_over_the_limit_never_shows_as_the_limit() -> None:
    rig = Rig(config(spread_bps_max=dec(10)))
    rig.quote("1000000", "1001000.5002502")
    decided = rig.decide(rig.signal())
    assert decided.rule == "market_spread"
    assert dec(reading(decided, "market_spread").value) > 10


@pytest.mark.req("G-07")
@pytest.mark.parametrize(
    ("quantity", "rule"),
    [
        ("1", "all"),
        ("1.0", "all"),
        ("0", "quantity_valid"),
        ("-1", "quantity_valid"),
        ("0.5", "quantity_valid"),
        ("NaN", "quantity_valid"),
        ("sNaN", "quantity_valid"),
        ("Infinity", "quantity_valid"),
        ("1E+999999", "quantity_valid"),
        ("100", "all"),
        ("101", "order_quantity"),
    ],
)
def test_a_quantity_is_a_positive_number_of_lots_and_not_too_many(quantity: str, rule: str) -> None:
    assert Rig().rule(quantity=quantity) == rule


LIMIT, STOP, STOP_LIMIT = OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT


@pytest.mark.parametrize(
    ("order_type", "limit", "stop", "rule"),
    [
        (OrderType.MARKET, None, None, "all"),
        (OrderType.MARKET, "99", None, "price_valid"),
        (OrderType.MARKET, None, "99", "price_valid"),
        (LIMIT, "99.01", None, "all"),
        (LIMIT, None, None, "price_valid"),
        (LIMIT, "99.001", None, "price_valid"),
        (LIMIT, "0", None, "price_valid"),
        (LIMIT, "-1", None, "price_valid"),
        (LIMIT, "NaN", None, "price_valid"),
        (LIMIT, "99", "99", "price_valid"),
        (STOP, None, "101", "all"),
        (STOP, None, None, "price_valid"),
        (STOP, "101", "101", "price_valid"),
        (STOP, None, "101.001", "price_valid"),
        (STOP_LIMIT, "101", "101", "all"),
        (STOP_LIMIT, "101", None, "price_valid"),
        (STOP_LIMIT, None, "101", "price_valid"),
    ],
)
def test_an_order_has_the_prices_its_type_wants(
    order_type: OrderType, limit: str | None, stop: str | None, rule: str
) -> None:
    raised = Rig().signal(order_type=order_type, limit=limit, stop=stop, quantity="1")
    assert Rig().decide(raised).rule == rule


@pytest.mark.req("G-07")
@pytest.mark.parametrize(
    ("side", "price", "rule", "value"),
    [
        (Side.BUY, "100.00", "all", "0"),
        (Side.BUY, "50.00", "all", "0"),
        (Side.BUY, "101.00", "all", "100"),
        (Side.BUY, "101.01", "price_collar", "101"),
        (Side.SELL, "150.00", "all", "0"),
        (Side.SELL, "98.91", "all", "99.0990991"),
        (Side.SELL, "98.90", "price_collar", "100.100101"),
    ],
)
def test_a_price_far_beyond_the_touch_is_denied(
    side: Side, price: str, rule: str, value: str
) -> None:
    decided = Rig().decide(Rig().signal(side=side, order_type=LIMIT, limit=price, quantity="1"))
    assert decided.rule == rule
    collar = Reading(check="price_collar", is_ok=rule == "all", value=value, limit="100")
    assert reading(decided, "price_collar") == collar


@pytest.mark.parametrize(
    ("side", "limit", "rule"),
    [
        (Side.BUY, "121.20", "all"),
        (Side.BUY, "121.21", "price_collar"),
        (Side.SELL, "118.80", "all"),
        (Side.SELL, "118.79", "price_collar"),
    ],
)
def test_a_stop_limit_order_is_measured_from_its_own_stop_price(
    side: Side, limit: str, rule: str
) -> None:
    more: dict[str, Any] = {"order_type": STOP_LIMIT, "stop": "120.00", "quantity": "1"}
    assert Rig().rule(side=side, limit=limit, **more) == rule


@pytest.mark.req("G-07")
@pytest.mark.parametrize(("quantity", "rule"), [("100", "all"), ("101", "order_notional")])
def test_an_order_that_is_worth_too_much_is_denied(quantity: str, rule: str) -> None:
    rig = Rig(config(order_quantity_max=dec(1_000)))
    decided = rig.decide(rig.signal(quantity=quantity))
    assert decided.rule == rule
    value = str(dec(quantity) * dec("100.00"))
    notional = Reading(check="order_notional", is_ok=rule == "all", value=value, limit="10000")
    assert reading(decided, "order_notional") == notional


@pytest.mark.parametrize(
    ("more", "value"),
    [
        ({"order_type": LIMIT, "limit": "99.00"}, "100.00"),
        ({"order_type": LIMIT, "limit": "100.50"}, "100.50"),
        ({"order_type": STOP, "stop": "130.00"}, "130.00"),
        ({"side": Side.SELL, "order_type": LIMIT, "limit": "140.00"}, "140.00"),
    ],
)
def test_an_order_is_valued_at_the_dearest_price_it_names(more: dict[str, Any], value: str) -> None:
    decided = Rig().decide(Rig().signal(quantity="1", **more))
    assert reading(decided, "order_notional").value == value


def test_multiplier_and_currency_scale_what_an_order_is_worth() -> None:
    rig = Rig(config(currency_values={"USD": dec("0.5")}))
    rig.quote(instrument=BETA)
    decided = rig.decide(rig.signal(instrument=BETA, quantity="10"))
    assert dec(reading(decided, "order_notional").value) == 1_000


@pytest.mark.req("G-11")
def test_a_session_replaces_only_its_own_open_order_of_the_instrument() -> None:
    rig = Rig()
    mine = rig.approve("old", quantity="1", order_type=LIMIT, limit="99")
    assert rig.rule("new") == "all"
    raised = {"mine": rig.signal("a"), "gone": rig.signal("b")}
    others = rig.signal("c", session=SessionId("s2"))
    elsewhere = rig.signal("d", instrument=BETA)
    rig.quote(instrument=BETA)
    rules = [
        rig.decide(_replacing(each, old)).rule
        for each, old in (
            (raised["mine"], mine.order_id),
            (raised["gone"], "nobody"),
            (others, mine.order_id),
            (elsewhere, mine.order_id),
        )
    ]
    assert rules == ["all", "replaces_own", "replaces_own", "replaces_own"]


def _replacing(raised: SignalRaised, old: str) -> SignalRaised:
    return msgspec.structs.replace(raised, replaces=old)


@pytest.mark.parametrize(
    ("held", "open_sells", "quantity", "rule"),
    [
        ("50", "0", "50", "all"),
        ("50", "0", "51", "reduce_only"),
        ("50", "20", "30", "all"),
        ("50", "20", "31", "reduce_only"),
        ("0", "0", "1", "reduce_only"),
        ("-50", "0", "1", "reduce_only"),
    ],
)
def test_a_reduce_only_sell_never_sells_more_than_is_held_and_not_on_offer(
    held: str, open_sells: str, quantity: str, rule: str
) -> None:
    rig = Rig()
    offer = resting("o", side=Side.SELL, quantity=open_sells)
    rig.tell(book(*([view(offer)] if dec(open_sells) else []), held={ALPHA: held}))
    assert rig.rule(side=Side.SELL, quantity=quantity, is_reduce_only=True) == rule


def test_a_reduce_only_buy_never_buys_more_than_is_short() -> None:
    rig = Rig()
    rig.tell(book(view(resting("o", quantity="10")), held={ALPHA: "-50"}))
    assert rig.rule("a", quantity="41", is_reduce_only=True) == "reduce_only"
    assert rig.rule("b", quantity="40", is_reduce_only=True) == "all"


@pytest.mark.req("G-01", "G-02")
@pytest.mark.parametrize(
    ("side", "held", "open_orders", "quantity", "rule", "value"),
    [
        (Side.BUY, "100", "50", "50", "all", "200"),
        (Side.BUY, "100", "50", "51", "position_quantity", "201"),
        (Side.BUY, "-300", "50", "100", "all", "-150"),
        (Side.SELL, "-100", "50", "50", "all", "200"),
        (Side.SELL, "-100", "50", "51", "position_quantity", "201"),
        (Side.SELL, "300", "50", "100", "all", "-150"),
    ],
)
def test_a_position_counts_every_open_order_of_its_side(
    side: Side, held: str, open_orders: str, quantity: str, rule: str, value: str
) -> None:
    rig = Rig(config(position_notional_max=dec(10**9), gross_notional_max=dec(10**9)))
    rig.tell(book(view(resting("o", side=side, quantity=open_orders)), held={ALPHA: held}))
    decided = rig.decide(rig.signal(side=side, quantity=quantity))
    assert decided.rule == rule
    found = Reading(check="position_quantity", is_ok=rule == "all", value=value, limit="200")
    assert reading(decided, "position_quantity") == found


@pytest.mark.req("G-01")
@pytest.mark.parametrize(("quantity", "rule"), [("50", "all"), ("51", "position_notional")])
def test_a_position_is_limited_by_value_too(quantity: str, rule: str) -> None:
    rig = Rig(config(position_notional_max=dec(15_000)))
    rig.tell(book(held={ALPHA: "100"}))
    assert rig.rule(quantity=quantity) == rule


@pytest.mark.req("G-02")
@pytest.mark.parametrize(("quantity", "rule"), [("50", "all"), ("51", "gross_notional")])
def test_gross_exposure_adds_the_worst_cases_of_all_instruments(quantity: str, rule: str) -> None:
    rig = Rig(config(gross_notional_max=dec(15_000)))
    rig.tell(book(held={BETA: "-50"}))
    rig.quote("99.90", "100.00", instrument=BETA)
    decided = rig.decide(rig.signal(quantity=quantity))
    assert decided.rule == rule
    assert dec(reading(decided, "gross_notional").value) == 10_000 + 100 * dec(quantity)


def test_gross_exposure_moves_with_the_price_of_what_is_held() -> None:
    rig = Rig(config(gross_notional_max=dec(15_000)))
    rig.tell(book(held={BETA: "50"}))
    rig.quote("99.90", "100.00", instrument=BETA)
    assert rig.rule("a", quantity="40") == "all"
    rig.quote("149.90", "150.00", instrument=BETA)
    assert rig.rule("b", quantity="1") == "gross_notional"


def test_an_order_that_reduces_passes_although_the_account_is_over_its_limit() -> None:
    rig = Rig(config(gross_notional_max=dec(5_000)))
    rig.tell(book(held={ALPHA: "100"}))
    assert rig.rule("more", quantity="1") == "gross_notional"
    assert rig.rule("less", side=Side.SELL, quantity="100") == "all"
    assert rig.rule("turn", side=Side.SELL, quantity="100") == "all"
    assert rig.rule("over", side=Side.SELL, quantity="1") == "gross_notional"


def test_a_holding_without_a_price_denies_what_adds_exposure() -> None:
    rig = Rig()
    rig.tell(book(held={BETA: "1", ALPHA: "10"}))
    decided = rig.decide(rig.signal("a", quantity="1"))
    assert decided.rule == "gross_notional"
    assert reading(decided, "gross_notional").value == "no price for sim:BETA"
    assert rig.rule("b", side=Side.SELL, quantity="1") == "all"
    rig.quote(instrument=BETA)
    assert rig.rule("c", quantity="1") == "all"


@pytest.mark.req("G-07")
def test_a_session_may_not_send_more_messages_than_its_limit_in_any_window() -> None:
    rig = Rig(config(session_messages_max=2))
    assert [rig.rule(name, quantity="1") for name in "abc"] == ["all", "all", "session_messages"]
    assert rig.rule("d", quantity="1", session=SessionId("s2")) == "all"
    rig.now_ns += 1_000 * MS_NS - 1
    assert rig.rule("e", quantity="1") == "session_messages"
    rig.now_ns += 1
    assert rig.rule("f", quantity="1") == "all"


@pytest.mark.req("G-07")
def test_all_sessions_together_may_not_send_more_messages_than_the_accounts_limit() -> None:
    rig = Rig(config(account_messages_max=2))
    sessions = [SessionId(name) for name in ("s1", "s2", "s3")]
    rules = [rig.rule(name, quantity="1", session=name) for name in sessions]
    assert rules == ["all", "all", "account_messages"]
