"""A session's own process knows what the manager knows of it: after a restart, and behind holes."""

from decimal import Decimal

import msgspec
import pytest

from schemas.base import ExecutionId
from schemas.executions import (
    BookReported,
    Liquidity,
    OrderAccepted,
    OrderFilled,
    OrderStatus,
    OrderView,
)
from schemas.health import GapSeen
from schemas.ids import order_id_of
from schemas.isolation import SessionHosted, SessionTold
from schemas.orders import Side, SignalRaised
from schemas.settlement import PositionSettled, SettlementKind
from services.strategy.isolated.child import Host
from services.strategy.isolated.frames import Told
from services.strategy.isolated.stand_in import ORDERS
from tests.builders import ACCOUNT, ALPHA, S_NS, dec, order
from tests.manager_rig import ManagerRig
from tests.strategy_rig import every, only


def settled(**fields: object) -> PositionSettled:
    made = PositionSettled(
        at_ns=5,
        account=ACCOUNT,
        instrument=ALPHA,
        settlement_id="settled-1",
        kind=SettlementKind.EXPIRY,
        closes_at=dec(90),
    )
    return msgspec.structs.replace(made, **fields)


def filled(rig: ManagerRig, signal: SignalRaised) -> OrderFilled:
    return OrderFilled(
        at_ns=rig.now_ns,
        account=ACCOUNT,
        session=rig.session,
        instrument=ALPHA,
        order_id=order_id_of(ACCOUNT, rig.session, signal.signal_id, 0),
        execution_id=ExecutionId("x1"),
        side=Side.BUY,
        price=dec(100),
        quantity=signal.quantity,
        leaves=dec(0),
        fee=dec(0),
        liquidity=Liquidity.TAKER,
        status=OrderStatus.FILLED,
    )


def held(host: Host, rig: ManagerRig) -> tuple[Decimal, Decimal]:
    portfolio = host._core.sessions[rig.session].book.portfolio
    return portfolio.quantity(ALPHA), portfolio.cash


@pytest.mark.req("S-13", "S-02")
@pytest.mark.parametrize(
    ("settlement", "expected"),
    [
        (settled(), (dec(0), dec(9_990))),
        (
            settled(kind=SettlementKind.FUNDING, closes_at=None, payment=dec(-3)),
            (dec(1), dec(9_897)),
        ),
        (settled(account="another"), (dec(1), dec(9_900))),
        (settled(instrument="sim:BETA"), (dec(1), dec(9_900))),
    ],
    ids=["expiry", "funding", "another account", "another instrument"],
)
def test_a_settlement_is_known_to_a_sessions_process_after_a_restart(
    settlement: PositionSettled, expected: tuple[Decimal, Decimal]
) -> None:
    rig = ManagerRig()
    rig.tell(filled(rig, only(SignalRaised, rig.speak(rig.signal()))))
    rig.tell(settlement)
    hosted = only(SessionHosted, rig.restart())
    portfolio = rig.core.sessions[rig.session].book.portfolio
    assert (portfolio.quantity(ALPHA), portfolio.cash) == expected
    assert held(rig.host(hosted), rig) == expected


def told_on(host: Host, told: list[SessionTold]) -> None:
    """Hand on what the manager has told."""
    for each in told:
        host.tell(
            Told(
                now_ns=each.at_ns,
                hook=each.hook,
                is_trading=each.is_trading,
                event_json=each.event_json,
            )
        )


@pytest.mark.req("S-13", "S-16")
def test_the_end_of_an_order_that_was_missed_is_known_to_the_sessions_process() -> None:
    """Else its strategy would wait for an order that is gone, and for ever."""
    rig = ManagerRig()
    signals = [only(SignalRaised, rig.speak(rig.signal(number))) for number in ("1", "2")]
    ids = [order_id_of(ACCOUNT, rig.session, each.signal_id, 0) for each in signals]
    for order_id in ids:
        rig.tell(
            OrderAccepted(
                at_ns=rig.now_ns,
                account=ACCOUNT,
                session=rig.session,
                instrument=ALPHA,
                order_id=order_id,
                venue_order_id="v",
            )
        )
    host = rig.host(only(SessionHosted, rig.restart()))
    book = host._core.sessions[rig.session].book
    assert [*book.orders] == ids
    rig.tell(GapSeen(at_ns=0, subject="exec.sim.paper", publisher="e", expected_seq=2, got_seq=4))
    shown = tuple(
        OrderView(
            order=msgspec.structs.replace(order(order_id, quantity="1"), session=session),
            status=OrderStatus.ACCEPTED,
        )
        for order_id, session in ((ids[1], rig.session), ("strange", "another-9"))
    )
    report = BookReported(
        at_ns=9 * S_NS, account=ACCOUNT, is_reconciled=True, open_orders=shown, cash=dec(77)
    )
    told = [each for each in every(SessionTold, rig.tell(report)) if each.hook == ORDERS]
    assert len(told) == 1
    assert msgspec.json.decode(told[0].event_json, type=BookReported) == BookReported(
        at_ns=9 * S_NS, account=ACCOUNT, open_orders=shown[:1]
    ), "of others it is told nothing"
    told_on(host, told)
    assert [*book.orders] == [*rig.core.sessions[rig.session].book.orders] == [ids[1]]
    assert every(SessionTold, rig.tell(report)) == [], "nothing was missed since"
