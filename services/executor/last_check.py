"""The last check before an order is written to the venue. Pure."""

from collections.abc import Mapping
from decimal import Decimal

from schemas.base import AccountId, InstrumentId
from schemas.executions import OrderStatus
from schemas.ids import is_flatten
from schemas.instruments import Instrument
from schemas.orders import Order
from schemas.restrictions import Level, Restriction
from services.control import ControlGuard
from services.executor.orders import ZERO, Orders, Record
from services.executor.rounds import Rounds


class LastCheck:
    """Whether an order may be written now: asked on approval, and again in the step of the write.

    Every answer is `<rule>: <detail>`, or empty where nothing stands against it.
    """

    def __init__(
        self,
        account: AccountId,
        instruments: Mapping[InstrumentId, Instrument],
        orders: Orders,
        guard: ControlGuard,
        rounds: Rounds,
    ) -> None:
        self._account = account
        self._instruments = instruments
        self._orders = orders
        self._guard = guard
        self._rounds = rounds

    def may_send(self, order: Order, now_ns: int) -> str:
        """Return why this order may not be written now; empty when it may (I1, I2, I3, I5)."""
        record = self._orders.records.get(order.order_id)
        if record is None or (record.order is not order and record.order != order):
            return "approval: the gate has not approved this very order"
        if record.status is not OrderStatus.PENDING:
            return f"repeat: it is {record.status} already"
        return self.why_not(record, now_ns)

    def why_not(self, record: Record, now_ns: int) -> str:
        """Return what stands against sending an approved order now; empty when nothing does."""
        order, guard = record.order, self._guard
        if why := guard.permits(now_ns) or self._fenced(record):
            return why
        if now_ns >= order.expires_at_ns:
            return f"expired: it was to be sent before {order.expires_at_ns}"
        if order.account != self._account or order.instrument not in self._instruments:
            return f"scope: {order.account} and {order.instrument} are not traded here"
        if order.quantity <= 0:
            return f"quantity: {order.quantity} is not positive"
        if (guard.restrictions or is_flatten(order.session)) and (why := self._restricted(order)):
            return why
        if not self._rounds.is_linked:
            return "venue link down"
        return "" if self._rounds.is_compared else "not reconciled: the venue's book comes first"

    def _fenced(self, record: Record) -> str:
        """Return why an approval is of another time: its epoch, or its gate, has been replaced."""
        guard = self._guard
        if record.epoch != guard.epoch:
            return f"epoch: approved in {record.epoch}, and it is {guard.epoch}"
        if record.gate_token != guard.gate_token:
            return f"gate token: {record.gate_token}, and the gate's is {guard.gate_token}"
        highest = self._orders.gate_token_max
        if record.gate_token < highest:
            return f"gate token: {record.gate_token}, and one of {highest} was seen before"
        return ""

    def _restricted(self, order: Order) -> str:
        """Return which restriction forbids it: any halt, else a REDUCE with too little room.

        REDUCE goes by quantity, open orders counted: of the account, and of the session too where
        that is restricted: only both together are sure, for who holds what is told by another
        service. A flatten is of no session, and only ever reduces.
        """
        found = self._guard.restrictions_on(order.account, order.session, order.instrument)
        if found and found[0].level is Level.HALT:
            return f"restricted: {found[0].scope} is halted{_because(found[0].reason)}"
        is_closing = is_flatten(order.session)
        if not found and not is_closing:
            return ""
        widest = found[0] if found else None
        if why := _exceeded(order, self._orders.reducible(order), widest):
            return why
        own = f"session.{order.session}"
        narrow = next((each for each in found if each.scope == own), None)
        if narrow is None or is_closing:
            return ""
        return _exceeded(order, self._orders.reducible_by_session(order), narrow)


def _exceeded(order: Order, room: Decimal, by: Restriction | None) -> str:
    """Return that the order is larger than the room there is; empty where it is not."""
    if order.quantity <= room:
        return ""
    scope, reason = (order.session, "") if by is None else (by.scope, by.reason)
    return (
        f"restricted: {scope} may only reduce{_because(reason)}: {order.side} {order.quantity}, and"
        f" {max(room, ZERO)} is held that no open order closes yet"
    )


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""
