"""What is said when a run broke what must hold."""


class ViolationError(AssertionError):
    """A run broke an invariant.

    Attributes:
        invariant: its name.
    """

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant


def require(holds: bool, invariant: str, detail: str) -> None:
    """Raise `ViolationError` unless it holds."""
    if not holds:
        raise ViolationError(invariant, detail)
