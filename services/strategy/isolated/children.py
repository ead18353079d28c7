"""The processes of sessions, as the service's shell keeps them.

A process is told one frame after another and answers each; a bounded number is unanswered at any
time. What it does not keep up with waits here: of quotes only the newest of each instrument, of
all else a bounded number. Whoever answers late, wrongly or not at all is killed, and only that.
"""

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial

import msgspec
import psutil

from schemas.base import AccountId, Event, InstrumentId, SessionId
from schemas.errors import FieldError
from schemas.health import AlertRaised
from schemas.instruments import Instrument
from schemas.isolation import (
    MemoryMeasured,
    PartFailed,
    ProbeAsked,
    Probed,
    SessionHosted,
    SessionLost,
    SessionReleased,
    SessionSpoke,
    SessionTold,
)
from services.runtime.propagation import Propagation
from services.runtime.step import Post
from services.strategy.alerts import SERVICE, unstopped
from services.strategy.background import Background
from services.strategy.catalogue import STRATEGY
from services.strategy.config import StrategyConfig
from services.strategy.isolated.forking import Child, Zygote
from services.strategy.isolated.frames import Found, Opening, Spoken, Told, framed
from services.strategy.isolated.line import Line
from services.strategy.isolated.stand_in import STOP

PROCESSES, MEMORY = "session processes", "memory of sessions"
LOOK_EVERY_S = 0.1
FIRST_MEASURE_S = 1.0
"""Until memory is measured first: the service listens by then."""

LAST_WORD_S = 1.0
"""How long a session that is over may still say its last word."""


class Children:
    """Every process, by session; and those that only check a start.

    Attributes:
        background: what looks after them all the time.
    """

    def __init__(
        self,
        zygote: Zygote | None,
        config: StrategyConfig,
        account: AccountId,
        instruments: Mapping[InstrumentId, Instrument],
        clock: Callable[[], int],
        currency_values: Mapping[str, Decimal] | None = None,
    ) -> None:
        self._currency_values = currency_values
        self._zygote, self._config, self._clock = zygote, config, clock
        self._account, self._instruments = account, list(instruments.values())
        self._lines: dict[SessionId, Line] = {}
        self._probes: set[Line] = set()
        self._leaving: dict[SessionId, float] = {}
        self._stopping: set[SessionId] = set()
        self.background = Background()
        self._me = psutil.Process()
        self._propagation = Propagation(SERVICE, self._tell_of, clock)

    @property
    def degraded(self) -> str:
        """What is not watched at the moment, and why; empty when all is."""
        return self._propagation.degraded

    async def open(self, post: Post) -> None:
        """Begin to look after them."""
        self._post = post
        self._loop = asyncio.get_running_loop()
        self.background.start(self._look_on(), PROCESSES)
        self.background.start(self._measure_on(), MEMORY)

    def act(self, event: Event, now_ns: int) -> None:
        """Start a process, tell it something, or let it go."""
        match event:
            case SessionTold(session=session):
                if (line := self._lines.get(session)) is not None:
                    if event.hook == STOP:
                        self._stopping.add(session)
                    line.tell(_frame(event, now_ns), event.conflated)
            case ProbeAsked():
                self._probe(event)
            case SessionHosted():
                self._host(event, now_ns)
            case SessionReleased(session=session):
                if session in self._lines:
                    self._leaving[session] = self._loop.time() + LAST_WORD_S

    async def close(self) -> None:
        """End all of them; none outlives the service."""
        await self.background.close()
        for line in [*self._lines.values(), *self._probes]:
            line.close()
        if self._zygote is not None:
            self._zygote.close()

    def _tell_of(self, alert: AlertRaised) -> None:
        self._post(PartFailed(at_ns=alert.at_ns, alert=alert))

    def _opening(self, strategy: str) -> Opening:
        values = self._currency_values
        return Opening(
            config=self._config,
            account=self._account,
            instruments=self._instruments,
            memory_mb_max=self._config.session_memory_mb_max,
            strategy=strategy,
            currency_values=None if values is None else dict(values),
        )

    def _line(self, opening: Opening, load_ms_max: int) -> Line:
        child = self._forked()
        config = self._config
        line = Line(self._loop, child, config.answer_ms_max, config.behind_max)
        line.begin(framed(opening), load_ms_max)
        return line

    def _forked(self) -> Child:
        """Return a new process; a warm parent that has ended is started anew first."""
        if self._zygote is None:
            raise OSError("sessions have no processes of their own here")
        try:
            return self._zygote.fork()
        except OSError:
            self._zygote.close()
            self._zygote = Zygote()
            return self._zygote.fork()

    def _probe(self, asked: ProbeAsked) -> None:
        name = asked.request.strategy or ""
        opening = msgspec.structs.replace(self._opening(name), request=asked.request)
        try:
            line = self._line(opening, self._config.check_ms_max)
        except OSError as error:
            self._post(_unloaded(asked, str(error), self._clock()))
            return
        self._probes.add(line)
        line.on_answer = partial(self._on_found, line, asked)
        line.on_lost = partial(self._on_unfound, line, asked)

    def _on_found(self, line: Line, asked: ProbeAsked, data: bytes) -> None:
        line.close()
        self._probes.discard(line)
        try:
            found = msgspec.json.decode(data, type=Found)
        except msgspec.MsgspecError as error:
            self._post(_unloaded(asked, f"its answer cannot be read: {error}", self._clock()))
            return
        self._post(
            Probed(
                at_ns=self._clock(),
                start_id=asked.start_id,
                strategy=asked.request.strategy or "",
                wanted=found.wanted,
                parameters=found.parameters,
                version=found.version,
                errors=found.errors,
            )
        )

    def _on_unfound(self, line: Line, asked: ProbeAsked, why: str) -> None:
        line.close()
        self._probes.discard(line)
        self._post(_unloaded(asked, why, self._clock()))

    def _host(self, hosted: SessionHosted, now_ns: int) -> None:
        opening = msgspec.structs.replace(
            self._opening(hosted.strategy),
            history=hosted.history,
            is_again=hosted.is_again,
            now_ns=now_ns,
        )
        try:
            line = self._line(opening, self._config.load_ms_max)
        except OSError as error:
            self._post(_lost(hosted.session, str(error), self._clock(), "LTS-003"))
            return
        self._lines[hosted.session] = line
        line.on_answer = partial(self._on_spoken, hosted.session)
        line.on_lost = partial(self._on_line_lost, hosted.session)

    def _on_spoken(self, session: SessionId, data: bytes) -> None:
        try:
            spoken = msgspec.json.decode(data, type=Spoken)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._end(session, f"its answer cannot be read: {error}", code="SLU-212")
            return
        if spoken.error:
            self._end(session, spoken.error, spoken.where)
        else:
            self._post(
                SessionSpoke(
                    at_ns=self._clock(),
                    session=session,
                    said=spoken.said,
                    wake_at_ns=spoken.wake_at_ns,
                    remembered=spoken.remembered,
                    lacks=spoken.lacks,
                )
            )

    def _on_line_lost(self, session: SessionId, why: str) -> None:
        self._end(session, why)

    def _end(self, session: SessionId, why: str, where: str = "", code: str = "LT-004") -> None:
        is_stopping = session in self._stopping
        if not self._let_go(session):
            return
        if is_stopping:
            self._tell_of(unstopped(session, why, self._clock()))
        else:
            self._post(_lost(session, why, self._clock(), code, where))

    def _let_go(self, session: SessionId) -> bool:
        """End its process; return False where there is none any more."""
        self._leaving.pop(session, None)
        self._stopping.discard(session)
        line = self._lines.pop(session, None)
        if line is not None:
            line.close()
        return line is not None

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._propagation.run("SLU-161", PROCESSES, self._looked)

    async def _looked(self) -> None:
        """Look for whoever is late, and end what has had its last word."""
        for line in [*self._lines.values(), *self._probes]:
            line.look()
        for session, until_s in list(self._leaving.items()):
            line_left = self._lines.get(session)
            if line_left is None or line_left.is_idle:
                self._let_go(session)
            elif self._loop.time() >= until_s:
                self._end(session, f"its last word did not come within {LAST_WORD_S:g} s")

    async def _measure_on(self) -> None:
        """Tell the core of every process's memory (S-11)."""
        await asyncio.sleep(FIRST_MEASURE_S)
        while True:
            await self._propagation.run("LT-005", MEMORY, self._measured)
            await asyncio.sleep(self._config.execution.monitoring.memory_s)

    async def _measured(self) -> None:
        self.measure()

    def measure(self) -> None:
        """Tell the core what every process holds now."""
        for session, line in list(self._lines.items()):
            if (rss_bytes := _rss_bytes(line.pid)) is not None:
                self._post(
                    MemoryMeasured(at_ns=self._clock(), session=session, rss_bytes=rss_bytes)
                )
        own_bytes = self._me.memory_info().rss
        self._post(MemoryMeasured(at_ns=self._clock(), session=None, rss_bytes=own_bytes))


def _frame(told: SessionTold, now_ns: int) -> bytes:
    return framed(
        Told(now_ns=now_ns, hook=told.hook, is_trading=told.is_trading, event_json=told.event_json)
    )


def _lost(session: SessionId, why: str, now_ns: int, code: str, where: str = "") -> SessionLost:
    return SessionLost(
        at_ns=now_ns, session=session, reason=why, where=where or "its process", code=code
    )


def _unloaded(asked: ProbeAsked, why: str, now_ns: int) -> Probed:
    wanted = "a strategy that loads, in a process of its own; mend it"
    return Probed(
        at_ns=now_ns,
        start_id=asked.start_id,
        strategy=asked.request.strategy or "",
        errors=(FieldError(path=STRATEGY, found=why, wanted=wanted),),
    )


def _rss_bytes(pid: int) -> int | None:
    try:
        found: int = psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return None
    return found
