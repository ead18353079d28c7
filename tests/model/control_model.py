"""The control protocol against an arbitrarily stale gate: one executor, a lying network, a clock.

The gate may stamp an order with any epoch that ever was. Messages are late, lost, repeated and in
any order: each that was ever sent may arrive at any time, or never. The arbiter is one of the
model's actors: it looks at the log, prepares the executor, stores a start with the sequence it
had seen, and answers leases. `Protocol` says which safeguards are in place.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.checker import Model, Step

LEASE = 2
NOBODY = -1


class Bounds(NamedTuple):
    """How far the model is searched."""

    clock_max: int = 3
    log_max: int = 3
    halts_max: int = 2
    heard_max: int = 2


class Protocol(NamedTuple):
    """The safeguards; a mutant has one of them switched off."""

    compares_sequence: bool = True
    """The server refuses a start if the log has moved since the operator looked (I7)."""

    counts_halts: bool = True
    """A start is honoured only while the executor's halts are those it prepared with (I4)."""

    checks_epoch: bool = True
    """The executor sends only orders of the epoch it serves (I1)."""

    leases: bool = True
    """The executor sends only while it holds a lease (I6)."""

    lease_runs_from_asking: bool = True
    """A lease is counted from when it was asked for, not from when the answer came."""

    start_grants_lease: bool = False
    """An earlier draft: the start itself was the first lease."""

    remembers_sequence: bool = True
    """The arbiter refuses everything once the log is shorter than it has ever been."""

    log_may_lose_its_tail: bool = False
    """Not a safeguard but a fault: the newest record is lost once."""


class Message(NamedTuple):
    """Something on the network: it stays there, for it may be delivered again."""

    kind: str
    epoch: int = 0
    number: int = 0
    """Of a start: halts at its preparation. Of a lease: the time it was asked at."""


class State(NamedTuple):
    """Everything there is. Log records are `H` or `S`; an epoch is its place in the log."""

    now: int = 0
    log: str = ""
    log_longest: int = 0
    was_cut: bool = False
    halts: int = 0
    halts_to_store: int = 0
    halted_at: int = NOBODY
    """When the newest record became a halt."""

    seen: int = NOBODY
    """Length of the log that the operator who is starting looked at."""

    prepared_with: int = 0
    network: frozenset[Message] = frozenset()
    is_running: bool = False
    epoch: int = 0
    fence: int = 0
    heard: int = 0
    lease_from: int = NOBODY
    has_sent: bool = False
    broken: str = ""


def control_model(protocol: Protocol, bounds: Bounds) -> Model[State]:
    """Return the model of `protocol`, searched as far as `bounds` says."""

    def steps(s: State) -> Iterator[Step[State]]:
        yield from _world(s, protocol, bounds)
        yield from _arbiter(s, protocol, bounds)
        for message in s.network:
            yield from _executor_hears(s, message, protocol, bounds)
        yield from _executor_sends(s, protocol)

    return Model(State(), steps, lambda s: s.broken)


def _world(s: State, protocol: Protocol, bounds: Bounds) -> Iterator[Step[State]]:
    """Time, people who halt, and the disk."""
    if s.now < bounds.clock_max:
        yield "tick", s._replace(now=s.now + 1)
    if s.halts < bounds.halts_max:
        halted = s._replace(halts=s.halts + 1, halts_to_store=s.halts_to_store + 1)
        yield "somebody halts", halted._replace(network=s.network | {Message("halt")})
    if s.halts_to_store and len(s.log) < bounds.log_max:
        stored = _longer(s, "H")._replace(halts_to_store=s.halts_to_store - 1, halted_at=s.now)
        yield "the halt is stored", stored
    if protocol.log_may_lose_its_tail and not s.was_cut and s.log:
        yield "the log loses its tail", s._replace(was_cut=True, log=s.log[:-1])


def _arbiter(s: State, protocol: Protocol, bounds: Bounds) -> Iterator[Step[State]]:
    """Look and prepare, store the start, answer leases."""
    if protocol.remembers_sequence and len(s.log) < s.log_longest:
        return
    has_room = len(s.log) < bounds.log_max
    if s.seen == NOBODY and has_room:
        yield "look and prepare", s._replace(seen=len(s.log), prepared_with=s.heard)
    if s.seen != NOBODY:
        yield from _store_start(s, protocol, has_room)
    newest_is_its_start = s.log.endswith("S") and len(s.log) == s.epoch
    if protocol.leases and s.is_running and newest_is_its_start:
        lease = Message("lease", s.epoch, s.now)
        yield "the arbiter grants a lease", s._replace(network=s.network | {lease})


def _store_start(s: State, protocol: Protocol, has_room: bool) -> Iterator[Step[State]]:
    done = s._replace(seen=NOBODY, prepared_with=0)
    if protocol.compares_sequence and len(s.log) != s.seen:
        yield "the start is refused", done
    elif has_room:
        overlooked = "H" in s.log[s.seen :]
        epoch = len(s.log) + 1
        start = Message("start", epoch, s.prepared_with)
        stored = _longer(done, "S")._replace(halted_at=NOBODY, network=s.network | {start})
        yield f"start of epoch {epoch}", _breaks(stored, "I7" if overlooked else "")


def _executor_hears(
    s: State, message: Message, protocol: Protocol, bounds: Bounds
) -> Iterator[Step[State]]:
    if message.kind == "halt" and s.heard < bounds.heard_max:
        fence = max(s.fence, s.epoch)
        halted = s._replace(is_running=False, heard=s.heard + 1, fence=fence, lease_from=NOBODY)
        yield "the executor hears a halt", halted
    elif message.kind == "start" and message.epoch > max(s.epoch, s.fence):
        if message.number != s.heard and protocol.counts_halts:
            return
        lease_from = s.now if protocol.start_grants_lease else NOBODY
        armed = s._replace(is_running=True, epoch=message.epoch, lease_from=lease_from)
        over_a_halt = message.number != s.heard
        label = f"the executor hears the start of epoch {message.epoch}"
        yield label, _breaks(armed, "I4" if over_a_halt else "")
    elif message.kind == "lease" and s.is_running and message.epoch == s.epoch:
        asked = message.number if protocol.lease_runs_from_asking else s.now
        yield "the executor hears its lease", s._replace(lease_from=max(s.lease_from, asked))


def _executor_sends(s: State, protocol: Protocol) -> Iterator[Step[State]]:
    """An order reaches the executor, stamped with any epoch that ever was."""
    has_lease = s.lease_from != NOBODY and s.now < s.lease_from + LEASE
    if s.has_sent or not s.is_running or not (has_lease or not protocol.leases):
        return
    for epoch, record in enumerate(s.log, start=1):
        if record == "S" and (epoch == s.epoch or not protocol.checks_epoch):
            is_late = s.halted_at != NOBODY and s.now >= s.halted_at + LEASE
            broken = "I1" if epoch <= s.fence else "I6" if is_late else ""
            yield f"an order of epoch {epoch} is sent", _breaks(s._replace(has_sent=True), broken)


def _longer(s: State, record: str) -> State:
    log = s.log + record
    return s._replace(log=log, log_longest=max(s.log_longest, len(log)))


def _breaks(s: State, invariant: str) -> State:
    return s._replace(broken=s.broken or invariant)
