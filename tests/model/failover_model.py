"""Two gates that both believe they lead, and one executor that crashes between journal and send."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.checker import Model, Step

EXPOSURE_MAX = 1
Approval = tuple[str, int, int]


class Takeover(NamedTuple):
    """How a standby gate takes over; a mutant does one thing wrong."""

    executor_checks_token: bool = True
    fences_before_rebuilding: bool = True
    rebuilds_from_accepted_orders: bool = True
    """And not from fills, which lag behind what the executor has already accepted."""


class Gates(NamedTuple):
    """Gate A leads with token 1 and may be paused; gate B takes over with token 2."""

    token_max: int = 1
    a_view: int = 0
    b_view: int = 0
    is_fenced: bool = False
    is_rebuilt: bool = False
    network: frozenset[Approval] = frozenset()
    accepted: frozenset[Approval] = frozenset()
    filled: int = 0
    a_count: int = 0
    b_count: int = 0


def gates_model(takeover: Takeover) -> Model[Gates]:
    """Return the model of two gates that share one exposure limit of one order."""

    def steps(s: Gates) -> Iterator[Step[Gates]]:
        if s.a_view < EXPOSURE_MAX and s.a_count < 2:
            sent = s.network | {("A", s.a_count, 1)}
            yield "A approves", s._replace(a_view=s.a_view + 1, a_count=s.a_count + 1, network=sent)
        yield from _takes_over(s, takeover)
        if s.is_rebuilt and s.is_fenced and s.b_view < EXPOSURE_MAX and s.b_count < 2:
            sent = s.network | {("B", s.b_count, 2)}
            yield "B approves", s._replace(b_view=s.b_view + 1, b_count=s.b_count + 1, network=sent)
        for order in s.network - s.accepted:
            if order[2] >= s.token_max or not takeover.executor_checks_token:
                token = max(s.token_max, order[2])
                accepted = s._replace(accepted=s.accepted | {order}, token_max=token)
                yield f"the executor accepts {order}", accepted
        if s.filled < len(s.accepted):
            yield "a fill", s._replace(filled=s.filled + 1)

    return Model(Gates(), steps, lambda s: "I8" if len(s.accepted) > EXPOSURE_MAX else "")


def _takes_over(s: Gates, takeover: Takeover) -> Iterator[Step[Gates]]:
    fenced = ("B fences the executor", s._replace(is_fenced=True, token_max=2))
    seen = len(s.accepted) if takeover.rebuilds_from_accepted_orders else s.filled
    rebuilt = ("B rebuilds", s._replace(is_rebuilt=True, b_view=seen))
    if takeover.fences_before_rebuilding:
        if not s.is_fenced:
            yield fenced
        elif not s.is_rebuilt:
            yield rebuilt
    elif not s.is_rebuilt:
        yield rebuilt
    elif not s.is_fenced:
        yield fenced


class Sending(NamedTuple):
    """How the executor sends; a mutant does one thing wrong."""

    journals_before_sending: bool = True
    resends_after_timeout: bool = False
    resends_if_not_found: bool = False
    venue_knows_repeats: str = "open"
    """`none`, `open` (of orders that still rest) or `forever`."""


class Executor(NamedTuple):
    """One order id: copies of its message, what the journal says, posts on their way."""

    messages: int = 1
    journal: str = ""
    phase: str = "idle"
    posts: int = 0
    venue_open: int = 0
    venue_done: int = 0
    executions: int = 0
    crashes: int = 0
    is_reconciling: bool = False


def executor_model(sending: Sending) -> Model[Executor]:
    """Return the model of one order id under redelivery, crashes and late posts."""

    def steps(s: Executor) -> Iterator[Step[Executor]]:
        if s.messages < 3:
            yield "the message is delivered again", s._replace(messages=s.messages + 1)
        yield from _takes_work(s, sending)
        yield from _venue(s, sending)
        if s.phase == "sent" and s.executions > 0:
            yield "the outcome is journalled", s._replace(phase="idle", journal="outcome")
        if s.phase == "sent" and sending.resends_after_timeout:
            yield "timeout", s._replace(phase="sending")
        if s.crashes < 2:
            down = s._replace(crashes=s.crashes + 1, phase="idle", is_reconciling=True)
            yield "the executor crashes", down
        if s.is_reconciling:
            yield _reconciles(s, sending)

    return Model(Executor(), steps, lambda s: "I2" if s.executions > 1 else "")


def _takes_work(s: Executor, sending: Sending) -> Iterator[Step[Executor]]:
    if s.phase == "idle" and s.messages > 0 and not s.is_reconciling:
        taken = s._replace(messages=s.messages - 1)
        if s.journal:
            yield "the repeat is dropped", taken
        elif sending.journals_before_sending:
            yield "the intent is journalled", taken._replace(journal="intent", phase="sending")
        else:
            yield "the order is taken", taken._replace(phase="sending")
    if s.phase == "sending" and s.posts < 3:
        yield "the order is sent", s._replace(posts=s.posts + 1, phase="sent")


def _venue(s: Executor, sending: Sending) -> Iterator[Step[Executor]]:
    """The venue takes a post, perhaps long after the executor that sent it is gone."""
    if s.posts > 0:
        rests, was_there = s.venue_open > 0, s.venue_open + s.venue_done > 0
        knows = sending.venue_knows_repeats
        after = s._replace(posts=s.posts - 1)
        if (knows == "forever" and was_there) or (knows == "open" and rests):
            yield "the venue refuses the repeat", after
        else:
            executions = s.executions + 1
            yield (
                "the venue accepts",
                after._replace(venue_open=s.venue_open + 1, executions=executions),
            )
    if s.venue_open:
        filled = s._replace(venue_open=s.venue_open - 1, venue_done=s.venue_done + 1)
        yield "the venue fills", filled


def _reconciles(s: Executor, sending: Sending) -> Step[Executor]:
    done = s._replace(is_reconciling=False)
    if s.journal != "intent":
        return "nothing to reconcile", done
    if s.venue_open or s.venue_done:
        return "the venue knows it", done._replace(journal="outcome")
    if sending.resends_if_not_found:
        return "not found, sent again", done._replace(phase="sending")
    return "not found, stays unknown", done
