"""What commands say: the banner first, and nothing that is not known."""

from decimal import Decimal

import msgspec
import pytest

from schemas.control import BreakerState, TradingState
from schemas.errors import BusError, StateError, UserError
from schemas.executions import BookReported
from schemas.health import ArbiterReported, GateReported, ServiceView, SupervisorReported
from schemas.restrictions import Level, Lock, Restriction
from services.cli.exits import MEANINGS, Exit, exit_of
from services.cli.output import Output, amount, banner_of, error_text, shown
from services.cli.status import Answers, status_of
from tests.builders import ACCOUNT

HALT_NS = 1_767_323_045_000_000_000
NOBODY = Answers(None, None, None, None, None, None, None)


def arbiter(state: BreakerState = BreakerState.NORMAL, **given: object) -> ArbiterReported:
    fields: dict[str, object] = {"halts": 3, "epoch": 5, "is_leasing": state is BreakerState.NORMAL}
    return ArbiterReported(at_ns=0, breaker_state=state, **(fields | given))  # type: ignore[arg-type]


HALTED = arbiter(
    BreakerState.MANUALLY_HALTED,
    halt_reason="fat finger",
    halt_operator="kim",
    halt_at_ns=HALT_NS,
)
GATE = GateReported(
    at_ns=0,
    trading_state=TradingState.RUNNING,
    epoch=5,
    limits_hash="h",
    decided_count=9,
    approved_count=8,
)
BOOK = BookReported(at_ns=0, account=ACCOUNT, order_count=8, fill_count=7)


@pytest.mark.req("B-05", "O-05")
def test_the_banner_says_since_when_by_whom_and_why() -> None:
    assert banner_of(HALTED) == (
        "HALTED since 2026-01-02 03:04:05 UTC by kim: fat finger "
        "(halt 3, MANUALLY_HALTED). Next: sluice reset"
    )


def test_a_halt_of_nobody_with_no_reason_is_a_halt_all_the_same() -> None:
    banner = banner_of(arbiter(BreakerState.TRIPPED))
    assert banner.startswith("HALTED since an unknown time by somebody: no reason given")


def test_what_runs_has_no_banner_and_what_waits_has_one() -> None:
    assert banner_of(arbiter()) == ""
    waiting = banner_of(arbiter(is_leasing=False, detail="no epoch is in force"))
    assert waiting == "HALTED: no epoch is in force. Next: sluice start"


@pytest.mark.req("S-16")
def test_a_lock_is_the_first_thing_said_even_over_a_halt() -> None:
    lock = Lock(
        number=7, component="executor", code="SLU-131", reason="books differ", at_ns=HALT_NS
    )
    halted = msgspec.structs.replace(HALTED, locks=(lock,))
    assert banner_of(halted) == (
        "LOCKED since 2026-01-02 03:04:05 UTC by executor: SLU-131 books differ (lock 7). "
        "Next: sluice unlock, once looked into"
    )
    status = status_of(Answers(halted, GATE, BOOK, None, None, None, None))
    assert status.trading_state == "LOCKED"


@pytest.mark.req("G-09")
def test_restrictions_are_said_first_while_the_rest_trades() -> None:
    parts = (
        Restriction(scope="session.a", level=Level.HALT, number=4, operator="kim", at_ns=HALT_NS),
        Restriction(scope="all", level=Level.REDUCE, number=5, reason="cpi", at_ns=HALT_NS),
    )
    assert banner_of(arbiter(restrictions=parts)) == (
        "HALTED session.a since 2026-01-02 03:04:05 UTC by kim: no reason given (4); "
        "REDUCE ONLY all since 2026-01-02 03:04:05 UTC by somebody: cpi (5)"
    )


@pytest.mark.req("B-08", "O-05")
def test_a_breaker_that_only_reduces_is_no_halt_in_the_first_line() -> None:
    reduced = Restriction(
        scope="all",
        level=Level.REDUCE,
        number=5,
        reason="drawdown",
        operator="breaker.drawdown",
        at_ns=HALT_NS,
    )
    tripped = arbiter(BreakerState.TRIPPED, restrictions=(reduced,), is_leasing=True)
    assert banner_of(tripped) == (
        "REDUCE ONLY all since 2026-01-02 03:04:05 UTC by breaker.drawdown: drawdown (5)"
    )
    halted = msgspec.structs.replace(HALTED, restrictions=(reduced,))
    assert banner_of(halted) == banner_of(HALTED), "a halt comes first"
    silent = msgspec.structs.replace(tripped, is_leasing=False, detail="no epoch is in force")
    assert banner_of(silent) == (
        f"HALTED: no epoch is in force. Next: sluice start; {banner_of(tripped)}"
    )


def test_silence_is_never_taken_for_well_being() -> None:
    assert banner_of(None).startswith("STATE UNKNOWN")


def test_under_json_the_banner_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Output(is_json=True).banner(HALTED)
    Output(is_json=True).line("for people")
    said = capsys.readouterr()
    assert (said.out, said.err.startswith("HALTED since ")) == ("", True)


def test_a_system_that_says_nothing_has_an_unknown_status() -> None:
    status = status_of(NOBODY)
    assert (status.trading_state, status.breaker_state) == ("unknown", "unknown")
    assert (status.halts, status.epoch, status.equity) == (None, None, None)
    assert (status.positions, status.orders, status.fills) == (None, None, None)
    assert (status.sessions, status.durable) == (None, None)
    assert {view.state for view in status.services.values()} == {"unknown"}
    assert set(status.silent) == set(status.services)


def test_a_status_adds_up_what_each_service_said() -> None:
    view = ServiceView(name="gate", state="running", pid=7, uptime_s=2.5, restarts=1)
    supervisor = SupervisorReported(at_ns=0, services=(view,))
    status = status_of(Answers(HALTED, GATE, BOOK, None, None, None, supervisor))
    assert (status.trading_state, status.breaker_state) == ("RUNNING", "MANUALLY_HALTED")
    assert (status.halts, status.epoch, status.orders, status.fills) == (3, 5, 8, 7)
    assert status.halt == {
        "number": 3,
        "reason": "fat finger",
        "operator": "kim",
        "at_ns": HALT_NS,
    }
    gate = status.services["gate"]
    assert (gate.state, gate.pid, gate.uptime, gate.restarts) == ("running", 7, 2.5, 1)


@pytest.mark.parametrize(
    "answers",
    [
        Answers(None, GATE, BOOK, None, None, None, None),
        Answers(HALTED, None, BOOK, None, None, None, None),
        Answers(HALTED, GATE, None, None, None, None, None),
    ],
    ids=["no breaker", "no gate", "no executor"],
)
def test_a_gate_that_says_running_is_not_enough(answers: Answers) -> None:
    assert status_of(answers).trading_state == "unknown"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("881.9299999999999999999999959", "881.93"),
        ("1000815.34", "1,000,815.34"),
        ("-1500", "-1,500"),
        ("0.00000001", "0.00000001"),
        ("-0", "0"),
        ("500", "500"),
    ],
)
def test_amounts_are_shown_as_a_person_writes_them(value: str, text: str) -> None:
    assert amount(Decimal(value)) == text


def test_what_is_not_known_says_so() -> None:
    assert [shown(None), shown(True), shown(0)] == ["unknown", "yes", "0"]


def test_an_error_says_what_was_found_wanted_where_and_what_to_do() -> None:
    error = UserError("SLU-102", path="x.toml", found="no such file", wanted="a TOML file")
    assert error_text(error).splitlines() == [
        "sluice: SLU-102 a file is missing or cannot be read",
        "  path: x.toml",
        "  found: no such file",
        "  wanted: a TOML file",
        "  next step: check the path and its rights",
    ]


def test_exit_codes_are_what_scripts_rely_on() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "OK": 0,
        "FAILED": 1,
        "BAD_INPUT": 2,
        "UNREACHABLE": 3,
        "REFUSED": 4,
        "SILENT": 5,
        "UNHEALTHY": 6,
        "NOT_FLAT": 7,
    }
    assert set(MEANINGS) == set(Exit)


def test_each_kind_of_error_has_its_exit_code() -> None:
    assert exit_of(UserError("SLU-100")) is Exit.BAD_INPUT
    assert exit_of(UserError("SLU-104")) is Exit.UNREACHABLE
    assert exit_of(BusError("SLU-122")) is Exit.UNREACHABLE
    assert exit_of(StateError("SLU-140")) is Exit.FAILED
