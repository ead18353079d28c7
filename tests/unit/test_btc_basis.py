"""btc_basis: when it enters and leaves, and that its legs are both there or both not."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from schemas.base import Event, ExecutionId, InstrumentId
from schemas.executions import OrderFilled
from schemas.instruments import AssetClass
from schemas.market import FundingPublished, QuoteReceived
from schemas.orders import Outcome, Side, SignalDecided, SignalRaised
from schemas.settlement import PositionSettled
from services.feed.opening import open_recording
from services.feed.source import recorded
from services.strategy.library.carry import CarryTerms, entry_annual, entry_basis, hold_annual
from services.system import FusedSystem, FusedTerms
from tests import fused_rig
from tests.builders import S_NS, dec, instrument, quote
from tests.strategy_rig import StrategyRig, decision, every, request

SPOT, PERPETUAL = InstrumentId("sim:COIN"), InstrumentId("perp:COIN")
INSTRUMENTS = {
    SPOT: instrument(SPOT, lot="0.01", taker_bps="10", asset_class=AssetClass.SPOT),
    PERPETUAL: instrument(PERPETUAL, lot="0.1", taker_bps="5", asset_class=AssetClass.PERPETUAL),
}
ONE, ZERO = Decimal(1), Decimal(0)
QUICK: dict[str, Any] = {"quantity": "1", "entry_annual": "0.1", "exit_annual": "0"}


class BasisRig(StrategyRig):
    """Two markets, and orders that are filled as the test says."""

    def __init__(self, **overrides: Any) -> None:
        super().__init__()
        self.core._instruments = INSTRUMENTS
        self.core.starts._instruments = INSTRUMENTS
        self.session = self.start(
            "btc_basis",
            symbols=(SPOT, PERPETUAL),
            config_overrides=QUICK | overrides,
            initial_capital=Decimal(10_000),
        )

    def market(
        self, spot: str = "100", perpetual: str = "100", *, after_ns: int = S_NS, size: str = "9"
    ) -> list[SignalRaised]:
        """Quote both markets one hundredth wide; return what is signalled."""
        self.now_ns += after_ns
        said: list[Event] = []
        for key, bid in ((SPOT, dec(spot)), (PERPETUAL, dec(perpetual))):
            at = quote(str(bid), str(bid + dec("0.01")), at_ns=self.now_ns, instrument=key)
            said += self.tell(
                QuoteReceived(
                    at_ns=self.now_ns,
                    instrument=key,
                    bid=at.bid,
                    bid_size=dec(size),
                    ask=at.ask,
                    ask_size=dec(size),
                )
            )
        return every(SignalRaised, said)

    def funding(self, rate: str) -> None:
        self.tell(FundingPublished(at_ns=self.now_ns, instrument=PERPETUAL, rate=dec(rate)))

    def approve(self, signal: SignalRaised, quantity: str | None = None) -> None:
        """Let the gate pass it and the venue fill it, wholly or the rest cancelled."""
        self.tell(decision(signal, Outcome.APPROVED))
        self.tell(self.fill(signal, quantity))
        if quantity is not None and dec(quantity) < signal.quantity:
            self.core.sessions[self.session].book.orders.clear()

    def reject(self, signal: SignalRaised) -> None:
        self.tell(decision(signal, Outcome.REJECTED))

    @property
    def legs(self) -> tuple[Decimal, Decimal]:
        folio = self.core.sessions[self.session].book.portfolio
        return folio.quantity(SPOT), folio.quantity(PERPETUAL)


def shapes(signals: list[SignalRaised]) -> list[tuple[InstrumentId, Side, Decimal]]:
    return [(each.instrument, each.side, each.quantity) for each in signals]


def entered() -> BasisRig:
    rig = BasisRig()
    rig.funding("0.001")
    for signal in rig.market():
        rig.approve(signal)
    assert rig.legs == (ONE, -ONE)
    return rig


def test_the_rate_of_entering_is_basis_and_funding_less_the_fees_of_both_ways() -> None:
    """By hand: 20 bp of basis, 21 fundings of 1 bp, twice 15 bp of fees, over a week: 11 bp."""
    terms = CarryTerms(horizon_days=dec(7), funding_interval_h=dec(8), fee_rate=dec("0.0015"))
    spot, perpetual = quote("99.9", "100"), quote("100.2", "100.3")
    basis = entry_basis(spot, perpetual, 1)
    assert basis == dec("0.002")
    rate = entry_annual(basis, dec("0.0001"), 1, terms)
    assert rate == dec("0.0011") * 365 / 7
    assert hold_annual(basis, dec("0.0001"), 1, terms) == dec("0.0041") * 365 / 7
    assert entry_basis(spot, perpetual, -1) < 0
    assert entry_annual(basis, dec("0.0001"), -1, terms) < rate


@pytest.mark.req("S-17")
def test_it_enters_both_legs_at_once_when_the_carry_pays() -> None:
    rig = BasisRig()
    assert rig.market() == []  # no funding rate is known
    rig.funding("0.0001")
    assert rig.market() == []  # 21 bp do not pay 30 bp of fees
    rig.funding("0.001")
    signals = rig.market()
    assert shapes(signals) == [(SPOT, Side.BUY, ONE), (PERPETUAL, Side.SELL, ONE)]
    assert signals[0].why.startswith("entering earns ")
    assert rig.market() == []  # both are on their way
    for signal in signals:
        rig.approve(signal)
    assert rig.market() == []


def test_it_leaves_both_legs_when_holding_on_does_not_pay() -> None:
    rig = entered()
    rig.funding("-0.0005")
    signals = rig.market()
    assert shapes(signals) == [(SPOT, Side.SELL, ONE), (PERPETUAL, Side.BUY, ONE)]
    for signal in signals:
        assert signal.is_reduce_only
        rig.approve(signal)
    assert rig.legs == (ZERO, ZERO)


def test_the_reverse_is_traded_only_where_spot_may_be_sold_short() -> None:
    for can_short, wanted in (
        (False, []),
        (True, [(SPOT, Side.SELL, dec(1)), (PERPETUAL, Side.BUY, dec(1))]),
    ):
        rig = BasisRig(can_short_spot=can_short)
        rig.funding("-0.001")
        assert shapes(rig.market()) == wanted


def test_no_more_is_entered_than_both_markets_show() -> None:
    rig = BasisRig()
    rig.funding("0.001")
    for size, entered in (("0.37", "0.3"), ("0.37", "0.3"), ("9", "0.3"), ("9", "0.1")):
        signals = rig.market(size=size)  # the third time, one market still shows what it did
        wanted = dec(entered)
        assert shapes(signals) == [(SPOT, Side.BUY, wanted), (PERPETUAL, Side.SELL, wanted)]
        for signal in signals:
            rig.approve(signal)


@pytest.mark.req("S-17")
@pytest.mark.parametrize(
    ("spot", "perpetual", "mended"),
    [
        ("1", None, (SPOT, Side.SELL, dec(1))),
        (None, "1", (PERPETUAL, Side.BUY, dec(1))),
        ("1", "0.4", (SPOT, Side.SELL, dec("0.6"))),
        ("0.3", "1", (PERPETUAL, Side.BUY, dec("0.7"))),
    ],
)
def test_a_broken_leg_is_unwound_and_not_entered_again_at_once(
    spot: str | None, perpetual: str | None, mended: tuple[InstrumentId, Side, Decimal]
) -> None:
    rig = BasisRig()
    rig.funding("0.001")
    for signal, filled in zip(rig.market(), (spot, perpetual), strict=True):
        if filled is None:
            rig.reject(signal)
        else:
            rig.approve(signal, filled)
    signals = rig.market(after_ns=2 * S_NS)
    assert shapes(signals) == [mended]
    assert signals[0].is_reduce_only
    rig.approve(signals[0])
    held, hedge = rig.legs
    assert held == -hedge
    assert rig.market() == []  # not at once
    assert len(rig.market(after_ns=10 * S_NS)) == 2


def test_without_mending_a_lost_leg_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The safeguard removed: one leg is held alone, and more of it is bought."""
    monkeypatch.setattr("services.strategy.library.btc_basis.BtcBasis._mend", lambda _: False)
    rig = BasisRig()
    rig.funding("0.001")
    buy, sell = rig.market()
    rig.approve(buy, "0.5")
    rig.reject(sell)
    assert rig.market(after_ns=2 * S_NS)
    assert rig.legs == (dec("0.5"), ZERO)


def test_a_session_takes_one_spot_and_one_perpetual() -> None:
    rig = StrategyRig()
    answer = rig.prepare(request("btc_basis", symbols=("sim:ALPHA", "sim:BETA")))
    [error] = [each for each in answer.errors if each.path == "$.symbols"]
    assert error.wanted == "one spot instrument and one perpetual"
    assert error.found == "sim:ALPHA (equity), sim:BETA (equity)"


def with_funding(data_dir: Path, folder: Path, rows: str) -> Path:
    """Return a folder with both captures of BTCUSDT and funding rates beside them."""
    for market in ("spot", "usdm"):
        name = "btcusdt_20240808.gz"
        (folder / f"{market}.gz").symlink_to(data_dir / "binance" / market / name)
    (folder / "funding.csv").write_text("time,instrument,rate\n" + rows)
    return folder


@pytest.mark.req("S-17")
def test_it_earns_funding_on_the_recorded_markets_and_its_legs_stay_equal(
    data_dir: Path, tmp_path: Path
) -> None:
    """Two real captures, and a funding rate that is first worth its costs and then is not."""
    rows = "2024-08-08T23:54:20Z,binance-usdm:BTCUSDT,0.002\n"
    rows += "2024-08-08T23:57:00Z,binance-usdm:BTCUSDT,0.001\n"
    rows += "2024-08-08T23:58:00Z,binance-usdm:BTCUSDT,-0.002\n"
    source = open_recording(with_funding(data_dir, tmp_path, rows))
    journal: list[Event] = []
    known = {each.id: each for each in source.instruments()}
    terms = FusedTerms(
        account=fused_rig.ACCOUNT,
        initial_cash=fused_rig.CASH,
        instruments=known,
        gate=fused_rig.GATE,
    )
    system = FusedSystem(terms, journal=journal.append)
    overrides: dict[str, object] = {"quantity": "0.5", "entry_annual": "0.5"}
    system.run(recorded(source), fused_rig.request(source, "btc_basis", overrides))
    refused = [e.rule for e in journal if isinstance(e, SignalDecided) and e.rule != "all"]
    assert refused == []
    seen: dict[ExecutionId, OrderFilled] = {}
    held = dict.fromkeys(known, Decimal(0))
    widest = received = Decimal(0)
    for event in journal:
        if isinstance(event, PositionSettled):
            received += held[event.instrument] * event.payment
        if isinstance(event, OrderFilled) and event.execution_id not in seen:
            seen[event.execution_id] = event
            sign = 1 if event.side is Side.BUY else -1
            held[event.instrument] += sign * event.quantity
            widest = max(widest, *(abs(each) for each in held.values()))
    assert widest == Decimal("0.5")
    assert set(held.values()) == {Decimal(0)}
    sides = {(each.instrument, each.side) for each in seen.values()}
    assert len(sides) == 4
    paid = [each for each in journal if isinstance(each, PositionSettled)]
    assert [each.payment > 0 for each in paid] == [False, True]  # told of one unit held long
    venue, ours = system.venue.ledger.portfolio, system.executor.orders.portfolio
    [session] = system.strategy.sessions.values()
    assert venue.cash == ours.cash
    assert session.book.portfolio.cash - 100_000 == venue.cash - fused_rig.CASH
    for folio in (venue, ours, session.book.portfolio):
        assert folio.positions[paid[0].instrument].funding == received
