"""What the venue says beside executions: settlements, and how safe the account is. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from schemas.base import AccountId, Event
from schemas.limits import AccountHealthReported
from schemas.settlement import PositionSettled
from schemas.venue import VenueHealth, VenueSettled
from services.executor.rounds import Rounds
from services.executor.teller import Teller


class Money:
    """Folds settlements into the account's book, and tells them.

    Attributes:
        handlers: what takes each of the venue's messages of this kind.
    """

    def __init__(self, account: AccountId, teller: Teller, rounds: Rounds) -> None:
        self._account = account
        self._teller = teller
        self._rounds = rounds
        self.handlers: dict[type[Event], Callable[[Any, int], Sequence[Event]]] = {
            VenueSettled: self._settle,
            VenueHealth: self._pass_on,
        }

    def settle_all(self, settlements: Iterable[VenueSettled], now_ns: int) -> list[Event]:
        """Return the settlements that were not known yet, folded in."""
        return [said for each in settlements for said in self._settle(each, now_ns)]

    def _settle(self, settled: VenueSettled, now_ns: int) -> Sequence[Event]:
        told = PositionSettled(
            at_ns=now_ns,
            account=self._account,
            instrument=settled.instrument,
            settlement_id=settled.settlement_id,
            kind=settled.kind,
            closes_at=settled.closes_at,
            payment=settled.payment,
            reason=settled.reason,
        )
        said = self._teller.say(told, now_ns)
        if not said or settled.closes_at is None:
            return said
        return [*said, self._rounds.report("", now_ns)]  # the gate's exposure follows our book

    def _pass_on(self, health: VenueHealth, now_ns: int) -> Sequence[Event]:
        return [
            AccountHealthReported(
                at_ns=now_ns,
                account=self._account,
                venue=health.venue,
                health_factor=health.health_factor,
                margin_ratio=health.margin_ratio,
            )
        ]
