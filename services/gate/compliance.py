"""Compliance, as the gate follows it: day trading, wash sales, locates, restrictions, own orders.

All of it is a fold of kept events by their own times, so that a restart brings it back; only
valuations of an account are not kept: the newest is unknown until the next one. The one that a day
began with is noted; where it was not, it is unknown for the rest of that day.
"""

from collections.abc import Iterable, Mapping, Sequence

from schemas.base import NS_PER_S, AccountId, Event, InstrumentId
from schemas.compliance import (
    LocateGranted,
    MarginDeficitEnded,
    MarginDeficitNoted,
    OpeningEquityNoted,
)
from schemas.control import AccountMarked
from schemas.executions import (
    BookAdopted,
    ExecutionEvent,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
)
from schemas.health import AlertRaised, Severity
from schemas.orders import OrderApproved, SignalDecided
from services.core import NOTHING
from services.gate.account import Account
from services.gate.compliance_account import AccountCompliance
from services.gate.compliance_crossing import Resting
from services.gate.config import GateConfig
from services.gate.config_compliance import ComplianceRules, DayTrading, WashSale
from services.gate.exposure import Market
from services.gate.restart import Restart

VALUE_EVERY_NS = NS_PER_S
"""How often the margin of accounts under the intraday rule is summed up."""

WASH_RULE = "wash_sale"
"""The rule's name, as decisions show it."""

_EXECUTIONS: frozenset[type[Event]] = frozenset(
    {
        OrderSubmitted,
        OrderFilled,
        OrderCanceled,
        OrderExpired,
        OrderRejected,
        OrderRefused,
        OrderReplaced,
    }
)


class Compliance:
    """The family's memory: one part an account, and what rests of each beneficial owner.

    Attributes:
        accounts: by id; those with rules.
        resting: by owner.
    """

    keeps: frozenset[type[Event]] = _EXECUTIONS | {
        OrderApproved,
        BookAdopted,
        LocateGranted,
        MarginDeficitNoted,
        MarginDeficitEnded,
        OpeningEquityNoted,
    }

    def __init__(
        self,
        config: GateConfig,
        markets: Mapping[InstrumentId, Market],
        accounts: Mapping[AccountId, Account],
    ) -> None:
        self.accounts: dict[AccountId, AccountCompliance] = {}
        self.resting: dict[str, Resting] = {}
        for key, account in accounts.items():
            if account.rules is not None:
                resting = self.resting_of(key, account.rules)
                self.accounts[key] = AccountCompliance(account, account.rules, resting)
        rules = [each.rules for each in self.accounts.values() if not each.is_idle]
        if not rules:
            self.keeps = frozenset()
        self.hears = self.keeps | _heard_for(rules)
        self._unsaid: list[AlertRaised | OpeningEquityNoted] = []
        is_margined = any(DayTrading.INTRADAY_MARGIN in each.regimes for each in rules)
        self._values_at_ns: int | None = 0 if is_margined else None
        self._restart = Restart()
        is_pattern = any(DayTrading.PATTERN_DAY_TRADER in each.regimes for each in rules)
        self.wake_at_ns: int | None = 0 if is_margined or is_pattern else None

    def resting_of(self, account: AccountId, rules: ComplianceRules) -> Resting:
        """Return what rests of an account's owner, made when it is asked for first."""
        return self.resting.setdefault(rules.owner or account, Resting())

    def apply(self, event: Event, now_ns: int) -> None:
        """Fold one event in; what it counts for goes by its own time, as in a restart."""
        if isinstance(event, SignalDecided):
            self._hear_decision(event, now_ns)
            return
        self._restart.note(event)
        account = self.accounts.get(_account_of(event))
        if account is None or account.is_idle:
            return
        match event:
            case OrderApproved():
                account.approve(event)
            case ExecutionEvent():
                account.execution(event)
            case BookAdopted():
                account.adopt(event)
            case AccountMarked():
                noted = account.mark(event)
                if noted is not None:
                    self._unsaid.append(noted)
                    self.wake_at_ns = now_ns
            case OpeningEquityNoted():
                account.opened(event)
            case LocateGranted():
                account.grant(event)
            case MarginDeficitNoted() | MarginDeficitEnded():
                account.margin.fold(event)

    def wake(self, now_ns: int) -> Sequence[Event]:
        """Sum up margins when it is time; say what is new about deficits and wash sales."""
        if self._restart.begins(now_ns):
            for account in self.accounts.values():
                account.restarted(now_ns)
        said: list[Event] = [*self._unsaid]
        self._unsaid.clear()
        if self._values_at_ns is not None and self._values_at_ns <= now_ns:
            for account in self.accounts.values():
                said += self._value(account, now_ns)
            self._values_at_ns = now_ns + VALUE_EVERY_NS
        self.wake_at_ns = self._values_at_ns
        return said or NOTHING

    def _value(self, account: AccountCompliance, now_ns: int) -> list[Event]:
        if account.regime(now_ns) is not DayTrading.INTRADAY_MARGIN:
            return []
        said: list[Event] = []
        for fact in account.value(now_ns):
            is_new = fact.day_ns not in account.margin.deficits
            account.margin.fold(fact)
            said.append(fact)
            if isinstance(fact, MarginDeficitEnded) or is_new:
                said.append(_deficit_alert(fact, now_ns))
        return said

    def _hear_decision(self, event: SignalDecided, now_ns: int) -> None:
        """Take a wash sale that passed with a warning, to be told by the next `wake`."""
        account = self.accounts.get(event.account)
        if account is None or account.rules.wash_sale is not WashSale.WARN:
            return
        for reading in event.readings:
            if reading.check == WASH_RULE and reading.is_ok and reading.value:
                self._unsaid.append(_wash_alert(event, reading.value, now_ns))
                self.wake_at_ns = now_ns


def _heard_for(rules: Iterable[ComplianceRules]) -> frozenset[type[Event]]:
    heard: dict[type[Event], None] = {}
    for each in rules:
        if set(each.regimes) - {None, DayTrading.NONE}:
            heard[AccountMarked] = None
        if each.wash_sale is WashSale.WARN:
            heard[SignalDecided] = None
    return frozenset(heard)


def _account_of(event: Event) -> AccountId:
    match event:
        case OrderApproved(order=order):
            return order.account
        case BookAdopted(book=book):
            return book.account
        case ExecutionEvent() | AccountMarked() | LocateGranted():
            return event.account
        case MarginDeficitNoted() | MarginDeficitEnded() | OpeningEquityNoted():
            return event.account
    raise AssertionError(f"{type(event).__name__} is of no account")


def _deficit_alert(fact: MarginDeficitNoted | MarginDeficitEnded, now_ns: int) -> AlertRaised:
    if isinstance(fact, MarginDeficitNoted):
        message = f"account {fact.account} is short of {fact.amount} of maintenance margin"
        wanted = f"satisfied by {fact.due_ns} ns: deposit, or reduce positions"
    elif fact.frozen_until_ns:
        message = f"a margin deficit of account {fact.account} was not satisfied in time"
        wanted = f"closing only until {fact.frozen_until_ns} ns"
    else:
        message = f"a margin deficit of account {fact.account} is satisfied"
        wanted = "nothing"
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component="gate",
        code="SLU-186",
        message=message,
        fields={"account": fact.account, "day_ns": str(fact.day_ns), "wanted": wanted},
    )


def _wash_alert(event: SignalDecided, found: str, now_ns: int) -> AlertRaised:
    return AlertRaised(
        at_ns=now_ns,
        severity=Severity.WARNING,
        component="gate",
        code="SLU-187",
        message=f"signal {event.signal_id} in {event.instrument} makes a wash sale: {found}",
        fields={
            "account": event.account,
            "session": event.session,
            "instrument": event.instrument,
            "order": event.order_id,
        },
    )
