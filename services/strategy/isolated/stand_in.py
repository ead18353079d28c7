"""What stands in the session manager for a strategy that runs in a process of its own."""

from typing import Any

import msgspec

from schemas.base import Event, SessionId
from schemas.control import StartRequest
from schemas.executions import BookReported
from schemas.isolation import Probed, SessionTold
from schemas.limits import AccountHealthReported
from schemas.market import QuoteReceived
from services.strategy.catalogue import Own
from services.strategy.context import Context
from services.strategy.interface import MARKET_HOOKS, ON_ANY, TOLD_OF, Strategy
from services.strategy.provider import EVENTS, DataProvider

KINDS: tuple[type[Event], ...] = tuple(dict.fromkeys((*MARKET_HOOKS, *EVENTS.values())))
"""All that a strategy can listen to, or read."""

TIMER, START, STOP = "on_timer", "on_start", "on_stop"
ORDERS = "orders"
"""No hook of a strategy: its process takes what became of its orders from the executor's book."""


class StandIn(Own, Strategy[Any]):
    """Hands on what it is told. A class of its own for each probe: see `stand_in_of`."""

    def __init__(self, context: Context, parameters: Any) -> None:
        super().__init__(context, parameters)
        context.data = _Elsewhere(self)

    def on_start(self) -> None:
        """Nothing: its process begins by itself."""

    def on_timer(self) -> None:
        """Hand on that time has passed."""
        self.hand_on(TIMER)

    def on_stop(self) -> None:
        """Hand on that it may say its last word."""
        self.hand_on(STOP)

    def on_decision(self, decision: Event) -> None:
        """Hand it on."""
        self.hand_on("on_decision", decision)

    def on_execution(self, event: Event) -> None:
        """Hand it on."""
        self.hand_on("on_execution", event)

    def on_position(self, event: Event) -> None:
        """Hand it on: there it is folded in, and then told."""
        self.hand_on("on_position", event)

    def on_blocked(self, blocked: Event) -> None:
        """Hand it on."""
        self.hand_on("on_blocked", blocked)

    def on_withdrawn(self, withdrawn: Event) -> None:
        """Hand it on."""
        self.hand_on("on_withdrawn", withdrawn)

    def hand_on(self, hook: str, event: Event | None = None) -> None:
        """Have it told there."""
        context = self.context
        text = "" if event is None else msgspec.json.encode(event).decode()
        conflated = f"quote {event.instrument}" if isinstance(event, QuoteReceived) else ""
        context.said.append(
            SessionTold(
                at_ns=context.now_ns,
                session=context.terms.session,
                hook=hook,
                is_trading=context.is_trading,
                event_json=text,
                conflated=conflated,
            )
        )
        context.is_stirred = True


class _Elsewhere(DataProvider):
    """The data of a session whose strategy reads it in another process."""

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__({}, stand_in.context.quote)
        self._stand_in = stand_in

    def take_health(self, report: AccountHealthReported) -> None:
        """Hand it on."""
        self._stand_in.hand_on("on_health", report)


def orders_of(session: SessionId, report: BookReported) -> BookReported:
    """Return what a book says of one session's orders; the rest is no concern of its process."""
    shown = report.open_orders, report.recent_orders
    open_orders, ended = (
        tuple(each for each in views if each.order.session == session) for views in shown
    )
    return BookReported(
        at_ns=report.at_ns, account=report.account, open_orders=open_orders, recent_orders=ended
    )


def stand_in_of(probed: Probed, asked: StartRequest | None = None) -> type[StandIn]:
    """Return the class that stands for the strategy as it was found: its hooks, its parameters."""
    hooks = {hook: _handing_on(hook) for hook in (*MARKET_HOOKS.values(), ON_ANY)}
    return type(
        "StandIn",
        (StandIn,),
        {
            **hooks,
            TOLD_OF: tuple(kind for kind in KINDS if kind.__name__ in probed.wanted),
            "asked": asked,
            "checked": probed.parameters,
            "mistakes": probed.errors,
            "version_told": probed.version,
        },
    )


def _handing_on(hook: str) -> Any:
    def on_market(self: StandIn, event: Event) -> None:
        self.hand_on(hook, event)

    return on_market
