"""Executor and paper exchange as processes on a real bus: killed, restarted, halted."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from schemas import wire
from schemas.base import AccountId, Event, OrderId
from schemas.control import (
    EpochStarted,
    HaltAcknowledged,
    HaltConfirmed,
    LeaseAnswered,
    LeaseAsked,
    Member,
    PrepareAsked,
    Prepared,
    StartRequest,
    TradingState,
)
from schemas.executions import (
    BookReported,
    ExecutionEvent,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderMarkedUnknown,
    OrderRefused,
    OrderSubmitted,
)
from schemas.health import HealthReported
from schemas.orders import Order, OrderApproved, OrderType
from schemas.subjects import HALT, LEASE, subject_of
from schemas.venue import VenueBook
from tests.builders import ALPHA, S_NS, order, quote
from tests.conftest import ROOT

WAIT_S = 15.0
MODULES = {"venue": "services.executor.venues.paper", "executor": "services.executor"}


def run(test: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, 60))


def now() -> int:
    return time.time_ns()


def fresh(order_id: str, **options: Any) -> Order:
    """An order that may be sent for two seconds from now."""
    return order(order_id, quantity="1", expires_at_ns=now() + 2 * S_NS, **options)


class Floor:
    """Both processes, and everyone else played by the test: feed, gate and arbiter.

    Attributes:
        heard: what came over the bus, in order.
        epoch: served now, if the executor was started.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.heard: list[Event] = []
        self.epoch = 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.bus: Client
        self.config = folder / "config.json"
        resolved = {
            "bus": {"url": url},
            "account": {"id": "paper", "currency": "USD", "initial_cash": "100000"},
            "instruments": [
                {
                    "id": ALPHA,
                    "asset_class": "equity",
                    "currency": "USD",
                    "tick_size": "0.01",
                    "lot_size": "1",
                    "taker_fee_bps": "5",
                }
            ],
            "executor": {"answer_timeout_ms": 300, "query_every_ms": 200, "reconnect_max_ms": 100},
            "paths": {"data_dir": str(folder / "var")},
        }
        self.config.write_text(json.dumps(resolved))

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", MODULES[name], "--config", str(self.config)]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    async def open(self) -> None:
        self.bus = await nats.connect(self.url)
        for subject in ("exec.>", "control.>", "health.*", "book.>", "alert.*"):
            await self.bus.subscribe(subject, cb=self._hear)
        await self.bus.subscribe(LEASE, cb=self._lease)

    async def _hear(self, message: Msg) -> None:
        if message.subject not in (LEASE, HALT):
            self.heard += wire.decode(message.data, subject=message.subject)

    async def _lease(self, message: Msg) -> None:
        for asked in wire.decode(message.data, subject=LEASE):
            assert isinstance(asked, LeaseAsked)
            yes = LeaseAnswered(
                at_ns=now(),
                component="executor",
                boot_id=asked.boot_id,
                epoch=asked.epoch,
                asked_ns=asked.at_ns,
                is_granted=True,
            )
            await self.say(yes)

    async def say(self, *events: Event) -> None:
        for event in events:
            await self.bus.publish(subject_of(event), wire.encode(event))
        await asyncio.sleep(0)

    async def approve(self, *orders: Order) -> None:
        await self.say(
            *(OrderApproved(at_ns=now(), order=o, epoch=self.epoch, gate_token=1) for o in orders)
        )

    def of(self, *kinds: type[Event]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kinds)]

    def ids(self, kind: type[ExecutionEvent]) -> list[str]:
        return [event.order_id for event in self.of(kind)]

    async def until(self, is_so: Callable[[], object]) -> None:
        """Return once it is so; what other processes do cannot be awaited."""
        for _ in range(int(WAIT_S / 0.01)):
            if is_so():
                return
            await asyncio.sleep(0.01)
        logs = [(self.folder / f"{name}.log").read_text()[-2_000:] for name in self.processes]
        raise AssertionError(f"not so within {WAIT_S} s: {self.heard[-20:]}\n" + "\n".join(logs))

    async def ready(self, *names: str) -> None:
        """Wait until a process that runs now says it is ready."""
        pids = {self.processes[name].pid for name in names}

        def are_ready() -> bool:
            return pids <= {each.pid for each in self.of(HealthReported) if each.is_ready}

        await self.until(are_ready)

    async def begin(self) -> None:
        """Start a new epoch, as the arbiter does, once the executor has nothing against it."""
        self.epoch += 1
        prepared = await self._prepared(f"start-{self.epoch}")
        start_id = prepared.start_id
        member = Member(boot_id=prepared.boot_id, halts=prepared.halts)
        begun = EpochStarted(
            at_ns=now(),
            epoch=self.epoch,
            start_id=start_id,
            operator="kim",
            members={"executor": member},
            gate_token=1,
        )
        await self.say(quote(at_ns=now()), begun)
        await self.until(lambda: self.of(HealthReported)[-1:] and self._is_running())

    def _is_running(self) -> bool:
        newest = [each for each in self.of(HealthReported) if each.service == "executor"][-1]
        return bool(newest.trading_state is TradingState.RUNNING and newest.epoch == self.epoch)

    async def _prepared(self, start_id: str) -> Prepared:
        """Ask until every order's fate is known: that takes until their deadline has passed."""
        request = StartRequest(operator="kim")
        for number in range(int(WAIT_S / 0.1)):
            name = f"{start_id}-{number}"
            await self.say(PrepareAsked(at_ns=now(), start_id=name, request=request))
            await asyncio.sleep(0.1)
            for each in self.of(Prepared):
                if each.start_id == name and not each.errors:
                    assert isinstance(each, Prepared)
                    return each
        raise AssertionError(f"not prepared: {self.of(Prepared)[-1:]}")

    async def book(self) -> BookReported:
        """Return the executor's whole book, asked for now."""
        answer = await self.bus.request("query.executor", b"", timeout=WAIT_S)
        [found] = wire.decode(answer.data, subject="query.executor")
        assert isinstance(found, BookReported)
        return found

    async def venue_book(self) -> VenueBook:
        answer = await self.bus.request("query.venue", b"", timeout=WAIT_S)
        found = wire.decode_kept(answer.data, where="query.venue")
        assert isinstance(found, VenueBook)
        return found

    def received(self) -> list[str]:
        """Return the ids of the orders that the venue's journal has, in order."""
        lines = (self.folder / "var" / "state" / "venue.jsonl").read_bytes().splitlines()
        events = [msgspec.json.decode(line)["event"] for line in lines]
        return [each["order"]["order_id"] for each in events if each["type"] == "OrderPlaced"]

    async def agree(self) -> None:
        ours, theirs = await self.book(), await self.venue_book()
        held = {each.instrument: each.quantity for each in ours.positions if each.quantity}
        assert (ours.cash, ours.fees, held) == (theirs.cash, theirs.fees, theirs.positions)
        resting = [each.order_id for each in theirs.open_orders]
        assert [each.order.order_id for each in ours.open_orders] == resting


@asynccontextmanager
async def floor(folder: Path, url: str) -> AsyncIterator[Floor]:
    """Both processes, connected to each other, in a first epoch."""
    it = Floor(folder, url)
    await it.open()
    try:
        it.start("venue")
        it.start("executor")
        await it.ready("venue", "executor")
        await it.begin()
        yield it
    finally:
        for process in it.processes.values():
            process.kill()
            process.wait()
        await it.bus.close()


@pytest.mark.req("X-01", "X-06")
def test_an_approval_on_the_bus_becomes_a_fill_at_the_venue(tmp_path: Path, nats_url: str) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, nats_url) as it:
            await it.approve(fresh("a"))
            await it.until(lambda: it.of(OrderFilled))
            kinds = [type(each) for each in it.of(ExecutionEvent)]
            assert kinds == [OrderSubmitted, OrderAccepted, OrderFilled]
            [fill] = it.of(OrderFilled)
            assert (fill.account, fill.price) == (AccountId("paper"), Decimal("100.01"))
            await it.agree()

    run(scenario())


@pytest.mark.req("X-10", "O-04")
def test_an_executor_killed_while_trading_loses_nothing_and_sends_nothing_twice(
    tmp_path: Path, nats_url: str
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, nats_url) as it:
            resting = fresh("resting", order_type=OrderType.LIMIT, limit="90.00")
            orders = [resting, *(fresh(f"o{number}") for number in range(200))]
            await it.approve(*orders)
            await it.until(lambda: len(it.of(OrderSubmitted)) > 20)
            it.kill("executor")
            before = len(it.received())
            assert before < 201  # it was killed in the middle
            it.start("executor")
            await it.ready("executor")
            await it.begin()
            await it.approve(
                *(msgspec.structs.replace(o, expires_at_ns=now() + S_NS * 9) for o in orders)
            )
            await it.approve(fresh("last"))
            await it.until(lambda: "last" in it.ids(OrderFilled))
            never_sent = [e.order_id for e in it.of(OrderRefused) if e.rule == "never sent"]
            assert len(never_sent) < 100  # the intents of one step that it died in
            everything = {"last", *(each.order_id for each in orders)}
            assert sorted([*it.received(), *never_sent]) == sorted(everything)
            assert (await it.book()).is_reconciled
            await it.agree()

    run(scenario())


@pytest.mark.req("X-10", "O-04")
def test_a_venue_killed_while_trading_comes_back_with_every_order_it_had(
    tmp_path: Path, nats_url: str
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, nats_url) as it:
            resting = fresh("resting", order_type=OrderType.LIMIT, limit="90.00")
            await it.approve(resting, *(fresh(f"o{number}") for number in range(100)))
            await it.until(lambda: len(it.of(OrderFilled)) > 10)
            it.kill("venue")
            received = it.received()
            it.start("venue")
            await it.ready("venue")
            await it.say(quote(at_ns=now()))

            async def is_settled() -> bool:
                book = await it.book()
                return book.is_reconciled and [v.order.order_id for v in book.open_orders] == [
                    "resting"
                ]

            for _ in range(int(WAIT_S / 0.05)):
                if await is_settled():
                    break
                await asyncio.sleep(0.05)
            assert it.received()[: len(received)] == received
            assert len(set(it.received())) == len(it.received())
            await it.approve(fresh("last"))
            await it.until(lambda: "last" in it.ids(OrderFilled))
            closed = {*it.ids(OrderFilled), *it.ids(OrderRefused), *it.ids(OrderCanceled)}
            assert closed == {"last", *(f"o{number}" for number in range(100))}
            await it.agree()

    run(scenario())


@pytest.mark.req("X-10")
def test_a_frozen_venue_leaves_orders_unknown_until_it_wakes_and_none_is_doubled(
    tmp_path: Path, nats_url: str
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, nats_url) as it:
            os.kill(it.processes["venue"].pid, signal.SIGSTOP)
            await it.approve(fresh("a"))
            await it.until(lambda: it.of(OrderMarkedUnknown))
            os.kill(it.processes["venue"].pid, signal.SIGCONT)
            await it.until(lambda: it.of(OrderFilled))
            assert it.received() == [OrderId("a")]
            await it.agree()

    run(scenario())


@pytest.mark.req("O-05")
@pytest.mark.parametrize("payload", [b"", b"\xff", b'{"halt": false}'])
def test_a_halt_cancels_what_rests_and_nothing_is_sent_after_its_acknowledgement(
    tmp_path: Path, nats_url: str, payload: bytes
) -> None:
    async def scenario() -> None:
        async with floor(tmp_path, nats_url) as it:
            await it.approve(fresh("resting", order_type=OrderType.LIMIT, limit="90.00"))
            await it.until(lambda: it.of(OrderAccepted))
            await it.approve(*(fresh(f"o{number}") for number in range(100)))
            await it.bus.publish(HALT, payload)
            await it.until(lambda: it.of(HaltAcknowledged))
            await it.approve(fresh("after"))
            await it.until(lambda: "after" in it.ids(OrderRefused))
            await it.until(lambda: it.of(HaltConfirmed))
            assert it.ids(OrderCanceled) == ["resting"]
            [refused] = [each for each in it.of(OrderRefused) if each.order_id == "after"]
            assert refused.rule == "halted"
            assert "after" not in it.received()
            assert (await it.venue_book()).open_orders == ()

    run(scenario())
