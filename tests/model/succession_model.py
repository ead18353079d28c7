"""An executor that was replaced where nobody hears it, its successor, and the arbiter of both."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.checker import Model, Step

LEASE = 2
"""Ticks that a yes is good for."""

TIME_MAX = 7
NEVER = -LEASE


class Succession(NamedTuple):
    """How leases pass from one process to the next; a mutant does one thing wrong."""

    waits_for_the_one_before: bool = True
    waits_after_its_own_restart: bool = True
    """The arbiter does not know whom the process before it gave leases to."""

    lease_counts_from_the_question: bool = True
    """And not from when the answer came, which may be any time later."""


class Executors(NamedTuple):
    """The old executor asks and sends in epoch 1, the new one in epoch 2. All times in ticks.

    The old one never hears that its epoch ended; answers to it arrive when they like.
    """

    now: int = 0
    asked_at: int | None = 0
    is_answered: bool = False
    old_until: int = 0
    is_replaced: bool = False
    given_at: int = NEVER
    restarted_at: int = NEVER
    has_new_lease: bool = False
    token_max: int = 0
    is_back: bool = False
    """Whether a lower token came after a higher one."""


def succession_model(rules: Succession) -> Model[Executors]:
    """Return the model of one replacement, with at most one restart of the arbiter."""

    def steps(s: Executors) -> Iterator[Step[Executors]]:
        if s.now < TIME_MAX:
            yield "time passes", s._replace(now=s.now + 1)
        yield from _old(s, rules)
        if not s.is_replaced:
            yield "another executor is started, and epoch 2", s._replace(is_replaced=True)
        if s.restarted_at == NEVER:
            restarted = s._replace(restarted_at=s.now, given_at=NEVER, is_replaced=True)
            yield "the arbiter restarts, and epoch 2 is started", restarted
        yield from _new(s, rules)

    return Model(Executors(), steps, lambda s: "I5" if s.is_back else "")


def _old(s: Executors, rules: Succession) -> Iterator[Step[Executors]]:
    if s.asked_at is None:
        yield "the old executor asks", s._replace(asked_at=s.now)
    elif not s.is_answered and not s.is_replaced:
        yield "the arbiter says yes to it", s._replace(is_answered=True, given_at=s.now)
    elif s.is_answered:
        begin = s.asked_at if rules.lease_counts_from_the_question else s.now
        heard = s._replace(asked_at=None, is_answered=False, old_until=begin + LEASE)
        yield "the old executor hears yes", heard
    if s.now < s.old_until:
        yield "the old executor sends", s._replace(is_back=s.token_max > 1, token_max=1)


def _new(s: Executors, rules: Succession) -> Iterator[Step[Executors]]:
    if s.has_new_lease:
        yield "the new executor sends", s._replace(token_max=2)
        return
    is_lapsed = not rules.waits_for_the_one_before or s.now >= s.given_at + LEASE
    is_known = not rules.waits_after_its_own_restart or s.now >= s.restarted_at + LEASE
    if s.is_replaced and is_lapsed and is_known:
        yield "the arbiter says yes to the new executor", s._replace(has_new_lease=True)
