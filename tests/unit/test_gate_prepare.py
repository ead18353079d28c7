"""The gate's part in a start: it answers once its exposure is the executor's book."""

from typing import Any

import pytest
from msgspec.structs import replace

from schemas.base import AccountId
from schemas.control import BookWanted, PrepareAsked, Prepared, StartRequest
from schemas.errors import FieldError
from schemas.executions import BookAdopted
from schemas.sessions import SessionLimits
from services.gate.config import GateConfig
from tests.builders import ACCOUNT, ALPHA, dec
from tests.gate_rig import NOW_NS, Rig, book, config, filled, halt, only, resting, view


def asked(start_id: str = "start-1", **request: Any) -> PrepareAsked:
    made = StartRequest(operator="kim", **request)
    return PrepareAsked(at_ns=NOW_NS, start_id=start_id, request=made)


def prepared(*errors: FieldError, is_reconciled: bool = True, halts: int = 0) -> Prepared:
    return Prepared(
        at_ns=NOW_NS,
        start_id="start-1",
        component="gate",
        boot_id=Rig().guard.boot_id,
        limits_hash="hash",
        halts=halts,
        epoch_max=1,
        is_reconciled=is_reconciled,
        errors=errors,
    )


@pytest.mark.req("S-02")
def test_the_gate_is_prepared_once_it_has_the_book_of_that_start() -> None:
    rig = Rig()
    mine = book(held={ALPHA: "5"}, request_id="start-1")
    assert rig.tell(asked()) == ()
    assert rig.tell(book(request_id="start-0")) == []
    assert rig.tell(mine) == [BookAdopted(at_ns=NOW_NS, book=mine), prepared()]
    assert rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].position == 5


def test_a_book_that_comes_before_the_question_is_answered_to_it() -> None:
    rig = Rig()
    assert rig.tell(book(request_id="start-1")) == []
    assert rig.tell(asked()) == [prepared()]


def test_a_start_is_answered_once() -> None:
    rig = Rig()
    rig.tell(asked())
    rig.tell(book(request_id="start-1"))
    assert rig.tell(book(request_id="start-1")) == []
    assert rig.tell(asked("start-2")) == ()


def test_halts_heard_meanwhile_are_in_the_answer() -> None:
    rig = Rig()
    rig.tell(asked())
    rig.guard.halt()
    rig.tell(halt())
    assert rig.tell(book(request_id="start-1")) == [prepared(halts=1)]


def test_a_halt_that_a_start_has_answered_is_not_named_any_more() -> None:
    rig = Rig()
    rig.guard.halt()
    rig.tell(halt())
    rig.tell(asked())
    assert rig.decide(rig.signal()).readings[-1].value == "halted"


def test_an_unreconciled_book_says_so_and_what_is_wrong() -> None:
    rig = Rig()
    rig.tell(asked())
    said = rig.tell(book(view(resting("o")), request_id="start-1", is_reconciled=False))
    error = FieldError(
        path="the executor's book",
        found="the executor's book is not reconciled",
        wanted="a reconciled book of configured instruments",
    )
    assert only(Prepared, said) == prepared(error, is_reconciled=False)


@pytest.mark.req("S-02", "G-11")
def test_a_book_that_executions_overtook_is_asked_for_again() -> None:
    """Sessions trade on while another one is started."""
    rig = Rig()
    rig.tell(asked())
    rig.tell(filled(resting("o"), "1", "e1", at_ns=NOW_NS + 2))
    late = book(request_id="start-1", at_ns=NOW_NS + 1)
    assert rig.tell(late) == [BookWanted(at_ns=NOW_NS, account=ACCOUNT)]
    assert rig.tell(late) == []  # once, and it is still old news
    other = replace(book(at_ns=NOW_NS + 3), account=AccountId("other"))
    assert not any(
        isinstance(said, Prepared) for said in rig.tell(other)
    )  # nor does another account's book answer
    said = rig.tell(book(held={ALPHA: "1"}, at_ns=NOW_NS + 3))
    assert said == [prepared()]
    assert rig.gate.state.accounts[ACCOUNT].lanes[ALPHA].position == 1
    rig.tell(asked("start-2"))  # a new question has an answer of its own
    assert rig.tell(book(held={ALPHA: "1"}, at_ns=NOW_NS + 4)) == []


@pytest.mark.parametrize("symbol", ["sim:ALPHA", "ALPHA"])
def test_limits_nobody_has_chosen_refuse_the_start_all_at_once(symbol: str) -> None:
    rig = Rig(config(order_quantity_max=None, gross_notional_max=None))
    rig.tell(asked(strategy="ema_cross", symbols=(symbol,)))
    said = rig.tell(book(request_id="start-1"))
    wanted = 'gate.instruments."sim:ALPHA".order_quantity_max or gate.default.order_quantity_max'
    assert said == [
        prepared(
            FieldError(path=wanted, found="nothing", wanted="a limit order_quantity_max"),
            FieldError(
                path="gate.accounts.paper.gross_notional_max",
                found="nothing",
                wanted="a limit gross_notional_max",
            ),
        )
    ]


def test_a_limit_missing_for_two_symbols_is_named_once() -> None:
    rig = Rig(config(gross_notional_max=None))
    rig.tell(asked(strategy="ema_cross", symbols=("ALPHA", "BETA")))
    said = rig.tell(book(request_id="start-1"))
    assert len(only(Prepared, said).errors) == 1


def test_an_account_without_a_row_refuses_the_start() -> None:
    rig = Rig(GateConfig())
    rig.tell(asked())
    path = "gate.accounts.paper"
    error = FieldError(path=path, found="nothing", wanted="a row of limits for the account")
    assert rig.tell(book(request_id="start-1")) == [prepared(error)]


@pytest.mark.req("S-01")
def test_limits_in_a_request_that_nobody_can_hold_are_refused_all_at_once() -> None:
    rig = Rig()
    given = {
        "max_loss": "0.05",
        "order_notional_max": "many",
        "gross_notional_max": 0.5,
        "position_notional_max": "-1",
    }
    rig.tell(asked(strategy="ema_cross", risk_limits=given))
    names = f"one of {', '.join(SessionLimits.__struct_fields__)}; did you mean max_daily_loss?"
    number = 'a decimal number above 0, in quotes: "1000.50"'
    wrong = [
        FieldError(path="$.risk_limits.max_loss", found="'0.05'", wanted=names),
        FieldError(path="$.risk_limits.order_notional_max", found="'many'", wanted=number),
        FieldError(path="$.risk_limits.gross_notional_max", found="0.5", wanted=number),
        FieldError(path="$.risk_limits.position_notional_max", found="'-1'", wanted=number),
    ]
    assert rig.tell(book(request_id="start-1")) == [prepared(*wrong)]


@pytest.mark.req("S-01")
def test_a_sessions_own_limit_is_refused_where_it_is_looser_than_the_accounts() -> None:
    rig = Rig(config(session_gross_notional_max=dec(25_000)))
    given = {"order_notional_max": "10000.01", "gross_notional_max": "25001"}
    rig.tell(asked(strategy="ema_cross", symbols=("ALPHA",), risk_limits=given))
    looser = [
        FieldError(
            path="$.risk_limits.order_notional_max",
            found="10000.01",
            wanted="at most 10000: the tightest of the account's order_notional_max",
        ),
        FieldError(
            path="$.risk_limits.gross_notional_max",
            found="25001",
            wanted="at most 25000: the tightest of the account's gross_notional_max, "
            "session_gross_notional_max",
        ),
    ]
    assert rig.tell(book(request_id="start-1")) == [prepared(*looser)]


def test_a_sessions_own_limits_may_be_as_tight_as_one_likes() -> None:
    rig = Rig()
    given = {"order_notional_max": "10000", "position_notional_max": "1"}
    rig.tell(asked(strategy="ema_cross", symbols=("ALPHA",), risk_limits=given))
    assert rig.tell(book(request_id="start-1")) == [prepared()]
