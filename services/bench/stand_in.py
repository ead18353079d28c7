"""A stand-in for the arbiter, for benchmarks of the order path alone: it only ever says yes."""

import asyncio
from collections.abc import Sequence

from nats.aio.client import Client
from nats.aio.msg import Msg

from schemas.base import Event
from schemas.control import (
    EpochStarted,
    LeaseAnswered,
    LeaseAsked,
    Member,
    PrepareAsked,
    Prepared,
    StartRequest,
)
from schemas.errors import BusError
from schemas.subjects import SUBJECTS, subject_of
from schemas.wire import decode, encode
from services.runtime.clock import Clock

MEMBERS = ("gate", "executor", "strategy")
TRIES = 50


class StandIn:
    """Prepares the members, announces an epoch, and grants every lease that is asked for."""

    def __init__(self, bus: Client, clock: Clock, members: Sequence[str] = MEMBERS) -> None:
        self._bus, self._clock, self._members = bus, clock, members
        self._prepared: dict[str, Prepared] = {}
        self._tries = 0

    async def start_trading(self, request: StartRequest) -> None:
        """Start a session; return when its epoch is announced.

        Raises:
            BusError: SLU-151 a member does not get ready; it says why.
        """
        await self._bus.subscribe(SUBJECTS[Prepared], cb=self._on_prepared)
        await self._bus.subscribe(SUBJECTS[LeaseAsked], cb=self._on_lease)
        for _ in range(TRIES):
            if await self._is_prepared(request):
                break
        else:
            said = {name: each.errors for name, each in self._prepared.items()}
            raise BusError("SLU-151", found=said, wanted="every member prepared")
        strategy = self._prepared.get("strategy")
        epoch = EpochStarted(
            at_ns=self._clock(),
            epoch=1,
            start_id=f"bench-{self._tries}",
            operator="bench",
            members={
                name: Member(boot_id=each.boot_id, halts=each.halts)
                for name, each in self._prepared.items()
            },
            session=strategy.session if strategy is not None else None,
            request=request,
            gate_token=1,
        )
        await self.say(epoch)
        await self._bus.flush()

    async def ask(self, start_id: str, request: StartRequest) -> None:
        """Ask every member whether this start may be."""
        await self.say(PrepareAsked(at_ns=self._clock(), start_id=start_id, request=request))

    async def say(self, event: Event) -> None:
        """Publish an event where its kind belongs."""
        await self._bus.publish(subject_of(event), encode(event))

    async def _is_prepared(self, request: StartRequest) -> bool:
        self._tries += 1
        self._prepared.clear()
        await self.ask(f"bench-{self._tries}", request)
        for _ in range(20):
            await asyncio.sleep(0.01)
            if len(self._prepared) == len(self._members):
                break
        found = self._prepared.values()
        return len(found) == len(self._members) and not any(each.errors for each in found)

    async def _on_prepared(self, message: Msg) -> None:
        for event in decode(message.data, subject=message.subject):
            if isinstance(event, Prepared) and event.start_id == f"bench-{self._tries}":
                self._prepared[event.component] = event

    async def _on_lease(self, message: Msg) -> None:
        for event in decode(message.data, subject=message.subject):
            if isinstance(event, LeaseAsked):
                yes = LeaseAnswered(
                    at_ns=self._clock(),
                    component=event.component,
                    boot_id=event.boot_id,
                    epoch=event.epoch,
                    asked_ns=event.at_ns,
                    is_granted=True,
                )
                await self.say(yes)
