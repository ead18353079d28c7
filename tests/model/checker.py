"""A small explicit-state checker: every interleaving, breadth first, shortest bad trace first."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S", bound=Hashable)
Step = tuple[str, S]


class Model(NamedTuple, Generic[S]):
    """A protocol as a set of states."""

    start: S
    steps: Callable[[S], Iterable[Step[S]]]
    """All that can happen in a state: a label, and the state after it."""

    broken: Callable[[S], str]
    """The invariant that a state breaks; empty if none."""


class Verdict(NamedTuple):
    """What the search found."""

    broken: str
    """The invariant broken first; empty if none is."""

    trace: tuple[str, ...]
    """The shortest way there."""

    state_count: int
    is_exhausted: bool
    """Whether every reachable state was seen."""


def check(model: Model[S], *, state_count_max: int = 4_000_000) -> Verdict:
    """Visit every reachable state, and stop at the first that breaks an invariant."""
    came_from: dict[S, tuple[S, str] | None] = {model.start: None}
    queue = deque([model.start])
    while queue:
        state = queue.popleft()
        for label, after in model.steps(state):
            if after in came_from:
                continue
            came_from[after] = (state, label)
            if broken := model.broken(after):
                return Verdict(broken, _trace(came_from, after), len(came_from), False)
            queue.append(after)
        if len(came_from) > state_count_max:
            return Verdict("", (), len(came_from), False)
    return Verdict("", (), len(came_from), True)


def _trace(came_from: dict[S, tuple[S, str] | None], state: S) -> tuple[str, ...]:
    labels = []
    while (step := came_from[state]) is not None:
        state, label = step
        labels.append(label)
    return tuple(reversed(labels))
