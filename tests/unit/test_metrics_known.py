"""What a process counts of what it says and hears, and what it must not show as 0."""

import msgspec
import pytest

from schemas.base import NS_PER_MS, NS_PER_S, AccountId, BootId, Event, InstrumentId, SessionId
from schemas.control import EpochStarted, LeaseAnswered, Member, TradingState
from schemas.errors import BusError
from schemas.health import AlertRaised, FeedReported, SessionsReported
from schemas.market import QuoteReceived
from schemas.recording import AnchoringRead, RecordingLagged, RecordingMarked
from schemas.sessions import SessionState, SessionView
from schemas.subjects import HALT, REDUCE
from schemas.wire import halt_from
from services.control import LEASE_NS, ControlGuard
from services.executor.facts import submitted
from services.feed.core import FeedCore, FeedPlan
from services.recorder.core import RecorderCore
from services.runtime.fastpath import BusConnection
from services.runtime.meter import STAMPED_HERE, Meter
from services.runtime.metric_reports import ENDED_SHOWN_NS
from services.runtime.outbound import Outbox
from tests.builders import quote
from tests.unit.test_metrics import an_alert, measured, of_report, record_of

pytestmark = pytest.mark.req("O-02")


def halted(at_ns: int) -> list[Event]:
    return [
        halt_from(b"{}", subject=HALT, at_ns=at_ns),
        halt_from(b"{}", subject=REDUCE, at_ns=at_ns),
    ]


def test_each_event_of_a_frame_of_several_kinds_has_its_own_age() -> None:
    meter = Meter()
    sent, alert = submitted(record_of("a"), 400), an_alert(at_ns=900)
    meter.took_in([quote(at_ns=100), quote(at_ns=100), quote(at_ns=300)], now_ns=1_000)
    meter.took_in([sent, alert, sent, *halted(1_000)], now_ns=1_000)
    meter.took_in([alert], now_ns=1_000)
    assert {kind.__name__: (sum(of.counts), of.sum_ns) for kind, of in meter.ages.items()} == {
        "QuoteReceived": (3, 900 + 900 + 700),
        "OrderSubmitted": (2, 600 + 600),
        "AlertRaised": (2, 100 + 100),
    }


def test_how_old_a_halt_is_that_we_stamp_ourselves_is_not_known_and_not_zero() -> None:
    meter = Meter()
    for event in halted(at_ns=5):
        meter.took_in([event], now_ns=5)
    assert meter.ages == {}
    assert {type(event) for event in halted(at_ns=5)} == STAMPED_HERE


class _Cut(BusConnection):
    """A connection that is cut: nothing can be handed to it, or, once it is back, all."""

    def __init__(self) -> None:
        self.is_cut = True

    def send(
        self, subject: str, data: bytes, reply: str = "", *, is_more_coming: bool = False
    ) -> None:
        if self.is_cut:
            raise BusError("SLU-122", found="cut")


def test_what_could_not_be_sent_is_not_published_and_an_alert_is_raised_all_the_same() -> None:
    cut = _Cut()
    outbox = Outbox(cut, "gate-b")
    outbox.publish([an_alert(), quote(), quote()])
    assert (outbox.meter.said, outbox.meter.alerts) == ({}, {("critical", "SLU-121"): 1})
    cut.is_cut = False
    outbox.publish([an_alert(), quote(), quote()])
    assert outbox.meter.said == {AlertRaised: 1, QuoteReceived: 2}
    assert outbox.meter.alerts == {("critical", "SLU-121"): 2}
    assert (outbox.published_count, outbox.lost_count) == (3, 3)


def test_before_the_recorder_looked_lag_and_anchoring_are_absent_and_not_zero() -> None:
    recorder = RecorderCore(BootId("boot"))
    unknown = {"sluice_record_lag_messages", "sluice_anchoring_failed"}
    assert unknown & {name for name, _ in of_report(recorder.describe(1))} == set()
    recorder.handle(RecordingLagged(at_ns=2, lag_count=0, behind={}), 2)
    recorder.handle(RecordingMarked(at_ns=2, recorded_count=7, chain_head="h"), 2)
    recorder.handle(AnchoringRead(at_ns=2, signed_count=7), 2)
    found = of_report(recorder.describe(3))
    assert {name: found[(name, ())] for name in unknown} == dict.fromkeys(unknown, 0)


def test_a_feed_that_heard_nothing_knows_of_no_stale_instruments_and_not_of_zero() -> None:
    report = FeedCore(FeedPlan(source="x", stale_after_ns=5)).describe(7_200 * NS_PER_S)
    assert of_report(report) == {("sluice_feed_ended", ()): 0}


def test_the_kinds_of_market_events_add_up_to_what_was_read() -> None:
    counts = {"quote": 5, "trade": 2, "total": 7}
    found = of_report(FeedReported(at_ns=1, source="x", counts=counts, stale=("a", "b")))
    assert found == {
        ("sluice_feed_events_total", (("kind", "quote"),)): 5,
        ("sluice_feed_events_total", (("kind", "trade"),)): 2,
        ("sluice_feed_stale_instruments", ()): 2,
        ("sluice_feed_ended", ()): 0,
    }


def test_a_lease_that_lapsed_has_no_age() -> None:
    guard = ControlGuard("gate", BootId("b"))
    member = Member(boot_id=BootId("b"), halts=0)
    begun = EpochStarted(at_ns=0, start_id="s", operator="kim", epoch=1, members={"gate": member})
    guard.handle(begun, 0)
    yes = LeaseAnswered(
        at_ns=0, component="gate", boot_id=BootId("b"), epoch=1, asked_ns=0, is_granted=True
    )
    guard.handle(yes, 0)
    ages = [guard.describe(now_ns).lease_age_ms for now_ns in (0, LEASE_NS - 1, LEASE_NS)]
    assert ages == [0.0, (LEASE_NS - 1) / NS_PER_MS, None]
    assert guard.describe(LEASE_NS).trading_state is TradingState.ARMED


def one_that(state: SessionState, name: str) -> SessionView:
    return SessionView(
        session=SessionId(name),
        strategy="ema",
        account=AccountId("paper"),
        instruments=(InstrumentId("sim:ALPHA"),),
        state=state,
    )


def test_a_session_that_ended_a_day_ago_has_no_series_of_its_own_and_still_counts() -> None:
    now_ns = 10 * ENDED_SHOWN_NS
    ends = {"s-old": now_ns - ENDED_SHOWN_NS, "s-new": now_ns - ENDED_SHOWN_NS + 1, "s-never": None}
    over = [one_that(SessionState.STOPPED, name) for name in ends]
    lives = one_that(SessionState.PAUSED, "s-lives")
    finals = [
        msgspec.structs.replace(
            measured(heartbeat_ns=end_ns), session=SessionId(name), is_final=True
        )
        for name, end_ns in ends.items()
    ]
    unlooked = msgspec.structs.replace(measured(), session=lives.session)
    report = SessionsReported(at_ns=now_ns, sessions=(*over, lives), measures=(*finals, unlooked))
    found = of_report(report)
    by_name: dict[str, set[str]] = {}
    for name, labels in found:
        if session := dict(labels).get("session"):
            by_name.setdefault(name, set()).add(session)
    shown = {"s-new", "s-lives"}
    assert by_name == {
        "sluice_session_signals_total": shown,
        "sluice_session_fills_total": shown,
        "sluice_session_open_orders": shown,
        "sluice_session_trades_total": shown,
    }
    states = {dict(key[1])["state"]: v for key, v in found.items() if key[0] == "sluice_sessions"}
    assert states == {"stopped": 3, "paused": 1}
