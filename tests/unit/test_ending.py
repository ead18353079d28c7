"""A task that is ended has ended."""

import asyncio

import pytest

from services.runtime.ending import end


async def deaf(cancellations: int) -> None:
    """Swallow so many cancellations, as `asyncio.wait_for` may swallow one."""
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancellations -= 1
            if cancellations < 0:
                raise


@pytest.mark.parametrize("swallowed", [0, 1, 2])
def test_a_task_that_swallows_a_cancellation_ends_all_the_same(swallowed: int) -> None:
    async def main() -> bool:
        task = asyncio.create_task(deaf(swallowed))
        await asyncio.sleep(0)
        await asyncio.wait_for(end(task), 5)
        return task.cancelled()

    assert asyncio.run(main())


def test_cancelling_once_leaves_such_a_task_running() -> None:
    async def main() -> bool:
        task = asyncio.create_task(deaf(1))
        await asyncio.sleep(0)
        task.cancel()  # once: the safeguard, removed
        await asyncio.wait({task}, timeout=0.05)
        is_running = not task.done()
        await end(task)
        return is_running

    assert asyncio.run(main())


def test_what_a_task_failed_with_is_raised() -> None:
    async def failing() -> None:
        raise OSError("no disk")

    async def main() -> None:
        task = asyncio.create_task(failing())
        await asyncio.sleep(0)
        await end(task)

    with pytest.raises(OSError, match="no disk"):
        asyncio.run(main())
