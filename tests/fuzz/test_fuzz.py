"""Whatever bytes come: a halt halts, and what is not a valid start never starts."""

import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from schemas.wire import halt_from
from services.runtime.link import ControlLink
from tests.fuzz.mutations import payloads
from tests.fuzz.targets import HALTS, PARTS, Halting, Starting, is_a_start

SHORT, GUIDED, WHOLE = 20_000, 5_000, 1_000_000
ROOT = Path(__file__).parents[2]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["operator", "reason", "scope", "halt", "strategy", "symbols", "x"]),
            inner,
        )
    ),
    max_leaves=8,
)
SOMETHING = (
    st.binary(max_size=64)
    | JSON.map(lambda value: repr(value).encode())
    | JSON.map(lambda value: json.dumps(value).encode())
)


def all_halt(count: int, seed: int) -> None:
    it = Halting()
    for number, data in enumerate(itertools.islice(payloads(seed), count)):
        it.one(data, HALTS[number % len(HALTS)])


def none_starts(count: int, seed: int) -> int:
    """Send until `count` payloads were no valid start; return how many were one on the way."""
    it, invalid_count, valid_count = Starting(), 0, 0
    for data in payloads(seed):
        if it.one(data):
            valid_count += 1
        else:
            invalid_count += 1
        if invalid_count == count:
            return valid_count
    raise AssertionError("payloads never end")


@pytest.mark.req("G-09", "B-05", "O-05")
def test_every_payload_on_a_halting_subject_halts() -> None:
    all_halt(SHORT, seed=1)


@pytest.mark.req("S-01")
def test_no_payload_that_is_not_a_valid_start_starts_anything() -> None:
    valid_count = none_starts(SHORT, seed=1)
    assert valid_count > 0, "payloads that never come near a start prove little"


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.req("G-09", "B-05", "O-05")
def test_a_million_payloads_halt() -> None:
    all_halt(WHOLE, seed=2)


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.req("S-01")
def test_a_million_payloads_that_are_no_start_never_start() -> None:
    none_starts(WHOLE, seed=2)


@settings(max_examples=500, deadline=None)
@given(data=SOMETHING, subject=st.sampled_from([*HALTS, *PARTS]))
def test_whatever_is_written_the_subject_decides(data: bytes, subject: str) -> None:
    Halting().one(data, subject)


@settings(max_examples=500, deadline=None)
@given(data=SOMETHING)
def test_whatever_is_written_only_a_valid_start_starts(data: bytes) -> None:
    Starting().one(data)


@pytest.mark.parametrize(
    ("data", "is_valid"),
    [
        (b'{"operator":"kim"}', True),
        (b'{"operator":" "}', False),
        (b'{"operator":"kim","x":1}', False),
        (b'{"operator":"kim","monitoring_enabled":1}', False),
        (b'{"operator":"kim","initial_capital":"much"}', False),
        (b"\xef\xbb\xbf{}", False),
        (b"[]", False),
    ],
)
def test_the_other_reading_of_a_start_knows_good_from_bad(data: bytes, is_valid: bool) -> None:
    assert is_a_start(data) is is_valid
    assert Starting().one(data) is is_valid


class HaltsWhatItUnderstands(ControlLink):
    """A control link that halts only on a payload that asks for it."""

    def _on_halt(self, subject: str, data: bytes, reply: str) -> None:
        if halt_from(data, subject=subject, at_ns=1).reason:
            super()._on_halt(subject, data, reply)
        else:
            self._post(halt_from(data, subject=subject, at_ns=1))


def test_without_halting_before_decoding_the_payloads_find_one_that_does_not_halt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.fuzz.targets.ControlLink", HaltsWhatItUnderstands)
    with pytest.raises(AssertionError):
        all_halt(1_000, seed=1)


HAS_ATHERIS = importlib.util.find_spec("atheris") is not None


needs_atheris = pytest.mark.skipif(
    not HAS_ATHERIS, reason="SKIPPED LOUDLY: no atheris: it has wheels for few machines"
)


def guided_by_coverage(target: str, runs: int, folder: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.guided", target, f"-runs={runs}", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]


@needs_atheris
@pytest.mark.req("G-09", "S-01")
@pytest.mark.parametrize("target", ["halt", "start"])
def test_payloads_guided_by_coverage_break_nothing(target: str, tmp_path: Path) -> None:
    guided_by_coverage(target, GUIDED, tmp_path)


@needs_atheris
@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.req("G-09", "S-01")
@pytest.mark.parametrize("target", ["halt", "start"])
def test_a_million_payloads_guided_by_coverage_break_nothing(target: str, tmp_path: Path) -> None:
    guided_by_coverage(target, WHOLE, tmp_path)
