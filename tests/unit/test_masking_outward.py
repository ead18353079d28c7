"""Alerts, last words and what a person typed: no secret in what others are told (A-05)."""

import json
from decimal import Decimal
from pathlib import Path
from typing import cast

import msgspec
import pytest

from schemas.base import AccountId, BootId, Event, SessionId
from schemas.control import BreakerState, HaltRequested
from schemas.errors import BusError, SluiceError
from schemas.health import (
    AlertRaised,
    ArbiterReported,
    ServiceView,
    SessionsReported,
    Severity,
    SupervisorReported,
)
from schemas.masking import MASK
from schemas.restrictions import Level, Lock, Restriction
from schemas.sessions import SessionState, SessionView
from schemas.wire import decode
from services.cli.output import banner_of, detail_of
from services.cli.status import Answers, status_of
from services.runtime.fastpath import BusConnection
from services.runtime.outbound import Outbox
from services.runtime.process import Process
from services.runtime.settings import Settings
from services.runtime.supervisor_process import last_words

pytestmark = pytest.mark.req("A-05")
SEED = "SUAKYRHVIOREXV7EUZTBHUHL7NUMHPMAS7QMDU3GTIUWEI5LDNOXD43IZY"
SAID = f"{SEED} at nats://kim:p@ss/word@host:4222 token=hunter2"
SHOWN = f"{MASK} at nats://{MASK}@host:4222 token={MASK}"


class Wire:
    """A connection that keeps what it is given."""

    is_connected = True

    def __init__(self) -> None:
        self.said: list[Event] = []

    def send(self, subject: str, data: bytes, *, is_more_coming: bool = False) -> None:
        assert not is_more_coming or subject
        self.said += decode(bytes(data), subject=subject)


def alert(**fields: object) -> AlertRaised:
    found: dict[str, object] = {
        "at_ns": 7,
        "severity": Severity.CRITICAL,
        "component": "gate",
        "src": "gate-b",
        "seq": 1,
    }
    return AlertRaised(**(found | fields))  # type: ignore[arg-type]


def test_what_a_service_broke_on_is_told_without_its_secrets() -> None:
    wire = Wire()
    outbox = Outbox(cast(BusConnection, wire), "gate-b")
    outbox.report_failure(RuntimeError(SAID), component="gate", now_ns=7)
    assert wire.said == [alert(code="SLU-161", message=f"RuntimeError('{SHOWN}')")]


def gate(tmp_path: Path) -> Process:
    """A process that looks at the clock at time 7."""
    account = {"id": AccountId("paper"), "currency": "USD", "initial_cash": Decimal(1)}
    sections = {"paths": {"data_dir": str(tmp_path)}, "account": account}
    raw = {name: msgspec.Raw(msgspec.json.encode(each)) for name, each in sections.items()}
    process = Process("gate", Settings(tmp_path, raw), BootId("b"))
    process._clock = lambda: 7  # type: ignore[assignment]
    return process


def cried(error: SluiceError, tmp_path: Path) -> list[Event]:
    """What a process says on the bus of an error that ends it."""
    wire = Wire()
    gate(tmp_path)._cry(cast(BusConnection, wire), error)
    return wire.said


def test_an_error_that_ends_a_process_is_told_without_its_secrets(tmp_path: Path) -> None:
    [said] = cried(BusError("SLU-122", url=SAID), tmp_path)
    message = f"SLU-122 the bus cannot be reached (url: {SHOWN})"
    assert said == alert(code="SLU-122", message=message, fields={"url": SHOWN})


def test_an_alert_of_a_process_has_no_secret_in_its_fields(tmp_path: Path) -> None:
    said = gate(tmp_path)._alert(Severity.WARNING, "SLU-140", SAID, token="hunter2", found=SAID)
    assert (said.message, said.fields) == (SHOWN, {"token": MASK, "found": SHOWN})


def test_the_halt_for_a_right_that_was_refused_has_no_secret_in_its_reason(tmp_path: Path) -> None:
    [halt, _] = cried(BusError("SLU-121", found=SAID), tmp_path)
    assert isinstance(halt, HaltRequested)
    assert halt.reason == f"SLU-121 the bus refused a right this service needs (found: {SHOWN})"


@pytest.mark.parametrize(
    "line", [SAID, json.dumps({"event": SAID}), json.dumps({"event": "broke", "error": SAID})]
)
def test_the_last_words_of_a_process_have_no_secret(tmp_path: Path, line: str) -> None:
    log = tmp_path / "gate.log"
    log.write_text(f"before\n{line}\n")
    assert last_words(log) in (SHOWN, f"broke: {SHOWN}")


def test_last_words_that_are_cut_are_masked_first(tmp_path: Path) -> None:
    log = tmp_path / "gate.log"
    log.write_text("x" * 480 + f" {SEED}\n")
    assert last_words(log) == "x" * 480 + f" {MASK}"


HALTED = ArbiterReported(
    at_ns=0,
    breaker_state=BreakerState.MANUALLY_HALTED,
    halts=3,
    halt_reason=SAID,
    halt_operator="kim",
    halt_at_ns=1_767_323_045_000_000_000,
)
LOCK = Lock(number=1, code="SLU-155", reason=SAID, component="gate", at_ns=7)
RESTRICTION = Restriction(
    scope="all", level=Level.REDUCE, reason=SAID, operator="kim", at_ns=7, number=1
)


def test_the_reason_of_a_halt_is_shown_without_the_secret_a_person_typed() -> None:
    assert banner_of(HALTED) == (
        f"HALTED since 2026-01-02 03:04:05 UTC by kim: {SHOWN} "
        "(halt 3, MANUALLY_HALTED). Next: sluice reset"
    )
    locked = msgspec.structs.replace(HALTED, locks=(LOCK,))
    assert f"gate: SLU-155 {SHOWN} (lock 1)" in banner_of(locked)
    reducing = ArbiterReported(
        at_ns=0,
        breaker_state=BreakerState.NORMAL,
        halts=3,
        is_leasing=True,
        restrictions=(RESTRICTION,),
    )
    assert f"by kim: {SHOWN} (1)" in banner_of(reducing)


def test_the_document_of_the_status_has_no_secret_that_a_person_typed() -> None:
    said = msgspec.structs.replace(HALTED, locks=(LOCK,), restrictions=(RESTRICTION,))
    status = status_of(Answers(said, None, None, None, None, None, None))
    assert status.halt is not None
    assert status.halt["reason"] == SHOWN
    assert status.locks == [msgspec.structs.replace(LOCK, reason=SHOWN)]
    assert status.restrictions == [msgspec.structs.replace(RESTRICTION, reason=SHOWN)]


def test_a_session_that_a_halt_holds_is_shown_without_the_secret_in_its_reason() -> None:
    session = SessionView(
        session=SessionId("ema_cross-1"),
        strategy="ema_cross",
        account=AccountId("paper"),
        instruments=(),
        state=SessionState.RUNNING,
        detail=SAID,
        held=SAID,
    )
    sessions = SessionsReported(at_ns=0, sessions=(session,))
    status = status_of(Answers(None, None, None, sessions, None, None, None))
    assert status.sessions == [msgspec.structs.replace(session, detail=SHOWN, held=SHOWN)]
    assert detail_of(session) == SHOWN


def test_what_a_process_ended_with_is_shown_without_its_secret() -> None:
    view = ServiceView(name="gate", state="backoff", pid=0, uptime_s=0, restarts=1, detail=SAID)
    said = SupervisorReported(at_ns=0, services=(view,))
    status = status_of(Answers(None, None, None, None, None, None, said))
    assert status.services["gate"].detail == SHOWN
