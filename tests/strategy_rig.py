"""A strategy core with its sessions started, and strategies that do one thing each."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar

from schemas.base import AccountId, BootId, Event, ExecutionId, InstrumentId, SessionId
from schemas.control import (
    EpochStarted,
    Member,
    PrepareAsked,
    Prepared,
    SessionAsked,
    SessionRequest,
    StartRequest,
)
from schemas.executions import ExecutionEvent, Liquidity, OrderFilled, OrderStatus
from schemas.ids import order_id_of
from schemas.market import BarClosed, QuoteReceived, TradeReceived
from schemas.orders import Outcome, SignalDecided, SignalRaised
from services.core import tell
from services.strategy.config import UNHELD, StrategyConfig
from services.strategy.core import StrategyCore
from services.strategy.interface import Parameters, Strategy
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, instrument

GAMMA = InstrumentId("other:ALPHA")
INSTRUMENTS = {ALPHA: instrument(ALPHA), BETA: instrument(BETA, lot="5")}
_E = TypeVar("_E", bound=Event)


class Recording(Strategy[Parameters]):
    """Write down every hook that was called."""

    def on_start(self) -> None:
        self.heard: list[object] = ["start"]

    def on_quote(self, quote: QuoteReceived) -> None:
        self.heard.append(quote)

    def on_decision(self, decision: SignalDecided) -> None:
        self.heard.append(decision)

    def on_execution(self, event: ExecutionEvent) -> None:
        self.heard.append(event)

    def on_timer(self) -> None:
        self.heard.append(self.context.now_ns)

    def on_stop(self) -> None:
        self.heard.append("stop")


class BuyEachQuote(Strategy[Parameters]):
    """Buy one at every quote; close what is held when stopped."""

    def on_quote(self, quote: QuoteReceived) -> None:
        self.context.buy(quote.instrument, Decimal(1), why="a quote")

    def on_stop(self) -> None:
        for each in self.context.instruments:
            self.context.close(each, why="stop")


class FailsAtThird(BuyEachQuote):
    """Buy like the other one, and fail at the third quote, after buying."""

    seen = 0

    def on_quote(self, quote: QuoteReceived) -> None:
        self.seen += 1
        super().on_quote(quote)
        if self.seen == 3:
            raise ZeroDivisionError("third quote")  # the line that must be named


class Exits(Strategy[Parameters]):
    """Leave the process, as a script would."""

    def on_quote(self, quote: QuoteReceived) -> None:
        raise SystemExit(1)


class FailsToStart(Strategy[Parameters]):
    """Fail before the first event."""

    def on_start(self) -> None:
        raise RuntimeError("no licence")


class Beats(Strategy[Parameters]):
    """Buy one a second, by the timer alone."""

    def on_start(self) -> None:
        self.context.set_timer(self.context.now_ns + S_NS)

    def on_timer(self) -> None:
        self.context.buy(ALPHA, Decimal(1))
        self.context.set_timer(self.context.now_ns + S_NS)


class Idle(Strategy[Parameters]):
    """Listen to nothing."""


class Watching(Strategy[Parameters]):
    """Listen to trades and bars; do nothing."""

    def on_trade(self, trade: TradeReceived) -> None:
        self.last: object = trade

    def on_bar(self, bar: BarClosed) -> None:
        self.last = bar


class NotAStrategy:
    """A class like any other."""


OWN = {
    each.__name__.lower(): f"tests.strategy_rig:{each.__name__}"
    for each in (Recording, BuyEachQuote, FailsAtThird, Exits, FailsToStart, Beats, Idle)
}


def config(**fields: Any) -> StrategyConfig:
    given: dict[str, Any] = {"classes": OWN, "execution": UNHELD, "session_timeout_s": 0}
    return StrategyConfig(**given | fields)


def request(strategy: str | None = "recording", **fields: Any) -> StartRequest:
    asked: dict[str, Any] = {"operator": "kim"}
    if strategy is not None:
        asked |= {"symbols": ("sim:ALPHA",), "initial_capital": Decimal(10_000)}
    return StartRequest(strategy=strategy, **asked | fields)


def only(kind: type[_E], said: Sequence[Event]) -> _E:
    """Return the one event of this kind."""
    [found] = [event for event in said if isinstance(event, kind)]
    return found


def every(kind: type[_E], said: Sequence[Event]) -> list[_E]:
    """Return the events of this kind, in order."""
    return [event for event in said if isinstance(event, kind)]


class StrategyRig:
    """Tell the core, keep its journal, and start sessions as the arbiter would.

    Attributes:
        core: the core; another one after `restart`.
        said: everything it has said.
        kept: its journal.
    """

    def __init__(self, settings: StrategyConfig | None = None) -> None:
        self.config = settings or config()
        self.generation = 1
        self.said: list[Event] = []
        self.kept: list[Event] = []
        self.now_ns = S_NS
        self.epoch = 0
        self.fill_count = 0
        self.core = self._made()

    def _made(self) -> StrategyCore:
        boot_id = BootId(f"strategy-{self.generation}")
        return StrategyCore(self.config, ACCOUNT, INSTRUMENTS, boot_id=boot_id)

    def tell(self, event: Event | None, at_ns: int | None = None) -> list[Event]:
        """Return what the core says to the event; time does not run backwards."""
        self.now_ns = max(self.now_ns, self.now_ns if at_ns is None else at_ns)
        if event is not None and type(event) not in self.core.hears:
            return []
        said = list(tell(self.core, event, self.now_ns))
        told = [] if event is None else [event]
        self.kept += [each for each in (*told, *said) if type(each) in self.core.keeps]
        self.said += said
        return said

    def prepare(self, asked: StartRequest, start_id: str = "start") -> Prepared:
        """Return what the core answers to a start."""
        return only(Prepared, self.tell(PrepareAsked(at_ns=0, start_id=start_id, request=asked)))

    def epoch_of(self, answer: Prepared, asked: StartRequest) -> EpochStarted:
        """Return the epoch that the arbiter would announce after this answer."""
        self.epoch += 1
        return EpochStarted(
            at_ns=0,
            epoch=self.epoch,
            start_id=answer.start_id,
            operator=asked.operator,
            members={"strategy": Member(boot_id=answer.boot_id, halts=answer.halts)},
            session=answer.session,
            request=None if asked.strategy is None else asked,
        )

    def start(self, strategy: str | None = "recording", **fields: Any) -> SessionId:
        """Start a session (or, with None, trading alone), and return its id."""
        asked = request(strategy, **fields)
        answer = self.prepare(asked)
        assert not answer.errors, answer.errors
        self.tell(self.epoch_of(answer, asked))
        return answer.session or SessionId("")

    def ask(self, action: str, session: SessionId | None = None) -> list[Event]:
        """Return what the core says to a person's stop, pause or resume."""
        asked = SessionRequest(operator="kim", reason="lunch", session=session)
        return self.tell(SessionAsked(at_ns=0, request_id="r1", action=action, request=asked))

    def restart(self) -> None:
        """The process dies and comes back: only its journal is left."""
        self.generation += 1
        self.core = self._made()
        for event in self.kept:
            self.core.restore(event)

    def strategy(self, session: SessionId) -> Any:
        """Return the session's own strategy object."""
        return self.core.sessions[session].strategy

    def fill(self, signal: SignalRaised, quantity: str | None = None) -> OrderFilled:
        """Return a next execution of the order that `signal` became."""
        self.fill_count += 1
        done = signal.quantity if quantity is None else Decimal(quantity)
        leaves = signal.quantity - done
        status = OrderStatus.PARTIALLY_FILLED if leaves else OrderStatus.FILLED
        return OrderFilled(
            at_ns=self.now_ns,
            account=signal.account,
            session=signal.session,
            instrument=signal.instrument,
            order_id=order_id_of(signal.account, signal.session, signal.signal_id, signal.leg),
            execution_id=ExecutionId(f"x{self.fill_count}"),
            side=signal.side,
            price=Decimal(100),
            quantity=done,
            leaves=leaves,
            fee=Decimal(0),
            liquidity=Liquidity.TAKER,
            status=status,
        )


def decision(signal: SignalRaised, outcome: Outcome, account: AccountId = ACCOUNT) -> SignalDecided:
    """Return the gate's word on a signal."""
    approved = Decimal(0) if outcome is Outcome.REJECTED else signal.quantity
    return SignalDecided(
        at_ns=signal.at_ns,
        signal_id=signal.signal_id,
        account=account,
        session=signal.session,
        instrument=signal.instrument,
        outcome=outcome,
        order_id=order_id_of(signal.account, signal.session, signal.signal_id, signal.leg),
        rule="all" if approved else "price_collar",
        epoch=1,
        side=signal.side,
        quantity=signal.quantity,
        approved_quantity=approved,
    )
