"""Ids that are used up stay so, in little memory, however many there are."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services import distinct
from services.distinct import RECENT_MAX, Distinct

pytestmark = pytest.mark.req("X-10", "O-07")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 60)))
def test_it_is_a_set_whatever_comes_when(numbers: list[int]) -> None:
    used, known = Distinct(), set[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "RECENT_MAX", 3)
        for number in numbers:
            assert used.add(f"o{number}") is (number not in known)
            known.add(number)
            assert len(used) == len(known)
    found = {number for number in range(61) if f"o{number}" in used}
    assert found == known


def test_a_hundred_thousand_ids_take_little_more_than_eight_bytes_each() -> None:
    used = Distinct()
    tracemalloc.start()
    for number in range(100_000):
        used.add(f"{number:032x}")
    held_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(used) == 100_000
    assert held_bytes < 8 * 100_000 + 100 * RECENT_MAX
    assert f"{99_999:032x}" in used
    assert f"{100_000:032x}" not in used
