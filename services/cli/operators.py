"""Who is at the keyboard."""

import getpass

from services.cli.halt_words import readable


def operator_name() -> str:
    """Return the name that goes into the record."""
    try:
        return readable(getpass.getuser())
    except (OSError, KeyError):
        return "unknown"
