"""The reports service's hands: the store fed, questions answered, reports made on time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from schemas.base import AccountId, Event
from schemas.errors import FieldError, SluiceError
from schemas.reports import (
    DeliveriesLooked,
    QueryAnswer,
    QueryRequest,
    ReportMade,
    ReportsDue,
    ReportWanted,
    ReportWritten,
    ResultsWanted,
    ResultsWritten,
    StoreMarked,
)
from schemas.subjects import QUERY_SQL
from schemas.wire import decode_request
from services.recorder.queries.config import ReportsConfig
from services.recorder.queries.delivering import deliver, refuse_bad_folders, reports_of
from services.recorder.queries.keeper import Keeper
from services.recorder.queries.mailing import Mailer, refuse_bad_mail
from services.recorder.queries.making import folded_day, made_of, refuse_empty, write
from services.reports.days import day_named
from services.runtime.ending import end
from services.runtime.fastpath import BusConnection
from services.runtime.live import Post
from services.runtime.requests import REPLY_PREFIX

WAITING_MAX = 16
"""Questions that wait for the one before; what comes on top is refused at once."""

SETTLE_S = 3.0
"""How long after a session's end its last events may still be on their way to the record."""

LOOK_EVERY_S = 30
"""How often it is looked whether a scheduled report is due."""


class Serving:
    """Feeds, answers and makes, each in a thread of its own; the loop only carries.

    A question sees what was recorded up to a moment ago; recording knows nothing of any of it.
    """

    def __init__(
        self,
        connect: Callable[[str], Awaitable[BusConnection]],
        *,
        clock: Callable[[], int],
        config: ReportsConfig,
        data_dir: Path,
        account: AccountId,
    ) -> None:
        self._connect, self._clock, self._config = connect, clock, config
        self._data_dir, self._account = data_dir, account
        refuse_bad_folders(config.deliver_to, data_dir)
        refuse_bad_mail(config.mail)
        self._mailer = Mailer(data_dir, config.mail) if config.mail.host else None
        self._keeper = Keeper(data_dir, config, account)
        self._feeder = ThreadPoolExecutor(1, "feed")
        self._asker = ThreadPoolExecutor(1, "ask")
        self._maker = ThreadPoolExecutor(1, "make")
        self._waiting_count = 0
        self._look_at = 0.0
        self._wanted: list[ReportWanted] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, post: Post) -> None:
        """Begin to follow the record and to listen for questions."""
        self._post = post
        self._connection = await self._connect("queries")
        await self._connection.take(QUERY_SQL, self._take)
        self._follower = asyncio.create_task(self._follow())

    def act(self, event: Event, now_ns: int) -> None:
        """Make a report, or the results of a session.

        Reports of one day that are wanted together are made from one reading.
        """
        if isinstance(event, ResultsWanted):
            self._spawn(self._write_results(event))
        if isinstance(event, ReportWanted):
            self._wanted.append(event)
            if len(self._wanted) == 1:
                self._spawn(self._make())

    async def close(self) -> None:
        """Stop; what was being made is made anew when it is wanted again."""
        await end(self._follower)
        for task in list(self._tasks):
            await end(task)
        for pool in (self._asker, self._maker, self._feeder):
            pool.shutdown(wait=True, cancel_futures=True)
        self._keeper.close()
        await self._connection.close()

    # follow

    async def _follow(self) -> None:
        """Follow for as long as we serve; what ends a round is told, and the next one comes."""
        while True:
            await asyncio.sleep(self._config.follow_every_ms / 1_000)
            try:
                await self._follow_once()
            except Exception as error:  # a fault of ours: nobody would see that we had ended
                now_ns, detail = self._clock(), f"a fault of the follower: {error!r}"
                self._post(StoreMarked(at_ns=now_ns, recorded_count=0, lag_bytes=0, detail=detail))

    async def _follow_once(self) -> None:
        loop = asyncio.get_running_loop()
        mark = await loop.run_in_executor(self._feeder, self._keeper.feed, self._clock())
        self._post(mark)
        if mark.detail or loop.time() < self._look_at:
            return
        self._look_at = loop.time() + LOOK_EVERY_S
        due = await loop.run_in_executor(self._feeder, self._keeper.due, self._clock())
        if due:
            self._post(ReportsDue(at_ns=self._clock(), requests=tuple(due)))
        await self._deliver()

    async def _deliver(self) -> None:
        """Hand over what was made, in the thread that makes: half a report is never read."""
        if self._config.deliver_to or self._mailer is not None:
            loop = asyncio.get_running_loop()
            work = partial(self._delivered, self._clock())
            self._post(await loop.run_in_executor(self._maker, work))

    def _delivered(self, now_ns: int) -> DeliveriesLooked:
        """Put reports into the folders, and mail them; what keeps one from it keeps no other."""
        config, data_dir = self._config, self._data_dir
        days_max = config.catch_up_days + 1  # today's, which somebody asked for, too
        lying = deliver(data_dir, config.deliver_to, days_max, now_ns)
        if self._mailer is None:
            return lying
        wanted = tuple(f"{kind}-" for kind in config.mail.kinds)
        reports = [p for p in reports_of(data_dir, days_max) if p.name.startswith(wanted)]
        mailed = self._mailer.deliver(reports, now_ns)
        return DeliveriesLooked(
            at_ns=now_ns,
            delivered=(*lying.delivered, *mailed.delivered),
            trouble="; ".join(each for each in (lying.trouble, mailed.trouble) if each),
        )

    # answer

    def _take(self, subject: str, data: bytes, reply: str) -> int:
        if not reply.startswith(REPLY_PREFIX):
            return 1
        request = decode_request(data, QueryRequest)
        if isinstance(request, FieldError):
            self._answer(reply, QueryAnswer(error=request))
        elif self._waiting_count >= WAITING_MAX:
            found, wanted = f"{WAITING_MAX} questions wait already", "to be asked again later"
            busy = FieldError(path="query", found=found, wanted=wanted)
            self._answer(reply, QueryAnswer(error=busy))
        else:
            self._waiting_count += 1
            self._spawn(self._ask(request, reply))
        return 1

    async def _ask(self, request: QueryRequest, reply: str) -> None:
        loop = asyncio.get_running_loop()
        try:
            if not self._keeper.is_wanted:  # the first question opens the store
                self._keeper.is_wanted = True
                mark = await loop.run_in_executor(self._feeder, self._keeper.feed, self._clock())
                self._post(mark)
            answer = await loop.run_in_executor(self._asker, self._keeper.ask, request)
        finally:
            self._waiting_count -= 1
        self._answer(reply, answer)

    def _answer(self, reply: str, answer: QueryAnswer) -> None:
        with contextlib.suppress(SluiceError):  # whoever asked is gone, or the bus: asked again
            self._connection.send(reply, msgspec.json.encode(answer))

    # make

    async def _make(self) -> None:
        await asyncio.sleep(0)  # what else is wanted in this step comes along
        loop = asyncio.get_running_loop()
        while self._wanted:
            first = self._wanted[0].request
            group = [
                each
                for each in self._wanted
                if (each.request.day, each.request.account) == (first.day, first.account)
            ]
            written = await loop.run_in_executor(self._maker, self._made, group)
            self._wanted = [each for each in self._wanted if each not in group]
            self._post(*written)
        await self._deliver()

    async def _write_results(self, wanted: ResultsWanted) -> None:
        """Write what a session did, once its last events are recorded too."""
        await asyncio.sleep(SETTLE_S)
        loop, error = asyncio.get_running_loop(), ""
        try:
            await loop.run_in_executor(self._maker, self._keeper.on_session_end, wanted.session)
        except (SluiceError, OSError) as failed:
            error = str(failed)
        self._post(ResultsWritten(at_ns=self._clock(), session=wanted.session, error=error))

    def _made(self, group: list[ReportWanted]) -> list[ReportWritten]:
        """Make the reports of one day, in a thread."""
        request = group[0].request
        try:
            day = day_named(request.day, self._config.calendar, path="$.day")
            fold = folded_day(self._data_dir, request.account or self._account, day)
            refuse_empty(fold, day)
            found = []
            for each in group:
                [report] = made_of([each.request.kind], fold, day)
                write(self._data_dir, report)
                made = report.made(is_scheduled=not each.request_id, operator=each.request.operator)
                found.append(self._written(each, made=made))
        except SluiceError as error:
            wanted = error.fields.get("wanted", error.entry.resolution)
            said = error.fields.get("found", str(error))
            told = FieldError(path=error.fields.get("path", "$"), found=said, wanted=wanted)
            return [self._written(each, error=told) for each in group]
        except Exception as error:  # a fault of ours: no further report would be made after it
            told = FieldError(path="$", found=f"a fault: {error!r}", wanted="a report of it")
            return [self._written(each, error=told) for each in group]
        return found

    def _written(
        self,
        wanted: ReportWanted,
        *,
        made: ReportMade | None = None,
        error: FieldError | None = None,
    ) -> ReportWritten:
        if made is not None:
            self._keeper.on_made(wanted)
        return ReportWritten(
            at_ns=self._clock(),
            request_id=wanted.request_id,
            kind=wanted.request.kind,
            day=wanted.request.day,
            made=made,
            error=error,
        )

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
