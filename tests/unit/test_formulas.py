"""Formula files: what they may say, what is refused and where, and how they trade."""

import tomllib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.market import BarClosed, QuoteReceived
from schemas.orders import Outcome, Side, SignalRaised
from schemas.sessions import StrategyFailed
from services.cli.backtest_plan import parameters_of
from services.strategy.candles import Candle
from services.strategy.catalogue import catalogue_of
from services.strategy.config import UNHELD, StrategyConfig
from services.strategy.formulas import STATE, Formula, read_formula
from services.strategy.formulas_expressions import (
    FUNCTIONS,
    FormulaError,
    evaluator_of,
    read_expression,
)
from services.strategy.formulas_indicators import KINDS, Indicator, IndicatorSpec
from services.strategy.versions import version_of
from tests.builders import ALPHA, S_NS, quote
from tests.strategy_rig import StrategyRig, decision, every, request

CROSS = """
description = "Long while a fast average is above a slow one."
candles = { interval_s = 10 }

[parameters]
fast = 2
slow = 3

[indicators]
quick = "sma(close, fast)"
calm = "sma(close, slow)"

[rules]
entry_long = "crossed_above(quick, calm)"
exit_long = "crossed_below(quick, calm)"
stop_long = "close - 5"
size = "0.5 * equity / close"
"""
PRICES = (12, 11, 10, 9, 14, 15, 16, 16, 12, 8)
"""The closes of ten candles: a cross above at the fifth, one below near the end."""


def read(text: str) -> Formula | dict[str, tuple[str, str]]:
    """Return the formula, or what is wrong with it by place."""
    made = read_formula(text.encode(), "mine", "mine.toml")
    if isinstance(made, Formula):
        return made
    return {each.path: (each.found, each.wanted) for each in made}


def folder_with(folder: Path, **files: str) -> StrategyConfig:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return StrategyConfig(formulas=(str(folder),), execution=UNHELD)


class Rig(StrategyRig):
    """A session of a formula, and candles of ten seconds made of two quotes each."""

    def __init__(self, folder: Path, text: str = CROSS, **overrides: Any) -> None:
        super().__init__(folder_with(folder, mine=text))
        self.session = self.start("mine", config_overrides=overrides)
        self.now_ns = 100 * S_NS

    def candle(self, close: float, *, fills: bool = True) -> list[SignalRaised]:
        """Tell one candle that closes at this price; return what is signalled with its end."""
        start_ns = self.now_ns
        for second in (1, 9):
            self.now_ns = start_ns + second * S_NS
            self.tell(self.at(close))
        said = self.tell(None, start_ns + 10 * S_NS)
        signals = every(SignalRaised, said)
        for signal in signals:
            if fills:
                self.tell(decision(signal, Outcome.APPROVED))
                self.tell(self.fill(signal))
        return signals

    def at(self, price: float) -> QuoteReceived:
        bid, ask = f"{price - 0.01:.2f}", f"{price + 0.01:.2f}"
        return quote(bid, ask, at_ns=self.now_ns)


@pytest.mark.req("S-10")
def test_a_formula_trades_when_a_candle_has_closed_and_its_rule_is_true(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    said = [(n, s.side, s.why) for n, price in enumerate(PRICES[:7]) for s in rig.candle(price)]
    assert said == [(4, Side.BUY, "mine: entry_long")]
    assert rig.candle(16) == []
    said = [(n, s.side, s.why) for n in range(3) for s in rig.candle((15, 14, 13)[n])]
    assert said == [(0, Side.SELL, "mine: exit_long")]


def test_its_size_is_what_the_file_says_in_whole_lots(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    signals = [signal for price in PRICES[:5] for signal in rig.candle(price)]
    assert [each.quantity for each in signals] == [Decimal(10_000 // 2 // 14)]


def test_a_stop_acts_on_a_quote_between_two_candles_and_never_moves_away(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for price in (*PRICES[:5], 15, 14.9):  # the stop: 9, then 10, and it stays there
        rig.candle(price)
    assert every(SignalRaised, rig.tell(rig.at(10.02), rig.now_ns + S_NS)) == []
    [stopped] = every(SignalRaised, rig.tell(rig.at(10.0), rig.now_ns + S_NS))
    assert (stopped.side, stopped.why) == (Side.SELL, "mine: stop at 10")


def test_an_entry_that_was_refused_is_not_asked_for_after_its_candle(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for price in PRICES[:5]:
        signals = rig.candle(price, fills=False)
    rig.tell(decision(signals[0], Outcome.REJECTED))
    [again] = every(SignalRaised, rig.tell(rig.at(14), rig.now_ns + 2 * S_NS))
    rig.tell(decision(again, Outcome.REJECTED))
    rig.tell(None, rig.now_ns + 8 * S_NS)  # the end of the candle
    assert every(SignalRaised, rig.tell(rig.at(16), rig.now_ns + 2 * S_NS)) == []


def test_a_start_may_override_the_numbers_of_the_file(tmp_path: Path) -> None:
    rig = Rig(tmp_path, slow=4)
    assert rig.strategy(rig.session).parameters.slow == 4
    asked = request("mine", config_overrides={"slwo": 4, "fast": 2.5})
    errors = {e.path: e.wanted for e in rig.prepare(asked).errors}
    assert errors["$.config_overrides.slwo"].endswith("did you mean slow?")
    asked = request("mine", config_overrides={"fast": 2.5})
    [error] = rig.prepare(asked).errors
    assert (error.path, error.found) == ("$.config_overrides (quick)", "period = 2.5")


def test_a_command_line_gives_the_numbers_of_the_file_as_numbers(tmp_path: Path) -> None:
    config = folder_with(tmp_path, mine=CROSS)
    assert parameters_of("mine", config, ["slow=4", "quantity=2"]) == {"slow": 4.0, "quantity": "2"}


@pytest.mark.req("S-10")
def test_bars_of_the_feed_are_candles_too(tmp_path: Path) -> None:
    text = CROSS.replace("interval_s = 10", 'interval_s = 86400, source = "bar"')
    rig = StrategyRig(folder_with(tmp_path, mine=text))
    rig.start("mine")
    found: list[int] = []
    for n, price in enumerate(PRICES[:6]):
        rig.tell(quote(str(price), str(price + 1)))
        bar = BarClosed(
            at_ns=0,
            instrument=ALPHA,
            open=Decimal(price),
            high=Decimal(price),
            low=Decimal(price),
            close=Decimal(price),
            volume=Decimal(1),
            open_ns=n * 86_400 * S_NS,
            close_ns=(n + 1) * 86_400 * S_NS,
        )
        found += [n for _ in every(SignalRaised, rig.tell(bar))]
    assert found == [4]


@pytest.mark.req("S-10")
@pytest.mark.parametrize("cut", range(1, len(PRICES)))
def test_what_a_formula_does_does_not_depend_on_what_comes_later(tmp_path: Path, cut: int) -> None:
    """No look-ahead: with another future, the past is the same to the last signal."""
    whole, other = Rig(tmp_path), Rig(tmp_path)
    for price in PRICES[:cut]:
        assert whole.candle(price) == other.candle(price)
    before = list(whole.said)
    for price in PRICES[cut:]:
        whole.candle(price)
        other.candle(30 - price)
    assert whole.said[: len(before)] == before == other.said[: len(before)]


def test_its_version_changes_with_its_file(tmp_path: Path) -> None:
    versions = set()
    for text in (CROSS, CROSS.replace("close - 5", "close - 6"), CROSS):
        found = catalogue_of(folder_with(tmp_path, mine=text)).find("mine")
        assert isinstance(found, type)
        versions.add(version_of(found))
    assert len(versions) == 2


RULES = '[rules]\nexit_long = "1"\nentry_long = '
REFUSED = [
    ('"quik > 1"', "quik", "did you mean quick?"),
    ('"sqrtt(close)"', "sqrtt", "did you mean sqrt?"),
    ('"sqrt(close, 2)"', "sqrt(close, 2)", "sqrt with 1 plain arguments"),
    ('"max(close)"', "max(close)", "max with 2 to 8 plain arguments"),
    ('"max(*close)"', "max(*close)", "max with 2 to 8 plain arguments"),
    ('"min(close, key=1)"', "min(close, key=1)", "min with 2 to 8 plain arguments"),
    ('"close.real"', "close.real", "numbers, names"),
    ('"close.__class__"', "close.__class__", "numbers, names"),
    ('"close[0]"', "close[0]", "numbers, names"),
    ('"[x for x in close]"', "[x for x in close]", "numbers, names"),
    ('"(lambda: 1)()"', "lambda: 1", "one of abs, ceil"),
    ("\"'text'\"", "'text'", "a number"),
    ('"True"', "True", "a number"),
    ('"None"', "None", "a number"),
    ('"9 ** 9 ** 9"', "9 ** 9 ** 9", "a number up to 8 after **"),
    ('"close ** 9"', "close ** 9", "a number up to 8 after **"),
    ('"1e300"', "1e+300", "a number up to 1e+15"),
    ('"1 << 100"', "1 << 100", "numbers, names"),
    ('"1if close else 2"', "'1if close else 2' (invalid decimal literal)", "one expression"),
    ('"x := 1"', "'x := 1' (invalid syntax)", "one expression"),
    ('"import os"', "'import os' (invalid syntax)", "one expression"),
    ('"sqrt"', "sqrt", "a call: sqrt(...)"),
    ('"crossed_above(close + 1, 2)"', "close + 1.0", "the name of a series"),
    ('"previous(position)"', "position", "the name of a series"),
    ('"__import__(1)"', "__import__", "one of abs, ceil"),
    ('"f(1)"', "f", "one of abs, ceil"),
]


@pytest.mark.req("S-10")
@pytest.mark.parametrize(("rule", "found", "wanted"), REFUSED, ids=[r for r, _, _ in REFUSED])
def test_what_an_expression_may_not_say_is_refused_with_its_place(
    rule: str, found: str, wanted: str
) -> None:
    made = read('[indicators]\nquick = "ema(close, 3)"\n' + RULES + rule)
    assert isinstance(made, dict)
    [(path, (what, hint))] = made.items()
    assert path == "mine.toml:5: rules.entry_long"
    assert what == found
    assert wanted in hint


@pytest.mark.parametrize(
    ("line", "found", "wanted"),
    [
        ('x = "emma(close, 3)"', "emma", "did you mean ema?"),
        ('x = "ema(close)"', "ema(close)", "ema(series, period)"),
        ('x = "ema(clse, 3)"', "clse", "did you mean close?"),
        ('x = "ema(close, 2.5)"', "period = 2.5", "a whole number from 1 to 10000"),
        ('x = "ema(close, 0)"', "period = 0", "a whole number from 1 to 10000"),
        ('x = "ema(close, fst)"', "fst", "did you mean fast?"),
        ('x = "atr(close, 14)"', "atr(close, 14)", "atr(period)"),
        ('x = "close"', "'close'", "one indicator"),
        ('close = "ema(close, 3)"', "close", "a name that is not taken already"),
        ('x_before = "ema(close, 3)"', "'x_before'", "does not end in _before"),
    ],
)
def test_what_an_indicator_may_not_be_is_refused_with_its_place(
    line: str, found: str, wanted: str
) -> None:
    made = read(f'[parameters]\nfast = 3\n[indicators]\n{line}\n{RULES}"close > 1"')
    assert isinstance(made, dict)
    [(path, (what, hint))] = made.items()
    assert path == f"mine.toml:4: indicators.{line.partition(' ')[0]}"
    assert what == found
    assert wanted in hint


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[rules]\nentry_long = '1'", "mine.toml:2: rules.entry_long"),
        ("[rules]\nexit_long = '1'", "mine.toml: rules.entry_long"),
        ("[rules]\nentry_lng = '1'", "mine.toml:2: rules.entry_lng"),
        ("rules = 1", "mine.toml.rules"),
        ("[rules", "mine.toml"),
        ("candels = 1\n[rules]", "mine.toml"),
        ("candles = { source = 'news' }\n[rules]", "mine.toml.candles.source"),
    ],
)
def test_a_file_that_says_no_strategy_is_refused_with_its_place(text: str, place: str) -> None:
    made = read(text)
    assert isinstance(made, dict)
    assert place in made


def test_a_start_of_a_file_with_mistakes_names_all_of_them(tmp_path: Path) -> None:
    text = CROSS.replace("close - 5", "clse - 5").replace("sma(close, slow)", "smma(close)")
    rig = StrategyRig(folder_with(tmp_path, mine=text))
    errors = [e for e in rig.prepare(request("mine")).errors if "mine.toml" in e.path]
    assert [e.path.rpartition("/")[2] for e in errors] == [
        "mine.toml:11: indicators.calm",
        "mine.toml:16: rules.stop_long",
    ]


def test_a_formula_cannot_take_the_name_of_another_strategy(tmp_path: Path) -> None:
    catalogue = catalogue_of(folder_with(tmp_path, ema_cross=CROSS, mine=CROSS))
    assert catalogue.names.count("ema_cross") == 1
    assert catalogue.mistakes("ema_cross") == []
    assert [e.found for e in catalogue.mistakes("ema_cross.toml")] == ["ema_cross"]
    lost = catalogue_of(StrategyConfig(formulas=(str(tmp_path / "gone"),)))
    assert [e.path for e in lost.mistakes("gone")] == ["strategy.formulas"]


def test_a_rule_without_a_value_ends_the_session_and_says_with_which_numbers(
    tmp_path: Path,
) -> None:
    rig = Rig(tmp_path, CROSS.replace('"close - 5"', '"close / (quick - quick)"'))
    for price in PRICES[:5]:
        rig.candle(price)
    [failed] = every(StrategyFailed, rig.said)
    assert "close / (quick - quick) (float division by zero; close = 14" in failed.error


PARTS = st.sampled_from(
    [
        *"+-*/()[]{}<>=.,:'\"@!~%&|^\\ \n",
        *("**", "//", "and ", "or ", "not ", " if ", " else ", "lambda ", "for ", " in ", ":="),
        *("close", "quick", "position", "x", "__class__", "__import__", "open", "eval", "exec"),
        *("sqrt", "max", "crossed_above", "previous", "os", "self", "f''", "None", "True"),
        *("1", "9e9", "1e400", "0", "2.5", "99999999999999999999"),
    ]
)
SERIES = ("open", "high", "low", "close", "volume", "quick")


@pytest.mark.req("S-10")
@given(parts=st.lists(PARTS, max_size=14))
def test_no_text_reads_anything_that_is_not_on_the_lists(parts: list[str]) -> None:
    """Whatever is written, it is refused, or reads only names and functions that are known."""
    names = [*SERIES, *STATE, *(f"{each}_before" for each in SERIES)]

    class Watched(dict[str, float | None]):
        def __getitem__(self, key: str) -> float | None:
            assert key in names
            return super().__getitem__(key)

    known = Watched(dict.fromkeys(names, 2.0))
    try:
        expression = read_expression("".join(parts), names, SERIES)
    except FormulaError:
        return
    assert set(expression.names) <= set(names)
    evaluator = evaluator_of(known)
    assert set(evaluator.functions) == set(FUNCTIONS)
    try:
        value = expression.value(evaluator)
    except FormulaError:
        return
    assert value is not None
    assert expression.value(evaluator) == value


def test_an_indicator_gives_the_same_figures_whether_or_not_it_forgets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old inputs are dropped; what is left over is enough for every kind there is."""
    walk = [100 + (n * 7919 % 101) / 10 + n / 50 for n in range(1_200)]
    candles = [Candle(p, p + 1, p - 1, p + 0.5, 10.0 + n % 7, n, n + 1) for n, p in enumerate(walk)]

    def figures(spec: IndicatorSpec, numbers: Sequence[float]) -> list[float | None]:
        indicator, names = Indicator(spec, numbers), dict.fromkeys(spec.outputs)
        found: list[float | None] = []
        for candle in candles:
            named: dict[str, float | None] = {**names, "close": candle.close}
            indicator.add(candle, named)
            found += [named[each] for each in spec.outputs]
        return found

    for kind, each in KINDS.items():
        numbers = [5, 9, 4][: len(each.numbers)]
        spec = IndicatorSpec("x", kind, "close" if each.takes_series else "", ())
        forgets = figures(spec, numbers)
        with monkeypatch.context() as patch:
            patch.setattr("services.strategy.formulas_indicators.SPARE", 10**9)
            keeps = figures(spec, numbers)
        assert forgets == pytest.approx(keeps), kind
        assert forgets[-1] is not None, kind


def test_the_example_of_the_documentation_is_a_formula() -> None:
    page = (Path(__file__).parents[2] / "ops" / "docs" / "formulas.md").read_text()
    [text] = [part.partition("```")[0] for part in page.split("```toml\n")[1:2]]
    assert tomllib.loads(text)
    assert isinstance(read(text), Formula)
