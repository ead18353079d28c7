"""Recorded chains, written by the recorder's own journal, and the life of an order to put there."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from schemas.base import Event, ExecutionId, InstrumentId, OrderId, SessionId
from schemas.control import AccountMarked
from schemas.executions import (
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderStatus,
    OrderSubmitted,
)
from schemas.ids import order_id_of
from schemas.orders import (
    Order,
    OrderApproved,
    Outcome,
    Side,
    SignalDecided,
    SignalRaised,
    TimeInForce,
)
from schemas.reports import TermsDeclared
from schemas.sessions import SessionCreated, SessionState, SessionStateChanged
from schemas.subjects import subject_of
from schemas.wire import encode
from services.recorder.chain import Message
from services.recorder.journal import Journal
from tests.builders import ACCOUNT, ALPHA, S_NS, SESSION, dec, instrument, signal

DAY_NS = 86_400 * S_NS
DAY, NEXT_DAY = "2026-11-25", "2026-11-26"
BEGIN_NS = 1_795_564_800 * S_NS
"""Midnight UTC at the begin of `DAY`."""

NOON_NS = BEGIN_NS + DAY_NS // 2


class Recorded:
    """A data folder whose record is written to as the recorder writes."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder
        self._seq = 0

    def add(self, *events: Event, frame: bool = False) -> None:
        """Record these events, each as a message of its own, or all as one frame."""
        data = [b"[" + b",".join(map(encode, events)) + b"]"] if frame else map(encode, events)
        self.add_bytes([(subject_of(e), e.at_ns, d) for e, d in zip(events, data, strict=False)])

    def add_bytes(self, found: Iterable[tuple[str, int, bytes]]) -> None:
        """Record messages of any bytes."""
        messages = []
        for subject, at_ns, data in found:
            self._seq += 1
            messages.append(Message("AUDIT", self._seq, subject, at_ns, data, at_ns))
        journal = Journal(self.data_dir / "record", file_bytes_max=1 << 20)
        try:
            journal.append(messages)
            journal.note(journal.head.n)
        finally:
            journal.close()


def terms(at_ns: int = BEGIN_NS, *, cash: str = "100000", multiplier: str = "1") -> TermsDeclared:
    """The account and what it trades."""
    return TermsDeclared(
        at_ns=at_ns,
        account=ACCOUNT,
        currency="USD",
        initial_cash=dec(cash),
        calendar="24x7",
        instruments=(instrument(multiplier=multiplier),),
    )


def created(at_ns: int = BEGIN_NS + 1, session: SessionId = SESSION) -> SessionCreated:
    return SessionCreated(
        at_ns=at_ns,
        session=session,
        start_id="start",
        strategy="ema_cross",
        account=ACCOUNT,
        instruments=(ALPHA,),
        initial_capital=dec("50000"),
    )


def ended(at_ns: int, session: SessionId = SESSION) -> SessionStateChanged:
    return SessionStateChanged(
        at_ns=at_ns,
        session=session,
        strategy="ema_cross",
        account=ACCOUNT,
        state=SessionState.STOPPED,
    )


def marked(at_ns: int, equity: str, price: str = "", cash: str = "0") -> AccountMarked:
    return AccountMarked(
        at_ns=at_ns,
        account=ACCOUNT,
        equity=dec(equity),
        cash=dec(cash),
        high_water_mark=dec("100000"),
        drawdown=max(dec(0), 1 - dec(equity) / 100_000),
        marks={ALPHA: dec(price)} if price else {},
    )


class Life:
    """The events of one order, from its signal on."""

    def __init__(
        self,
        name: str = "sig1",
        *,
        side: Side = Side.BUY,
        quantity: str = "10",
        at_ns: int = NOON_NS,
        bid: str = "99",
        ask: str = "101",
        validity: TimeInForce = TimeInForce.GTC,
    ) -> None:
        self.at_ns = at_ns
        self.signal: SignalRaised = signal(
            name, side=side, quantity=quantity, at_ns=at_ns, time_in_force=validity
        )
        self.order_id: OrderId = order_id_of(ACCOUNT, SESSION, self.signal.signal_id, 0)
        self.quantity, self.left, self.fills = dec(quantity), dec(quantity), 0
        self.decided = SignalDecided(
            at_ns=at_ns + 1_000,
            signal_id=self.signal.signal_id,
            account=ACCOUNT,
            session=SESSION,
            instrument=ALPHA,
            outcome=Outcome.APPROVED,
            order_id=self.order_id,
            rule="all",
            epoch=1,
            side=side,
            quantity=self.quantity,
            approved_quantity=self.quantity,
            bid=dec(bid),
            ask=dec(ask),
        )
        self.order = Order(
            order_id=self.order_id,
            account=ACCOUNT,
            session=SESSION,
            signal_id=self.signal.signal_id,
            instrument=ALPHA,
            side=side,
            quantity=self.quantity,
            expires_at_ns=at_ns + 2 * S_NS,
            time_in_force=validity,
        )

    def opened(self) -> list[Event]:
        """Signal, decision, approval, submission, acceptance."""
        return [
            self.signal,
            self.decided,
            OrderApproved(at_ns=self.at_ns + 2_000, order=self.order, epoch=1, gate_token=1),
            OrderSubmitted(at_ns=self.at_ns + 5_000, **self.whose(), order=self.order, epoch=1),
            OrderAccepted(at_ns=self.at_ns + 9_000, **self.whose(), venue_order_id="v1"),
        ]

    def filled(self, price: str, quantity: str, *, fee: str = "0", after_ns: int = 0) -> Event:
        self.fills += 1
        self.left -= dec(quantity)
        return OrderFilled(
            at_ns=self.at_ns + 15_000 + after_ns,
            **self.whose(),
            execution_id=ExecutionId(f"{self.order_id}-{self.fills}"),
            side=self.order.side,
            price=dec(price),
            quantity=dec(quantity),
            leaves=self.left,
            fee=dec(fee),
            liquidity=Liquidity.TAKER,
            status=OrderStatus.PARTIALLY_FILLED if self.left else OrderStatus.FILLED,
        )

    def canceled(self) -> Event:
        return OrderCanceled(
            at_ns=self.at_ns + 20_000, **self.whose(), leaves=self.left, reason="enough"
        )

    def whose(self) -> dict[str, Any]:
        """Return the fields by which an execution event belongs to the order."""
        return {
            "account": ACCOUNT,
            "session": SESSION,
            "instrument": InstrumentId(ALPHA),
            "order_id": self.order_id,
        }


def a_day(*, days_later: int = 0) -> Sequence[Event]:
    """A day on which ten were bought at 101 and four sold at 110, with fees; 1 tenth unfilled."""
    later_ns = days_later * DAY_NS
    bought = Life("buy", quantity="10", at_ns=NOON_NS + later_ns)
    sold = Life("sell", side=Side.SELL, quantity="5", at_ns=NOON_NS + later_ns + 60 * S_NS)
    return [
        marked(BEGIN_NS + later_ns + S_NS, "100000", cash="100000"),
        *bought.opened(),
        bought.filled("101", "6", fee="1"),
        bought.filled("101", "4", fee="0.5", after_ns=1_000),
        marked(NOON_NS + later_ns + 2 * S_NS, "100000", "101.15", cash="98988.5"),
        *sold.opened(),
        sold.filled("110", "4", fee="0.4"),
        sold.canceled(),
        marked(NOON_NS + later_ns + 65 * S_NS, "100094.1", "111", cash="99428.1"),
    ]
