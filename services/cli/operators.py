"""Who is at the keyboard."""

import getpass


def operator_name() -> str:
    """Return the name that goes into the record."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
