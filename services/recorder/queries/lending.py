"""Who has the store's file: this process, in all its threads, or one who asks apart from it."""

import contextlib
import threading
from collections.abc import Iterator


class Lending:
    """Lets many use the file, or lends it whole to one; whoever waited for its return comes first.

    So questions one after the other never keep the store from following the record.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users_count = self._waiting_count = 0
        self._is_lent = False

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Use the file; waits while it is lent. Never within another use by the same thread."""
        with self._changed:
            self._waiting_count += 1
            try:
                self._changed.wait_for(lambda: not self._is_lent)
            finally:
                self._waiting_count -= 1
            self._users_count += 1
        try:
            yield
        finally:
            with self._changed:
                self._users_count -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def lent(self, wait_s: float) -> Iterator[None]:
        """Have the file alone.

        Raises:
            TimeoutError: somebody uses it all the time, or waits for that.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_free, wait_s):
                raise TimeoutError
            self._is_lent = True
        try:
            yield
        finally:
            with self._changed:
                self._is_lent = False
                self._changed.notify_all()

    def _is_free(self) -> bool:
        return not (self._is_lent or self._users_count or self._waiting_count)
