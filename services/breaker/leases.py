"""Whether one component may go on for another second: yes only while nothing speaks against it."""

from schemas.control import ControlSequenceRead, EpochStarted, LeaseAsked
from services.breaker.state import ControlState


def why_epoch_is_over(question: LeaseAsked, epoch: EpochStarted) -> str:
    """Return why the asker no longer is the member that `epoch` was started for; empty if it is."""
    member = epoch.members.get(question.component)
    if member is None:
        return f"{question.component} has no part in epoch {epoch.epoch}"
    if member.boot_id != question.boot_id:
        return f"{question.component} restarted"
    if member.halts != question.halts:
        return (
            f"{question.component} has heard {question.halts} halts; "
            f"at the start it was {member.halts}"
        )
    return ""


def why_no_lease(question: LeaseAsked, read: ControlSequenceRead, state: ControlState) -> str:
    """Return what speaks against a lease; empty when nothing does.

    `read` must have begun after the question came: a halt stored before it is then in it (I6).
    """
    if state.open_halt is not None:
        return str(state.open_halt)
    epoch = state.epoch
    if epoch is None:
        return "no epoch is in force: start with `sluice start`"
    if question.epoch != epoch.epoch:
        return f"epoch {question.epoch} is not in force, epoch {epoch.epoch} is"
    if over := why_epoch_is_over(question, epoch):
        return f"{over}: start again with `sluice start`"
    if (read.last_seq, read.epoch) != (epoch.stream_seq, epoch.epoch):
        return (
            f"the newest control record is {read.last_seq}, not the start of epoch "
            f"{epoch.epoch} (record {epoch.stream_seq})"
        )
    return ""
