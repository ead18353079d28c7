"""Reads of the control stream, numbered: one answers only what was asked before it began."""

from schemas.control import ControlSequenceAsked


class Reads:
    """Number the wishes for a read. The shell names the newest it knew when it began to read."""

    def __init__(self) -> None:
        self._count = 0

    def ask(self, now_ns: int) -> ControlSequenceAsked:
        """Return the wish for a read that begins after now."""
        self._count += 1
        return ControlSequenceAsked(at_ns=now_ns, read_id=self._count)
