"""target_weights: it sells before it buys, and only when something is out of its band."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import Event, InstrumentId
from schemas.executions import OrderFilled
from schemas.orders import Outcome, Side, SignalDecided, SignalRaised
from services.bench.open_limits import open_limits
from services.feed.opening import open_recording
from services.feed.source import recorded
from services.system import FusedSystem, FusedTerms
from tests import fused_rig
from tests.builders import ALPHA, BETA, S_NS, dec, quote
from tests.strategy_rig import StrategyRig, decision, every, request

HALVES: dict[str, Any] = {"weights": {"ALPHA": "0.5", "sim:BETA": "0.5"}, "every_s": 60}


class Rig(StrategyRig):
    """A session of two instruments worth 10,000, and a venue that fills everything."""

    def __init__(self, **overrides: Any) -> None:
        super().__init__()
        self.session = self.start(
            "target_weights", symbols=("ALPHA", "BETA"), config_overrides=HALVES | overrides
        )

    def prices(self, alpha: str, beta: str, *, after_s: int = 60) -> list[SignalRaised]:
        self.now_ns += after_s * S_NS
        said: list[Event] = []
        for key, price in ((ALPHA, dec(alpha)), (BETA, dec(beta))):
            tick = dec("0.01")
            at = quote(str(price - tick), str(price + tick), at_ns=self.now_ns, instrument=key)
            said += self.tell(at)
        return every(SignalRaised, said)

    def filled(self, signal: SignalRaised) -> list[SignalRaised]:
        said = self.tell(decision(signal, Outcome.APPROVED))
        fill = self.fill(signal)
        price = self.core._lanes.quote(signal.instrument)
        assert price is not None
        at = price.ask if signal.side is Side.BUY else price.bid
        return every(SignalRaised, [*said, *self.tell(fill_at(fill, at))])


def fill_at(fill: OrderFilled, price: Decimal) -> OrderFilled:
    return msgspec.structs.replace(fill, price=price)


def shapes(signals: list[SignalRaised]) -> list[tuple[InstrumentId, Side, Decimal]]:
    return [(each.instrument, each.side, each.quantity) for each in signals]


def invested() -> Rig:
    rig = Rig()
    bought = rig.prices("100", "50")
    # to the edge of the band: 48 % of 10,000 each, in whole lots (5 for BETA)
    assert shapes(bought) == [(ALPHA, Side.BUY, dec(48)), (BETA, Side.BUY, dec(95))]
    for signal in bought:
        assert rig.filled(signal) == []
    return rig


@pytest.mark.req("X-08")
def test_it_buys_each_instrument_up_to_its_weight_and_then_rests() -> None:
    rig = invested()
    assert rig.prices("101", "50") == []
    assert rig.prices("100", "50.5") == []


@pytest.mark.req("X-08")
def test_what_is_sold_is_filled_before_anything_is_bought() -> None:
    rig = invested()
    sold = rig.prices("130", "50")
    assert [(each.instrument, each.side) for each in sold] == [(ALPHA, Side.SELL)]
    assert rig.prices("130", "50", after_s=1) == []  # not before it has filled
    bought = rig.filled(sold[0])
    assert [(each.instrument, each.side) for each in bought] == [(BETA, Side.BUY)]
    assert sold[0].why.startswith("too much of it: 0.54")


def test_after_a_rejection_it_waits_for_its_next_look() -> None:
    rig = Rig()
    for signal in rig.prices("100", "50"):
        assert rig.tell(decision(signal, Outcome.REJECTED)) == []
    assert rig.prices("100", "50", after_s=59) == []
    assert len(rig.prices("100", "50", after_s=1)) == 2


def test_nothing_is_done_before_every_instrument_was_quoted_anew() -> None:
    rig = invested()
    rig.now_ns += 60 * S_NS
    assert rig.tell(quote("150", "151", at_ns=rig.now_ns)) == []
    assert every(SignalRaised, rig.tell(quote("49.99", "50.01", at_ns=rig.now_ns, instrument=BETA)))


@pytest.mark.parametrize(
    ("weights", "path"),
    [
        ({"ALPHA": "0.5"}, "$.config_overrides.weights"),
        ({"ALPHA": "0.5", "BETA": "0.1", "GAMA": "0.1"}, "$.config_overrides.weights.GAMA"),
        ({"ALPHA": "0.7", "BETA": "0.7"}, "$.config_overrides"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: dict[str, str], path: str) -> None:
    asked = request(
        "target_weights", symbols=("ALPHA", "BETA"), config_overrides={"weights": weights}
    )
    assert [each.path for each in StrategyRig().prepare(asked).errors] == [path]


@pytest.mark.req("X-08")
def test_it_keeps_recorded_shares_at_their_weights_through_the_years(data_dir: Path) -> None:
    """SPY, IBM and AAPL, daily, 1998 to 2021: a look every 90 days, each weight within its band."""
    source = open_recording(data_dir / "lean" / "equity" / "usa" / "daily")
    known = {each.id: each for each in source.instruments()}
    weights = dict.fromkeys(known, "0.3")
    journal: list[Event] = []
    terms = FusedTerms(
        account=fused_rig.ACCOUNT,
        initial_cash=fused_rig.CASH,
        instruments=known,
        gate=open_limits(fused_rig.ACCOUNT),
    )
    system = FusedSystem(terms, journal=journal.append)
    overrides: dict[str, object] = {"weights": weights, "every_s": 90 * 86_400, "band": "0.03"}
    system.run(recorded(source), fused_rig.request(source, "target_weights", overrides))
    refused = [e for e in journal if isinstance(e, SignalDecided) and e.rule != "all"]
    fills = [each for each in journal if isinstance(each, OrderFilled)]
    assert refused == []
    assert {each.instrument for each in fills} == set(known)
    assert {each.side for each in fills} == {Side.BUY, Side.SELL}
