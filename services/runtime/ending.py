"""End a task for certain."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

AGAIN_S = 0.2
_T = TypeVar("_T")


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


async def to_its_end(work: Awaitable[_T]) -> _T:
    """Return what `work` returns; a cancelled waiter leaves only when it has ended."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
