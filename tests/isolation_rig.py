"""A session manager with its processes, driven without a bus."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from schemas.base import AccountId, BootId, Event, InstrumentId, SessionId
from schemas.control import (
    EpochStarted,
    Member,
    PrepareAsked,
    Prepared,
    SessionAsked,
    SessionRequest,
)
from schemas.instruments import Instrument
from schemas.sessions import SessionState
from schemas.subjects import INTERNAL
from services.core import tell
from services.strategy.catalogue import catalogue_of
from services.strategy.config import UNHELD, StrategyConfig
from services.strategy.isolated.children import Children
from services.strategy.isolated.loading import isolated
from services.strategy.manager import ManagerCore
from tests.builders import ACCOUNT, ALPHA, BETA, instrument
from tests.strategy_rig import request

WAIT_S = 20.0
KNOWN = {ALPHA: instrument(ALPHA), BETA: instrument(BETA)}
UNRULY = (
    "Buys",
    "Spins",
    "Raises",
    "Leaves",
    "Kills",
    "Leaks",
    "Shouts",
    "Floods",
    "Forges",
    "Defies",
    "Tries",
    "Sleepy",
    "Loses",
    "Listens",
    "Follows",
    "Chokes",
    "Lingers",
)
CLASSES = {name.lower(): f"tests.unruly:{name}" for name in UNRULY}
_E = TypeVar("_E", bound=Event)


def config(**fields: Any) -> StrategyConfig:
    given: dict[str, Any] = {
        "execution": UNHELD,
        "session_timeout_s": 0,
        "answer_ms_max": 2_500,
        "load_ms_max": 20_000,
        "check_ms_max": 20_000,
        "sessions_max": 200,
    }
    return StrategyConfig(**given | fields)


class Desk:
    """Tells the manager, does what it says through its processes, and keeps what it said.

    Attributes:
        said: everything public, in order.
        said_before: how many of these a test does not look at.
        kept: its journal.
        core: the manager.
    """

    def __init__(
        self,
        settings: StrategyConfig,
        kept: list[Event] | None = None,
        known: Mapping[InstrumentId, Instrument] = KNOWN,
        account: AccountId = ACCOUNT,
    ) -> None:
        catalogue = catalogue_of(settings)
        zygote = isolated(catalogue, settings, account, known)
        boot_id = BootId(f"strategy-{time.monotonic_ns()}")
        self.core = ManagerCore(settings, account, known, boot_id=boot_id, catalogue=catalogue)
        self.children = Children(zygote, settings, account, known, time.time_ns)
        self.said: list[Event] = []
        self.said_before = 0
        self.kept: list[Event] = []
        self._inbox: list[Event | None] = []
        self._is_telling = False
        self._news = asyncio.Event()
        self._epoch = 0
        for event in kept or []:
            self.core.restore(event)
            self._epoch = max(self._epoch, getattr(event, "epoch", 0))
            self.kept.append(event)

    async def __aenter__(self) -> "Desk":
        await self.children.open(self.post)
        self.post()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.children.close()

    def post(self, *events: Event) -> None:
        """Tell these events, and all that follows, one by one."""
        self._inbox += events or (None,)
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._inbox:
                self._tell(self._inbox.pop(0))
        finally:
            self._is_telling = False

    def _tell(self, event: Event | None) -> None:
        now_ns = time.time_ns()
        if event is not None and type(event) not in self.core.hears:
            return
        said = tell(self.core, event, now_ns)
        told = [] if event is None else [event]
        self.kept += [each for each in (*told, *said) if type(each) in self.core.keeps]
        for each in said:
            if type(each) in INTERNAL:
                self.children.act(each, now_ns)
            else:
                self.said.append(each)
        self._news.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for news until it is so."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    def every(self, kind: type[_E]) -> list[_E]:
        """Return the public events of this kind so far."""
        return [event for event in self.said if isinstance(event, kind)]

    async def prepare(self, strategy: str, **fields: Any) -> Prepared:
        """Return the answer to a start."""
        asked = request(CLASSES.get(strategy, strategy), **fields)
        count = len(self.every(Prepared))
        start_id = f"start-{count}"
        self.post(PrepareAsked(at_ns=0, start_id=start_id, request=asked))
        await self.until(lambda: len(self.every(Prepared)) > count)
        return self.every(Prepared)[-1]

    async def start(self, strategy: str, **fields: Any) -> SessionId:
        """Start a session, and return its id."""
        answer = await self.prepare(strategy, **fields)
        assert not answer.errors, answer.errors
        self._epoch += 1
        member = Member(boot_id=answer.boot_id, halts=answer.halts)
        self.post(
            EpochStarted(
                at_ns=0,
                epoch=self._epoch,
                start_id=answer.start_id,
                operator="kim",
                members={"strategy": member},
                session=answer.session,
                request=request(CLASSES.get(strategy, strategy), **fields),
            )
        )
        assert answer.session is not None
        return answer.session

    def ask(self, action: str, session: SessionId) -> None:
        """Stop, pause or resume."""
        asked = SessionRequest(operator="kim", reason="lunch", session=session)
        self.post(SessionAsked(at_ns=0, request_id="r", action=action, request=asked))

    def state(self, session: SessionId) -> SessionState:
        """Return the session's state."""
        return self.core.sessions[session].state
