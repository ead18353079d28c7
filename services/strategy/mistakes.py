"""What a strategy's own code raised, in words that can be told."""

SAID_CHARS_MAX = 2_000
"""What is beyond it of an error's text is cut off: what the bus does not take is told to nobody."""


def said_by(error: BaseException, when: str = "") -> str:
    """Return an error's kind, when it came, and its text.

    The text is made by the strategy's code too, which may fail once more.
    """
    try:
        text = str(error)
    except BaseException as second:
        text = f"its text cannot be made: {type(second).__name__}"
    return f"{type(error).__name__}{when}: {text}"[:SAID_CHARS_MAX]
