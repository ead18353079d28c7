"""Restrictions at the gate, and what is made smaller to fit: by quantity, open orders counted."""

from typing import Any

import msgspec
import pytest

from schemas.base import AccountId, SessionId
from schemas.orders import OrderApproved, Outcome, Reading, Side, SignalDecided, TimeInForce
from schemas.restrictions import Level, RestrictionRequested
from services.control import ControlGuard
from services.gate.answers import Denial
from services.gate.case import Case
from services.gate.config_groups import GroupLimits, OnExcess
from services.gate.judge import Judge
from tests.builders import ALPHA, BETA, SESSION, dec
from tests.gate_rig import NOW_NS, Rig, book, config, reading, resting, view

S2 = SessionId("s2")
SCOPES = ("account.paper", "session.s1", "venue.sim", "symbol.sim.ALPHA")


def restrict(rig: Rig, scope: str, level: Level) -> None:
    asked = RestrictionRequested(
        at_ns=NOW_NS, scope=scope, level=level, operator="kim", reason="odd fills"
    )
    rig.guard.handle(asked, NOW_NS)


def reducing(scope: str = "all", **held: str) -> Rig:
    """Return a rig that may only reduce, with positions held."""
    rig = Rig()
    rig.quote(instrument=BETA)
    known = {"alpha": ALPHA, "beta": BETA}
    rig.tell(book(held={known[name]: quantity for name, quantity in held.items()}))
    restrict(rig, scope, Level.REDUCE)
    return rig


@pytest.mark.req("G-09", "I9")
@pytest.mark.parametrize("scope", SCOPES)
def test_a_halt_of_a_part_denies_there_and_names_it(scope: str) -> None:
    rig = Rig()
    restrict(rig, scope, Level.HALT)
    decided = rig.decide(rig.signal())
    assert decided.rule == "not_restricted"
    assert reading(decided, "not_restricted").value.startswith(f"{scope} halted by ")


@pytest.mark.req("G-09", "G-11")
@pytest.mark.parametrize("scope", ["session.s1", "symbol.sim.ALPHA"])
def test_a_halt_of_a_part_leaves_the_rest_alone(scope: str) -> None:
    rig = Rig()
    rig.quote(instrument=BETA)
    restrict(rig, scope, Level.HALT)
    assert rig.rule("a", session=S2, instrument=BETA) == "all"


@pytest.mark.req("G-09")
def test_under_reduce_a_position_can_be_closed_and_not_turned() -> None:
    rig = reducing(alpha="1")
    decided = rig.decide(rig.signal("a", side=Side.SELL, quantity="100"))
    assert (decided.rule, decided.outcome) == ("reducing", Outcome.REJECTED)
    assert reading(decided, "reducing").limit == "1 while all only reduces"
    assert rig.rule("b", side=Side.SELL, quantity="1") == "all"


@pytest.mark.req("G-09")
def test_under_reduce_an_open_order_that_closes_lets_no_second_one_pass() -> None:
    rig = reducing(alpha="1")
    rig.approve("a", side=Side.SELL, quantity="1")
    assert rig.rule("b", side=Side.SELL, quantity="1") == "reducing"


@pytest.mark.req("G-09")
@pytest.mark.parametrize("side", list(Side))
def test_under_reduce_nothing_is_opened_when_flat(side: Side) -> None:
    assert reducing().rule("a", side=side, quantity="1") == "reducing"


@pytest.mark.req("G-09")
def test_under_reduce_a_short_is_bought_back_and_not_more() -> None:
    rig = reducing(alpha="-3")
    assert rig.rule("a", quantity="4") == "reducing"
    assert rig.rule("b", quantity="3") == "all"


@pytest.mark.req("G-09", "I8")
def test_under_reduce_an_order_of_unknown_fate_counts_as_closing() -> None:
    rig = reducing()
    rig.tell(book(view(resting("o", side=Side.SELL, quantity="2")), held={ALPHA: "3"}))
    assert rig.rule("a", side=Side.SELL, quantity="2") == "reducing"
    assert rig.rule("b", side=Side.SELL, quantity="1") == "all"


@pytest.mark.req("G-09", "G-11")
@pytest.mark.parametrize("scope", SCOPES)
def test_reduce_of_a_part_holds_there(scope: str) -> None:
    assert reducing(scope).rule("a", quantity="1") == "reducing"
    assert reducing(scope).rule("b", quantity="1", session=S2, instrument=BETA) == (
        "reducing" if scope in ("account.paper", "venue.sim") else "all"
    )


@pytest.mark.req("G-09", "G-11")
def test_a_session_that_may_only_reduce_closes_its_own_and_no_others_position() -> None:
    rig = Rig()
    rig.fill(rig.approve("a", quantity="5"), "5", "e1")
    rig.fill(rig.approve("b", quantity="50", session=S2), "50", "e2")
    restrict(rig, f"session.{SESSION}", Level.REDUCE)
    assert rig.rule("c", side=Side.SELL, quantity="6") == "reducing"
    assert rig.rule("d", side=Side.SELL, quantity="5") == "all"


@pytest.mark.req("G-09", "G-11")
@pytest.mark.parametrize("wider", ["all", "account.paper", "venue.sim"])
def test_a_wider_reduce_takes_nothing_away_from_the_sessions_own(wider: str) -> None:
    rig = Rig()
    rig.fill(rig.approve("a", quantity="10", session=S2), "10", "e1")
    restrict(rig, f"session.{SESSION}", Level.REDUCE)
    restrict(rig, wider, Level.REDUCE)
    assert rig.rule("b", side=Side.SELL, quantity="5") == "reducing"  # it holds nothing
    assert rig.rule("c", side=Side.SELL, quantity="5", session=S2) == "all"


@pytest.mark.req("G-09", "G-11")
def test_without_the_sessions_own_it_opens_a_position_under_two_reduces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ControlGuard, "session_reduced", lambda self, session: None)
    rig = Rig()
    rig.fill(rig.approve("a", quantity="10", session=S2), "10", "e1")
    restrict(rig, f"session.{SESSION}", Level.REDUCE)
    restrict(rig, "all", Level.REDUCE)
    assert rig.rule("b", side=Side.SELL, quantity="5") == "all"


@pytest.mark.req("G-09")
def test_the_strongest_restriction_decides() -> None:
    rig = reducing(alpha="5")
    restrict(rig, "symbol.sim.ALPHA", Level.HALT)
    assert rig.rule("a", side=Side.SELL, quantity="1") == "not_restricted"


def fitting(**changes: Any) -> Rig:
    """Return a rig that makes orders fit."""
    rig = Rig(config(on_excess=OnExcess.REDUCE, **changes))
    rig.quote(instrument=BETA)
    return rig


@pytest.mark.req("G-01", "G-08")
def test_an_order_over_a_limit_is_made_as_large_as_fits_where_that_is_chosen() -> None:
    rig = fitting()
    rig.approve("first", quantity="100")
    decided, approved = rig.tell(rig.signal("a", quantity="101"))
    assert isinstance(decided, SignalDecided)
    assert isinstance(approved, OrderApproved)
    assert (decided.outcome, decided.rule) == (Outcome.REDUCED, "order_quantity")
    assert (decided.quantity, decided.approved_quantity) == (dec(101), dec(100))
    assert decided.detail.startswith("made smaller, from 101 to 100: found 101, limit 100 (units)")
    assert approved.order.quantity == dec(100)
    assert all(each.is_ok for each in decided.readings)
    assert reading(decided, "order_quantity").value == "100", "as judged again"


@pytest.mark.req("G-01")
@pytest.mark.parametrize(
    ("limits", "fits"),
    [
        ({"order_quantity_max": dec(70)}, 70),
        ({"order_notional_max": dec(7_099)}, 70),
        ({"position_quantity_max": dec(70)}, 70),
        ({"position_notional_max": dec(7_099)}, 70),
        ({"gross_notional_max": dec(7_099)}, 70),
        ({"net_notional_max": dec(7_099)}, 70),
        ({"session_position_notional_max": dec(7_099)}, 70),
        ({"session_gross_notional_max": dec(7_099)}, 70),
        (
            {
                "venues": {
                    "sim": GroupLimits(gross_notional_max=dec(7_099), net_notional_max=dec(1))
                }
            },
            0,
        ),
        (
            {
                "venues": {
                    "sim": GroupLimits(gross_notional_max=dec(7_099), net_notional_max=dec(6_000))
                }
            },
            60,
        ),
    ],
    ids=str,
)
def test_what_fits_is_the_most_that_every_limit_lets_pass(
    limits: dict[str, Any], fits: int
) -> None:
    decided = fitting(**limits).decide(Rig().signal("a", quantity="100"))
    assert decided.approved_quantity == fits
    assert decided.outcome is (Outcome.REDUCED if fits else Outcome.REJECTED)


@pytest.mark.req("G-01")
def test_what_fits_is_whole_lots_and_nothing_is_rejected() -> None:
    rig = fitting(position_notional_max=dec(99))
    assert rig.rule("a", quantity="100") == "position_notional"


@pytest.mark.req("G-01")
@pytest.mark.parametrize(("quantity", "approved"), [("100", 1), ("1", 1)])
def test_a_closing_order_that_is_too_large_closes_what_is_there(
    quantity: str, approved: int
) -> None:
    rig = fitting()
    rig.tell(book(held={ALPHA: "1"}))
    asked = rig.signal("a", side=Side.SELL, quantity=quantity, is_reduce_only=True)
    assert rig.decide(asked).approved_quantity == approved


@pytest.mark.req("G-01", "G-09")
def test_an_order_on_the_wrong_side_is_not_made_to_fit() -> None:
    rig = fitting()
    rig.tell(book(held={ALPHA: "1"}))
    assert rig.rule("a", quantity="1", is_reduce_only=True) == "reduce_only"
    restrict(rig, "all", Level.REDUCE)
    assert rig.rule("b", quantity="1") == "reducing"
    asked = rig.signal("c", side=Side.SELL, quantity="100")
    assert rig.decide(asked).approved_quantity == 1


def test_an_order_that_must_fill_whole_is_never_made_smaller() -> None:
    rig = fitting()
    assert rig.rule("a", quantity="101", time_in_force=TimeInForce.FOK) == "order_quantity"


def test_without_the_word_for_it_nothing_is_made_smaller() -> None:
    assert Rig().decide(Rig().signal("a", quantity="101")).outcome is Outcome.REJECTED


def test_an_instruments_own_word_on_excess_comes_before_the_accounts() -> None:
    base = config(on_excess=OnExcess.REDUCE)
    own = msgspec.structs.replace(base.default, on_excess=OnExcess.REJECT)
    rig = Rig(msgspec.structs.replace(base, instruments={ALPHA: own}))
    rig.quote(instrument=BETA)
    assert rig.decide(rig.signal("a", quantity="101")).outcome is Outcome.REJECTED
    asked = rig.signal("b", quantity="60", instrument=BETA)
    assert rig.decide(asked).approved_quantity == 50


def test_a_denial_that_no_smaller_order_would_mend_stays_one() -> None:
    rig = fitting()
    rig.guard.halt()
    assert rig.decide(rig.signal("a", quantity="101")).rule == "trading_permitted"


@pytest.mark.req("G-09")
def test_an_account_nobody_configured_is_denied_and_never_made_to_fit() -> None:
    decided = fitting().decide(Rig().signal(account=AccountId("missing"), quantity="1"))
    assert (decided.rule, decided.outcome) == ("account_known", Outcome.REJECTED)


@pytest.mark.req("G-07", "G-09")
def test_the_largest_notional_holds_for_an_order_of_any_kind() -> None:
    rig = Rig(config(order_notional_max=dec(1_000), order_quantity_max=dec(10**9)))
    assert rig.rule("a", quantity="50000") == "order_notional"
    assert rig.rule("b", quantity="50000", side=Side.SELL) == "order_notional"
    assert rig.rule("c", quantity="10") == "all"


@pytest.mark.req("G-01", "I8")
def test_an_order_made_smaller_is_judged_again_whatever_was_thought_to_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Judge, "fitted", lambda self, case, denial: dec(150))
    assert fitting().rule("a", quantity="200") == "order_quantity"


@pytest.mark.req("G-01", "I8")
def test_without_judging_again_too_much_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Judge.judge

    def once(self: Judge, case: Case) -> tuple[tuple[Reading, ...], Denial | None]:
        return ((), None) if case.signal.quantity == 150 else whole(self, case)

    monkeypatch.setattr(Judge, "fitted", lambda self, case, denial: dec(150))
    monkeypatch.setattr(Judge, "judge", once)
    assert fitting().decide(Rig().signal("a", quantity="200")).approved_quantity == 150
