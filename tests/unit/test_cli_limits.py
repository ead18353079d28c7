"""`sluice limits list` says what each limit counts in: 5000 ms and 5000 bps are not the same."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from schemas.health import GateReported
from schemas.limits import LimitView
from services.cli import limits
from services.cli.limits import COUNTED_IN, _row, unit_of
from services.cli.locate import Place
from services.cli.output import Output
from services.gate.dynamic_limits import ACCOUNT_LIMITS, INSTRUMENT_LIMITS
from tests.builders import ACCOUNT, ALPHA
from tests.unit.test_cli_narrow import COLUMNS, at_a_terminal
from tests.unit.test_cli_output import GATE, arbiter

pytestmark = pytest.mark.req("G-12", "O-01")


def test_every_limit_that_the_gate_shows_has_a_unit() -> None:
    names = [*ACCOUNT_LIMITS, *INSTRUMENT_LIMITS, "value_at_risk", "margin_ratio_min"]
    assert [name for name in names if unit_of(name) == "unknown"] == []
    assert unit_of("of_a_newer_gate") == "unknown"


def test_a_limit_is_listed_with_what_it_counts_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, Any] = {"account": ACCOUNT, "configured": ""}
    in_force = (
        LimitView(
            name="gross_notional_max",
            in_force="9",
            value="2",
            distance="7",
            why="kim: a thin market",
            **given,
        ),
        LimitView(name="stale_after_ms", in_force="5000", instrument=ALPHA, **given),
        LimitView(name="spread_bps_max", in_force="missing", instrument=ALPHA, **given),
    )

    class Desk:
        async def arbiter(self) -> Any:
            return arbiter()

        async def gate(self) -> GateReported:
            return msgspec.structs.replace(GATE, in_force=in_force)

    @contextlib.asynccontextmanager
    async def at_desk(_place: Place) -> AsyncIterator[Desk]:
        yield Desk()

    monkeypatch.setattr(limits, "at_desk", at_desk)
    asyncio.run(limits._show(Place()))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    columns, rule = ["limit", "in force", "value", "distance"], lines[3]
    assert set(rule) == {"─"}
    assert [re.split(r" {2,}", line) for line in lines if line != lines[3]] == [
        ["changes by operators so far: 0"],
        [f"account {ACCOUNT}"],
        columns,
        ["gross_notional_max", "9 currency", "2", "7"],
        ["gross_notional_max", "kim: a thin market"],
        [f"account {ACCOUNT}, {ALPHA}"],
        columns,
        ["─" * len(lines[8])],
        ["stale_after_ms", "5000 ms"],
        ["spread_bps_max", "missing"],
        re.split(r" {2,}", COUNTED_IN),
        ["Next: sluice explain gate", "sluice limits set PATH=VALUE --reason WHY"],
    ]


def test_a_list_of_limits_fits_a_terminal_of_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_a_terminal(monkeypatch)
    name = max([*ACCOUNT_LIMITS, *INSTRUMENT_LIMITS], key=len)
    view = LimitView(
        name=name,
        account=ACCOUNT,
        instrument=ALPHA,
        in_force="200000000",
        configured="",
        value="100265.72",
        distance="199899734.28",
    )
    Output(is_json=False).table("", ("limit", "in force", "value", "distance"), [_row(view)])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= COLUMNS
