"""What compliance rests on beside orders and executions: locates, and margin that was short."""

from decimal import Decimal

from schemas.base import AccountId, Event, InstrumentId


class LocateGranted(Event, frozen=True, kw_only=True):
    """A lender has shares for a short sale (SEC Regulation SHO, rule 203(b)(1)).

    Good for the trading day that `at_ns` is in. Grants of one day add up.
    """

    locate_id: str
    """The lender's own id of it: what makes a grant distinct."""

    account: AccountId
    instrument: InstrumentId
    quantity: Decimal
    """In the instrument's units."""

    lender: str = ""


class MarginDeficitNoted(Event, frozen=True, kw_only=True):
    """An account's equity was below its maintenance margin during a day; in the gate's journal."""

    account: AccountId
    day_ns: int
    """Open of the trading day it came up in, in ns since the epoch."""

    amount: Decimal
    """The largest of that day so far, in the account's currency."""

    due_ns: int
    """Close of the business day that it is to be satisfied by, in ns since the epoch."""


class MarginDeficitEnded(Event, frozen=True, kw_only=True):
    """A deficit was satisfied, or the time for it is over; in the gate's journal."""

    account: AccountId
    day_ns: int
    """Of the deficit, as it was noted."""

    frozen_until_ns: int = 0
    """0: it was satisfied. Else it was not, and until then the account may only close."""


class OpeningEquityNoted(Event, frozen=True, kw_only=True):
    """What an account was worth by a day's first valuation; in the gate's journal.

    Pattern day traders are measured by it all day: a restart must not forget it.
    """

    account: AccountId
    day_ns: int
    """Open of the trading day, in ns since the epoch."""

    equity: Decimal
    """In the account's currency."""
