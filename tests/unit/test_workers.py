"""Work shared by processes: found whole, told when one is gone, and none of them stays."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from schemas.errors import UserError
from services.runtime.workers import shared

pytestmark = pytest.mark.req("S-05")
FOR_EVER_S = 3_600.0


def nothing() -> None:
    """Begin with nothing to know."""


def squared(number: int) -> int:
    return number * number


def ended_at_three(number: int) -> int:
    """What a system that is out of memory does to one of them."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def first_then_for_ever(number: int) -> int:
    if number:
        time.sleep(FOR_EVER_S)
    return os.getpid()


@pytest.mark.parametrize("is_ordered", [True, False])
def test_each_item_is_worked_on_once(is_ordered: bool) -> None:
    found = list(shared(squared, range(40), 2, begin=nothing, is_ordered=is_ordered))
    assert (found if is_ordered else sorted(found)) == [each * each for each in range(40)]


def test_of_nothing_nothing_is_found() -> None:
    assert list(shared(squared, (), 2, begin=nothing)) == []


def test_a_process_that_is_killed_is_told_and_nobody_waits_for_ever() -> None:
    with pytest.raises(UserError) as caught:
        list(shared(ended_at_three, range(40), 2, begin=nothing))
    assert (caught.value.code, caught.value.fields) == (
        "SLU-213",
        {
            "found": "a process at work was ended from outside",
            "wanted": "each to end by itself; fewer --jobs take less memory",
        },
    )


def test_whoever_takes_no_more_ends_them_in_the_middle_of_an_item() -> None:
    found = shared(first_then_for_ever, range(4), 2, begin=nothing)
    assert next(found)
    assert multiprocessing.active_children()
    found.close()
    assert multiprocessing.active_children() == []


BEGUN = """
from services.runtime.workers import shared
from tests.unit.test_workers import first_then_for_ever, nothing
if __name__ == "__main__":
    for each in shared(first_then_for_ever, range(4), 2, begin=nothing):
        print(each, flush=True)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_none_outlives_who_began_it(end: signal.Signals) -> None:
    command = [sys.executable, "-c", BEGUN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as begun:
        assert begun.stdout is not None
        assert int(begun.stdout.readline())
        begun.send_signal(end)
        # Each of them holds this pipe open for as long as it lives.
        assert begun.communicate(timeout=30)[0] == b""
