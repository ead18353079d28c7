"""A session in another currency than the account's is held to its limits in the account's."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import BootId, InstrumentId
from schemas.executions import OrderFilled
from schemas.isolation import SessionHosted
from schemas.orders import SignalRaised
from schemas.sessions import SessionState
from schemas.settlement import PositionSettled, SettlementKind
from services.strategy.config import ExecutionLimits, RiskLimits
from services.strategy.context import Context
from services.strategy.core import StrategyCore
from services.strategy.interface import Parameters, Strategy
from services.strategy.library.size import share_of
from tests.builders import ACCOUNT, ALPHA, S_NS, dec, instrument, quote
from tests.manager_rig import ManagerRig
from tests.strategy_rig import StrategyRig, config, every, only
from tests.unit.test_btc_basis import SPOT, BasisRig
from tests.unit.test_pure_lending import Rig as LendingRig
from tests.unit.test_strategy_limits import rules
from tests.unit.test_target_weights import Rig as WeightsRig

YEN = InstrumentId("sim:YEN")
YEN_WORTH = Decimal("0.01")
KNOWN = {
    ALPHA: instrument(ALPHA),
    YEN: msgspec.structs.replace(instrument(YEN), currency="JPY"),
}


class Wants(Strategy[Parameters]):
    """Buy what the test says at the next quote."""

    wanted = Decimal(0)

    def on_quote(self, quote: object) -> None:
        wanted, self.wanted = self.wanted, Decimal(0)
        if wanted:
            self.context.buy(YEN, wanted)


class Rig(StrategyRig):
    """One session on an instrument in yen, and one in dollars, in an account in dollars."""

    def __init__(self, values: dict[str, Decimal], **limits: Any) -> None:
        self.values = values
        free: dict[str, Any] = {
            "max_drawdown": None,
            "max_daily_loss": None,
            "max_position_size": None,
        }
        execution = ExecutionLimits(risk_limits=RiskLimits(**free | limits))
        here = "tests.unit.test_strategy_currencies:Wants"
        super().__init__(config(classes={"wants": here}, execution=execution))
        self.session = self.start("wants", symbols=("sim:YEN", "sim:ALPHA"))
        self.price("1000")

    def _made(self) -> StrategyCore:
        return StrategyCore(
            self.config, ACCOUNT, KNOWN, boot_id=BootId("yen"), worth_of=self.values.get
        )

    def price(self, price: str, wanted: str = "0") -> list[Any]:
        """Tell a price in yen; the strategy buys as much as is wanted."""
        self.strategy(self.session).wanted = Decimal(wanted)
        at = Decimal(price)
        self.now_ns += 11 * S_NS
        return self.tell(quote(str(at - 1), str(at + 1), instrument=YEN))

    def buy(self, quantity: str, price: str, fee: str = "0") -> OrderFilled:
        """Buy, and return the execution."""
        signal = only(SignalRaised, self.price("1000", quantity))
        fill = msgspec.structs.replace(self.fill(signal), price=dec(price), fee=dec(fee))
        self.tell(fill)
        return fill

    @property
    def equity(self) -> Decimal | None:
        found: Decimal | None = self.strategy(self.session).context.equity()
        return found


def rig(**limits: Any) -> Rig:
    return Rig({"USD": Decimal(1), "JPY": YEN_WORTH}, **limits)


@pytest.mark.req("S-08")
def test_a_sessions_equity_is_in_the_accounts_currency() -> None:
    held = rig()
    held.buy("10", "1000", fee="200")
    assert held.equity == 10_000 - 2, "200 yen of fees"
    held.price("1500")
    assert held.equity == 10_000 - 2 + 50, "5,000 yen gained"
    funding = PositionSettled(
        at_ns=5,
        account=ACCOUNT,
        instrument=YEN,
        settlement_id="s",
        kind=SettlementKind.FUNDING,
        payment=dec(-10),
    )
    held.tell(funding)
    assert held.equity == 10_000 - 2 + 50 - 1
    closed = msgspec.structs.replace(
        funding, settlement_id="t", kind=SettlementKind.EXPIRY, closes_at=dec(1200), payment=dec(0)
    )
    held.tell(closed)
    assert held.equity == 10_000 - 2 + 20 - 1
    held.restart()
    held.tell(None)
    assert held.equity == 10_000 - 2 + 20 - 1


@pytest.mark.req("S-08")
@pytest.mark.parametrize(("price", "state"), [("910", "running"), ("899", "paused")])
def test_a_loss_counts_by_what_it_is_worth(price: str, state: str) -> None:
    """Ten units fell by 90 or 101 yen: 9 or 10.1 dollars. In yen both would be far beyond."""
    held = rig(max_daily_loss=Decimal(10))
    held.buy("10", "1000")
    held.price(price)
    assert held.core.sessions[held.session].state is SessionState(state)


@pytest.mark.req("S-08")
@pytest.mark.parametrize(("quantity", "expected"), [("10", []), ("11", ["max_position_size"])])
def test_a_position_counts_by_what_it_is_worth(quantity: str, expected: list[str]) -> None:
    held = rig(max_position_size=Decimal(100))
    assert rules(held.price("1000", quantity)) == expected


@pytest.mark.req("S-08")
def test_what_nobody_knows_the_worth_of_is_not_bought() -> None:
    held = Rig({"USD": Decimal(1)})
    assert rules(held.price("1000", "1")) == ["position_size_limit"]
    assert held.equity == 10_000


@pytest.mark.req("S-08")
def test_a_position_of_unknown_worth_makes_the_equity_unknown() -> None:
    held = rig()
    held.buy("10", "1000")
    held.values = {"USD": Decimal(1)}
    held.restart()
    held.tell(None)
    held.price("1000")
    assert held.equity is None
    assert held.core.sessions[held.session].watch.breaches() == []


@pytest.mark.req("G-04")
def test_a_share_of_the_capital_is_sized_in_the_instruments_currency() -> None:
    held = rig()
    context = held.core.sessions[held.session].context
    assert share_of(context, YEN, Decimal("0.1")) == 50, "500 dollars are 50,000 yen"
    lost = Rig({"USD": Decimal(1)})
    with pytest.raises(ValueError, match="JPY has no known worth"):
        share_of(lost.core.sessions[lost.session].context, YEN, Decimal("0.1"))


@pytest.mark.req("G-04")
@pytest.mark.parametrize(("values", "expected"), [({"JPY": YEN_WORTH}, ["100"]), ({}, [])])
def test_a_formulas_capital_and_equity_are_in_the_currency_of_its_prices(
    tmp_path: Path, values: dict[str, Decimal], expected: list[str]
) -> None:
    """A tenth of 10,000 dollars is 100,000 yen; at 1,000 yen that buys a hundred."""
    (tmp_path / "mine.toml").write_text(
        "candles = { interval_s = 10 }\n"
        '[rules]\nentry_long = "capital == equity"\nexit_long = "close < 0"\n'
        'size = "0.1 * equity / close"\n'
    )

    class Formula(Rig):
        def __init__(self) -> None:
            StrategyRig.__init__(self, config(formulas=(str(tmp_path),)))
            self.session = self.start("mine", symbols=("sim:YEN",))

        def _made(self) -> StrategyCore:
            worth_of = ({"USD": Decimal(1)} | values).get
            return StrategyCore(
                self.config, ACCOUNT, KNOWN, boot_id=BootId("yen"), worth_of=worth_of
            )

    held = Formula()
    for second in (10, 20, 30, 40):
        at_ns = second * S_NS
        held.tell(quote("1000", "1000", instrument=YEN, at_ns=at_ns), at_ns)
    signals = every(SignalRaised, held.said)
    assert [str(each.quantity) for each in signals[:1]] == expected


@pytest.mark.req("S-08")
def test_a_sessions_own_process_knows_what_currencies_are_worth() -> None:
    manager = ManagerRig()
    hosted = only(SessionHosted, manager.restart())
    worths = [
        manager.host(hosted, values)._core.sessions[manager.session].context.worth(ALPHA)
        for values in (None, {"EUR": Decimal(1), "USD": Decimal(2)}, {"EUR": Decimal(1)})
    ]
    assert worths == [Decimal(1), Decimal(2), None]
    assert every(SignalRaised, manager.kept) == []


def bought_by_basis() -> Decimal:
    rig = BasisRig(quantity=None, capital_share="0.040004")
    rig.funding("0.001")
    return next(each.quantity for each in rig.market() if each.instrument == SPOT)


def bought_by_lending() -> Decimal:
    return sum((quantity for _, _, quantity in LendingRig().rates("0.05", "0.01")), Decimal(0))


def bought_by_weights() -> Decimal:
    return next(each.quantity for each in WeightsRig().prices("100", "50"))


@pytest.mark.req("G-04")
@pytest.mark.parametrize("bought", [bought_by_basis, bought_by_lending, bought_by_weights])
def test_where_a_currency_is_worth_two_the_same_capital_buys_half(
    bought: Callable[[], Decimal], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_par = bought()
    monkeypatch.setattr(Context, "worth", lambda self, key: Decimal(2))
    assert bought() == at_par / 2 > 0
    monkeypatch.setattr(Context, "worth", lambda self, key: None)
    with pytest.raises((StopIteration, AssertionError)):
        assert bought(), "nothing is bought where nobody knows"
