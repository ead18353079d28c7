"""From records to rows: events as they are, and what follows from them. Pure.

What follows is folded by the same code as every report: `services.reports.orders` and
`services.portfolio`.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from schemas import wire
from schemas.base import NS_PER_S, ExecutionId, InstrumentId, OrderId, SessionId
from schemas.control import AccountMarked
from schemas.errors import WireError
from schemas.executions import OrderFilled, OrderSubmitted
from schemas.health import AlertRaised
from schemas.instruments import Instrument, venue_of
from schemas.orders import SignalDecided
from schemas.reconciliation import BookAdjusted
from schemas.repeats import FactRepeated
from schemas.reports import TermsDeclared
from schemas.sessions import PositionsAdopted, SessionCreated, SessionStateChanged
from schemas.settlement import PositionSettled
from services.performance import takeovers
from services.performance.fold import ADOPTED
from services.recorder.chain import Record
from services.recorder.events import component_of
from services.recorder.queries.counts import DECIDE, EVENT, FILL, SEND, Counts
from services.recorder.queries.events import parts
from services.recorder.queries.heads import NO_ORDER, read_head
from services.recorder.queries.holdings import Holding, key_of
from services.recorder.queries.order_rows import Row, first_ns, order_row, text_of
from services.recorder.queries.tables import ALL, KEYED
from services.reports.corrections import Corrections, name_of
from services.reports.orders import CLOSED_MAX, OrderFold, OrderRecord

BIGINT_MAX = 2**63 - 1
ONE = Decimal(1)


class Rows:
    """Folds records; hands out the rows of a batch by table.

    Attributes:
        n: the last record folded in.
    """

    def __init__(self, n: int = 0, closed_max: int = CLOSED_MAX) -> None:
        self.n = n
        self.orders = OrderFold(closed_max)
        self.counts = Counts()
        self._rows: dict[str, list[Row]] = {table: [] for table in ALL}
        self._touched: dict[OrderId, OrderRecord] = {}
        self._holdings: dict[str, Holding] = {}
        self._changed: dict[str, Holding] = {}
        self._sessions: dict[SessionId, Row] = {}
        self._instruments: dict[InstrumentId, Instrument] = {}
        self._rates: dict[str, dict[str, Decimal]] = {}
        self._prices: dict[InstrumentId, Row] = {}
        self._days: dict[int, str] = {}
        self._corrections = Corrections(self._took_over)
        self._folds: dict[str, Callable[[int, Any], None]] = {
            "SignalDecided": self._decision,
            "OrderFilled": self._fill,
            "AccountMarked": self._mark,
            "AlertRaised": self._alert,
            "SessionCreated": self._session_created,
            "SessionStateChanged": self._session_changed,
            "TermsDeclared": self._terms,
            "PositionSettled": self._settled,
            "PositionsAdopted": self._adopted,
            "BookAdjusted": self._adjusted,
            "FactRepeated": self._repeated,
            **dict.fromkeys(
                (kind.__name__ for kind in self.orders.hears if kind.__name__ not in _OWN),
                self._order,
            ),
        }

    def restore(
        self,
        folds: Mapping[str, str],
        holdings: Iterable[str],
        instruments: Iterable[str],
        terms: Iterable[str],
        executions: Iterable[str],
        sessions: Iterable[Row],
    ) -> None:
        """Go on where a store stands.

        Args:
            folds: open orders by id, as JSON.
            holdings: as JSON.
            instruments: as JSON.
            terms: the newest of each account, as JSON.
            executions: ids of those that count already, oldest first.
            sessions: rows of the table.
        """
        self.orders.reopen(msgspec.json.decode(text, type=OrderRecord) for text in folds.values())
        for text in holdings:
            held = msgspec.json.decode(text, type=Holding)
            self._holdings[key_of(held.account, held.session, held.instrument)] = held
        for text in instruments:
            instrument = msgspec.json.decode(text, type=Instrument)
            self._instruments[instrument.id] = instrument
        for text in terms:
            with contextlib.suppress(*_UNREADABLE):
                self._value(msgspec.json.decode(text, type=TermsDeclared))
        for execution_id in executions:
            self.orders.is_repeat(ExecutionId(execution_id))
        self._sessions = {SessionId(row[0]): row for row in sessions}

    def forget(self, *, sessions: Iterable[str], counts: Iterable[str]) -> None:
        """Forget sessions and counts that are no longer in the tables."""
        for each in sessions:
            self._sessions.pop(SessionId(each), None)
        self.counts.forget(counts)

    def add(self, record: Record) -> int:
        """Fold one record in; return how many rows of events it became."""
        self.n = record.n
        data = record.data
        found = [data] if not data.startswith(b"[") else parts(data)
        for part, body in enumerate(found):
            self._event(record, part, body)
        return len(found)

    def take(self) -> dict[str, list[Row]]:
        """Return the rows since the last time, by table, and begin anew."""
        for order in self._touched.values():
            self._order_row(order)
        for key, held in self._changed.items():
            self._holding_row(key, held)
        self._rows["prices"] = list(self._prices.values())
        self._rows["counts"] = self.counts.take()
        self._touched, self._changed, self._prices = {}, {}, {}
        taken, self._rows = self._rows, {table: [] for table in ALL}
        for table in KEYED:  # the newest row of a key alone
            taken[table] = list({row[0]: row for row in taken[table]}.values())
        return taken

    def day_of(self, order: OrderRecord) -> str:
        """Return the UTC date on which an order was first heard of."""
        return self._day(first_ns(order))

    def _event(self, record: Record, part: int, body: bytes) -> None:
        head = read_head(body)
        inner = head.order or NO_ORDER
        at_ns = head.at_ns if 0 < head.at_ns <= BIGINT_MAX else record.recv_ns
        day, component = self._day(at_ns), component_of(head.src)
        self.counts.add(EVENT, day, head.type, component=component)
        self._rows["events"].append(
            (
                record.n,
                part,
                day,
                at_ns,
                record.recv_ns,
                head.type,
                component,
                record.stream,
                record.subject,
                head.account or inner.account,
                head.session or inner.session or "",
                head.instrument or inner.instrument,
                head.order_id or inner.order_id,
                body.decode("utf-8", "replace"),
            )
        )
        fold = self._folds.get(head.type)
        if fold is None:
            return
        with contextlib.suppress(*_UNREADABLE):
            [event] = wire.decode(body, subject=record.subject)
            fold(record.n, event)

    def _order(self, n: int, event: Any) -> None:
        order = self.orders.apply(event)
        if order is None:
            return
        self._touched[order.order_id] = order
        if isinstance(event, OrderSubmitted):
            self._latency(SEND, order, order.signal_ns, event.at_ns)

    def _latency(self, what: str, order: OrderRecord, from_ns: int, until_ns: int) -> None:
        if from_ns and order.fill_count < 2:  # the first execution alone
            took_us = max(0, until_ns - from_ns) // 1_000
            day = self._day(until_ns)
            self.counts.add(what, day, venue_of(order.instrument), size=took_us)

    def _decision(self, n: int, event: SignalDecided) -> None:
        self._order(n, event)
        if event.took_ns:
            self.counts.add(DECIDE, self._day(event.at_ns), "gate", size=event.took_ns // 1_000)
        whose = (event.account, event.session, self._strategy(event.session), event.instrument)
        what = (event.signal_id, event.order_id, event.outcome.value, event.rule, event.detail)
        sizes = (event.side.value, str(event.quantity), str(event.approved_quantity))
        market = (text_of(event.bid), text_of(event.ask), event.took_ns)
        row = (n, self._day(event.at_ns), event.at_ns, *whose, *what, *sizes, *market)
        self._rows["decisions"].append(row)
        if event.bid is not None and event.ask is not None:
            self._price(event.instrument, (event.bid + event.ask) / 2, event.at_ns, "decision")

    def _fill(self, n: int, event: OrderFilled, *, is_late: bool = False) -> None:
        order = self.orders.apply(event)
        if order is None:
            return  # told before
        held = self._held(event.account, event.session, event.instrument)
        self._touched[order.order_id] = order
        self._latency(FILL, order, order.submitted_ns, event.at_ns)
        signed = event.signed_quantity
        realized, cash, held.fill_count = held.realized, held.cash, held.fill_count + 1
        held.trade(signed, event.price)
        held.fees, held.cash = held.fees + event.fee, held.cash - event.fee
        notional = event.price * event.quantity * (held.multiplier or ONE)
        is_known = held.multiplier is not None
        self._rows["fills"].append(
            (
                n,
                self._day(event.at_ns),
                event.at_ns,
                event.venue_ns,
                event.account,
                event.session,
                self._strategy(event.session),
                event.instrument,
                venue_of(event.instrument),
                event.order_id,
                event.execution_id,
                event.side.value,
                event.liquidity.value,
                str(event.price),
                str(event.quantity),
                str(event.fee),
                *(
                    str(each) if is_known else ""
                    for each in (notional, held.cash - cash, held.realized - realized)
                ),
            )
        )
        if not is_late:
            self._price(event.instrument, event.price, event.at_ns, "fill")

    def _settled(self, n: int, event: PositionSettled) -> None:
        """Settle each session's part of a holding: it is told by the unit."""
        for key, held in self._holdings.items():
            is_meant = (held.account, held.instrument) == (event.account, event.instrument)
            if not is_meant or held.is_repeat(event.settlement_id):
                continue
            held.cash += held.quantity * event.payment
            held.settlements += held.quantity * event.payment
            if event.closes_at is not None and held.multiplier is not None:
                held.trade(-held.quantity, event.closes_at)
            self._changed[key] = held

    def _adopted(self, n: int, event: PositionsAdopted) -> None:
        """Take a holding over at its average price: what it gained before is not the session's."""
        row = self._sessions.get(event.session)
        if row is None:
            return  # nobody knows its account
        for move in takeovers.moves(event):
            held = self._held(row[2], move.session, move.instrument)
            if not held.is_repeat(takeovers.name_of(event)):
                held.trade(move.quantity, move.price)

    def _adjusted(self, n: int, event: BookAdjusted) -> None:
        """Fold a correction in; cash that it brought is no profit, fees that were paid are."""
        if self._corrections.hear(event) and event.fees:
            held = self._corrected(event, InstrumentId(""))
            if held is not None:
                held.multiplier = held.rate = ONE
                held.fees, held.cash = held.fees + event.fees, held.cash - event.fees

    def _took_over(self, event: BookAdjusted, price: Decimal | None, at_ns: int) -> None:
        assert event.instrument is not None, "it is about a position"
        held = self._corrected(event, event.instrument)
        if held is not None and price is not None:
            held.trade(event.quantity, price)

    def _corrected(self, event: BookAdjusted, instrument: InstrumentId) -> Holding | None:
        """Return what a correction changes; None if it did so before a restart."""
        held = self._held(event.account, ADOPTED, instrument)
        return None if held.is_repeat(name_of(event)) else held

    def _repeated(self, n: int, event: FactRepeated) -> None:
        """Fold in what is told again; what was told before changes nothing, and took no time."""
        match event.fact:
            case OrderFilled() as fill:
                self._fill(n, fill, is_late=True)
            case BookAdjusted() | PositionSettled() as fact:
                self._folds[type(fact).__name__](n, fact)
            case fact if self.orders.find(fact.order_id) is not None:  # else it ended long ago
                if (order := self.orders.apply(fact)) is not None:
                    self._touched[order.order_id] = order

    def _held(self, account: str, session: SessionId, instrument: InstrumentId) -> Holding:
        key = key_of(account, session, instrument)
        held = self._holdings.get(key)
        if held is None:
            held = self._holdings[key] = Holding(account, session, instrument)
            known = self._instruments.get(instrument)
            held.multiplier = None if known is None else known.multiplier
            held.rate = self._rate(held)
        self._changed[key] = held
        return held

    def _mark(self, n: int, event: AccountMarked) -> None:
        equity, drawdown = ("", "") if event.unmarked else (str(event.equity), str(event.drawdown))
        money = (equity, str(event.cash), str(event.high_water_mark), drawdown)
        row = (n, self._day(event.at_ns), event.at_ns, event.account, *money)
        self._rows["marks"].append(row)
        for instrument, mark in event.marks.items():
            self._price(instrument, mark, event.at_ns, "valuation")

    def _alert(self, n: int, event: AlertRaised) -> None:
        day, severity = self._day(event.at_ns), event.severity.value
        row = (n, day, event.at_ns, severity, event.component, event.code, event.message)
        self._rows["alerts"].append(row)

    def _session_created(self, n: int, event: SessionCreated) -> None:
        whose = (event.session, event.strategy, event.account, str(event.initial_capital))
        how = (event.share_class, event.execution_mode, event.operator)
        row = (*whose, *how, "created", "", event.at_ns, event.at_ns)
        self._sessions[event.session] = row
        self._rows["sessions"].append(row)

    def _session_changed(self, n: int, event: SessionStateChanged) -> None:
        known = self._sessions.get(event.session)
        before = known[:7] if known else (event.session, event.strategy, event.account, *[""] * 4)
        created_ns = known[9] if known else 0
        row = (*before, event.state.value, event.reason, created_ns, event.at_ns)
        self._sessions[event.session] = row
        self._rows["sessions"].append(row)

    def _terms(self, n: int, event: TermsDeclared) -> None:
        for each in event.instruments:
            self._instruments[each.id] = each
            names = (each.id, each.venue, each.symbol, each.asset_class.value)
            sizes = (str(each.multiplier), str(each.tick_size), str(each.lot_size))
            exact = msgspec.json.encode(each).decode()
            row = (*names, each.currency, each.sector, *sizes, exact)
            self._rows["instruments"].append(row)
        self._value(event)

    def _value(self, terms: TermsDeclared) -> None:
        """Take in what currencies count for in an account's."""
        self._rates[terms.account] = {**terms.currency_values, terms.currency: ONE}
        for key, held in self._holdings.items():
            if held.account == terms.account and (rate := self._rate(held)) != held.rate:
                held.rate, self._changed[key] = rate, held

    def _rate(self, held: Holding) -> Decimal | None:
        """Return what a holding's currency counts for; corrections of fees are in the account's."""
        if not held.instrument:
            return ONE
        known = self._instruments.get(InstrumentId(held.instrument))
        rates = self._rates.get(held.account, {})
        return None if known is None else rates.get(known.currency)

    def _price(self, instrument: InstrumentId, price: Decimal, at_ns: int, source: str) -> None:
        self._prices[instrument] = (instrument, str(price), at_ns, source)
        self._corrections.price(instrument, price, at_ns)

    def _order_row(self, order: OrderRecord) -> None:
        row = order_row(order, self._strategy(order.session), self.day_of(order))
        self._rows["orders"].append(row)
        exact = "" if order.is_closed else msgspec.json.encode(order).decode()
        self._rows["folds"].append((order.order_id, exact))

    def _holding_row(self, key: str, held: Holding) -> None:
        is_known = held.multiplier is not None
        strategy = self._strategy(SessionId(held.session))
        whose = (key, held.account, held.session, strategy, held.instrument)
        realized, cash = (str(e) if is_known else "" for e in (held.realized, held.cash))
        sizes = (str(held.quantity), str(held.average_price), realized, str(held.fees), cash)
        exact = msgspec.json.encode(held).decode()
        worth = (text_of(held.multiplier), text_of(held.rate))
        row = (*whose, *sizes, *worth, held.fill_count, exact)
        self._rows["positions"].append(row)

    def _strategy(self, session: SessionId) -> str:
        row = self._sessions.get(session)
        return "" if row is None else str(row[1])

    def _day(self, at_ns: int) -> str:
        number = at_ns // (86_400 * NS_PER_S)
        day = self._days.get(number)
        if day is None:
            at = datetime.fromtimestamp(max(0, min(at_ns, BIGINT_MAX)) // NS_PER_S, UTC)
            day = self._days[number] = at.date().isoformat()
        return day


_OWN = ("SignalDecided", "OrderFilled")
_UNREADABLE = (WireError, msgspec.MsgspecError, ArithmeticError, ValueError, RecursionError)
"""What is an event, and no more: it has fields that are none, or NaN and the like in them."""
