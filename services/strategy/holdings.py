"""What the account holds, against what its sessions account for.

A session's position is the fold of its own executions. Two things are not in that fold: what was
held before the session began (S-02), and executions missed while this service was away. Both show
in the executor's book, which is complete: the difference is taken over by the session it belongs
to, or, where several trade that instrument and nobody can tell, they are paused. What an ended
session left behind is nobody's until a new one takes it over.

What a flatten closes is no session's order either: whoever held it takes the execution over.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from schemas.base import AccountId, InstrumentId
from schemas.executions import BookReported, OrderFilled, PositionView
from schemas.ids import closed_part, is_flatten
from schemas.orders import Side
from schemas.sessions import PositionsAdopted
from services.distinct import Distinct
from services.strategy.orders import HELD_BEFORE
from services.strategy.session import Session

ZERO = Decimal(0)
MISSED = "executed while this service was away"
"""Why a session takes over what the executor's book shows and its own fold does not."""


class Holdings:
    """The differences found in the newest book.

    Attributes:
        is_behind: whether executions may have been missed since the last comparison.
    """

    def __init__(self, account: AccountId) -> None:
        self.is_behind = False
        self._account = account
        self._executor = ""
        self._unowned: dict[InstrumentId, PositionView] = {}
        self._closed = Distinct()

    def restore(self, event: PositionsAdopted) -> None:
        """Know which execution of a flatten has been taken over already."""
        if event.execution_id is not None:
            self._closed.add(event.execution_id)

    def flattened(
        self, fill: OrderFilled, sessions: Iterable[Session], now_ns: int
    ) -> list[PositionsAdopted]:
        """Return what a flatten closed of each session's holdings, folded in already.

        One of a single session closes that session's; any other what ended sessions and active ones
        hold, oldest first. More than they hold was nobody's.
        """
        is_ours = fill.account == self._account and is_flatten(fill.session)
        if not is_ours or not self._closed.add(fill.execution_id):
            return []
        part = closed_part(fill.session)
        left = fill.quantity if fill.side is Side.BUY else -fill.quantity
        adopted: list[PositionsAdopted] = []
        for session in sessions:
            held = session.book.portfolio.quantity(fill.instrument)
            if part not in (None, session.terms.session) or held * left >= 0:
                continue
            taken = min(abs(left), abs(held)).copy_sign(left)
            left -= taken
            view = PositionView(
                instrument=fill.instrument, quantity=taken, average_price=fill.price
            )
            adopted.append(_adopted(session, (view,), "closed by a flatten", now_ns, fill))
        return adopted

    def compare(
        self, report: BookReported, sessions: Sequence[Session], now_ns: int
    ) -> tuple[list[PositionsAdopted], list[Session]]:
        """Return what sessions take over, folded in already, and those whose share is unknown.

        Differences are looked for only when executions may have been missed: at any other time
        what is on its way would look like one.
        """
        if report.account != self._account or not report.is_reconciled:
            return [], []
        # An executor that died may have folded executions in that it never came to tell.
        self.is_behind |= bool(self._executor) and report.src != self._executor
        self._executor = report.src
        adopted: list[PositionsAdopted] = []
        contested: list[Session] = []
        active = [session for session in sessions if session.is_active]
        if self.is_behind:
            self.is_behind = False
            open_orders = frozenset(each.order.order_id for each in report.open_orders)
            for session in active:
                session.book.forget_closed(open_orders)
            adopted, contested = _settle(report, active, _left_behind(sessions), now_ns)
        if report.request_id:
            owned = {key for session in active for key in session.context.instruments}
            held = {each.instrument: each for each in report.positions if each.quantity}
            self._unowned = {key: view for key, view in held.items() if key not in owned}
        return adopted, contested

    def adopted_by(self, session: Session, now_ns: int) -> list[PositionsAdopted]:
        """Return what a new session takes over, folded in already: what nobody accounts for."""
        mine = [self._unowned.pop(key, None) for key in session.context.instruments]
        views = tuple(_bare(view, view.quantity) for view in mine if view is not None)
        return [_adopted(session, views, HELD_BEFORE, now_ns)] if views else []


def _left_behind(sessions: Sequence[Session]) -> dict[InstrumentId, Decimal]:
    """Return what ended sessions hold and no session since has taken over, by instrument."""
    taken_ns: dict[InstrumentId, int] = {}
    for session in sessions:
        for key, at_ns in session.book.taken_ns.items():
            taken_ns[key] = max(at_ns, taken_ns.get(key, 0))
    left: dict[InstrumentId, Decimal] = {}
    for session in sessions:
        for key in () if session.is_active else session.context.instruments:
            if session.changed_ns > taken_ns.get(key, -1):
                left[key] = left.get(key, ZERO) + session.book.portfolio.quantity(key)
    return left


def _settle(
    report: BookReported,
    active: Sequence[Session],
    left: Mapping[InstrumentId, Decimal],
    now_ns: int,
) -> tuple[list[PositionsAdopted], list[Session]]:
    views = {each.instrument: each for each in report.positions}
    missed: dict[int, list[PositionView]] = {}
    contested: dict[int, Session] = {}
    for instrument in dict.fromkeys(key for each in active for key in each.context.instruments):
        owners = [n for n, each in enumerate(active) if instrument in each.context.instruments]
        held = (active[n].book.portfolio.quantity(instrument) for n in owners)
        known = sum(held, left.get(instrument, ZERO))
        view = views.get(instrument, PositionView(instrument=instrument, quantity=ZERO))
        if view.quantity == known:
            continue
        if len(owners) == 1:
            missed.setdefault(owners[0], []).append(
                _missed(view, view.quantity - known, active[owners[0]])
            )
        else:
            contested |= {n: active[n] for n in owners}
    adopted = [_adopted(active[n], tuple(found), MISSED, now_ns) for n, found in missed.items()]
    return adopted, list(contested.values())


def _missed(view: PositionView, quantity: Decimal, session: Session) -> PositionView:
    """Return a difference at what is known of its price.

    What closed a part of what the session holds was traded at a price that the book does not show:
    then at the session's own average, so that it is neither a profit nor a loss.
    """
    held = session.book.portfolio.positions.get(view.instrument)
    if held is None or held.quantity * quantity >= 0:
        return _bare(view, quantity)
    return PositionView(
        instrument=view.instrument, quantity=quantity, average_price=held.average_price
    )


def _bare(view: PositionView, quantity: Decimal) -> PositionView:
    return PositionView(
        instrument=view.instrument, quantity=quantity, average_price=view.average_price
    )


def _adopted(
    session: Session,
    views: tuple[PositionView, ...],
    reason: str,
    now_ns: int,
    closed_by: OrderFilled | None = None,
) -> PositionsAdopted:
    adopted = PositionsAdopted(
        at_ns=now_ns,
        session=session.terms.session,
        positions=views,
        reason=reason,
        closed_by=None if closed_by is None else closed_by.session,
        execution_id=None if closed_by is None else closed_by.execution_id,
        is_told=reason == MISSED,
    )
    session.book.apply(adopted)
    return adopted
