"""When checkpoints are told to other places: beside the recording, which never waits for them."""

import asyncio
from collections.abc import Callable

from schemas.base import NS_PER_S
from schemas.recording import AnchoringRead
from services.recorder.witness import Witness
from services.runtime.ending import end
from services.runtime.live import Post


class Anchoring:
    """Tells the newest checkpoint to the places outside, one telling at a time."""

    def __init__(
        self, witness: Witness, post: Post, clock: Callable[[], int], *, every_s: int
    ) -> None:
        self._witness, self._post, self._clock = witness, post, clock
        self._every_ns = every_s * NS_PER_S
        self._due_ns = 0
        self._task: asyncio.Task[None] | None = None

    def turn(self) -> None:
        """Begin to tell, if it is time; one that takes longer than that is said to be stuck."""
        now_ns = self._clock()
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + self._every_ns
        if self._task is not None and not self._task.done():
            self._say(f"no end of the last telling after {self._every_ns // NS_PER_S} s")
            return
        self._task = asyncio.create_task(self._tell())

    async def close(self) -> None:
        """Tell the last checkpoint; a place that does not answer is not waited for."""
        if self._task is not None:
            await end(self._task)
        async with asyncio.timeout(self._every_ns / NS_PER_S):
            await self._tell()

    async def _tell(self) -> None:
        self._say(await asyncio.to_thread(self._witness.anchor))

    def _say(self, trouble: str) -> None:
        newest = self._witness.newest
        read = AnchoringRead(
            at_ns=self._clock(), signed_count=newest.n if newest else 0, trouble=trouble
        )
        self._post(read)
