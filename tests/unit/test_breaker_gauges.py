"""What the system says of itself trips while it trades; unknown is shown as unknown."""

from collections.abc import Callable

import msgspec
import pytest

from schemas.base import Event
from schemas.control import BreakerTripped, BreakerWarned, ControlSequenceRead, HaltRequested
from schemas.health import BreakerView, HealthReported
from schemas.instruments import AssetClass
from schemas.market import FeedEnded
from services.breaker.config import BreakerConfig
from services.breaker.core import BreakerCore
from services.breaker.valuation import AccountTerms
from services.calendars.named import calendar_named
from tests.breaker_rig import only, submitted
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, dec, instrument, quote
from tests.control_rig import HASH, ControlRig, book, boot, breaker_core, health, start
from tests.control_rig import only as the

MIB = 1024 * 1024


def trading(config: BreakerConfig, now_ns: int = S_NS) -> ControlRig:
    """Return a rig with an epoch in force."""
    rig = ControlRig(breaker_core(config), now_ns=now_ns).ready()
    rig.run()
    return rig


def view(rig: ControlRig, name: str) -> BreakerView:
    return next(b for b in rig.core.describe(rig.now_ns).breakers if b.name == name)


def tripped(said: list[Event]) -> list[str]:
    return [each.breaker for each in said if isinstance(each, BreakerTripped)]


def report(service: str = "gate", **fields: object) -> HealthReported:
    return msgspec.structs.replace(health(service), **fields)


def read(free_bytes: int) -> ControlSequenceRead:
    return ControlSequenceRead(at_ns=0, last_seq=1, epoch=1, disk_free_bytes=free_bytes)


Cause = Callable[[bool], Event]

CAUSES: dict[str, tuple[tuple[str, str], Cause]] = {
    "memory": ((str(100 * MIB), "halt"), lambda bad: report(rss_bytes=100 * MIB - (not bad))),
    "system_memory": (
        ("0.95", "halt"),
        lambda bad: report(memory_used_share=0.95 if bad else 0.94),
    ),
    "message_lag": (("10", "halt"), lambda bad: report(lag_ms=10_000.0 if bad else 9_999.0)),
    "disk": ((str(50 * MIB), "halt"), lambda bad: read(50 * MIB + (not bad))),
}


@pytest.mark.req("B-06", "O-04")
@pytest.mark.parametrize("breaker", CAUSES)
def test_a_value_that_equals_the_limit_halts_and_one_short_of_it_does_not(breaker: str) -> None:
    level, cause = CAUSES[breaker]
    rig = trading(only(breaker, level))
    assert tripped(rig.tell(cause(False))) == []
    said = rig.tell(cause(True))
    assert tripped(said) == [breaker]
    assert the(HaltRequested, said).operator == f"breaker.{breaker}"
    assert tripped(rig.tell(cause(True))) == []


@pytest.mark.parametrize("breaker", CAUSES)
def test_nothing_trips_while_nothing_trades_and_it_does_at_the_start(breaker: str) -> None:
    level, cause = CAUSES[breaker]
    rig = ControlRig(breaker_core(only(breaker, level))).ready()
    assert tripped(rig.tell(cause(True))) == []
    if breaker == "disk":  # each read of the control stream tells it anew
        return
    assert tripped(rig.tell(start())) == [breaker]


@pytest.mark.req("B-08")
@pytest.mark.parametrize("breaker", CAUSES)
def test_a_warning_needs_no_trading(breaker: str) -> None:
    (limit, _), cause = CAUSES[breaker]
    rig = ControlRig(breaker_core(only(breaker, (limit, "warn")))).ready()
    assert the(BreakerWarned, rig.tell(cause(True))).breaker == breaker


@pytest.mark.parametrize("breaker", ["memory", "system_memory", "message_lag", "disk", "recorder"])
def test_what_nobody_has_told_is_unknown(breaker: str) -> None:
    found = view(ControlRig(), breaker)
    assert (found.value, found.distance, found.is_tripped) == ("unknown", "unknown", False)
    assert found.detail


def test_a_service_that_reports_no_more_has_no_memory() -> None:
    rig = trading(only("memory", (str(100 * MIB), "halt")))
    rig.tell(report(rss_bytes=MIB), report("executor", rss_bytes=3 * MIB))
    assert view(rig, "memory").inputs == {"gate": "1.0 MiB", "executor": "3.0 MiB"}
    rig.now_ns += 5 * S_NS
    rig.tell(report(rss_bytes=MIB))
    assert view(rig, "memory").value == "3.0 MiB"
    rig.now_ns += 1
    assert view(rig, "memory").value == "1.0 MiB"


def test_the_reason_names_the_service() -> None:
    rig = trading(only("memory", (str(100 * MIB), "halt")))
    said = rig.tell(report("feed", rss_bytes=200 * MIB), report(rss_bytes=MIB))
    assert the(BreakerTripped, said).reason == (
        "feed: resident memory 200.0 MiB; the limit is 100.0 MiB"
    )


@pytest.mark.req("R-01")
def test_a_silent_recorder_halts_by_the_breakers_own_alarm() -> None:
    rig = trading(only("recorder", ("15", "halt")))
    assert tripped(rig.wait(15 * S_NS - 1)) == []
    said = rig.wait(1)
    assert tripped(said) == ["recorder"]
    assert the(BreakerTripped, said).reason == (
        "silence of the recorder 15.0 s; the limit is 15.0 s (recorder recording)"
    )


@pytest.mark.req("R-01")
def test_a_recorder_that_is_not_ready_is_silent() -> None:
    rig = trading(only("recorder", ("15", "halt")))
    for _ in range(14):
        rig.wait(S_NS)
        rig.tell(health("recorder", is_ready=False, detail="disk full"))
    said = rig.wait(S_NS)
    assert tripped(said) == ["recorder"]
    assert "not ready: disk full" in the(BreakerTripped, said).reason


def test_a_recorder_that_reports_is_never_silent() -> None:
    rig = trading(only("recorder", ("15", "halt")))
    for _ in range(60):
        assert tripped(rig.wait(S_NS)) == []
        rig.tell(health("recorder"))


def stale(limit: str = "30") -> BreakerConfig:
    return only("stale_data", (limit, "halt"))


@pytest.mark.req("G-05")
def test_what_is_held_without_a_new_price_halts_at_the_nanosecond() -> None:
    rig = trading(stale())
    rig.tell(book("90000", ALPHA="100"), quote(at_ns=rig.now_ns))
    rig.now_ns += S_NS
    rig.tell(quote(at_ns=rig.now_ns))
    assert tripped(rig.wait(30 * S_NS - 1)) == []
    assert tripped(rig.wait(1)) == ["stale_data"]
    assert view(rig, "stale_data").inputs == {"oldest price": "sim:ALPHA"}


def test_one_instrument_that_is_quoted_does_not_hide_another() -> None:
    rig = trading(stale())
    rig.tell(book("90000", ALPHA="100", BETA="1"), quote(at_ns=S_NS))
    found: list[Event] = []
    for _ in range(31):
        rig.tell(quote(at_ns=rig.now_ns))
        found += rig.wait(S_NS)
    assert tripped(found) == ["stale_data"]
    assert "sim:BETA" in the(BreakerTripped, found).reason


def test_what_is_neither_held_nor_traded_needs_no_price() -> None:
    rig = trading(stale())
    assert tripped(rig.wait(600 * S_NS)) == []
    assert view(rig, "stale_data").inputs == {"oldest price": "nothing is held or traded"}


def test_what_was_traded_in_the_last_five_minutes_needs_a_price() -> None:
    rig = trading(stale())
    rig.tell(quote(at_ns=S_NS), submitted("a"))
    assert tripped(rig.wait(30 * S_NS)) == ["stale_data"]


def test_what_was_traded_longer_ago_needs_none() -> None:
    rig = trading(stale("301"))
    rig.tell(quote(at_ns=S_NS), submitted("a"))
    assert tripped(rig.wait(600 * S_NS)) == []


def test_a_recording_that_has_ended_has_no_more_prices() -> None:
    rig = trading(stale())
    rig.tell(book("90000", ALPHA="100"), quote(at_ns=S_NS))
    rig.tell(FeedEnded(at_ns=rig.now_ns, feed="replay", counts={}))
    assert tripped(rig.wait(600 * S_NS)) == []


def test_whoever_starts_after_a_recording_has_ended_is_told_that_there_are_no_prices() -> None:
    rig = ControlRig(breaker_core(stale())).ready()
    rig.tell(book("90000", ALPHA="100"), quote(at_ns=rig.now_ns))
    rig.tell(FeedEnded(at_ns=rig.now_ns, feed="replay", counts={}))
    rig.run()
    assert tripped(rig.wait(rig.now_ns + 600 * S_NS)) == ["stale_data"]


def test_a_holding_that_never_had_a_price_is_unknown_and_trips_after_the_start() -> None:
    rig = ControlRig(breaker_core(stale())).ready()
    rig.tell(book("90000", BETA="1"))
    assert view(rig, "stale_data").value == "unknown"
    rig.run()
    assert tripped(rig.wait(30 * S_NS)) == ["stale_data"]


def test_a_closed_market_has_no_prices_and_is_not_stale() -> None:
    listed = msgspec.structs.replace(
        instrument(ALPHA, asset_class=AssetClass.EQUITY), calendar="XNYS"
    )
    known = {ALPHA: listed, BETA: instrument(BETA)}
    terms = AccountTerms(id=ACCOUNT, initial_cash=dec(100_000), instruments=known)
    calendar = calendar_named("XNYS")
    open_ns = calendar.day_open_ns(1_764_342_000 * S_NS)  # Friday 28 November 2025, a half day
    session = calendar.session_at(open_ns)
    assert session is not None
    core = BreakerCore(stale("300"), terms, boot_id=boot("breaker"), limits_hash=HASH)
    rig = ControlRig(core, now_ns=session.close_ns - 299 * S_NS).ready()
    rig.run()
    rig.tell(book("90000", ALPHA="100"), quote(at_ns=rig.now_ns))
    assert tripped(rig.wait(12 * 3_600 * S_NS)) == []
    rig.wait(calendar.next_open_ns(open_ns) - rig.now_ns)
    assert tripped(rig.wait(300 * S_NS - 1)) == []
    assert tripped(rig.wait(60 * S_NS)) == ["stale_data"]
