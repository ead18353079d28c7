"""Talk to a running system over the bus, with an operator's key."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from schemas.base import Event
from schemas.control import ControlAnswered
from schemas.errors import BusError, UserError, WireError
from schemas.executions import BookReported
from schemas.health import (
    ArbiterReported,
    FeedReported,
    GateReported,
    RecorderReported,
    SessionsReported,
    SupervisorReported,
)
from schemas.subjects import QUERY
from schemas.wire import decode
from services.cli.exits import SilentError
from services.cli.locate import Place, data_dir_of, locate, running_system
from services.runtime.config import BusConfig
from services.runtime.connect import connect
from services.runtime.fastpath import BusConnection

NOTHING_STOPPED = (
    "nothing, as far as is known: where the bus is gone all stop by themselves within their lease "
    "of 1 s, but who still reaches it trades on. `sluice venue-kill` cancels at the venue, "
    "without a bus"
)
"""What a person needs to know whose halt did not get out: what holds, and what else there is."""

NOBODY_TOLD = (
    "nothing: no word went out. Is another system meant? --data-dir or --nats-url names it; "
    "`sluice venue-kill` cancels at the venue, without a bus"
)
"""The same, where there was no bus to tell."""

USERS = ("operator", "viewer")
"""Whose key is used: the first that is there."""

CONNECT_TIMEOUT_S = 3.0
ASK_TIMEOUT_S = 1.0
REQUEST_TIMEOUT_S = 10.0
_E = TypeVar("_E", bound=Event)


class Desk:
    """An open connection of a person.

    Attributes:
        connection: to the bus.
        user: whose key was used.
    """

    def __init__(self, connection: BusConnection, user: str, bus: BusConfig) -> None:
        self.connection, self.user, self.bus = connection, user, bus

    async def arbiter(self) -> ArbiterReported | None:
        """Return the breaker service's word on halts; None if it does not answer."""
        return await self.ask("breaker", ArbiterReported)

    async def gate(self) -> GateReported | None:
        """Return the gate's report; None if it does not answer."""
        return await self.ask("gate", GateReported)

    async def book(self) -> BookReported | None:
        """Return the executor's book; None if it does not answer."""
        return await self.ask("executor", BookReported)

    async def sessions(self) -> SessionsReported | None:
        """Return the strategy service's sessions; None if it does not answer."""
        return await self.ask("strategy", SessionsReported)

    async def feed(self) -> FeedReported | None:
        """Return the feed's report; None if it does not answer."""
        return await self.ask("feed", FeedReported)

    async def recorder(self) -> RecorderReported | None:
        """Return the recorder's report; None if it does not answer."""
        return await self.ask("recorder", RecorderReported)

    async def supervisor(self) -> SupervisorReported | None:
        """Return the supervisor's report; None if it does not answer."""
        return await self.ask("supervisor", SupervisorReported)

    async def ask(
        self, service: str, kind: type[_E], timeout_s: float = ASK_TIMEOUT_S
    ) -> _E | None:
        """Return what a service says of itself; None if it is not there, or silent."""
        subject = f"{QUERY}.{service}"
        try:
            message = await self.connection.request(subject, b"", timeout=timeout_s)
            [event] = decode(message.data, subject=subject)
        except (NatsError, WireError, ValueError):
            return None
        return event if isinstance(event, kind) else None

    async def request(
        self,
        subject: str,
        request: msgspec.Struct,
        owner: str,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> ControlAnswered:
        """Return the answer to a control request.

        Raises:
            BusError: the bus does not let us ask.
            SilentError: nobody is there to answer, or the answer did not come in time.
        """
        data = msgspec.json.encode(request)
        try:
            message = await self.connection.request(subject, data, timeout=timeout_s)
        except NatsError as error:
            raise unanswered(subject, owner, error, self.connection.refusals, timeout_s) from error
        [event] = decode(message.data, subject=subject)
        assert isinstance(event, ControlAnswered), event
        return event


def unanswered(
    subject: str, owner: str, error: NatsError, refusals: Sequence[str], timeout_s: float
) -> BusError:
    """Return why a request came to nothing: the bus forbids it, or its owner does not answer."""
    if isinstance(error, NoRespondersError):
        return no_answer(subject, owner, "nobody listens")
    if isinstance(error, NatsTimeoutError) and not refusals:
        found = f"no answer in {timeout_s:g} s: it may or may not have worked; look first"
        return no_answer(subject, owner, found)
    if refusals:
        wanted = "a key with this right"
        return BusError("SLU-121", subject=subject, found="; ".join(refusals), wanted=wanted)
    return BusError("SLU-122", subject=subject, found=str(error), wanted="an answer")


def no_answer(subject: str, owner: str, found: str = "no answer") -> SilentError:
    """Return the error of a service that should have answered on a bus that is there."""
    wanted = f"an answer of the {owner} service"
    return SilentError("SLU-125", component=owner, subject=subject, found=found, wanted=wanted)


@asynccontextmanager
async def at_desk(
    place: Place, bus: BusConfig | None = None, *, timeout_s: float | None = None
) -> AsyncIterator[Desk]:
    """Open a connection to the running system; close it at the end.

    Args:
        place: where to look.
        bus: where it is; None looks for it.
        timeout_s: how long to try, in seconds; None is as long as people wait.

    Raises:
        UserError: SLU-104 no system runs here; SLU-102 there is no key to use.
        BusError: the bus cannot be reached, does not let us in, or goes away meanwhile.
    """
    found = locate(place) if bus is None else bus
    user, timeout_s = _user(found), timeout_s or CONNECT_TIMEOUT_S
    try:
        connection = await connect(user, found, what_for="cli", timeout_s=timeout_s)
    except BusError as error:
        if error.code != "SLU-122":
            raise
        raise BusError(error.code, **error.fields, **_of_here(place, found)) from error
    try:
        yield Desk(connection, user, found)
    except NatsError as error:  # it went away in the middle of it
        said = str(error) or type(error).__name__
        raise BusError("SLU-122", url=found.url, found=said, wanted="a bus that stays") from error
    finally:
        await connection.close()


@asynccontextmanager
async def at_desk_to_stop(place: Place) -> AsyncIterator[Desk]:
    """Open a connection for a word that must stop trading; an error says that it did not go out.

    Raises:
        UserError: SLU-104 no system runs here; SLU-102 there is no key to use.
        BusError: the bus cannot be reached, does not let us in, or took no word in time.
    """
    try:
        async with at_desk(place) as desk:
            try:
                yield desk
            except NatsError as error:
                found = str(error) or type(error).__name__
                raise BusError("SLU-122", found=found, wanted="a bus that takes it") from error
    except BusError as error:
        raise BusError(error.code, **error.fields, stopped=NOTHING_STOPPED) from error
    except UserError as error:
        raise UserError(error.code, **error.fields, stopped=NOBODY_TOLD) from error


def _of_here(place: Place, bus: BusConfig) -> dict[str, str]:
    """Return what to do about a bus that a `sluice up` here has started: there is no other one."""
    system = running_system(data_dir_of(place))
    if system is None or system.nats_url != bus.url:
        return {}
    pid, log = system.supervisor_pid, system.data_dir / "log" / "nats.log"
    here = f"`sluice up` runs as process {pid}, and its bus does not answer: look at {log}"
    return {"here": f"{here}; Ctrl-C there, or `kill {pid}`, ends all of it"}


def _user(bus: BusConfig) -> str:
    if bus.keys_dir is None:
        return USERS[0]
    for user in USERS:
        if (bus.keys_dir / f"{user}.nk").is_file():
            return user
    wanted = "the key of a person: " + " or ".join(f"{user}.nk" for user in USERS)
    raise UserError("SLU-102", path=bus.keys_dir, found="none", wanted=wanted)


async def gather(*questions: Any) -> Sequence[Any]:
    """Return the answers to questions asked side by side."""
    return await asyncio.gather(*questions)
