"""Sweeps: gone on with after any interruption, the same whatever works on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from schemas.errors import UserError
from services.backtest.run import Plan
from services.backtest.sweep import Sweep, Tried, grid
from tests.backtest_rig import plan_of

pytestmark = pytest.mark.req("S-05")
CHOICES = grid({"fast": [3, 9, 30], "slow": [20, 26]})
HOURS = 0.004


@pytest.fixture
def plan() -> Plan:
    return plan_of("ema_cross", symbols=["sim:ALPHA"], hours=HOURS)


@pytest.fixture
def whole(plan: Plan, tmp_path: Path) -> list[Tried]:
    """What a sweep finds that nobody interrupts."""
    sweep = Sweep(plan, CHOICES, tmp_path / "whole")
    assert len(list(sweep.work(jobs=1))) == len(CHOICES)
    return sweep.ranked("total_return")


def test_a_grid_is_every_combination_in_order() -> None:
    assert grid({"a": [1, 2], "b": ["x", "y"]}) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_a_sweep_that_was_cut_off_goes_on_where_it_was(
    plan: Plan, whole: list[Tried], tmp_path: Path
) -> None:
    first = Sweep(plan, CHOICES, tmp_path)
    done = first.work(jobs=1)
    kept = [next(done), next(done)]
    assert isinstance(done, Iterator)
    with first.file.open("ab") as file:
        file.write(b'{"parameters":{"fast":9,"sl')  # what a kill in the middle of a write leaves
    second = Sweep(plan, CHOICES, tmp_path)
    assert list(second.tried.values()) == kept
    again = list(second.work(jobs=1))
    assert len(again) == len(CHOICES) - len(kept)
    assert second.ranked("total_return") == whole
    assert Sweep(plan, CHOICES, tmp_path).ranked("total_return") == whole
    assert Sweep(plan, CHOICES, tmp_path).left == []


def test_how_many_processes_work_on_it_changes_nothing(
    plan: Plan, whole: list[Tried], tmp_path: Path
) -> None:
    sweep = Sweep(plan, CHOICES, tmp_path)
    assert len(list(sweep.work(jobs=2))) == len(CHOICES)
    assert sweep.ranked("total_return") == whole


def test_a_combination_that_the_strategy_refuses_is_a_result_and_comes_last(
    whole: list[Tried],
) -> None:
    refused = whole[-2:]
    assert [each.parameters for each in refused] == [
        {"fast": 30, "slow": 20},
        {"fast": 30, "slow": 26},
    ]
    assert all(each.figures is None and "fast" in each.failure for each in refused)
    returns = [each.figures.total_return for each in whole[:-2] if each.figures]
    known = [value for value in returns if value is not None]
    assert known == sorted(known, reverse=True)
    assert len(known) == 4


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_cannot_be_played_is_told_however_many_processes_work_on_it(
    plan: Plan, tmp_path: Path, jobs: int
) -> None:
    """A pool waits for ever for an error that it cannot copy from one process to another."""
    nothing = replace(plan, data=replace(plan.data, to_ns=1))
    with pytest.raises(UserError, match="wanted: some between --from and --to") as caught:
        list(Sweep(nothing, CHOICES, tmp_path).work(jobs))
    assert caught.value.code == "SLU-110"


def test_another_plan_has_another_file(plan: Plan, tmp_path: Path) -> None:
    other = plan_of("ema_cross", symbols=["sim:BETA"], hours=HOURS)
    assert Sweep(plan, CHOICES, tmp_path).file != Sweep(other, CHOICES, tmp_path).file
