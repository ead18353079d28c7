"""Is what really happened something that a model allows? What cannot be seen may have happened."""

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from tests.model.checker import Model

S = TypeVar("S", bound=Hashable)
STATES_MAX = 200_000


def first_impossible(
    model: Model[S], seen: Sequence[str], *, is_hidden: Callable[[str], bool]
) -> int | None:
    """Return the place of the first step that the model does not allow there; None: it allows all.

    All states that the model may be in are followed at once, through steps that nobody can see.

    Args:
        model: the protocol.
        seen: labels of the steps that were observed, in order.
        is_hidden: whether a step of this label cannot be observed.
    """
    states = _closed(model, {model.start: None}, is_hidden)
    for place, label in enumerate(seen):
        after = {
            reached: None
            for state in states
            for step, reached in model.steps(state)
            if step == label and not model.broken(reached)
        }
        if not after:
            return place
        states = _closed(model, after, is_hidden)
    return None


def _closed(
    model: Model[S], states: dict[S, None], is_hidden: Callable[[str], bool]
) -> dict[S, None]:
    """Return the states, and all that hidden steps lead to from them."""
    found, left = dict(states), list(states)
    while left:
        for label, after in model.steps(left.pop()):
            if is_hidden(label) and after not in found and not model.broken(after):
                found[after] = None
                left.append(after)
        assert len(found) < STATES_MAX, "too much is hidden to follow this"
    return found
