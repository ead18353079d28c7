"""What a session's own limits block is told to its strategy, and ends once: never in silence."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.base import NS_PER_S, Event, SessionId, SignalId
from schemas.executions import PositionView
from schemas.health import AlertRaised
from schemas.ids import order_id_of
from schemas.market import QuoteReceived
from schemas.orders import Side, SignalRaised
from schemas.sessions import SessionBreach, SessionState, SessionStateChanged, SignalBlocked
from services.strategy.config import ExecutionLimits, Monitoring, RiskLimits, StrategyConfig
from services.strategy.context import Terms
from services.strategy.interface import Parameters, Strategy
from services.strategy.orders import SessionBook
from services.strategy.session import Session
from tests.builders import ACCOUNT, ALPHA, BETA, S_NS, quote
from tests.strategy_rig import OWN, StrategyRig, every, only
from tests.unit.test_btc_basis import BasisRig
from tests.unit.test_strategy_limits import Rig, rules, state

FREE = RiskLimits(max_drawdown=None, max_position_size=None, max_daily_loss=None)
MINUTE = Terms(expiry_ms=60_000)


class AsksAgain(Strategy[Parameters]):
    """Buy at a quote; and at once again when that was blocked."""

    def on_start(self) -> None:
        self.heard: list[SignalBlocked] = []
        self.answers: list[object] = []

    def on_quote(self, quote: QuoteReceived) -> None:
        self.context.buy(quote.instrument, Decimal(5))

    def on_blocked(self, blocked: SignalBlocked) -> None:
        self.heard.append(blocked)
        self.answers.append(self.context.buy(blocked.instrument, Decimal(5)))
        self.answers.append(self.context.is_trading)


def held_to(strategy: str, **limits: Any) -> StrategyRig:
    """Return a rig with one session of this strategy on ALPHA, held to these limits."""
    classes = OWN | {"asks": "tests.unit.test_strategy_blocked:AsksAgain"}
    execution = ExecutionLimits(risk_limits=FREE, **limits)
    rig = StrategyRig(StrategyConfig(classes=classes, execution=execution))
    rig.start(strategy)
    return rig


@pytest.mark.req("S-08")
def test_a_strategy_hears_what_was_blocked_and_can_answer_nothing_at_once() -> None:
    rig = held_to("asks", position_size_limit=Decimal(100))
    said = rig.tell(quote("99", "101"))
    session, signal = SessionId("asks-1"), SignalId("asks-1-1")
    blocked = SignalBlocked(
        at_ns=rig.now_ns,
        session=session,
        account=ACCOUNT,
        strategy="asks",
        signal_id=signal,
        instrument=ALPHA,
        side=Side.BUY,
        quantity=Decimal(5),
        order_id=order_id_of(ACCOUNT, session, signal, 0),
        rule="position_size_limit",
        reason="a position of 500 with it, at most 100",
    )
    assert every(SignalBlocked, said) == [blocked]
    assert every(SignalRaised, said) == []
    strategy = rig.strategy(blocked.session)
    assert (strategy.heard, strategy.answers) == ([blocked], [None, False])
    assert strategy.context.is_trading  # it may ask again, at the next event
    assert len(rig.tell(quote("99", "101"))) == 1


class EndlessError(Exception):
    """It was told and asked again more often than anything needs."""


class Aloud:
    """The telling without the silence: a strategy may ask again while it hears."""

    def __init__(self) -> None:
        self.told_count = 0

    def __call__(
        self, session: Session, said: Sequence[Event], tell: Any, now_ns: int
    ) -> list[Event]:
        out = [*said]
        for event in every(SignalBlocked, said):
            self.told_count += 1
            if self.told_count > 50:
                raise EndlessError
            out += tell(session, "on_blocked", (event,), now_ns)
        return out


@pytest.mark.req("S-08")
def test_without_the_silence_a_strategy_that_asks_again_comes_to_no_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.strategy.core.blocks_told", Aloud())
    rig = held_to("asks", position_size_limit=Decimal(100))
    with pytest.raises(EndlessError):
        rig.tell(quote("99", "101"))


@pytest.mark.req("S-08", "S-17")
@pytest.mark.parametrize("strategy", ["buy_and_hold", "ema_cross"])
def test_what_is_blocked_is_asked_for_again_only_in_a_while(strategy: str) -> None:
    rig = held_to("recording", position_size_limit=Decimal(100))
    fast = {"fast": 1, "slow": 2} if strategy == "ema_cross" else {}
    session = rig.start(strategy, config_overrides={"quantity": "5", **fast})
    said = rig.tell(quote("99", "101", at_ns=rig.now_ns))
    said += rig.tell(quote("98", "100", at_ns=rig.now_ns))
    for _ in range(50):  # at 20 a second: two seconds and a half
        rig.now_ns += S_NS // 20
        said += rig.tell(quote("109", "111", at_ns=rig.now_ns))
    assert len(every(SignalBlocked, said)) == 3
    assert rig.core.sessions[session].book.orders == {}


@pytest.mark.req("S-17")
def test_a_blocked_leg_makes_the_other_one_trade_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = BasisRig()
    admission = rig.core.sessions[rig.session].admission
    allowed = admission._objection
    monkeypatch.setattr(
        admission,
        "_objection",
        lambda signal: allowed(signal) or (("max", "no") if signal.side is Side.SELL else None),
    )
    rig.funding("0.0001")
    entries: list[int] = []
    for second in range(300):
        for signal in rig.market(perpetual="101"):
            if signal.side is Side.BUY:
                entries.append(second)
            rig.approve(signal)
    assert [after - before for before, after in pairwise(entries)] == [11, 21, 41, 81]
    assert rig.legs == (Decimal(0), Decimal(0))


@pytest.mark.req("S-11")
def test_what_waits_is_not_sent_by_an_alarm_while_the_session_is_paused() -> None:
    rig = Rig(max_concurrent_trades=1, execution_timeout_s=4)
    rig.begin()
    said = rig.do(("buy", ALPHA, "1"), ("buy", BETA, "5", MINUTE))
    assert [each.instrument for each in every(SignalRaised, said)] == [ALPHA]
    rig.ask("pause")
    said = rig.later(3.5)  # the first has lapsed unheard, so that its place is free
    said += rig.later(1)
    assert (every(SignalRaised, said), rules(said)) == ([], ["max_concurrent_trades"])
    assert only(SignalBlocked, said).reason == "trading was stopped"


@pytest.mark.req("S-11")
@pytest.mark.parametrize(
    ("action", "reason"), [("stop", "its session is over"), ("cancel", "its strategy took it back")]
)
def test_what_waits_has_an_end_that_is_told(action: str, reason: str) -> None:
    rig = Rig(max_concurrent_trades=1)
    session = rig.begin()
    rig.do(("buy", ALPHA, "1"), ("buy", BETA, "5"))
    if action == "stop":
        said = rig.ask("stop")
    else:
        [_, order] = rig.core.sessions[session].book.orders
        context = rig.core.sessions[session].context
        context.cancel(order)
        said = rig.do()
    blocked = only(SignalBlocked, said)
    assert (blocked.instrument, blocked.rule) == (BETA, "max_concurrent_trades")
    assert blocked.reason.startswith(reason)


@pytest.mark.req("S-11")
def test_the_size_of_a_position_is_limited_without_risk_management_too() -> None:
    rig = Rig(position_size_limit=Decimal(1_000), risk_management_enabled=False)
    rig.begin()
    assert rules(rig.do(("buy", ALPHA, "11"))) == ["position_size_limit"]
    assert len(every(SignalRaised, rig.do(("buy", ALPHA, "10")))) == 1


@pytest.mark.req("S-11")
def test_losses_and_positions_are_looked_at_in_intervals_of_their_own() -> None:
    rig = Rig(
        {"max_daily_loss": "500", "max_drawdown": "0.9", "max_position_size": "10000"},
        monitoring=Monitoring(risk_s=10, position_s=5),
    )
    rig.begin()
    rig.filled(rig.do(("buy", ALPHA, "90")))
    began_ns = rig.now_ns
    found: list[tuple[float, str]] = []
    for half_s in range(1, 45):
        rig.now_ns = began_ns + half_s * NS_PER_S // 2
        price = "130" if half_s < 11 else "94"  # 11,700 of it; then a loss of 540
        alerts = every(AlertRaised, rig.do(price=price))
        found += [(half_s / 2, each.fields["limit"]) for each in alerts]
    assert found == [(5.0, "max_position_size"), (10.0, "max_daily_loss")]
    assert state(rig) is SessionState.PAUSED


@pytest.mark.req("S-11")
def test_a_fill_is_looked_at_although_the_market_is_silent() -> None:
    rig = Rig({"max_daily_loss": "500", "max_drawdown": "0.9"})
    rig.begin()
    [signal] = every(SignalRaised, rig.do(("buy", ALPHA, "100")))
    rig.now_ns += 10 * NS_PER_S
    dear = replace(rig.fill(signal), price=Decimal(106))
    changed = only(SessionStateChanged, rig.tell(dear))
    assert changed.state is SessionState.PAUSED


@pytest.mark.req("S-08")
def test_each_limit_that_pauses_says_that_it_did() -> None:
    rig = Rig({"max_daily_loss": "500", "max_daily_loss_pct": "5", "max_drawdown": "0.05"})
    rig.begin()
    rig.filled(rig.do(("buy", ALPHA, "100")))
    rig.now_ns += 10 * NS_PER_S
    said = rig.do(price="94")
    messages = [each.message for each in every(AlertRaised, said)]
    assert len(messages) == 3
    assert all("it is paused" in each for each in messages)
    assert len(every(SessionStateChanged, said)) == 1


@pytest.mark.req("S-04")
def test_the_risk_check_knows_every_limit_that_blocks() -> None:
    rig = Rig({"max_positions": "1"}, position_size_limit=Decimal(1_000))
    session = rig.begin()
    rig.filled(rig.do(("buy", ALPHA, "10")))
    book: SessionBook = rig.core.sessions[session].book
    both = (
        PositionView(instrument=each, quantity=Decimal(10), average_price=Decimal(100))
        for each in (ALPHA, BETA)
    )
    for view in both:
        book.portfolio.adopt(view)
    assert rig.core.sessions[session].watch.breaches() == [
        SessionBreach(
            limit_name="position_size_limit",
            limit=Decimal(1_000),
            current=Decimal(2_000),
            detail=ALPHA,
        ),
        SessionBreach(limit_name="max_positions", limit=Decimal(1), current=Decimal(2)),
    ]
