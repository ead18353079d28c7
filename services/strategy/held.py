"""Why a session that runs may raise nothing now: what holds it is outside it."""

from collections.abc import Iterator

import msgspec

from schemas.base import Event
from schemas.control import EpochEnded, EpochStarted, HaltRequested
from schemas.restrictions import Level, Restriction, RestrictionRequested, scopes_over
from schemas.sessions import SessionState, SessionView

NOT_STARTED = "nothing trades since this service began: it needs a start"


class Held:
    """The fold of what forbids trading, in part or whole, since the newest epoch began."""

    def __init__(self) -> None:
        self._whole = NOT_STARTED
        self._epoch = 0
        self._parts: dict[tuple[str, Level], str] = {}

    def take(self, event: Event) -> None:
        """Fold one event in; an epoch begins with what is in force then, and nothing else."""
        match event:
            case EpochStarted(epoch=epoch, restrictions=restrictions) if epoch > self._epoch:
                self._epoch = epoch
                self._whole = f"epoch {epoch} gave this service no leave to trade: start again"
                self._parts = {}
                for each in restrictions:
                    self._add(each)
            case EpochEnded(epoch=epoch, reason=reason) if epoch == self._epoch:
                self._whole = f"epoch {epoch} has ended: {reason}"
            case HaltRequested(reason=reason, operator=operator):
                self._whole = f"halted: {_said(reason, operator)}"
            case RestrictionRequested():
                self._add(event)

    def shown(self, view: SessionView, *, is_trading: bool) -> SessionView:
        """Return the view with what holds the session, if it runs and something does."""
        if view.state is not SessionState.RUNNING:
            return view
        reasons = [] if is_trading else [self._whole]
        # All that differs between its instruments is named with its scope, so each is told once.
        reasons += dict.fromkeys(self._over(view))
        return msgspec.structs.replace(view, held="; ".join(reasons)) if reasons else view

    def _over(self, view: SessionView) -> Iterator[str]:
        for instrument in view.instruments:
            for scope in scopes_over(view.account, view.session, instrument):
                for level in Level:
                    if (said := self._parts.get((scope, level))) is not None:
                        yield said

    def _add(self, each: Restriction | RestrictionRequested) -> None:
        verb = "may only reduce" if each.level is Level.REDUCE else "is halted"
        said = f"{each.scope} {verb}: {_said(each.reason, each.operator)}"
        self._parts[each.scope, each.level] = said


def _said(reason: str, operator: str) -> str:
    return (reason or "no reason given") + (f", by {operator}" if operator else "")
