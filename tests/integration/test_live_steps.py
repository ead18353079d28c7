"""The order of one step, what a broken core costs, and the way back of an answer."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.base import BootId, Event, OrderId
from schemas.control import ControlAnswered, ResetAsked, ResetRequest
from schemas.errors import BusError, FieldError, StateError
from schemas.health import AlertRaised, Severity
from schemas.market import FeedEnded, QuoteReceived
from schemas.subjects import RESET, RESULT, subject_of
from schemas.venue import OrderQueried, VenueRejected
from schemas.wire import decode, encode, encode_frame
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection
from services.runtime.live import Live, Post, RequestKind
from services.runtime.requests import Requests
from tests.builders import quote
from tests.bus import CLOCK, Bare, Ear, Probe, ear, run, serving, silent, started

QUOTES = subject_of(quote())
ENDED = "feed.ended"
QUERY_SENT = OrderQueried(at_ns=0, order_id=OrderId("o1"))
REJECTED = VenueRejected(at_ns=0, order_id=OrderId("o1"), reason="no")


def ended(feed: str = "f", seq: int = 0, src: str = "gate-b1") -> FeedEnded:
    return FeedEnded(at_ns=0, feed=feed, counts={}, src=src, seq=seq)


def answered(event: ResetAsked, now_ns: int) -> Sequence[Event]:
    return [
        ControlAnswered(
            at_ns=0, request_id=event.request_id, request="reset", is_ok=True, message="done"
        )
    ]


def asked(request_id: str, request: ResetRequest, now_ns: int) -> Event:
    return ResetAsked(at_ns=now_ns, request_id=request_id, request=request)


RESETS = {RESET: RequestKind(ResetRequest, asked, "reset")}
GOOD = b'{"operator":"kim","reason":"looked at it","halt":3}'


class Log:
    """Writes down what happens where, in order; an adapter and a journal in one."""

    def __init__(self, answers: Sequence[Event] = ()) -> None:
        self.lines: list[tuple[str, object]] = []
        self._answers = list(answers)
        self._post: Post | None = None

    async def open(self, post: Post) -> None:
        self._post = post
        self.lines.append(("open", None))

    def act(self, event: Event, now_ns: int) -> None:
        self.lines.append(("act", event))
        if self._answers and self._post is not None:
            self._post(self._answers.pop())
            self.lines.append(("posted", None))

    async def close(self) -> None:
        self.lines.append(("close", None))

    def append(self, events: Sequence[Event], *, fsync: bool) -> None:
        self.lines.append(("fsync" if fsync else "journal", [type(each) for each in events]))


class FullDisk(Log):
    """A journal that can write nothing."""

    def append(self, events: Sequence[Event], *, fsync: bool) -> None:
        raise StateError("SLU-141", path="gate.jsonl", found="no space left", wanted="room")


def venue_core(log: Log) -> Probe:
    """Answer a quote with a question to the venue, and the venue's answer with an event."""

    def on_quote(event: Event, now_ns: int) -> Sequence[Event]:
        log.lines.append(("told", QuoteReceived))
        return [ended("asked"), QUERY_SENT]

    def on_rejected(event: Event, now_ns: int) -> Sequence[Event]:
        log.lines.append(("told", VenueRejected))
        return [ended("answered")]

    return Probe(
        {QuoteReceived: on_quote, VenueRejected: on_rejected}, keeps=[QuoteReceived, OrderQueried]
    )


async def after_a_quote(url: str, core: Probe, count: int, **options: Any) -> list[Event]:
    """Serve `core`, send it a quote; return the first `count` events it publishes."""
    async with ear(url, ENDED, "alert.*") as watcher, serving(url, core, **options):
        watcher.connection.send(QUOTES, encode(quote()))
        return [await watcher.event() for _ in range(count)]


def test_a_step_is_told_then_journalled_then_acted_on(nats_url: str) -> None:
    log = Log(answers=[REJECTED])
    said = run(after_a_quote(nats_url, venue_core(log), 2, adapter=log, journal=log))
    assert said == [ended("asked", seq=1), ended("answered", seq=2)]
    assert log.lines == [
        ("open", None),
        ("told", QuoteReceived),
        ("journal", [QuoteReceived, OrderQueried]),
        ("act", QUERY_SENT),
        ("posted", None),
        ("told", VenueRejected),  # what an action posts waits for its step to end
        ("close", None),
    ]


def test_what_the_core_wants_on_the_disk_is_synced_before_acting(nats_url: str) -> None:
    log = Log()
    core = venue_core(log)
    core.fsyncs = frozenset({OrderQueried})
    run(after_a_quote(nats_url, core, 1, adapter=log, journal=log))
    assert ("fsync", [QuoteReceived, OrderQueried]) in log.lines


@pytest.mark.parametrize("has_more_read", [False, True])
def test_one_order_is_synced_in_its_own_step_and_a_burst_together(
    nats_url: str, monkeypatch: pytest.MonkeyPatch, has_more_read: bool
) -> None:
    monkeypatch.setattr(BusConnection, "has_more_read", property(lambda self: has_more_read))
    log = Log()
    core = venue_core(log)
    core.fsyncs = frozenset({OrderQueried})

    async def main() -> int:
        async with (
            ear(nats_url, ENDED) as watcher,
            serving(nats_url, core, adapter=log, journal=log),
        ):
            bare = Bare(nats_url)
            bare.publish(QUOTES, encode_frame([quote(), quote()]), encode(quote()))
            bare.settle()  # both wait for one read of the service
            bare.close()
            count = 0
            while count < 3:
                count += len(await watcher.frame())
            return count

    assert run(main()) == 3
    fsyncs = [kinds for kind, kinds in log.lines if kind == "fsync"]
    one = [QuoteReceived, OrderQueried]
    assert fsyncs == ([one * 3] if has_more_read else [one * 2, one])


@pytest.mark.req("R-01")
def test_what_cannot_be_journalled_is_neither_acted_on_nor_said(nats_url: str) -> None:
    log = FullDisk()

    async def main() -> tuple[Event, BaseException | None]:
        async with ear(nats_url, ENDED, "alert.*") as watcher:
            _, task, connection = await served(nats_url, venue_core(log), adapter=log, journal=log)
            watcher.connection.send(QUOTES, encode(quote()))
            await asyncio.wait({task})
            await connection.close()
            return await watcher.event(), task.exception()

    alert, error = run(main())
    assert isinstance(alert, AlertRaised)
    assert (alert.code, alert.severity) == ("SLU-141", Severity.CRITICAL)
    assert isinstance(error, StateError)
    assert log.lines == [("open", None), ("told", QuoteReceived), ("close", None)]


def test_a_deadline_that_is_due_at_once_comes_when_what_was_said_has_left(nats_url: str) -> None:
    async def main() -> list[tuple[str, int]]:
        log: list[tuple[str, int]] = []

        def on_quote(event: Event, now_ns: int) -> Sequence[Event]:
            log.append(("told", live.outbox.published_count))
            core.wake_at_ns = now_ns
            return [ended()]

        def on_wake(now_ns: int) -> Sequence[Event]:
            log.append(("woken", live.outbox.published_count))
            return []

        core = Probe({QuoteReceived: on_quote})
        core.on_wake = on_wake
        async with serving(nats_url, core) as live:
            live.post(quote())
            return log  # in the same turn of the loop: nothing was awaited

    assert run(main()) == [("told", 0), ("woken", 1)]


def test_events_posted_together_are_one_step_and_one_frame(nats_url: str) -> None:
    async def main() -> tuple[Event, ...]:
        core = Probe({QuoteReceived: lambda event, now_ns: [ended()]})
        async with ear(nats_url, ENDED) as watcher, serving(nats_url, core) as live:
            live.post(quote(), quote(), quote())
            return await watcher.frame()

    assert run(main()) == (ended(seq=1), ended(seq=2), ended(seq=3))


def test_an_event_the_core_does_not_hear_is_not_told(nats_url: str) -> None:
    async def main() -> list[Event]:
        core = Probe({QuoteReceived: silent})
        async with serving(nats_url, core) as live:
            live.post(ended(), quote())
            return core.heard

    assert run(main()) == [quote()]


def test_a_deadline_stands_in_the_journal_before_the_event_it_preceded(nats_url: str) -> None:
    log = Log()

    async def main() -> None:
        core = Probe({QuoteReceived: silent}, keeps=[QuoteReceived, FeedEnded])
        core.on_wake = lambda now_ns: [ended("woken")]
        async with serving(nats_url, core, journal=log) as live:
            core.wake_at_ns = 1
            live.post(quote())

    run(main())
    assert log.lines == [("journal", [FeedEnded, QuoteReceived])]


async def served(url: str, core: Probe, **options: Any) -> tuple[Live, "asyncio.Task[None]", Any]:
    """Serve until it ends by itself."""
    connection = await connect("gate", BusConfig(url=url))
    live = Live(core, connection, name="gate", boot_id=BootId("b1"), clock=CLOCK, **options)
    task = asyncio.create_task(live.run())
    await started(live, task)
    return live, task, connection


def broken(*asked: object) -> Any:
    raise AssertionError("a rule that must hold did not")


class Broken(Probe):
    """A core that breaks, whatever it is asked."""

    def describe(self, now_ns: int) -> Event:
        raise AssertionError("a rule that must hold did not")


def break_it(way: str, live: Live, core: Probe, watcher: Ear) -> None:
    """Call the core in one of the ways there are."""
    match way:
        case "post":
            live.post(quote())
        case "deadline":
            core.wake_at_ns = 1
            live.post()
        case "message":
            watcher.connection.send(QUOTES, encode(quote()))
        case "query":
            watcher.connection.send("query.gate", b"", "_INBOX.watcher.1")
        case "request":
            watcher.connection.send(RESET, GOOD)


@pytest.mark.parametrize("way", ["post", "deadline", "message", "query", "request"])
def test_a_broken_core_alerts_hears_nothing_more_and_ends_the_process(
    nats_url: str, way: str
) -> None:
    async def main() -> tuple[Event, BaseException | None, int]:
        core = Broken({QuoteReceived: broken})
        core.on_wake = broken
        kinds = {RESET: RequestKind(ResetRequest, broken, "reset")}
        async with ear(nats_url, "alert.*") as watcher:
            live, task, connection = await served(nats_url, core, requests=kinds)
            break_it(way, live, core, watcher)
            await asyncio.wait({task})
            heard_count = len(core.heard)
            live.post(quote())
            await connection.close()
            return await watcher.event(), task.exception(), len(core.heard) - heard_count

    alert, error, heard_later_count = run(main())
    assert isinstance(alert, AlertRaised)
    assert (alert.code, alert.component, alert.severity) == ("SLU-161", "gate", Severity.CRITICAL)
    assert alert.message == "AssertionError('a rule that must hold did not')"
    assert isinstance(error, AssertionError)
    assert heard_later_count == 0


def test_a_connection_lost_for_good_ends_the_process(nats_url: str) -> None:
    async def main() -> BaseException | None:
        _, task, connection = await served(nats_url, Probe({QuoteReceived: silent}))
        await connection.close()
        await asyncio.wait({task})
        return task.exception()

    error = run(main())
    assert isinstance(error, BusError)
    assert error.code == "SLU-122"


def test_what_is_said_last_before_a_stop_is_not_lost(nats_url: str) -> None:
    async def main() -> list[Event]:
        async with ear(nats_url, ENDED) as watcher:
            core = Probe({QuoteReceived: lambda event, now_ns: [ended()]})
            live, task, connection = await served(nats_url, core)
            for _ in range(100):
                live.post(quote())
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await connection.close()
            return [await watcher.event() for _ in range(100)]

    assert run(main()) == [ended(seq=seq) for seq in range(1, 101)]


async def after_a_request(
    url: str, data: bytes, reply: str = "_INBOX.watcher.1"
) -> tuple[dict[str, Event], list[Event]]:
    """Ask; return what came on each subject, and what the core was told."""
    core = Probe({ResetAsked: answered})
    async with serving(url, core, requests=RESETS), ear(url, RESULT, "_INBOX.watcher.1") as watcher:
        watcher.connection.send(RESET, data, reply)
        found = {}
        for _ in range(2 if reply.startswith("_INBOX") else 1):
            subject, answer = await watcher.message()
            [found[subject]] = decode(answer, subject=subject)
        return found, core.heard


def test_an_answer_goes_to_the_asker_and_to_everybody(nats_url: str) -> None:
    found, heard = run(after_a_request(nats_url, GOOD))
    answer = ControlAnswered(
        at_ns=0,
        src="gate-b1",
        seq=1,
        request_id="gate-b1-1",
        request="reset",
        is_ok=True,
        message="done",
    )
    assert found == {RESULT: answer, "_INBOX.watcher.1": answer}
    [event] = heard
    assert isinstance(event, ResetAsked)
    assert event.request == ResetRequest(operator="kim", reason="looked at it", halt=3)


@pytest.mark.req("S-01")
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (
            b'{"operator":"kim","reason":"r","halt":"x"}',
            FieldError(
                path="$.halt",
                found="Expected `int`, got `str`",
                wanted="an object with operator, reason, halt",
            ),
        ),
        (
            b'{"operator":"kim","reason":"r","halt":1,"forced":true}',
            FieldError(
                path="$",
                found="Object contains unknown field `forced`",
                wanted="an object with operator, reason, halt",
            ),
        ),
        (
            b"\xff",
            FieldError(
                path="$",
                found="JSON is malformed: invalid character (byte 0)",
                wanted="a JSON object",
            ),
        ),
    ],
)
def test_a_request_that_cannot_be_read_is_answered_and_not_told(
    nats_url: str, data: bytes, error: FieldError
) -> None:
    found, heard = run(after_a_request(nats_url, data))
    answer = found[RESULT]
    assert found == {RESULT: answer, "_INBOX.watcher.1": answer}
    assert isinstance(answer, ControlAnswered)
    assert (answer.is_ok, answer.request, answer.errors) == (False, "reset", (error,))
    assert answer.message == "the reset request cannot be read; nothing was done"
    assert heard == []


@pytest.mark.parametrize("reply", ["", "order.sim.paper"])
def test_an_answer_is_sent_to_no_subject_but_an_inbox(nats_url: str, reply: str) -> None:
    found, _ = run(after_a_request(nats_url, GOOD, reply))
    assert list(found) == [RESULT]


def test_answers_waited_for_are_bounded_and_given_once() -> None:
    requests = Requests(RESETS, "gate-b1")
    for number in range(1, 1_026):
        requests.read(GOOD, subject=RESET, reply=f"_INBOX.x.{number}", now_ns=0)

    def reply_for(number: int) -> str:
        return requests.reply_for(
            ControlAnswered(
                at_ns=0, request_id=f"gate-b1-{number}", request="", is_ok=True, message=""
            )
        )

    assert [reply_for(number) for number in (1, 2, 2, 1_025)] == [
        "",
        "_INBOX.x.2",
        "",
        "_INBOX.x.1025",
    ]
