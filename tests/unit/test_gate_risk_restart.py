"""What an account was worth when the day began, and what venues said of it, after a restart."""

from typing import Any

import pytest

from schemas.base import Event
from schemas.compliance import OpeningEquityNoted
from schemas.limits import AccountHealthReported
from schemas.orders import Side
from services.gate.config_compliance import DayTrading
from services.gate.config_portfolio import PortfolioLimits
from services.gate.core import GateCore
from services.gate.portfolio_risk import PortfolioRisk
from tests.builders import S_NS, dec
from tests.gate_rig import book, reading
from tests.risk_rig import LOAN, PERP, RiskRig, risky
from tests.rules_rig import HOUR_NS, RulesRig

SELL = Side.SELL
PATTERN: dict[str, Any] = {"day_trading": DayTrading.PATTERN_DAY_TRADER, "calendar": "XNYS"}


def traded(equity: str = "30000") -> RulesRig:
    """Return a gate whose account made three day trades yesterday, with that equity today."""
    rig = RulesRig(**PATTERN)
    rig.on("2026-05-04")
    rig.mark("30000")
    for number in range(3):
        rig.buy(f"in {number}")
        rig.sell(f"out {number}")
    rig.on("2026-05-05")
    rig.mark(equity)
    rig.kept += rig.gate.wake(rig.now_ns)  # due at once: what the day began with is noted
    return rig


def restarted(rig: RulesRig) -> None:
    """Let a new process begin, with the book of the one before."""
    rig.at(rig.now_ns + S_NS)
    rig.restart()
    rig.tell(book(at_ns=rig.now_ns))
    rig.quote()


def fourth(rig: RulesRig) -> tuple[str, str]:
    """Return the rule that decides on a fourth day trade, and what the check read."""
    rig.buy("in")
    decided = rig.decide(rig.signal("out", side=SELL))
    return decided.rule, reading(decided, "pattern_day_trader").value


@pytest.mark.req("G-06")
def test_equity_that_came_up_since_the_day_began_does_not_count_after_a_restart_either() -> None:
    rig = traded("20000")
    restarted(rig)
    rig.mark("30000")
    assert fourth(rig) == ("pattern_day_trader", "3 day trades and 1 pending, equity 20000")


@pytest.mark.req("G-06", "G-01")
def test_who_had_enough_when_the_day_began_may_close_what_was_bought_before_a_restart() -> None:
    rig = traded()
    for _ in range(2):
        restarted(rig)
        rig.mark("30000")
    assert fourth(rig) == ("all", "3 day trades, equity 30000")


@pytest.mark.req("G-06")
@pytest.mark.parametrize("is_marked_again", [False, True])
def test_without_the_note_what_the_day_began_with_is_not_known(is_marked_again: bool) -> None:
    rig = traded("20000")
    rig.kept = [event for event in rig.kept if not isinstance(event, OpeningEquityNoted)]
    restarted(rig)
    rig.mark("30000")
    if is_marked_again:  # what came later than the begin is no opening, after another restart too
        rig.kept += rig.gate.wake(rig.now_ns)
        restarted(rig)
        rig.mark("30000")
    assert fourth(rig) == (
        "pattern_day_trader",
        "3 day trades and 1 pending, equity of the day's start not known since the restart",
    )


@pytest.mark.req("G-06")
def test_the_next_day_begins_with_an_equity_that_is_known() -> None:
    rig = traded()
    restarted(rig)
    rig.on("2026-05-06")
    rig.mark("30000")
    assert fourth(rig) == ("all", "3 day trades, equity 30000")


@pytest.mark.req("G-06")
def test_a_restart_before_the_open_forgets_no_equity() -> None:
    rig = traded()
    rig.on("2026-05-06", 12 * HOUR_NS)
    restarted(rig)
    rig.mark("30000")
    rig.on("2026-05-06")
    rig.mark("31000")
    assert fourth(rig) == ("all", "3 day trades, equity 30000")


@pytest.mark.req("G-06")
def test_the_first_process_of_all_takes_the_first_equity_that_it_hears() -> None:
    rig = traded()
    assert fourth(rig) == ("all", "3 day trades, equity 30000")


def margined(kind: type[GateCore] = GateCore) -> RiskRig:
    """Return a gate whose venue has said that the account's margin is too low."""
    rig = RiskRig(risky(PortfolioLimits(margin_ratio_min=dec("0.2"))), kind)
    rig.pass_second({})
    rig.report_health("sim", ratio=dec("0.1"))
    rig.pass_second({})
    rig.mark()
    return rig


def begin(rig: RiskRig, after_s: int = 0) -> None:
    """Restart the gate and bring it back to where it can judge."""
    rig.now_ns += after_s * S_NS
    rig.restart()
    rig.tell(book(at_ns=rig.now_ns))
    rig.pass_second({})
    rig.mark()


@pytest.mark.req("S-18")
@pytest.mark.parametrize(
    ("after_s", "value"), [(0, "0.1 told by sim"), (100, "sim told it 102 s ago")]
)
def test_what_a_venue_says_of_the_margin_holds_after_a_restart_until_it_is_old(
    after_s: int, value: str
) -> None:
    rig = margined()
    assert reading(rig.ask("a", instrument=PERP), "margin_ratio").value == "0.1 told by sim"
    begin(rig, after_s)
    decided = rig.ask("b", instrument=PERP)
    assert (decided.rule, reading(decided, "margin_ratio").value) == ("margin_ratio", value)
    rig.report_health("sim", ratio=dec("0.3"))
    assert rig.ask("c", instrument=PERP).rule == "all"


@pytest.mark.req("S-18")
@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_message_without_a_margin_ratio_does_not_undo_the_one_before(is_restarted: bool) -> None:
    rig = margined()
    rig.report_health("sim", factor=dec("1.5"))
    if is_restarted:
        begin(rig)
    assert reading(rig.ask("a", instrument=PERP), "margin_ratio").value == "0.1 told by sim"


@pytest.mark.req("S-18")
def test_a_message_without_a_margin_ratio_makes_the_one_before_no_younger() -> None:
    rig = margined()
    rig.report_health("sim", ratio=dec("0.3"))
    rig.pass_seconds(61)
    rig.report_health("sim", factor=dec("1.5"))
    rig.mark()
    said = reading(rig.ask("a", instrument=PERP), "margin_ratio").value
    assert said == "sim told it 61 s ago"


@pytest.mark.req("S-18")
def test_a_venue_that_never_says_anything_is_not_waited_for() -> None:
    rig = RiskRig(risky(PortfolioLimits(margin_ratio_min=dec("0.2"))))
    rig.pass_second({})
    begin(rig, 100)
    assert rig.ask("a", instrument=PERP).rule == "all"


def test_reports_of_health_are_kept_only_where_a_row_asks_for_them() -> None:
    none, some = RiskRig(risky(None)), margined()
    kinds: list[type[Event]] = [type(each) for each in some.kept]
    assert (AccountHealthReported in none.gate.keeps, AccountHealthReported in kinds) == (
        False,
        True,
    )


class Forgetful(PortfolioRisk):
    """Keeps nothing that venues say."""

    def __init__(self, *made_from: Any) -> None:
        super().__init__(*made_from)
        self.keeps = PortfolioRisk.keeps


@pytest.mark.req("S-18")
def test_without_keeping_it_exposure_grows_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gate.state.PortfolioRisk", Forgetful)
    rig = margined()
    begin(rig)
    assert rig.ask("a", instrument=PERP).rule == "all"


def lent(side: Side) -> RiskRig:
    """Return a gate that has just restarted, with 10 supplied, or borrowed, at a venue."""
    rig = RiskRig(risky(PortfolioLimits(health_factor_min=dec("1.2"))))
    rig.pass_second({})
    begin(rig)
    rig.tell(book(held={LOAN: "10" if side is Side.BUY else "-10"}, at_ns=rig.now_ns))
    rig.pass_second({})
    return rig


@pytest.mark.req("S-18")
def test_a_message_without_a_health_factor_does_not_undo_the_one_before() -> None:
    rig = lent(Side.BUY)
    rig.report_health("lend", factor=dec("1.3"))
    rig.report_health("lend", ratio=dec("0.5"))
    decided = rig.ask("a part", "4", instrument=LOAN, side=SELL)
    assert (decided.rule, reading(decided, "health_factor").value) == ("all", "1.3")


@pytest.mark.req("S-18")
def test_nothing_is_taken_back_before_the_venue_has_told_how_safe_that_is() -> None:
    rig = lent(Side.BUY)
    said = "lend has not told the health factor"
    found = []
    for name, quantity in (("a part", "4"), ("all", "10"), ("borrowing", "11")):
        decided = rig.ask(name, quantity, instrument=LOAN, side=SELL)
        found.append((decided.rule, reading(decided, "health_factor").value))
    assert found == [("health_factor", said)] * 3
    rig.report_health("lend", factor=dec("1.3"))
    assert rig.ask("told", "10", instrument=LOAN, side=SELL).rule == "all"


@pytest.mark.req("S-18")
def test_what_is_owed_is_repaid_and_a_person_gets_out_whatever_is_known() -> None:
    owing, supplied = lent(SELL), lent(Side.BUY)
    flatten = supplied.ask("out", "10", instrument=LOAN, side=SELL, is_reduce_only=True)
    repaid = owing.ask("back", "10", instrument=LOAN)
    assert [repaid.rule, flatten.rule] == ["all", "all"]
