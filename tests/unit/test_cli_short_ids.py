"""Answers of services; and orders named by their first digits, as the table of orders does."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.base import OrderId, SessionId
from schemas.control import ControlAnswered
from schemas.executions import OrderAccepted
from services.cli.asking import print_answer
from services.cli.log_lines import related
from services.cli.output import Output
from tests.builders import ACCOUNT, ALPHA, SESSION
from tests.report_rig import BEGIN_NS, Recorded, created, terms
from tests.unit.test_cli_commands import runner

pytestmark = pytest.mark.req("S-14")


@pytest.fixture
def sluice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLUICE_PATHS__DATA_DIR", str(tmp_path / "var"))
    return runner(capsys)


def accepted(order_id: str) -> OrderAccepted:
    return OrderAccepted(
        at_ns=BEGIN_NS + 2,
        account=ACCOUNT,
        session=SESSION,
        instrument=ALPHA,
        order_id=OrderId(order_id),
        venue_order_id="V1",
    )


ONE, OTHER = "03e63eceed3eacd44b070b0df3f7451d", "03e63ecf" + "0" * 24
TWIN = "03e63ecf" + "1" * 24


@pytest.mark.req("R-01", "A-06")
def test_an_order_is_found_by_the_short_id_that_the_table_of_orders_shows(
    sluice: Any, tmp_path: Path
) -> None:
    orders = [accepted(each) for each in (ONE, OTHER, TWIN)]
    Recorded(tmp_path / "var").add(terms(), created(), *orders)
    said = sluice("audit", "show", ONE[:8], "--json")
    assert said.code == 0, said.err
    assert said.out == sluice("audit", "show", ONE, "--json").out
    assert len(msgspec.json.decode(said.out)["order"]) == 1
    assert (ONE in said.out, OTHER in said.out) == (True, False)
    several = sluice("audit", "show", OTHER[:8])
    assert (several.code, f"wanted: one of {OTHER}, {TWIN}" in several.err) == (2, True)
    assert sluice("audit", "show", "0" * 8).code == 2


@pytest.mark.req("O-03")
def test_the_logs_of_an_order_are_found_by_its_short_id_and_a_signals_only_by_all_of_it(
    tmp_path: Path,
) -> None:
    lines = [
        {"type": "SignalDecided", "signal_id": "s-1", "order_id": ONE},
        {"type": "SignalDecided", "signal_id": "s-10", "order_id": OTHER},
    ]
    events = tmp_path / "gate_events.jsonl"
    events.write_bytes(b"".join(msgspec.json.encode(line | {"at_ns": 1}) + b"\n" for line in lines))
    assert related([events], ONE[:8]) == {ONE[:8], ONE, "s-1"}
    assert related(iter([events]), ONE[:7]) == {ONE[:7]}
    assert related([events], "s-1") == {"s-1", ONE}


@pytest.mark.parametrize(("epoch", "line"), [(0, ""), (7, "session a, epoch 7\n")])
def test_an_answer_names_the_epoch_only_where_one_began(
    capsys: pytest.CaptureFixture[str], epoch: int, line: str
) -> None:
    session = SessionId("a")
    answer = ControlAnswered(
        at_ns=0,
        request_id="r",
        request="stop",
        is_ok=True,
        message="a is stopped",
        epoch=epoch,
        session=session,
    )
    print_answer(answer, Output(is_json=False))
    assert capsys.readouterr().out == "stop done: a is stopped\n" + line
