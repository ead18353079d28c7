"""End a task for certain."""

import asyncio
from typing import Any

AGAIN_S = 0.2


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancel the task, again and again until it has ended.

    Once is not enough on Python 3.11: `asyncio.wait_for`, which nats-py waits with, can swallow a
    cancellation that comes just as what it waits for is done.

    Raises:
        Exception: what the task had failed with.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_S)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
