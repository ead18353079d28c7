"""How the arbiter says no: what was found, what is wanted, and the next command to type."""

from collections.abc import Sequence

from schemas.control import ControlAnswered, ControlSequenceRead
from schemas.errors import FieldError
from services.breaker.state import ControlState


def reset_command(number: int) -> str:
    """Return the command that clears the halt or restriction of this number."""
    return f"`sluice reset --halt {number}`"


def unlock_command(number: int) -> str:
    """Return the command that takes the lock of this number away."""
    return f'`sluice unlock --lock {number} --reason "what you found"`'


def open_halt(state: ControlState) -> FieldError:
    """Return the complaint that a halt is open, with the way out of it."""
    halt = state.open_halt
    assert halt is not None, "asked only where one is"
    return FieldError(
        path="breaker",
        found=str(halt),
        wanted=f"no open halt: look at it, then {reset_command(halt.number)}",
    )


def locked(state: ControlState) -> FieldError:
    """Return the complaint that there is a lock, with the way out of it."""
    newest = state.locks[-1]
    more = len(state.locks) - 1
    others = f" ({more} more: `sluice status`)" if more else ""
    return FieldError(
        path="breaker",
        found=f"lock {newest.number} by {newest.component}: {newest.reason}{others}",
        wanted=f"no lock: look into it, then {unlock_command(newest.number)}",
    )


def newest_lock(state: ControlState) -> str:
    """Return the newest lock, with the way out of it."""
    way_out = unlock_command(state.locks[-1].number)
    return f"{locked(state).found}: look into it, then {way_out}"


def unread_records(read: ControlSequenceRead, state: ControlState) -> list[FieldError]:
    """Return the complaint that the control stream holds other records than were told, if so."""
    if read.last_seq == state.seq_read:
        return []
    found = f"it ends at record {read.last_seq}; {state.seq_read} was read last"
    wanted = "a control stream whose records can all be read: `sluice doctor`"
    return [FieldError(path="control stream", found=found, wanted=wanted)]


def no_answer(who: str, within_ms: int, *, awaits: str = "") -> FieldError:
    """Return the complaint that `who` is silent; `awaits` is as silent, and has to answer first."""
    wanted = f"the {awaits}'s answer, which it waits for" if awaits else f"an answer of the {who}"
    return FieldError(
        path=who,
        found=f"no answer within {within_ms} ms",
        wanted=f"{wanted}: see `sluice status`",
    )


def refused(
    request: str, request_id: str, found: Sequence[FieldError], now_ns: int
) -> ControlAnswered:
    """Return the one answer that carries everything that speaks against a request."""
    assert found, "a refusal without a reason helps nobody"
    said = "; ".join(f"{each.path}: found {each.found}, wanted {each.wanted}" for each in found)
    return ControlAnswered(
        at_ns=now_ns,
        request_id=request_id,
        request=request,
        is_ok=False,
        message=f"{request} refused: {said}",
        errors=tuple(found),
    )
