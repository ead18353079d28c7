"""Several gates, locks, and one arbiter: who may approve, and with which token.

Gates answer a start with their boot ids; the arbiter takes the first and names it in the epoch,
whose number is the token. Messages are late, lost, repeated and in any order, the gates go on
approving with whatever they believe, and the executor restarts. Invariants:

    I5 after token k the executor accepts no order with a lower one, across its restarts
    I12 epochs only grow, across restarts of the arbiter
    A1 no two gates are armed in one epoch
    L1 nothing is started while a lock stands that no person has taken away
    L2 nobody unlocks what they have not seen
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.checker import Model, Step

GATES = ("A", "B")
NOBODY = ""


class Bounds(NamedTuple):
    """How far the model is searched."""

    epoch_max: int = 3
    locks_max: int = 1
    restarts_max: int = 1


class Protocol(NamedTuple):
    """The safeguards; a mutant has one of them switched off."""

    names_one_gate: bool = True
    executor_keeps_token: bool = True
    """In its journal, across a restart."""

    executor_checks_token: bool = True
    arbiter_keeps_epoch: bool = True
    lock_refuses_start: bool = True
    unlock_names_the_newest: bool = True


class State(NamedTuple):
    """Everything there is."""

    epoch: int = 0
    epoch_highest: int = 0
    """Ever announced, whatever the arbiter remembers."""

    preparing: str = NOBODY
    """The gate whose answer the arbiter took; `?` while it waits for one."""

    starts: frozenset[tuple[int, int, str]] = frozenset()
    """Announced: epoch, token, and the gate it names; `*` if it names all."""

    armed: tuple[tuple[str, int, int], ...] = (("A", 0, 0), ("B", 0, 0))
    """Of each gate: its epoch and its token."""

    orders: frozenset[int] = frozenset()
    """Tokens of the orders on their way; each may arrive at any time, again and again."""

    token: int = 0
    """The highest that the executor knows of."""

    token_highest: int = 0
    """The highest it has ever accepted."""

    locks: int = 0
    locks_seen: int = 0
    unlocked: int = 0
    restarts: int = 0
    broken: str = ""


def standby_model(protocol: Protocol, bounds: Bounds) -> Model[State]:
    """Return the model of `protocol`, searched as far as `bounds` says."""

    def steps(s: State) -> Iterator[Step[State]]:
        yield from _locks(s, protocol, bounds)
        yield from _arbiter(s, protocol, bounds)
        for start in s.starts:
            yield from _gates_hear(s, start)
        yield from _orders(s, protocol)
        if s.restarts < bounds.restarts_max:
            yield from _restarts(s, protocol)

    return Model(State(), steps, lambda s: s.broken)


def _locks(s: State, protocol: Protocol, bounds: Bounds) -> Iterator[Step[State]]:
    if s.locks < bounds.locks_max:
        yield "somebody locks", s._replace(locks=s.locks + 1)
    if s.locks_seen < s.locks:
        yield "the operator looks", s._replace(locks_seen=s.locks)
    if s.unlocked < s.locks and (s.locks_seen == s.locks or not protocol.unlock_names_the_newest):
        broken = "L2" if s.locks_seen < s.locks else ""
        yield "an unlock", _breaks(s._replace(unlocked=s.locks), broken)


def _arbiter(s: State, protocol: Protocol, bounds: Bounds) -> Iterator[Step[State]]:
    is_locked = s.unlocked < s.locks
    if is_locked and s.preparing and protocol.lock_refuses_start:
        yield "a lock refuses the start", s._replace(preparing=NOBODY)
        return
    may_start = not is_locked or not protocol.lock_refuses_start
    if not s.preparing and may_start and s.epoch_highest < bounds.epoch_max:
        yield "all are asked to prepare", s._replace(preparing="?")
    if s.preparing == "?":
        for gate in GATES:
            yield f"gate {gate} answers first", s._replace(preparing=gate)
    if s.preparing in GATES:
        yield _announces(s, protocol, is_locked=is_locked)


def _announces(s: State, protocol: Protocol, *, is_locked: bool) -> Step[State]:
    epoch = s.epoch + 1
    named = s.preparing if protocol.names_one_gate else "*"
    after = s._replace(
        epoch=epoch,
        epoch_highest=max(s.epoch_highest, epoch),
        preparing=NOBODY,
        starts=s.starts | {(epoch, epoch, named)},
    )
    broken = "L1" if is_locked else "I12" if epoch <= s.epoch_highest else ""
    return f"epoch {epoch} is announced", _breaks(after, broken)


def _gates_hear(s: State, start: tuple[int, int, str]) -> Iterator[Step[State]]:
    epoch, token, named = start
    for at, (gate, served, _) in enumerate(s.armed):
        if named not in (gate, "*") or epoch <= served:
            continue
        armed = (*s.armed[:at], (gate, epoch, token), *s.armed[at + 1 :])
        is_shared = len({name for name, number, _ in armed if number == epoch}) > 1
        after = s._replace(armed=armed)
        yield f"gate {gate} arms for epoch {epoch}", _breaks(after, "A1" if is_shared else "")


def _orders(s: State, protocol: Protocol) -> Iterator[Step[State]]:
    """Gates approve with the token they have, however old; the executor takes what arrives."""
    for gate, epoch, token in s.armed:
        if epoch and token not in s.orders:
            yield f"gate {gate} approves", s._replace(orders=s.orders | {token})
    for _, token, _ in s.starts:
        if token > s.token:
            yield f"the executor hears of token {token}", _fenced(s, token)
    for token in s.orders:
        if token >= s.token or not protocol.executor_checks_token:
            taken = _fenced(s, max(s.token, token))
            broken = "I5" if token < s.token_highest else ""
            yield f"an order with token {token} is accepted", _breaks(taken, broken)


def _fenced(s: State, token: int) -> State:
    return s._replace(token=token, token_highest=max(s.token_highest, token))


def _restarts(s: State, protocol: Protocol) -> Iterator[Step[State]]:
    down = s._replace(restarts=s.restarts + 1)
    kept = s.token if protocol.executor_keeps_token else 0
    yield "the executor restarts", down._replace(token=kept)
    known = s.epoch if protocol.arbiter_keeps_epoch else 0
    yield "the arbiter restarts", down._replace(epoch=known, preparing=NOBODY)


def _breaks(s: State, invariant: str) -> State:
    return s._replace(broken=s.broken or invariant)
