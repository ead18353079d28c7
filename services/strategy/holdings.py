"""What the account holds, against what its sessions account for.

A session's position is the fold of its own executions. Two things are not in that fold: what was
held before the session began (S-02), and executions missed while this service was away. Both show
in the executor's book, which is complete: the difference is taken over by the session it belongs
to, or, where several trade that instrument and nobody can tell, they are paused. What an ended
session left behind is its own until a new one takes it over.

What a flatten closes is no session's order either: whoever held it takes the execution over.

An execution may be told after the book that holds it already. Then what was taken over because of
it is given back: the execution itself says whose it was, at which price and for what fee.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal

from schemas.base import AccountId, Event, InstrumentId, SessionId
from schemas.executions import BookReported, ExecutionEvent, OrderFilled, PositionView
from schemas.health import GapSeen, LinkChanged
from schemas.ids import closed_part, is_flatten
from schemas.sessions import PositionsAdopted
from services.distinct import Distinct
from services.strategy import heard
from services.strategy.compared import Books, Closed, Compared, Heard
from services.strategy.orders import HELD_BEFORE
from services.strategy.session import Session

ZERO = Decimal(0)
MISSED = "executed while this service was away"
"""Why a session takes over what the executor's book shows and its own fold does not."""

CLOSED = "closed by a flatten"
TOLD_LATE = "told at last: the executor's book held it already"
"""Why a session gives back what it took over: the execution itself is folded in now."""


class Holdings:
    """The differences found in the newest book.

    Attributes:
        is_behind: whether executions may have been missed since the last comparison.
    """

    def __init__(self, account: AccountId) -> None:
        self.is_behind = False
        self._books = Books()
        self._account = account
        self._executor = ""
        self._heard = Heard()
        self._asked: Compared | None = None  # the book that a start asked for, if it goes by it
        self._unowned: dict[InstrumentId, PositionView] = {}
        self._seen = Distinct()
        self._closed = Closed()

    @property
    def compared(self) -> Compared | None:
        """The book that was compared last; None before the first."""
        return self._books.newest

    def restore(self, event: Event, sessions: Mapping[SessionId, Session]) -> None:
        """Fold a takeover into the session that it was taken from, and know that it was one."""
        if isinstance(event, PositionsAdopted):
            if event.execution_id is not None:
                self._seen.add(event.execution_id)
            self._give(event, sessions)
            if event.taken_from is not None and is_flatten(event.taken_from):
                self._closed.restore_taken(event, event.taken_from)
        elif isinstance(event, ExecutionEvent):
            self._heard.note(event)
        if isinstance(event, OrderFilled) and is_flatten(event.session):
            is_ours = event.account == self._account
            if is_ours and self._seen.add(event.execution_id):
                self._closed.told(event)

    def hear(self, event: Event) -> None:
        """Note when an executor told something, or that what it told may have been missed."""
        if isinstance(event, GapSeen):
            self.is_behind |= event.subject.startswith(heard.MISSED)
        elif isinstance(event, LinkChanged):
            self.is_behind |= event.is_up
        else:
            self._heard.note(event)

    def filled(
        self, fill: Event, sessions: Mapping[SessionId, Session], now_ns: int
    ) -> list[PositionsAdopted]:
        """Return what is given back now that a session's execution was told, folded in already.

        Nothing, but where a book that was compared held it.
        """
        if not isinstance(fill, OrderFilled):
            return []
        self._move_unowned(fill)
        book = self._holder(fill)
        if book is None:
            return []
        counted = {each.terms.session for each in _counted(sessions.values(), fill.instrument)}
        given_back = [
            self._take(sessions[name], [view], TOLD_LATE, sessions, now_ns)
            for name, view in book.given_back(fill, is_counted=fill.session in counted)
        ]
        book.took(given_back)
        return given_back

    def flattened(
        self, fill: OrderFilled, sessions: Mapping[SessionId, Session], now_ns: int
    ) -> list[PositionsAdopted]:
        """Return what a flatten closed of each session's holdings, folded in already.

        One of a single session closes that session's; any other what ended sessions and active ones
        hold, oldest first. More than they hold was nobody's.
        """
        if fill.account != self._account or not self._seen.add(fill.execution_id):
            return []
        self._move_unowned(fill)
        if not is_flatten(fill.session) or self._holder(fill) is not None:
            return []
        part, key, left = closed_part(fill.session), fill.instrument, fill.signed_quantity
        if self.compared is None:  # none since a restart: what was taken over before may be told
            left -= self._closed.told(fill)
        else:
            self._closed.add(fill.session, key, left)
        adopted: list[PositionsAdopted] = []
        for session, held in _holders(sessions.values(), key):
            if part not in (None, session.terms.session) or held * left >= 0:
                continue
            taken = min(abs(left), abs(held)).copy_sign(left)
            left -= taken
            view = PositionView(instrument=key, quantity=taken, average_price=fill.price)
            adopted.append(
                self._take(session, [view], CLOSED, sessions, now_ns, fill.session, fill)
            )
        return adopted

    def compare(
        self, report: BookReported, sessions: Mapping[SessionId, Session], now_ns: int
    ) -> tuple[list[PositionsAdopted], list[Session]]:
        """Return what sessions take over, folded in already, and those whose share is unknown.

        Differences are looked for only when executions may have been missed: at any other time
        what is on its way would look like one.
        """
        if report.account != self._account or not report.is_reconciled:
            return [], []
        if self._heard.is_stale(report):
            self._ask_stale(report, sessions.values())
            return [], []
        # An executor that died may have folded executions in that it never came to tell.
        self.is_behind |= bool(self._executor) and report.src != self._executor
        self._executor = report.src
        adopted: list[PositionsAdopted] = []
        contested: dict[SessionId, Session] = {}
        active = [session for session in sessions.values() if session.is_active]
        if self.is_behind:
            self.is_behind = False
            compared = self._books.add(report)
            self._heard.note(report)
            for session in active:
                session.book.catch_up(report)
            for key in dict.fromkeys(key for each in active for key in each.context.instruments):
                shares = _shares(_view(report, key), sessions.values())
                if shares is None:
                    owners = (each for each in active if key in each.context.instruments)
                    contested |= {each.terms.session: each for each in owners}
                    continue
                compared.instruments.add(key)
                for session, view in shares:
                    missed = [*self._missed(session, view, report, sessions, now_ns)]
                    compared.took(missed)
                    adopted += missed
        if report.request_id:
            self._ask(report, sessions.values())
        return adopted, [*contested.values()]

    def _ask_stale(self, report: BookReported, sessions: Iterable[Session]) -> None:
        """Let a start go by an old book, as to what ended sessions hold; the next tells the rest.

        That much is known here, all that was heard since counted in; what is nobody's is not.
        """
        if not report.request_id:
            return
        self.is_behind = True
        known = [*sessions]
        self._ask(report, known)
        for key, view in self._unowned.items():
            own = sum((held for _, held in _holders(known, key)), ZERO)
            self._unowned[key] = _bare(view, own)
        self._asked = None  # whatever is told from now on moves it

    def _ask(self, report: BookReported, sessions: Iterable[Session]) -> None:
        """Note what the account holds of what no session trades now, for the session to come."""
        known = {key for each in sessions for key in each.context.instruments}
        owned = {key for each in sessions if each.is_active for key in each.context.instruments}
        known |= {each.instrument for each in report.positions}
        self._unowned = {key: _view(report, key) for key in sorted(known - owned)}
        self._asked = Compared(report)

    def _move_unowned(self, fill: OrderFilled) -> None:
        """Keep that up to date until the session comes: an ended one's order may fill yet."""
        view = self._unowned.get(fill.instrument)
        if view is not None and (self._asked is None or not self._asked.holds(fill)):
            self._unowned[fill.instrument] = _bare(view, view.quantity + fill.signed_quantity)

    def _holder(self, fill: OrderFilled) -> Compared | None:
        """Return the book by which sessions account for an execution already; None: by none."""
        holder, newest = self._books.first_with(fill), self.compared
        if holder is None and newest is not None and fill.instrument in newest.instruments:
            self.is_behind |= fill.src != newest.teller  # nobody knows which book holds it
        return holder

    def adopted_by(
        self, session: Session, sessions: Mapping[SessionId, Session], now_ns: int
    ) -> list[PositionsAdopted]:
        """Return what a new session takes over, folded in already.

        That is all that ended sessions hold of what it trades, at their own prices, and what of the
        account's holding is nobody's.
        """
        given: dict[SessionId, list[PositionView]] = {}
        nobodys: list[PositionView] = []
        for key in session.context.instruments:
            view = self._unowned.pop(key, None)
            if view is None:
                continue
            rest = view.quantity
            for giver, held in _holders(sessions.values(), key):
                rest -= held
                price = giver.book.portfolio.positions[key].average_price
                own = PositionView(instrument=key, quantity=held, average_price=price)
                given.setdefault(giver.terms.session, []).append(own)
            if rest:
                nobodys.append(_bare(view, rest))
        adopted = [
            self._take(session, views, HELD_BEFORE, sessions, now_ns, giver)
            for giver, views in given.items()
        ]
        if nobodys:
            views = [_priced(view, session) for view in nobodys]
            adopted.append(self._take(session, views, HELD_BEFORE, sessions, now_ns))
        return adopted

    def _missed(
        self,
        session: Session,
        view: PositionView,
        report: BookReported,
        sessions: Mapping[SessionId, Session],
        now_ns: int,
    ) -> Iterator[PositionsAdopted]:
        """Yield what a session missed: what a flatten closed of it, and what was its own."""
        rest, key = view.quantity, view.instrument
        for flatten, unseen in self._unseen(report, key):
            if unseen * rest > 0 and closed_part(flatten) in (None, session.terms.session):
                taken = min(abs(unseen), abs(rest)).copy_sign(rest)
                rest -= taken
                views = [_priced(_bare(view, taken), session)]
                yield self._take(session, views, CLOSED, sessions, now_ns, flatten)
        if rest:
            views = [_priced(_bare(view, rest), session)]
            yield self._take(session, views, MISSED, sessions, now_ns)

    def _unseen(self, report: BookReported, key: InstrumentId) -> list[tuple[SessionId, Decimal]]:
        """Return what flattens closed by the executor's book, and nobody has told of."""
        filled: dict[SessionId, Decimal] = {}
        for each in (*report.recent_orders, *report.open_orders):
            order = each.order
            if is_flatten(order.session) and order.instrument == key:
                before = filled.get(order.session, ZERO)
                filled[order.session] = before + order.side.signed(each.filled)
        unseen = ((name, q, q - self._closed.by(name, key)) for name, q in filled.items())
        return [(name, left) for name, q, left in unseen if q * left > 0]

    def _take(
        self,
        session: Session,
        views: Sequence[PositionView],
        reason: str,
        sessions: Mapping[SessionId, Session],
        now_ns: int,
        taken_from: SessionId | None = None,
        fill: OrderFilled | None = None,
    ) -> PositionsAdopted:
        """Return that a session takes over, folded in; `fill` is of a flatten that was heard."""
        event = PositionsAdopted(
            at_ns=now_ns,
            session=session.terms.session,
            account=session.terms.account,
            positions=tuple(views),
            reason=reason,
            taken_from=taken_from,
            execution_id=None if fill is None else fill.execution_id,
            is_told=reason in (MISSED, TOLD_LATE),
        )
        session.book.apply(event)
        self._give(event, sessions)
        return event

    def _give(self, event: PositionsAdopted, sessions: Mapping[SessionId, Session]) -> None:
        giver = event.taken_from
        if giver is None:
            return
        for view in event.positions:
            if giver in sessions:
                sessions[giver].book.portfolio.adopt(_bare(view, -view.quantity))
            elif event.execution_id is None:  # else all of the execution counts, by itself
                self._closed.add(giver, view.instrument, view.quantity)


def _holders(sessions: Iterable[Session], key: InstrumentId) -> list[tuple[Session, Decimal]]:
    """Return who holds an instrument, and how much, oldest first."""
    found = ((each, each.book.portfolio.quantity(key)) for each in _counted(sessions, key))
    return [(each, held) for each, held in found if held]


def _counted(sessions: Iterable[Session], key: InstrumentId) -> list[Session]:
    """Return whose holding of an instrument counts, oldest first.

    A version before this one did not take from an ended session what a newer one took over.
    """
    known = [each for each in sessions if key in each.context.instruments]
    taken_ns = max((each.book.taken_ns.get(key, -1) for each in known), default=-1)
    return [each for each in known if each.is_active or each.changed_ns > taken_ns]


def _shares(
    view: PositionView, sessions: Iterable[Session]
) -> list[tuple[Session, PositionView]] | None:
    """Return by how much each session differs from the account's holding; None: nobody can tell."""
    key, known = view.instrument, [*sessions]
    holders = _holders(known, key)
    difference = view.quantity - sum((held for _, held in holders), ZERO)
    if not difference:
        return []
    owners = [each for each in known if each.is_active and key in each.context.instruments]
    is_one_side = all(held * difference < 0 for _, held in holders)
    if not view.quantity and is_one_side:  # all of it is closed, whoever held it
        return [(session, _bare(view, -held)) for session, held in holders]
    return [(owners[0], _bare(view, difference))] if len(owners) == 1 else None


def _view(report: BookReported, key: InstrumentId) -> PositionView:
    found = (each for each in report.positions if each.instrument == key)
    return next(found, PositionView(instrument=key, quantity=ZERO))


def _priced(view: PositionView, session: Session) -> PositionView:
    """Return a difference at what is known of its price.

    What closed a part of what the session holds was traded at a price that the book does not show:
    then at the session's own average, so that it is neither a profit nor a loss.
    """
    held = session.book.portfolio.positions.get(view.instrument)
    if held is None or held.quantity * view.quantity >= 0:
        return view
    return PositionView(
        instrument=view.instrument, quantity=view.quantity, average_price=held.average_price
    )


def _bare(view: PositionView, quantity: Decimal) -> PositionView:
    return PositionView(
        instrument=view.instrument, quantity=quantity, average_price=view.average_price
    )
