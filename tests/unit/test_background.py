"""A background task that ends takes its service with it, and is told in health first (S-14)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.strategy.background import Background, why_not_ready

pytestmark = pytest.mark.req("S-14")


async def breaks() -> None:
    raise OSError("no disk")


async def returns() -> None:
    return


async def stays() -> None:
    await asyncio.Event().wait()


def run(test: Callable[[Background], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await test(Background())

    asyncio.run(main())


async def ended(part: Background) -> None:
    """Wait until its tasks have ended, and what follows from that is done."""
    await asyncio.wait(part._tasks)
    await asyncio.sleep(0)


def test_what_a_task_raised_is_said_once_and_then_raised() -> None:
    async def test(part: Background) -> None:
        part.start(breaks(), "days")
        await ended(part)
        assert part.why_not_ready() == "days: no disk"
        for _ in range(2):
            with pytest.raises(OSError, match="no disk"):
                part.why_not_ready()

    run(test)


@pytest.mark.parametrize("how", ["returns", "is cancelled"])
def test_a_task_that_ends_without_an_error_is_as_bad(how: str) -> None:
    async def test(part: Background) -> None:
        part.start(returns() if how == "returns" else stays(), "days")
        if how != "returns":
            part._tasks[0].cancel()
        await ended(part)
        assert part.why_not_ready() == "days: it ended by itself"
        with pytest.raises(RuntimeError, match="it ended by itself"):
            part.why_not_ready()

    run(test)


def test_a_task_that_goes_on_or_is_closed_is_no_news() -> None:
    async def test(part: Background) -> None:
        part.start(stays(), "days")
        assert part.why_not_ready() == ""
        await part.close()
        assert all(task.done() for task in part._tasks)
        assert part.why_not_ready() == ""

    run(test)


def test_one_of_several_parts_is_enough() -> None:
    async def test(part: Background) -> None:
        well = Background()
        well.start(stays(), "others")
        part.start(breaks(), "days")
        await ended(part)
        assert why_not_ready(well, part) == "days: no disk"
        with pytest.raises(OSError, match="no disk"):
            why_not_ready(well, part)
        await well.close()

    run(test)
