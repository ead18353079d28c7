"""Several adapters of one service, as one."""

from schemas.base import Event
from services.runtime.step import Adapter, Post


class Adapters:
    """Opens them in order, and closes them in the reverse order; each sees what the core says."""

    def __init__(self, *adapters: Adapter) -> None:
        self._adapters = adapters

    async def open(self, post: Post) -> None:
        """Start all of them."""
        for each in self._adapters:
            await each.open(post)

    def act(self, event: Event, now_ns: int) -> None:
        """Have each do its own part."""
        for each in self._adapters:
            each.act(event, now_ns)

    async def close(self) -> None:
        """Stop all of them; one that fails to does not keep the others open.

        Raises:
            Exception: what the first that failed had failed with.
        """
        errors: list[Exception] = []
        for each in reversed(self._adapters):
            try:
                await each.close()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
