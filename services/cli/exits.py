"""What the exit code of a command says. Stable: scripts rely on them."""

import enum

from schemas.errors import BusError, SluiceError, UserError


class Exit(enum.IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    UNREACHABLE = 3
    REFUSED = 4
    SILENT = 5
    UNHEALTHY = 6
    NOT_FLAT = 7


MEANINGS: dict[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "it failed; the message says why",
    Exit.BAD_INPUT: "an argument, a file or a variable is wrong; the message says which",
    Exit.UNREACHABLE: "no system runs here, or its bus cannot be reached or refuses us",
    Exit.REFUSED: "the system said no; the answer says why. Of `sluice service`: the service's own "
    "files are not as it wrote them, or another process has them; its last line says which",
    Exit.SILENT: "a component that should have answered stayed silent; the message names it",
    Exit.UNHEALTHY: "`sluice doctor`, `reconcile` or `status` (a dead feed) found something wrong",
    Exit.NOT_FLAT: "orders or positions are left at the venue; they are listed",
}
"""What each code means; also `sluice explain exit-codes`."""


class SilentError(BusError):
    """The bus is there, and who should have answered on it did not."""


NOT_RUNNING = "SLU-104"


def exit_of(error: SluiceError) -> Exit:
    """Return the exit code that an error ends a command with."""
    if isinstance(error, SilentError):
        return Exit.SILENT
    if isinstance(error, BusError) or error.code == NOT_RUNNING:
        return Exit.UNREACHABLE
    return Exit.BAD_INPUT if isinstance(error, UserError) else Exit.FAILED
