"""Work that several processes of this machine share; none of them outlives who began it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from schemas.errors import UserError

Item = TypeVar("Item")
Found = TypeVar("Found")


def shared(
    work: Callable[[Item], Found],
    items: Sequence[Item],
    jobs: int,
    *,
    begin: Callable[..., None],
    args: tuple[Any, ...] = (),
    is_ordered: bool = False,
) -> Generator[Found, None, None]:
    """Yield what `work` finds in each item, as it is found or in their order.

    Whoever takes no more, or is interrupted, ends the processes at once, in the middle of an item.

    Args:
        work: a function of a module, called in one of the processes.
        items: what is worked on.
        jobs: how many processes.
        begin: called once in each of them, with `args`.
        args: see `begin`.
        is_ordered: whether what is found is yielded in the order of the items.

    Raises:
        UserError: SLU-213 one of the processes was ended from outside; the others then end too.
    """
    if not items:
        return
    context = multiprocessing.get_context("spawn")
    heard, kept = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(jobs, len(items)), context, _begin, (heard, begin, args))
    try:
        futures = [pool.submit(work, item) for item in items]
        done: Iterable[Future[Found]] = futures if is_ordered else as_completed(futures)
        for future in done:
            yield future.result()
    except BrokenProcessPool as error:
        wanted = "each to end by itself; fewer --jobs take less memory"
        found = "a process at work was ended from outside"
        raise UserError("SLU-213", found=found, wanted=wanted) from error
    finally:
        kept.close()  # each of them hears that, and ends
        pool.shutdown(cancel_futures=True)
        heard.close()


def _begin(heard: Connection, begin: Callable[..., None], args: tuple[Any, ...]) -> None:
    """Begin a process: it ends once whoever began it is done, or gone, and at nothing else."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; who began it ends it

    def watch() -> None:
        wait([heard])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    begin(*args)
