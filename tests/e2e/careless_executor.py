"""The executor without its lease: what is served by hearing alone. Run as the executor is run."""

from services.control import ControlGuard
from services.executor.__main__ import main


def permits(self: ControlGuard, now_ns: int) -> str:
    """Permit whatever no halt that was heard forbids."""
    return "halted" if self.is_halted else ""


if __name__ == "__main__":
    ControlGuard.permits = permits  # type: ignore[method-assign] # the safeguard taken away
    main()
