"""Restrictions against a lying network: one component, one thing that may be restricted, a clock.

Restrictions are stored in the order in which they were published, and nobody hears one before it is
stored. Everything else may be late, lost, repeated and in any order. `R` in the log is a
restriction, `S` the start of an epoch, whose number is its place. Invariants:

    R1 inside an epoch nothing takes a restriction away
    R2 an armed component never lacks a restriction stored before its epoch, and not reset
    R4 what a component has heard and acknowledged is in its next epoch, unless it was reset
    R6 a stored restriction is obeyed one lease later, even if its message never arrives
    R7 no reset clears a restriction that its operator had not seen
"""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.checker import Model, Step

LEASE = 2
NOBODY = -1


class Bounds(NamedTuple):
    """How far the model is searched."""

    clock_max: int = 3
    log_max: int = 4
    restrictions_max: int = 2
    heard_max: int = 2


class Protocol(NamedTuple):
    """The safeguards; a mutant has one of them switched off."""

    epoch_carries: bool = True
    lease_carries: bool = True
    lease_only_adds: bool = True
    """A lease that lacks a restriction takes none away."""

    keeps_heard: bool = True
    """At arming a component keeps what it has heard since it prepared."""

    follows_records: bool = True
    """A lease is given only for a log that was read to its end, and folded in."""

    reset_reads: bool = True
    """A reset reads the log first, and is refused over a restriction its operator had not seen."""


class Message(NamedTuple):
    """Something on the network: it stays there, for it may be delivered again."""

    kind: str
    epoch: int = 0
    number: int = 0
    """Of a start: restrictions heard at its preparation. Of a lease: when it was asked for."""

    is_restricted: bool = False


class State(NamedTuple):
    """Everything there is."""

    now: int = 0
    log: str = ""
    stored_at: tuple[int, ...] = ()
    """Of each record of the log, when it was stored."""

    seen: int = NOBODY
    """Length of the log when the start under way looked at it."""

    prepared_with: int = 0
    looked: int = 0
    """Length of the log when the operator who resets looked at it."""

    reset_to: int = 0
    """Records of the log up to here are reset."""

    epoch_reset_to: tuple[int, ...] = ()
    """Of each record, what was reset when it was stored."""

    network: frozenset[Message] = frozenset()
    epoch: int = 0
    lease_from: int = NOBODY
    heard: int = 0
    is_restricted: bool = False
    broken: str = ""


def restrictions_model(protocol: Protocol, bounds: Bounds) -> Model[State]:
    """Return the model of `protocol`, searched as far as `bounds` says."""

    def steps(s: State) -> Iterator[Step[State]]:
        yield from _world(s, bounds)
        yield from _arbiter(s, protocol, bounds)
        for message in s.network:
            yield from _component_hears(s, message, protocol, bounds)
        yield from _component_sends(s)

    return Model(State(), steps, lambda s: s.broken)


def _world(s: State, bounds: Bounds) -> Iterator[Step[State]]:
    if s.now < bounds.clock_max:
        yield "tick", s._replace(now=s.now + 1)
    if s.log.count("R") < bounds.restrictions_max and len(s.log) < bounds.log_max:
        sent = s.network | {Message("restriction")}
        yield "somebody restricts", _longer(s, "R")._replace(network=sent)
    if s.looked != len(s.log):
        yield "the operator looks", s._replace(looked=len(s.log))


def _arbiter(s: State, protocol: Protocol, bounds: Bounds) -> Iterator[Step[State]]:
    """Prepare, store the start, answer leases, reset."""
    if s.seen == NOBODY and len(s.log) < bounds.log_max:
        yield "look and prepare", s._replace(seen=len(s.log), prepared_with=s.heard)
    if s.seen != NOBODY:
        yield from _store_start(s, protocol, bounds)
    last_start = s.log.rfind("S") + 1
    if last_start and last_start == s.epoch:
        is_known = protocol.lease_carries and _is_restricted(s, s.reset_to)
        if protocol.follows_records or len(s.log) >= last_start:
            known = is_known if protocol.follows_records else _is_known_at(s, last_start)
            lease = Message("lease", s.epoch, s.now, known)
            yield "a lease is granted", s._replace(network=s.network | {lease})
    if _is_restricted(s, s.reset_to) and (s.looked == len(s.log) or not protocol.reset_reads):
        overlooked = "R" in s.log[s.looked :]
        done = s._replace(reset_to=len(s.log))
        yield "a reset", _breaks(done, "R7" if overlooked else "")


def _store_start(s: State, protocol: Protocol, bounds: Bounds) -> Iterator[Step[State]]:
    done = s._replace(seen=NOBODY, prepared_with=0)
    if len(s.log) != s.seen:
        yield "the start is refused", done
    elif len(s.log) < bounds.log_max:
        epoch = len(s.log) + 1
        known = protocol.epoch_carries and _is_restricted(s, s.reset_to)
        start = Message("start", epoch, s.prepared_with, known)
        stored = _longer(done, "S")._replace(network=s.network | {start})
        yield f"start of epoch {epoch}", stored


def _component_hears(
    s: State, message: Message, protocol: Protocol, bounds: Bounds
) -> Iterator[Step[State]]:
    if message.kind == "restriction" and s.heard < bounds.heard_max:
        yield "it hears the restriction", s._replace(heard=s.heard + 1, is_restricted=True)
    elif message.kind == "start" and message.epoch > s.epoch:
        yield f"it hears the start of epoch {message.epoch}", _arms(s, message, protocol)
    elif message.kind == "lease" and message.epoch == s.epoch:
        known = s.is_restricted or message.is_restricted
        if not protocol.lease_only_adds:
            known = message.is_restricted
        leased = s._replace(lease_from=max(s.lease_from, message.number), is_restricted=known)
        yield "it hears its lease", _breaks(leased, "R1" if s.is_restricted > known else "")


def _arms(s: State, start: Message, protocol: Protocol) -> State:
    """Return the state after a component armed, with what it then lacks."""
    has_heard_since = s.heard > start.number
    is_kept = s.is_restricted and has_heard_since
    known = start.is_restricted or (is_kept and protocol.keeps_heard)
    cleared = s.epoch_reset_to[start.epoch - 1]
    was_there = "R" in s.log[cleared : start.epoch - 1]
    broken = "R2" if was_there and not known else "R4" if is_kept and not known else ""
    armed = s._replace(epoch=start.epoch, lease_from=NOBODY, is_restricted=known)
    return _breaks(armed, broken)


def _component_sends(s: State) -> Iterator[Step[State]]:
    """An order that the restriction forbids."""
    has_lease = s.lease_from != NOBODY and s.now < s.lease_from + LEASE
    if not s.epoch or not has_lease or s.is_restricted:
        return
    is_late = any(
        record == "R" and s.now >= at + LEASE
        for record, at in list(zip(s.log, s.stored_at, strict=True))[max(s.reset_to, s.epoch) :]
    )
    if is_late:
        yield "a forbidden order is sent", _breaks(s, "R6")


def _is_restricted(s: State, since: int) -> bool:
    return "R" in s.log[since:]


def _is_known_at(s: State, length: int) -> bool:
    return "R" in s.log[s.reset_to : length]


def _longer(s: State, record: str) -> State:
    return s._replace(
        log=s.log + record,
        stored_at=(*s.stored_at, s.now),
        epoch_reset_to=(*s.epoch_reset_to, s.reset_to),
    )


def _breaks(s: State, invariant: str) -> State:
    return s._replace(broken=s.broken or invariant)
