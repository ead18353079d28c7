"""What a strategy keeps beyond a restart: stops and exits survive; without them it pauses."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from schemas.base import Event, SessionId
from schemas.health import AlertRaised, Severity
from schemas.isolation import SessionSpoke
from schemas.market import QuoteReceived
from schemas.orders import Outcome, Side, SignalRaised
from schemas.sessions import SessionState, SessionStateChanged, StateRemembered
from services.strategy import remembered
from services.strategy.interface import Parameters, Strategy
from services.strategy.isolated.trust import LACKS_CHARS_MAX, broken_rule
from services.strategy.remembered import KEY_CHARS_MAX, VALUE_BYTES_MAX
from tests.builders import ALPHA, S_NS, dec, quote
from tests.strategy_rig import StrategyRig, config, decision, every, only

STOPPED = """
candles = { interval_s = 10 }

[rules]
entry_long = "close > close_before"
exit_long = "close < 0"
stop_long = "close - 5"
"""
TURNED = """
candles = { interval_s = 10 }

[rules]
entry_long = "close > close_before"
entry_short = "close < close_before"
exit_long = "close < close_before"
exit_short = "close > close_before"
stop_long = "close - 5"
stop_short = "close + 5"
"""
LEFT = """
candles = { interval_s = 10 }

[rules]
entry_long = "close > close_before"
exit_long = "close < close_before"
"""
RISING = (10, 11, 12, 13)


class Rig(StrategyRig):
    """A session of a formula; candles of ten seconds, and orders that fill if not told else."""

    def __init__(self, folder: Path, text: str) -> None:
        (folder / "mine.toml").write_text(text)
        super().__init__(config(formulas=(str(folder),)))
        self.session = self.start("mine", config_overrides={"quantity": "2"})
        self.now_ns = 100 * S_NS

    def candle(self, close: float, *, fills: bool = True) -> list[SignalRaised]:
        """Tell one candle that closes at this price; return what is signalled with its end."""
        start_ns = self.now_ns
        self.now_ns = start_ns + S_NS
        self.quoted(close)
        signals = every(SignalRaised, self.tell(None, start_ns + 10 * S_NS))
        for signal in signals if fills else ():
            self.tell(decision(signal, Outcome.APPROVED))
            self.tell(self.fill(signal))
        return signals

    def quoted(self, price: float) -> list[tuple[Side, Decimal, str]]:
        """Tell a quote at this price; return what is signalled on it."""
        bid, ask = f"{price - 0.01:.2f}", f"{price + 0.01:.2f}"
        said = self.tell(quote(bid, ask, at_ns=self.now_ns))
        return [(each.side, each.quantity, each.why) for each in every(SignalRaised, said)]

    def killed(self) -> list[Event]:
        """The service dies and comes back, and trading is started anew; return what it says."""
        self.restart()
        said = self.tell(None)
        self.start(None)
        return said

    def kept_values(self) -> list[Any]:
        return [each.value for each in every(StateRemembered, self.kept)]

    @property
    def held(self) -> Decimal:
        return self.core.sessions[self.session].context.position(ALPHA)

    @property
    def state(self) -> SessionState:
        return self.core.sessions[self.session].state


class Counting(Strategy[Parameters]):
    """Remember how many quotes there were; say at the start what was recalled."""

    count = 0
    recalled: object = "nothing was asked"

    def recall(self, state: dict[str, Any] | None) -> str:
        self.recalled = state
        self.count = int((state or {}).get("count", 0))
        return ""

    def on_quote(self, quote: QuoteReceived) -> None:
        self.count += 1
        self.context.remember("count", Decimal(self.count))


class Lost(Strategy[Parameters]):
    """Fail at what was kept."""

    def recall(self, state: dict[str, Any] | None) -> str:
        raise KeyError("count")


def of(strategy: type[Strategy[Parameters]]) -> tuple[StrategyRig, SessionId]:
    name = strategy.__name__.lower()
    rig = StrategyRig(config(classes={name: f"{__name__}:{strategy.__name__}"}))
    return rig, rig.start(name)


@pytest.mark.req("S-13")
def test_a_stop_acts_after_a_restart_at_the_level_that_it_had(tmp_path: Path) -> None:
    rig = Rig(tmp_path, STOPPED)
    for price in (*RISING, 12.5):  # the stop: 6, 7, 8, and there it stays
        rig.candle(price)
    said = rig.killed()
    assert (rig.held, rig.state, every(AlertRaised, said)) == (dec(2), SessionState.RUNNING, [])
    assert rig.quoted(8.02) == []
    assert rig.quoted(8.00) == [(Side.SELL, dec(2), "mine: stop at 8")]
    assert rig.kept_values() == [
        None,
        {"stop_long": 6.0},
        {"stop_long": 7.0},
        {"stop_long": 8.0},
        {"leaving": "mine: stop at 8"},
    ], "nothing is written but what changed"


@pytest.mark.req("S-13")
def test_without_keeping_stops_the_session_pauses_and_says_which_it_lacks(tmp_path: Path) -> None:
    rig = Rig(tmp_path, STOPPED)
    for price in RISING:
        rig.candle(price)
    rig.kept = [each for each in rig.kept if not isinstance(each, StateRemembered)]
    said = rig.killed()
    reason = "not known after the restart: the stop of sim:ALPHA"
    changes = [(each.state, each.reason) for each in every(SessionStateChanged, said)]
    assert changes == [
        (SessionState.RUNNING, "the strategy service restarted"),
        (SessionState.PAUSED, reason),
    ]
    alert = only(AlertRaised, said)
    assert (alert.severity, alert.fields) == (
        Severity.CRITICAL,
        {"session": rig.session, "lacks": "the stop of sim:ALPHA"},
    )
    assert (rig.state, rig.quoted(1.00)) == (SessionState.PAUSED, [])


def test_a_position_that_is_turned_over_is_not_stopped_by_the_stop_of_the_other_side(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, TURNED)
    for price in RISING:
        rig.candle(price)
    [turning] = rig.candle(11, fills=False)
    assert (turning.quantity, rig.quoted(11), rig.held) == (dec(4), [], dec(2))
    rig.tell(decision(turning, Outcome.APPROVED))
    rig.tell(rig.fill(turning))
    rig.now_ns += 2 * S_NS
    assert (rig.quoted(11), rig.held) == ([], dec(-2))
    rig.killed()
    assert rig.quoted(15.98) == []
    assert rig.quoted(16) == [(Side.BUY, dec(2), "mine: stop at 16")]


def test_a_session_that_holds_nothing_needs_no_stop(tmp_path: Path) -> None:
    rig = Rig(tmp_path, STOPPED)
    rig.kept = [each for each in rig.kept if not isinstance(each, StateRemembered)]
    assert every(AlertRaised, rig.killed()) == []
    assert rig.state is SessionState.RUNNING


def test_a_position_that_had_no_stop_yet_goes_on_without_one(tmp_path: Path) -> None:
    text = STOPPED.replace("close - 5", "previous(previous_low)") + "[indicators]\n"
    text += 'previous_low = "lowest(low, 50)"\n'
    rig = Rig(tmp_path, text)
    for price in RISING:
        rig.candle(price)
    assert (rig.held, rig.kept_values()) == (dec(2), [None])
    assert every(AlertRaised, rig.killed()) == []
    assert (rig.state, rig.quoted(1.00)) == (SessionState.RUNNING, [])


@pytest.mark.req("S-13")
def test_an_exit_that_was_decided_and_not_done_is_gone_on_with(tmp_path: Path) -> None:
    rig = Rig(tmp_path, LEFT)
    for price in RISING:
        rig.candle(price)
    [leaving] = rig.candle(9, fills=False)
    rig.tell(decision(leaving, Outcome.REJECTED))
    rig.killed()
    assert rig.quoted(9.5) == [(Side.SELL, dec(2), "mine: exit_long")]
    [again] = every(SignalRaised, rig.said)[-1:]
    rig.tell(decision(again, Outcome.APPROVED))
    rig.tell(rig.fill(again))
    assert (rig.quoted(9.5), rig.held, rig.kept_values()[-1]) == ([], dec(0), None)


@pytest.mark.req("S-13")
def test_a_strategy_has_back_what_it_kept_as_json_has_it_and_only_after_a_restart() -> None:
    rig, session = of(Counting)
    assert rig.strategy(session).recalled == "nothing was asked"
    for _ in range(3):
        rig.tell(quote())
    rig.restart()
    rig.tell(None)
    assert (rig.strategy(session).recalled, rig.strategy(session).count) == ({"count": "3"}, 3)


def test_what_was_kept_twice_over_or_forgotten_unknown_is_no_news() -> None:
    rig, session = of(Counting)
    context = rig.core.sessions[session].context
    told = [("a", {"x": [1]}), ("a", {"x": [1]}), ("b", None), ("a", None), ("a", None)]
    for key, value in told:
        context.remember(key, value)
    kept = [each for each in context.said if isinstance(each, StateRemembered)]
    assert [(each.key, each.value) for each in kept] == [("a", {"x": [1]}), ("a", None)]
    assert context.remembered.values == {}


def test_a_strategy_that_fails_at_what_was_kept_ends_its_session_alone() -> None:
    rig, session = of(Lost)
    rig.restart()
    said = rig.tell(None)
    assert rig.core.sessions[session].state is SessionState.FAILED
    assert only(AlertRaised, said).code == "LTS-003"


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("k" * (KEY_CHARS_MAX + 1), 1, "a key of 129 characters to be remembered, at most 128"),
        ("k", "v" * VALUE_BYTES_MAX, "4098 bytes to be remembered under k, at most 4096"),
        ("third", 1, "more than 2 keys to be remembered: forget some, with None"),
    ],
)
def test_what_is_kept_has_a_limit(
    monkeypatch: pytest.MonkeyPatch, key: str, value: Any, why: str
) -> None:
    monkeypatch.setattr(remembered, "KEYS_MAX", 2)
    rig, session = of(Counting)
    context = rig.core.sessions[session].context
    for each in ("first", "second"):
        context.remember(each, 1)
    with pytest.raises(ValueError, match=why):
        context.remember(key, value)


@pytest.mark.req("S-11")
@pytest.mark.parametrize(
    ("session", "key", "lacks", "why"),
    [
        ("another-1", "stop", "", "it spoke for session 'another-1'"),
        ("", "k" * 200, "", "a key of 200 characters to be remembered, at most 128"),
        ("", "stop", "x" * 501, f"501 characters of what it lacks, at most {LACKS_CHARS_MAX}"),
    ],
)
def test_a_process_may_keep_only_its_own_and_not_without_end(
    session: str, key: str, lacks: str, why: str
) -> None:
    rig, own = of(Counting)
    kept = StateRemembered(at_ns=0, session=SessionId(session or own), key=key, value=1)
    spoke = SessionSpoke(at_ns=0, session=own, remembered=(kept,), lacks=lacks)
    assert broken_rule(rig.core.sessions[own], spoke) == why
