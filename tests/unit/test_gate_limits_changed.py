"""Limits that an operator changes while the gate runs: whole, capped, audited, kept."""

from typing import Any

import msgspec
import pytest

from schemas.control import ControlAnswered
from schemas.errors import FieldError
from schemas.health import AlertRaised
from schemas.limits import LimitChange, LimitsChanged, LimitView
from services.gate import dynamic_limits_changes as changes
from services.gate.config import AccountLimits, GateConfig, HardLimits, InstrumentLimits
from services.gate.config_groups import GroupLimits
from services.gate.config_portfolio import PortfolioLimits, ValueAtRiskLimits
from services.gate.groups import Group
from services.gate.limits import LimitMissingError
from tests.builders import ACCOUNT, ALPHA, BETA, MS_NS, dec
from tests.gate_rig import NOW_NS, Rig, config, only
from tests.limits_rig import (
    DRAWDOWN_STEPS,
    GROSS,
    OWN_POSITION,
    POSITION,
    LimitsRig,
    asked,
    marked,
    with_hard,
    with_portfolio,
)

pytestmark = pytest.mark.req("G-12")


def test_a_change_is_in_force_at_once_and_says_who_what_and_why() -> None:
    rig = LimitsRig()
    changed, answer = rig.dynamic.ask(asked({GROSS: "25000"}), NOW_NS)
    assert changed == LimitsChanged(
        at_ns=NOW_NS,
        change_seq=1,
        operator="kim",
        reason="calm",
        request_id="r1",
        changes=(LimitChange(path=GROSS, before="30000", after="25000", configured="30000"),),
    )
    assert msgspec.structs.asdict(answer) | {"at_ns": 0} == {
        "at_ns": 0,
        "src": "",
        "seq": 0,
        "request_id": "r1",
        "request": "limits",
        "is_ok": True,
        "message": f"change 1 is in force: {GROSS}: 30000 -> 25000",
        "errors": (),
        "epoch": 0,
        "session": None,
    }
    rig.tell(changed)
    assert rig.limit("gross_notional_max") == 25_000
    assert rig.limit("gross_notional_max", BETA) == 25_000


def test_the_default_moves_what_has_no_limit_of_its_own() -> None:
    own = {ALPHA: InstrumentLimits(position_quantity_max=dec(50))}
    rig = LimitsRig(msgspec.structs.replace(config(), instruments=own))
    assert rig.ask({POSITION: "120"}).is_ok
    assert rig.limit("position_quantity_max") == 50
    assert rig.limit("position_quantity_max", BETA) == 120


def test_an_instrument_gets_a_limit_of_its_own_and_loses_it_again() -> None:
    rig = LimitsRig()
    assert rig.ask({OWN_POSITION: "50"}).is_ok
    assert rig.limit("position_quantity_max") == 50
    assert rig.limit("position_quantity_max", BETA) == 200
    assert rig.ask({OWN_POSITION: None}).is_ok
    assert rig.limit("position_quantity_max") == 200


def test_every_error_of_a_request_is_in_one_answer_and_nothing_is_changed() -> None:
    rig = LimitsRig()
    answer = rig.ask(
        {
            "gate.accounts.papr.gross_notional_max": "1",
            "gate.accounts.paper.gros_notional_max": "1",
            "gate.acounts.paper.gross_notional_max": "1",
            'gate.instruments."sim:ALHPA".stale_after_ms': 5,
            "gate.accounts.paper.session_messages_max": "many",
            "gate.accounts.paper.currency_values": {"USD": "1"},
            "gate.hard.account.gross_notional_max": "1",
            "gross_notional_max": "1",
            POSITION: -1,
            GROSS: "30000.01",
            "gate.default.order_notional_max": None,
        },
        operator="",
        reason="",
    )
    assert not answer.is_ok
    tables = "one of default, instruments, accounts, portfolio"
    rows = ", ".join(AccountLimits.__struct_fields__)
    decimals = 'a decimal number of 0 or more, in quotes: "1000.50"'
    assert [(e.path, e.found, e.wanted) for e in answer.errors] == [
        ("$.operator", "nothing", "who asks"),
        ("$.reason", "nothing", "why"),
        (
            "gate.accounts.papr.gross_notional_max",
            "no row papr",
            "one of paper; did you mean paper?",
        ),
        (
            "gate.accounts.paper.gros_notional_max",
            "no limit gros_notional_max",
            f"one of {rows}; did you mean gross_notional_max?",
        ),
        (
            "gate.acounts.paper.gross_notional_max",
            "no table acounts",
            f"{tables}; did you mean accounts?",
        ),
        (
            'gate.instruments."sim:ALHPA".stale_after_ms',
            "no row sim:ALHPA",
            "one of sim:ALPHA, sim:BETA; did you mean sim:ALPHA?",
        ),
        (
            "gate.accounts.paper.session_messages_max",
            "'many'",
            "a whole number of 0 or more",
        ),
        (
            "gate.accounts.paper.currency_values",
            "currency_values is none",
            "a limit with a number; anything else is changed in the file, and needs a restart",
        ),
        ("gate.hard.account.gross_notional_max", "no table hard", tables),
        ("gross_notional_max", "no path of a limit", 'gate.<table>.<row>.<limit>, ids in ""'),
        (POSITION, "-1", decimals),
        ("gate.default.order_notional_max", "null", "a number: it cannot be left out"),
        (
            GROSS,
            "30000.01",
            "at most 30000, the cap by gate.hard.account.gross_notional_max or else by the file",
        ),
    ]
    assert rig.dynamic.changes.config == config()
    assert rig.limit("gross_notional_max") == 30_000


@pytest.mark.parametrize("given", ["NaN", "Infinity", "1e", "1e-30", 1.5, True, [], {"a": 1}])
def test_what_is_no_number_never_becomes_a_limit(given: Any) -> None:
    rig = LimitsRig()
    assert not rig.ask({GROSS: given}).is_ok
    assert rig.limit("gross_notional_max") == 30_000


def test_an_empty_request_is_refused() -> None:
    assert LimitsRig().ask({}).errors == (
        FieldError(path="$.changes", found="nothing", wanted="at least one limit, by its path"),
    )


def test_a_limit_may_be_loosened_up_to_its_hard_cap_and_no_further() -> None:
    rig = LimitsRig(with_hard(position_quantity_max=dec(500)))
    assert not rig.ask({POSITION: "500.1"}).is_ok
    assert not rig.ask({OWN_POSITION: "500.1"}).is_ok
    assert rig.ask({POSITION: "500"}).is_ok
    assert rig.limit("position_quantity_max", BETA) == 500


def test_without_a_hard_cap_what_the_file_says_is_the_cap_for_ever() -> None:
    rig = LimitsRig()
    assert rig.ask({POSITION: "100"}).is_ok
    assert rig.ask({POSITION: "200"}).is_ok, "back to what the file says"
    assert not rig.ask({POSITION: "200.1"}).is_ok
    assert rig.limit("position_quantity_max") == 200


def test_an_own_limit_cannot_be_taken_away_where_the_default_is_looser() -> None:
    own = {ALPHA: InstrumentLimits(position_quantity_max=dec(50))}
    rig = LimitsRig(msgspec.structs.replace(config(), instruments=own))
    [error] = rig.ask({OWN_POSITION: None}).errors
    assert (error.path, error.found) == (OWN_POSITION, "200")
    assert rig.ask({OWN_POSITION: None, POSITION: "50"}).is_ok, "with a tighter default it may"


def test_a_minimum_is_loosened_by_less_and_not_by_more() -> None:
    rig = LimitsRig(with_portfolio(PortfolioLimits(health_factor_min=dec("1.2"))))
    path = "gate.portfolio.paper.health_factor_min"
    assert not rig.ask({path: "1.19"}).is_ok
    assert rig.ask({path: "1.5"}).is_ok
    assert rig.risk.accounts[ACCOUNT].row.health_factor_min == dec("1.5")


def test_a_limit_that_is_not_in_use_is_not_put_in_use_while_running() -> None:
    rig = LimitsRig(with_portfolio(PortfolioLimits()))
    [error] = rig.ask({"gate.portfolio.paper.value_at_risk.amount_max": "5"}).errors
    assert error.found == "a limit that is not in use"


def test_the_limit_on_value_at_risk_can_be_changed() -> None:
    row = PortfolioLimits(value_at_risk=ValueAtRiskLimits(amount_max=dec(1_000)))
    rig = LimitsRig(with_portfolio(row))
    assert rig.ask({"gate.portfolio.paper.value_at_risk.amount_max": "5"}).is_ok
    limit = rig.risk.accounts[ACCOUNT].value_limit
    assert limit is not None
    assert limit.value == 5


WINDOWED = {"account_messages_max": 10, "message_window_ms": 1_000}
LONGER = {"gate.accounts.paper.message_window_ms": 60_000}


@pytest.mark.parametrize("to", [999, 60_000])
@pytest.mark.parametrize("name", changes.WINDOWS)
def test_the_length_of_a_window_is_not_changed_while_running(name: str, to: int) -> None:
    rig = LimitsRig()
    path = f"gate.accounts.paper.{name}"
    fixed = FieldError(path=path, found="a limit that is fixed", wanted=changes.FIXED)
    assert fixed in rig.ask({path: to}).errors
    assert rig.kept == []


def eleventh(rig: Rig) -> str:
    """Return the rule that decides on an order after ten of the last two seconds."""
    for number in range(10):
        rig.now_ns += 200 * MS_NS
        rig.quote()
        rig.approve(f"a{number}", quantity="1")
    rig.tell(asked(LONGER))
    return rig.rule("b", quantity="1")


def test_a_window_that_grew_while_running_would_forget_what_had_left_the_shorter_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig(config(**WINDOWED))
    assert eleventh(rig) == "all"
    assert rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].limits.message_window_ms.value == 1_000
    monkeypatch.setattr(changes, "WINDOWS", ())
    rig = Rig(config(**WINDOWED))
    assert eleventh(rig) == "all", "the eleventh message of a minute in which ten are allowed"
    rig = Rig(config(**(WINDOWED | {"message_window_ms": 60_000})))
    for number in range(10):
        rig.approve(f"a{number}", quantity="1")
    assert rig.rule("b", quantity="1") == "account_messages"


def test_a_restart_keeps_what_operators_changed() -> None:
    rig = LimitsRig()
    rig.ask({GROSS: "25000", OWN_POSITION: "70"})
    rig.ask({OWN_POSITION: None, "gate.accounts.paper.session_messages_max": 5})
    again = LimitsRig()
    for event in (*rig.kept, *rig.kept):
        again.tell(event)
    assert again.dynamic.changes.config == rig.dynamic.changes.config
    assert again.dynamic.changes.change_seq == 2
    assert again.limit("gross_notional_max") == 25_000


def test_a_change_that_is_told_late_and_again_does_not_undo_a_newer_one() -> None:
    rig = LimitsRig()
    rig.ask({GROSS: "25000"})
    rig.ask({GROSS: "20000"})
    rig.tell(rig.kept[0])
    assert rig.limit("gross_notional_max") == 20_000


def after_restart(kept: LimitsRig, file: GateConfig) -> LimitsRig:
    rig = LimitsRig(file)
    for event in kept.kept:
        rig.tell(event)
    return rig


def test_after_a_restart_the_tighter_of_file_and_change_is_in_force() -> None:
    rig = LimitsRig(with_hard(position_quantity_max=dec(500)))
    rig.ask({POSITION: "400"})
    tighter = after_restart(rig, with_hard(config(position_quantity_max=dec(150))))
    assert tighter.limit("position_quantity_max") == 150
    assert tighter.dynamic.changes.left_out == {
        POSITION: "400 is looser than what the file says by now, 150"
    }
    rig.ask({POSITION: "100"})
    looser = after_restart(rig, with_hard(config(position_quantity_max=dec(300))))
    assert looser.limit("position_quantity_max") == 100


def test_after_a_restart_no_kept_change_is_beyond_a_lowered_hard_cap() -> None:
    rig = LimitsRig(with_hard(position_quantity_max=dec(500)))
    rig.ask({POSITION: "400"})
    lowered = after_restart(rig, with_hard(position_quantity_max=dec(300)))
    assert lowered.limit("position_quantity_max") == 200


def test_a_limit_that_the_file_no_longer_has_is_not_brought_back_by_a_kept_change() -> None:
    rig = LimitsRig(with_hard(position_quantity_max=dec(500)))
    rig.ask({POSITION: "100"})
    bare = with_hard(config(position_quantity_max=None), position_quantity_max=dec(500))
    gone = after_restart(rig, bare)
    assert gone.dynamic.changes.left_out == {
        POSITION: "the file says nothing of it by now, and said 200"
    }
    with pytest.raises(LimitMissingError, match="position_quantity_max"):
        gone.limit("position_quantity_max")
    gone.ask({POSITION: "100"})  # chosen anew, by a person who knows
    assert after_restart(gone, bare).limit("position_quantity_max") == 100


def test_a_window_that_an_earlier_version_changed_ends_with_another_value_in_the_file() -> None:
    path, old = "gate.accounts.paper.message_window_ms", config(**WINDOWED)
    kept = LimitsChanged(
        at_ns=NOW_NS,
        change_seq=1,
        operator="kim",
        reason="calm",
        request_id="r1",
        changes=(LimitChange(path=path, before="1000", after="5000", configured="1000"),),
    )
    rig = LimitsRig(old)
    rig.kept.append(kept)
    assert after_restart(rig, old).limit("message_window_ms") == 5_000
    changed = after_restart(rig, config(**(WINDOWED | {"message_window_ms": 2_000})))
    assert changed.limit("message_window_ms") == 2_000
    assert changed.dynamic.changes.left_out == {path: "it is fixed by now, and the file says 2000"}


def test_a_kept_change_of_a_row_that_is_gone_is_left_out_and_said() -> None:
    own = {ACCOUNT: PortfolioLimits(health_factor_min=dec("1.2"))}
    rig = LimitsRig(msgspec.structs.replace(config(), portfolio=own))
    path = "gate.portfolio.paper.health_factor_min"
    rig.ask({path: "1.3"})
    assert list(after_restart(rig, config()).dynamic.changes.left_out) == [path]


def test_a_file_with_a_limit_beyond_its_hard_cap_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"default.position_quantity_max: found 200, hard cap 150"):
        with_hard(position_quantity_max=dec(150))
    with pytest.raises(ValueError, match=r"accounts.paper.gross_notional_max: found 30000"):
        msgspec.structs.replace(
            config(), hard=HardLimits(account=AccountLimits(gross_notional_max=dec(29_999)))
        )


SECTOR = "gate.accounts.paper.sectors.default.gross_notional_max"


def grouped(**more: Any) -> GateConfig:
    row = {"default": GroupLimits(gross_notional_max=dec(4_000), net_notional_max=dec(4_000))}
    base = config(sectors=row)
    return msgspec.structs.replace(base, **more)


def test_the_limit_of_a_group_can_be_changed_and_is_capped_like_others() -> None:
    rig = LimitsRig(grouped())
    group = sector(rig, "tech")
    assert not rig.ask({SECTOR: "4001"}).is_ok
    assert rig.ask({SECTOR: "3000"}).is_ok
    assert limits_of(group) == ["3000", "4000"]
    assert limits_of(sector(rig, "met later")) == ["3000", "4000"]


def test_the_limits_of_groups_tighten_with_those_of_their_account() -> None:
    row = PortfolioLimits(drawdown_steps=DRAWDOWN_STEPS)
    rig = LimitsRig(grouped(portfolio={ACCOUNT: row}))
    group = sector(rig, "tech")
    assert group.gross_notional_max.value == 1_000, "unknown is the tightest"
    rig.tell(marked("0"))
    assert group.gross_notional_max.value == 4_000
    rig.tell(marked("0.06"))
    rig.ask({SECTOR: "3000"})
    assert limits_of(group) == ["1500.0", "2000.0"]


def limits_of(group: Group) -> list[str]:
    return [group.gross_notional_max.text, group.net_notional_max.text]


def sector(rig: LimitsRig, name: str) -> Group:
    group = rig.accounts[ACCOUNT].sectors.find(name)
    assert group is not None
    return group


def test_a_row_of_a_group_that_is_not_there_is_named() -> None:
    [error] = LimitsRig(grouped()).ask({SECTOR.replace("default", "defalt"): "1"}).errors
    assert (error.found, error.wanted) == (
        "no row defalt",
        "one of default; did you mean default?",
    )


@pytest.mark.req("G-07")
@pytest.mark.parametrize("name", ["session_messages_max", "account_messages_max"])
def test_a_message_limit_that_was_raised_is_still_a_limit(name: str) -> None:
    """The window remembers no more messages than its limit: it must go as far as the cap."""
    hard = HardLimits(account=AccountLimits(session_messages_max=6, account_messages_max=6))
    base = config(**{"session_messages_max": 6, "account_messages_max": 6, name: 3})
    rig = Rig(msgspec.structs.replace(base, hard=hard))
    rig.tell(asked({f"gate.accounts.paper.{name}": 5}))
    rules = [rig.rule(f"s{number}", quantity="1") for number in range(7)]
    assert rules == ["all"] * 5 + [name.removesuffix("_max")] * 2


def test_a_gate_says_once_which_changes_the_file_no_longer_allows() -> None:
    rig = Rig(with_hard(position_quantity_max=dec(500)))
    rig.tell(asked({POSITION: "400"}))
    rig.config = with_hard(position_quantity_max=dec(300))
    rig.restart()
    said = [*rig.gate.wake(rig.now_ns), *rig.gate.wake(rig.now_ns + 1)]
    [alert] = [each for each in said if isinstance(each, AlertRaised)]
    wanted = (
        "at most 300, the cap by gate.hard.instrument.position_quantity_max or else by the file"
    )
    assert (alert.code, alert.fields) == ("SLU-175", {POSITION: f"400, wanted {wanted}"})


def test_the_report_shows_what_is_in_force_from_what_and_how_far_it_is() -> None:
    row = PortfolioLimits(drawdown_steps=DRAWDOWN_STEPS)
    rig = Rig(with_portfolio(row))
    rig.tell(marked("0"))
    rig.approve("a", quantity="40")
    rig.tell(asked({GROSS: "20000"}))
    rig.tell(marked("0.06"))
    report = rig.gate.describe(rig.now_ns)
    shown = {view.name: view for view in report.in_force if view.instrument in (None, ALPHA)}
    assert report.limits_change_seq == 1
    assert shown["gross_notional_max"] == LimitView(
        name="gross_notional_max",
        account=ACCOUNT,
        in_force="10000.0",
        configured="30000",
        factor="0.5",
        why="kim: calm; drawdown 0.0600, step 0.05",
        value="4000.00",
        distance="6000.00",
    )
    assert (shown["net_notional_max"].value, shown["session_messages_max"].value) == ("4000.00", "")
    assert shown["position_quantity_max"] == LimitView(
        name="position_quantity_max",
        account=ACCOUNT,
        instrument=ALPHA,
        in_force="100.0",
        configured="200",
        factor="0.5",
        why="drawdown 0.0600, step 0.05",
        value="40",
        distance="60.0",
    )
    assert shown["order_quantity_max"] == LimitView(
        name="order_quantity_max",
        account=ACCOUNT,
        instrument=ALPHA,
        in_force="100",
        configured="100",
    )
    assert not [view for view in report.in_force if view.instrument == BETA], "nothing is held"
    assert report.limits["accounts"]["paper"]["gross_notional_max"] == "20000"


def test_a_limit_that_is_lowered_below_what_rests_says_so_and_cancels_nothing() -> None:
    rig = Rig(config())
    rig.approve("a", quantity="40")
    said = rig.tell(asked({POSITION: "30", GROSS: "5000"}))
    answer = only(ControlAnswered, said)
    assert answer.is_ok
    assert answer.message.partition("; BEYOND")[2] == (
        " IT ALREADY, open orders at worst case: position_quantity_max of sim:ALPHA: 40 of 30. A"
        " limit cancels and closes nothing: cancel what rests, reduce or flatten"
    )
    assert [type(event) for event in said] == [LimitsChanged, ControlAnswered]
    again = only(ControlAnswered, rig.tell(asked({POSITION: "50"})))
    assert "BEYOND" not in again.message
