"""When policies of retention are enforced: once a day, and not by a clock that may be wrong."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from schemas.base import NS_PER_S
from schemas.errors import SluiceError
from schemas.health import AlertRaised, Severity
from schemas.isolation import PartFailed
from services.recorder.checkpoints import RecordKey
from services.recorder.config import RecorderConfig
from services.recorder.journal import Journal
from services.recorder.policy import DAY_NS
from services.recorder.retention import enforce
from services.recorder.retention_sessions import enforce_sessions
from services.repository.config import RepositoryConfig
from services.runtime.ending import to_its_end
from services.runtime.live import Post

SERVICE = "recorder"
SILENCE_NS_MAX = 7 * DAY_NS
"""A record whose newest message is older than that at a start may be as it should, or the clock is
wrong by years: then nothing goes for a day, in which somebody may look."""

APART_NS_MAX = 3_600 * NS_PER_S
"""How far the wall clock may move from ours, which only counts on; then we trust neither."""


class Retiring:
    """Removes what is older than its policy.

    Args:
        config: the policies.
        key: signs what says where the record goes on.
        data_dir: of all that has an age.
        events_dir: of the JSON Lines.
        repository: of sessions.
        clock: ours; it goes by what the wall clock was at the start.
        post: told what could not be done, or was not.
        wall: the wall clock now.
    """

    def __init__(
        self,
        config: RecorderConfig,
        key: RecordKey,
        data_dir: Path,
        events_dir: Path,
        repository: RepositoryConfig,
        clock: Callable[[], int],
        post: Post,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self._policy = config.retention
        self._key = key
        self._data_dir, self._events_dir = data_dir, events_dir
        self._repository = repository
        self._clock, self._wall, self._post = clock, wall, post
        self._due_ns = 0

    def begin(self, journal: Journal) -> None:
        """Look how old the newest record is, before there are new ones."""
        now_ns = self._clock()
        newest_ns = max((place.stored_ns for place in journal.places.values()), default=now_ns)
        if now_ns - newest_ns > SILENCE_NS_MAX and not self._due_ns:
            self._wait(f"the newest record is {(now_ns - newest_ns) // DAY_NS} days old", now_ns)

    async def turn(self, journal: Journal) -> None:
        """Once a day, and after the start, remove what is older than its policy."""
        now_ns = self._clock()
        if now_ns < self._due_ns:
            return
        apart_ns = abs(self._wall() - now_ns)
        if apart_ns > APART_NS_MAX:
            self._wait(f"the clock was moved by {apart_ns // NS_PER_S} s since the start", now_ns)
            return
        self._due_ns = now_ns + DAY_NS
        work = partial(
            enforce,
            journal,
            self._key,
            data_dir=self._data_dir,
            events_dir=self._events_dir,
            policy=self._policy,
            now_ns=now_ns,
        )
        try:
            await to_its_end(asyncio.to_thread(work))
            await to_its_end(self._of_sessions(journal, now_ns))
        except SluiceError as error:  # recording goes on: too much is kept, and nothing is lost
            why = f"what is older than its policy could not be removed: {error}"
            self._tell(error.code, why, now_ns)

    async def _of_sessions(self, journal: Journal, now_ns: int) -> None:
        days, place = self._policy.sessions_days, (self._repository, self._data_dir)
        await enforce_sessions(journal, *place, days=days, now_ns=now_ns)

    def _wait(self, found: str, now_ns: int) -> None:
        self._due_ns = now_ns + DAY_NS
        why = f"{found}: is the clock right? Nothing is removed by its age for a day"
        self._tell("SLU-146", why, now_ns)

    def _tell(self, code: str, message: str, now_ns: int) -> None:
        self._post(failed(code, message, now_ns))


def failed(code: str, message: str, now_ns: int) -> PartFailed:
    """Return what goes wrong beside the recording, which goes on."""
    alert = AlertRaised(
        at_ns=now_ns, severity=Severity.WARNING, component=SERVICE, code=code, message=message
    )
    return PartFailed(at_ns=now_ns, alert=alert)
