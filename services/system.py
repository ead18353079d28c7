"""The whole system in one process: every core of the live one, and the paper exchange.

A composition root: it may know every core. `fused` runs what it makes, for backtests and
benchmarks; nothing here can be late or lost, so the first lease is good for ever.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import chain

import msgspec

from schemas.base import AccountId, BootId, Event, InstrumentId
from schemas.control import ControlAnswered, StartAsked, StartRequest
from schemas.errors import UserError
from schemas.instruments import Instrument
from services.breaker.config import BreakerConfig
from services.breaker.control_log import ControlLog
from services.breaker.core import BreakerCore
from services.breaker.drawdown import AccountTerms
from services.breaker.watch import Roster
from services.control import LEASE_UNLIMITED_NS, ControlGuard
from services.core import NOTHING, Core
from services.executor.config import ExecutorConfig, VenueConfig, without_rounds
from services.executor.core import ExecutorCore
from services.executor.port import DirectPort
from services.gate.config import GateConfig
from services.gate.core import GateCore
from services.runtime.fused import Fused, Journal
from services.strategy.catalogue import Catalogue
from services.strategy.config import StrategyConfig
from services.strategy.core import StrategyCore
from services.strategy.orders import at_par

Runtime = Callable[[Sequence[Core], Journal | None], Fused]
"""Makes what runs the cores."""

FUSED_BOOT = BootId("fused")
LIMITS_HASH = "fused"


class FusedTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What one run in one process is made from."""

    account: AccountId
    initial_cash: Decimal
    """In the account's currency."""

    currency_values: Mapping[str, Decimal] | None = None
    """What one unit of each currency is worth in the account's; None: every capital is in that."""

    instruments: Mapping[InstrumentId, Instrument]
    gate: GateConfig
    strategy: StrategyConfig = StrategyConfig()
    executor: ExecutorConfig = ExecutorConfig()
    venue: VenueConfig = VenueConfig()
    breaker: BreakerConfig = BreakerConfig(levels={"stale_data": ()})
    """All breakers of the live system but one: a recording has gaps that are nobody's fault."""


class StartRefusedError(UserError):
    """A start that was refused.

    Attributes:
        errors: everything that spoke against it, field by field.
    """

    def __init__(self, answer: ControlAnswered) -> None:
        said = "; ".join(f"{e.path}: {e.found}, wanted {e.wanted}" for e in answer.errors)
        super().__init__("SLU-151", found=said or answer.message, wanted="a start")
        self.errors = answer.errors


class _Operator:
    """Hears what the requests of this run were answered, as a person at a terminal would."""

    hears: frozenset[type[Event]] = frozenset({ControlAnswered})
    keeps: frozenset[type[Event]] = frozenset()
    wake_at_ns: int | None = None

    def __init__(self) -> None:
        self.answers: list[ControlAnswered] = []

    def handle(self, event: Event, now_ns: int) -> Sequence[Event]:
        assert isinstance(event, ControlAnswered)
        self.answers.append(event)
        return NOTHING

    def wake(self, now_ns: int) -> Sequence[Event]:
        raise AssertionError("the operator asked for no wake-up")

    def restore(self, event: Event) -> None:
        raise AssertionError("the operator keeps nothing")

    def describe(self, now_ns: int) -> Event:
        return self.answers[-1]


class FusedSystem:
    """All cores, wired to each other.

    Attributes:
        gate: decides.
        executor: holds orders and positions as the fold of executions.
        venue: the paper exchange, with the executor's last check at its door.
        breaker: arbiter and circuit breakers.
        strategy: the sessions.
        fused: runs them on the feed's clock.
    """

    def __init__(
        self,
        terms: FusedTerms,
        *,
        catalogue: Catalogue | None = None,
        journal: Journal | None = None,
        runtime: Runtime = Fused,
    ) -> None:
        known, cash, account = terms.instruments, terms.initial_cash, terms.account
        gate_guard, executor_guard = _guard("gate"), _guard("executor")
        self.gate = GateCore(terms.gate, known, gate_guard)
        quiet = without_rounds(terms.executor)
        self.executor = ExecutorCore(quiet, account, known, cash, executor_guard, is_linked=True)
        self.venue = DirectPort(terms.venue, known, cash, self.executor.may_send)
        watched = AccountTerms(id=account, initial_cash=cash, instruments=dict(known))
        self.breaker = BreakerCore(
            terms.breaker,
            watched,
            boot_id=FUSED_BOOT,
            limits_hash=LIMITS_HASH,
            roster=Roster(is_recorder_watched=False),
        )
        endless = msgspec.structs.replace(
            terms.strategy, session_timeout_s=0
        )  # it ends where its data does
        self.strategy = StrategyCore(
            endless,
            account,
            known,
            boot_id=FUSED_BOOT,
            catalogue=catalogue,
            currency_values=terms.currency_values,
            worth_of=at_par if terms.currency_values is None else terms.currency_values.get,
        )
        self._operator = _Operator()
        # Guards before their owners: a halt is in force before anybody acts on it. The venue
        # hears the market before the strategy does: an order meets the market that caused it.
        control: tuple[Core, ...] = (gate_guard, executor_guard, ControlLog())
        order_path = (self.venue, self.gate, self.executor, self.breaker, self.strategy)
        self.fused = runtime((*control, *order_path, self._operator), journal)

    def run(self, feed: Iterable[Event], request: StartRequest) -> None:
        """Start a session just before the first event, and run the feed to its end.

        Raises:
            StartRefusedError: SLU-151 the start was refused, with everything that spoke against it.
        """
        events = iter(feed)
        first = next(events, None)
        if first is None:
            return
        self.start(request, first.at_ns)
        self.fused.run(chain((first,), events))

    def start(self, request: StartRequest, at_ns: int) -> ControlAnswered:
        """Ask for a start as an operator would; return the answer.

        Raises:
            StartRefusedError: SLU-151 it was refused, with everything that spoke against it.
        """
        self.fused.now_ns = max(self.fused.now_ns, at_ns)  # no deadline lies before the beginning
        self.fused.run([StartAsked(at_ns=at_ns, start_id="fused", request=request)])
        answer = self._operator.answers[-1]
        if not answer.is_ok:
            raise StartRefusedError(answer)
        return answer


def _guard(component: str) -> ControlGuard:
    return ControlGuard(component, FUSED_BOOT, LIMITS_HASH, lease_ns=LEASE_UNLIMITED_NS)
