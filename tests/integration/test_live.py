"""A core on a real nats-server behaves as it does on its own, and is told what it must know."""

import asyncio
import base64
from collections.abc import Sequence

import msgspec
import pytest

from schemas.base import Event, OrderId
from schemas.control import HaltRequested
from schemas.health import AlertRaised, DeadLettered, GapSeen, LinkChanged, Severity
from schemas.market import FeedEnded, QuoteReceived
from schemas.orders import Outcome, SignalDecided, SignalRaised
from schemas.subjects import DEAD_LETTERS, HALT, subject_of
from schemas.wire import decode, encode, encode_frame
from services.runtime import inbound
from tests.builders import BETA, dec, quote, signal
from tests.bus import CLOCK, Probe, ear, report, run, serving, silent, tapped

QUOTES = subject_of(quote())
ENDED = "feed.ended"


def ended(at_ns: int, seq: int = 0, src: str = "gate-b1") -> FeedEnded:
    return FeedEnded(at_ns=at_ns, feed="f", counts={}, src=src, seq=seq)


def echo(event: Event, now_ns: int) -> Sequence[Event]:
    """Say once what was heard, by its time."""
    return [ended(event.at_ns)]


def decided(event: SignalRaised, now_ns: int) -> Sequence[Event]:
    return [
        SignalDecided(
            at_ns=now_ns,
            signal_id=event.signal_id,
            account=event.account,
            session=event.session,
            instrument=event.instrument,
            outcome=Outcome.REJECTED,
            order_id=OrderId("o1"),
            rule="halted",
            epoch=0,
            side=event.side,
            quantity=event.quantity,
        )
    ]


def test_an_event_on_the_bus_is_answered_on_the_bus(nats_url: str) -> None:
    async def main() -> list[tuple[Event, ...]]:
        core = Probe({QuoteReceived: echo})
        async with serving(nats_url, core), ear(nats_url, ENDED) as watcher:
            for at_ns in (5, 6):
                watcher.connection.send(QUOTES, encode(quote(at_ns=at_ns)))
            return [await watcher.frame(), await watcher.frame()]

    assert run(main()) == [(ended(5, seq=1),), (ended(6, seq=2),)]


def test_a_frame_of_events_is_answered_by_one_frame_a_subject(nats_url: str) -> None:
    def both(event: Event, now_ns: int) -> Sequence[Event]:
        return [ended(event.at_ns), quote(at_ns=event.at_ns, instrument=BETA)]

    async def main() -> list[tuple[str, bytes]]:
        core = Probe({QuoteReceived: both})
        async with serving(nats_url, core) as live, ear(nats_url, ENDED, "market.>") as watcher:
            watcher.connection.send(QUOTES, encode_frame([quote(at_ns=1), quote(at_ns=2)]))
            found = [await watcher.message(), await watcher.message()]
            assert live.outbox.published_count == 4
            return found

    first = [ended(1, seq=1), ended(2, seq=2)]
    second = [
        QuoteReceived(
            at_ns=n,
            instrument=BETA,
            bid=dec("99.99"),
            bid_size=dec("1000"),
            ask=dec("100.01"),
            ask_size=dec("1000"),
            src="gate-b1",
            seq=n,
        )
        for n in (1, 2)
    ]
    assert run(main()) == [
        (ENDED, encode_frame(first)),
        ("market.sim.BETA.quote", encode_frame(second)),
    ]


def test_the_time_of_a_decision_is_measured_and_stamped(nats_url: str) -> None:
    async def main() -> Event:
        core = Probe({SignalRaised: decided})
        async with serving(nats_url, core), ear(nats_url, "risk.decision.*") as watcher:
            watcher.connection.send(subject_of(signal()), encode(signal()))
            return await watcher.event()

    event = run(main())
    assert isinstance(event, SignalDecided)
    assert event.took_ns > 0


@pytest.mark.req("G-09")
@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b'{"halt": false}', b"[", b"x" * 1_000_000],
    ids=lambda data: repr(data[:9]),
)
@pytest.mark.parametrize("below", ["", ".planet.mars"])
def test_any_bytes_on_the_halt_subjects_are_a_halt(nats_url: str, data: bytes, below: str) -> None:
    async def main() -> tuple[Event, int]:
        core = Probe({HaltRequested: echo})
        async with serving(nats_url, core) as live, ear(nats_url, ENDED) as watcher:
            watcher.connection.send(HALT + below, data)
            await watcher.event()
            return core.heard[0], live.dead_letter_count

    halt, dead_letter_count = run(main())
    assert isinstance(halt, HaltRequested)
    assert (halt.payload_bytes, halt.scope) == (len(data), below[1:] or "all")
    assert dead_letter_count == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff junk", "JSON is malformed: invalid character (byte 0)"),
        (b'{"type":"Nonsense"}', "Invalid value 'Nonsense' - at `$.type`"),
        (encode(quote(instrument=BETA)), "QuoteReceived of market.sim.BETA.quote"),
        (encode_frame([quote(), ended(0)]), "FeedEnded of feed.ended"),
    ],
)
def test_what_cannot_be_read_is_parked_and_the_service_goes_on(
    nats_url: str, data: bytes, reason: str
) -> None:
    async def main() -> tuple[Event, Event]:
        core = Probe({QuoteReceived: echo})
        async with serving(nats_url, core), ear(nats_url, DEAD_LETTERS, ENDED) as watcher:
            watcher.connection.send(QUOTES, data)
            parked = await watcher.event()
            watcher.connection.send(QUOTES, encode(quote(at_ns=3)))
            return parked, await watcher.event()

    parked, answer = run(main())
    assert isinstance(parked, DeadLettered)
    assert parked == DeadLettered(
        at_ns=parked.at_ns,
        src="gate-b1",
        seq=1,
        subject=QUOTES,
        reason=reason,
        component="gate",
        payload_base64=base64.b64encode(data).decode(),
        payload_bytes=len(data),
    )
    assert answer == ended(3, seq=1)


def test_of_a_large_dead_letter_only_the_beginning_is_kept(nats_url: str) -> None:
    async def main() -> Event:
        core = Probe({QuoteReceived: echo})
        async with serving(nats_url, core), ear(nats_url, DEAD_LETTERS) as watcher:
            watcher.connection.send(QUOTES, b"z" * 900_000)
            return await watcher.event()

    parked = run(main())
    assert isinstance(parked, DeadLettered)
    assert base64.b64decode(parked.payload_base64) == b"z" * 4_096
    assert parked.payload_bytes == 900_000


@pytest.mark.req("A-01")
def test_an_event_believed_on_any_subject_would_evade_the_bus_rights(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check, who may only publish quotes ends the feed."""
    monkeypatch.setattr(inbound, "subject_of", lambda event: QUOTES)

    async def main() -> Event:
        core = Probe({QuoteReceived: silent, FeedEnded: echo})
        async with serving(nats_url, core), ear(nats_url, ENDED) as watcher:
            watcher.connection.send(QUOTES, encode(ended(9)))
            return await watcher.event()

    assert run(main()) == ended(9, seq=1)


def test_a_missing_event_is_told_before_the_one_behind_it(nats_url: str) -> None:
    def numbered(seq: int) -> bytes:
        return encode(ended(0, seq=seq, src="feed-1"))

    async def main() -> tuple[list[Event], int]:
        core = Probe({FeedEnded: lambda e, now_ns: [quote()], GapSeen: silent})
        async with serving(nats_url, core) as live, ear(nats_url, QUOTES) as watcher:
            for seq in (1, 2, 5):
                watcher.connection.send(ENDED, numbered(seq))
                await watcher.event()
            return core.heard, live.sequences.gap_count

    heard, gap_count = run(main())
    assert [type(event) for event in heard] == [FeedEnded, FeedEnded, GapSeen, FeedEnded]
    found = heard[2]
    assert isinstance(found, GapSeen)
    assert (found.publisher, found.expected_seq, found.got_seq) == ("feed-1", 3, 5)
    assert gap_count == 1


@pytest.mark.req("X-10")
def test_a_lost_link_is_told_and_what_was_lost_is_reported(nats_url: str) -> None:
    """The lost event leaves a hole in the count, so that every receiver knows."""

    async def main() -> tuple[list[Event], Event, Event]:
        told = asyncio.Event()

        def say(event: Event, now_ns: int) -> Sequence[Event]:
            told.set()
            return [ended(now_ns)]

        core = Probe({LinkChanged: say})
        async with (
            tapped(nats_url) as tap,
            ear(nats_url, ENDED, "alert.*") as watcher,
            serving(tap.url, core),
        ):
            tap.cut()
            await told.wait()
            tap.mend()
            return core.heard, await watcher.event(), await watcher.event()

    heard, answer, alert = run(main())
    assert [event.is_up for event in heard if isinstance(event, LinkChanged)] == [False, True]
    assert isinstance(answer, FeedEnded)
    assert answer.seq == 2
    assert isinstance(alert, AlertRaised)
    assert (alert.severity, alert.component, alert.code) == (Severity.WARNING, "gate", "SLU-122")
    assert alert.message.startswith("1 events not published since the start; the last: SLU-122")


def test_an_event_too_large_for_the_bus_is_reported_at_once(nats_url: str) -> None:
    def large(event: Event, now_ns: int) -> Sequence[Event]:
        return [FeedEnded(at_ns=0, feed="x" * 1_100_000, counts={})]

    async def main() -> Event:
        core = Probe({QuoteReceived: large})
        async with serving(nats_url, core), ear(nats_url, "alert.*") as watcher:
            watcher.connection.send(QUOTES, encode(quote()))
            return await watcher.event()

    alert = run(main())
    assert isinstance(alert, AlertRaised)
    assert alert.code == "SLU-124"


def test_a_deadline_is_kept_though_no_message_comes(nats_url: str) -> None:
    async def main() -> tuple[Event, int]:
        core = Probe({QuoteReceived: silent})
        woken_ns: list[int] = []

        def on_wake(now_ns: int) -> Sequence[Event]:
            woken_ns.append(now_ns)
            return [ended(7)]

        core.on_wake = on_wake
        async with ear(nats_url, ENDED) as watcher, serving(nats_url, core) as live:
            due_ns = core.wake_at_ns = CLOCK() + 30_000_000
            live.post(quote())
            event = await watcher.event()
            return event, woken_ns[0] - due_ns

    event, late_ns = run(main())
    assert event == ended(7, seq=1)
    assert late_ns >= 0


def test_a_deadline_that_moves_forward_rings_at_its_new_time(nats_url: str) -> None:
    async def main() -> Event:
        core = Probe({QuoteReceived: silent})
        core.on_wake = lambda now_ns: [ended(7)]
        async with ear(nats_url, ENDED) as watcher, serving(nats_url, core) as live:
            core.wake_at_ns = CLOCK() + 3_600 * 1_000_000_000
            live.post(quote())
            core.wake_at_ns = CLOCK() + 1_000_000
            live.post(quote())
            return await watcher.event()

    assert run(main()) == ended(7, seq=1)


def test_a_deadline_of_the_restored_state_is_kept_from_the_start(nats_url: str) -> None:
    async def main() -> Event:
        core = Probe({QuoteReceived: silent})
        core.on_wake = lambda now_ns: [ended(7)]
        core.wake_at_ns = 1
        async with ear(nats_url, ENDED) as watcher, serving(nats_url, core):
            return await watcher.event()

    assert run(main()) == ended(7, seq=1)


def test_a_question_to_the_service_is_answered_by_its_report(nats_url: str) -> None:
    async def main() -> bytes:
        core = Probe({QuoteReceived: silent})
        async with serving(nats_url, core), ear(nats_url) as watcher:
            return (await watcher.connection.request("query.gate", b"", timeout=20)).data

    [found] = decode(run(main()), subject="query.gate")
    assert found == msgspec.structs.replace(report(found.at_ns), src="gate-b1")  # signed


def test_what_the_core_hears_elsewhere_is_not_subscribed_to(nats_url: str) -> None:
    async def main() -> list[Event]:
        core = Probe({HaltRequested: silent, QuoteReceived: echo})
        options = {"elsewhere": frozenset({HaltRequested})}
        async with serving(nats_url, core, **options), ear(nats_url, ENDED) as watcher:
            watcher.connection.send(HALT, b"")
            watcher.connection.send(QUOTES, encode(quote()))
            await watcher.event()
            return core.heard

    assert run(main()) == [quote()]


def test_a_flood_is_heard_whole_and_in_order(nats_url: str) -> None:
    async def main() -> list[int]:
        core = Probe({QuoteReceived: lambda e, now_ns: [ended(1)] if e.at_ns == 5_000 else ()})
        async with serving(nats_url, core), ear(nats_url, ENDED) as watcher:
            for at_ns in range(1, 5_001):
                watcher.connection.send(QUOTES, encode(quote(at_ns=at_ns)))
            await watcher.event()
            return [event.at_ns for event in core.heard]

    assert run(main()) == list(range(1, 5_001))
