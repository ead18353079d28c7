"""The state word follows one table, and the table is complete where it must be (B-06)."""

from pathlib import Path

import pytest

from schemas.control import BreakerState
from services.breaker.states import TRANSITIONS, Trigger, diagram

RUNBOOK = Path(__file__).parents[2] / "ops" / "runbooks" / "breaker-states.md"
pytestmark = pytest.mark.req("B-05", "B-06")


@pytest.mark.parametrize("state", BreakerState)
def test_a_halt_by_a_person_wins_over_every_state(state: BreakerState) -> None:
    assert TRANSITIONS[state, Trigger.HALT] is BreakerState.MANUALLY_HALTED


def test_only_a_finished_reset_leads_back_to_normal() -> None:
    ways = [pair for pair, state in TRANSITIONS.items() if state is BreakerState.NORMAL]
    assert ways == [(BreakerState.RESETTING, Trigger.RESET_DONE)]


def test_a_trip_does_not_hide_the_halt_of_a_person() -> None:
    halted = BreakerState.MANUALLY_HALTED
    assert TRANSITIONS[halted, Trigger.TRIP] is halted


def test_a_reset_begins_only_where_something_is_open() -> None:
    begins = {state for (state, trigger) in TRANSITIONS if trigger is Trigger.RESET_ASKED}
    assert begins == {BreakerState.TRIPPED, BreakerState.MANUALLY_HALTED}


def test_every_state_can_be_reached_from_normal() -> None:
    reached = {BreakerState.NORMAL}
    for _ in BreakerState:
        reached |= {to for (state, _), to in TRANSITIONS.items() if state in reached}
    assert reached == set(BreakerState)


def test_the_manual_shows_the_very_table_that_runs(request: pytest.FixtureRequest) -> None:
    before, fence, rest = RUNBOOK.read_text().partition("```mermaid\n")
    drawn, end, after = rest.partition("\n```\n")
    assert fence, "the page has no drawing"
    assert end, "the drawing has no end"
    if request.config.getoption("--rewrite"):
        RUNBOOK.write_text(f"{before}{fence}{diagram()}{end}{after}")
        return
    assert drawn == diagram()


def test_every_transition_has_its_arrow_in_the_diagram() -> None:
    arrows = [line for line in diagram().splitlines() if "-->" in line]
    assert len(arrows) == len(TRANSITIONS) + 1  # and the one that leads in
    assert "    MANUALLY_HALTED --> RESETTING: a person named the newest halt" in diagram()
