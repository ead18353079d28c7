"""An arbiter, and the guards of gate and executor with their control links, on a real server."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from schemas import wire
from schemas.base import AccountId, BootId, Event, InstrumentId, SessionId
from schemas.control import EpochStarted, PrepareAsked, Prepared
from schemas.restrictions import LocksChanged, RestrictionAcknowledged
from schemas.subjects import START
from services.control import ControlGuard
from services.runtime.clock import Clock
from services.runtime.connect import connect
from services.runtime.link import ControlLink
from tests.control_rig import HASH
from tests.integration.guarded import GuardedServer
from tests.integration.test_arbiter_live import Arbiter

TRADERS = ("gate", "executor")


async def _ended(link: ControlLink) -> None:
    with contextlib.suppress(Exception):
        await link.wait()


class Trader:
    """One process of the order path, as far as the control protocol goes.

    Attributes:
        guard: of the process that runs now.
        posted: what its link handed to its core.
    """

    def __init__(self, name: str, server: GuardedServer) -> None:
        self.name = name
        self.server = server
        self.clock = Clock()
        self.generation = 0
        self.posted: list[Event] = []

    async def open(self) -> None:
        """Start a new process: another boot id, and nothing kept."""
        self.generation += 1
        self.guard = ControlGuard(self.name, BootId(f"{self.name}-{self.generation}"), HASH)
        self.link = ControlLink(
            self.guard,
            lambda: connect(self.name, self.server.bus, what_for="control"),
            post=self.posted.append,
            clock=self.clock,
            lock=threading.Lock(),
        )
        await self.link.open()

    async def caught_up(self) -> None:
        """Return once its link has taken what the server sent before now, or has ended by it."""
        loop, ended = self.link._loop, asyncio.ensure_future(_ended(self.link))
        assert loop is not None
        waits: list[asyncio.Future[None]] = [ended]
        if not loop.is_closed():
            flushed = asyncio.run_coroutine_threadsafe(self.link._connection.flush(), loop)
            waits.append(asyncio.wrap_future(flushed))
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()

    async def restart(self) -> None:
        await self.link.close()
        await self.open()

    def may(self, account: str, session: str, instrument: str) -> str:
        """Return what stands against an order of these; empty when nothing does."""
        if why := self.guard.permits(self.clock()):
            return why
        found = self.guard.restriction_on(
            AccountId(account), SessionId(session), InstrumentId(instrument)
        )
        return "" if found is None else f"{found.level} of {found.scope}"

    def prepared(self, asked: PrepareAsked) -> Prepared:
        return Prepared(
            at_ns=self.clock(),
            start_id=asked.start_id,
            component=self.name,
            boot_id=self.guard.boot_id,
            limits_hash=HASH,
            halts=self.guard.halts,
            restriction_count=self.guard.restriction_count,
            epoch_max=self.guard.epoch_max,
            is_reconciled=True,
        )


class OrderPath(Arbiter):
    """The breaker service as it is, and gate and executor as far as the control protocol goes.

    Attributes:
        traders: by name.
    """

    def __init__(self, folder: Path, server: GuardedServer) -> None:
        super().__init__(folder, server)
        self.traders = {name: Trader(name, server) for name in TRADERS}

    async def open(self) -> None:
        await super().open()
        for trader in self.traders.values():
            await trader.open()

    async def close(self) -> None:
        for trader in self.traders.values():
            await trader.link.close()
        await super().close()

    async def trade(self) -> EpochStarted:
        """Start, and return the epoch once both are leased in it."""
        answer = await self.ask(START)
        assert answer.is_ok, answer.message
        await self.until(lambda: any(e.epoch == answer.epoch for e in self.announced()))
        await self.until(lambda: all(self._is_leased(t, answer.epoch) for t in self._all()))
        return next(e for e in self.announced() if e.epoch == answer.epoch)

    def announced(self) -> list[EpochStarted]:
        """Return the epochs that were announced; a stored copy does not know its place."""
        return [epoch for epoch in self.of(EpochStarted) if epoch.stream_seq]

    async def restrict(self, subject: str, data: bytes = b"") -> None:
        """Publish a restriction and wait until gate, executor and arbiter have acknowledged it."""
        before = len(self.of(RestrictionAcknowledged))
        self.connections["viewer"].send(subject, data)
        await self.until(lambda: len(self.of(RestrictionAcknowledged)) >= before + 3)

    def opinions(
        self, account: str = "paper", session: str = "s1", instrument: str = "sim:ALPHA"
    ) -> set[str]:
        """Return what they say of it, each by itself: one may have heard a moment sooner."""
        return {trader.may(account, session, instrument) for trader in self._all()}

    def may(
        self, account: str = "paper", session: str = "s1", instrument: str = "sim:ALPHA"
    ) -> str:
        """Return what the two say of an order of these; they must agree."""
        found = self.opinions(account, session, instrument)
        assert len(found) == 1, found
        return found.pop()

    async def locked(self) -> None:
        """Wait until the arbiter has told of a lock."""
        await self.until(lambda: any(each.locks for each in self.of(LocksChanged)))

    async def leased_anew(self) -> None:
        """Wait until both hold a lease that was asked for after now."""
        since_ns = min(trader.clock() for trader in self._all())

        def is_so() -> bool:
            wanted_ns = since_ns + 1_000_000_000
            return all(trader.guard.lease_until_ns > wanted_ns for trader in self._all())

        await self.until(is_so)

    def _all(self) -> list[Trader]:
        return list(self.traders.values())

    def _is_leased(self, trader: Trader, epoch: int) -> bool:
        return trader.guard.epoch == epoch and trader.guard.permits(trader.clock()) == ""

    def _prepare(self, member: str) -> Callable[[str, bytes, str], None]:
        if member not in self.traders:
            return super()._prepare(member)

        def take(subject: str, data: bytes, reply: str) -> None:
            [asked] = wire.decode(data, subject=subject)
            assert isinstance(asked, PrepareAsked)
            self.say(member, self.traders[member].prepared(asked))

        return take


@asynccontextmanager
async def order_path(
    folder: Path, server: GuardedServer, kind: type[OrderPath] = OrderPath
) -> AsyncIterator[OrderPath]:
    """Run all of it until the block ends."""
    rig = kind(folder, server)
    await rig.open()
    try:
        await rig.make_stream()
        await rig.start()
        yield rig
    finally:
        await rig.close()
