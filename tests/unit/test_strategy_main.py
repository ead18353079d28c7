"""The strategy service as it is put together."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest

from schemas.base import BootId, SessionId
from schemas.control import SessionAsked, SessionRequest
from services.runtime.serve import Context
from services.runtime.settings import load_settings
from services.strategy.__main__ import build
from tests.strategy_rig import request

OWN = """
from services.strategy.interface import Parameters, Strategy

class Mine(Strategy[Parameters]):
    pass
"""


class FakeContext:
    """As much of the context as a core without I/O is built from."""

    def __init__(self, folder: Path, strategy: Mapping[str, object]) -> None:
        instrument = {"id": "sim:ALPHA", "asset_class": "equity", "currency": "USD"}
        resolved = {
            "account": {"id": "paper", "currency": "USD", "initial_cash": "1000"},
            "instruments": [instrument | {"tick_size": "0.01", "lot_size": "1"}],
            "strategy": strategy,
            "paths": {"data_dir": str(folder)},
        }
        file = folder / "config.json"
        file.write_text(json.dumps(resolved))
        self.settings = load_settings(file)
        self.boot_id = BootId("b1")
        self.connection = None
        self.clock = int


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "my_strategies_of_this_test.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", sys.path[:])
    return folder


def test_a_strategy_of_your_own_is_found_in_its_folder(own_folder: Path, tmp_path: Path) -> None:
    section = {
        "classes": {"mine": "my_strategies_of_this_test:Mine"},
        "folders": [str(own_folder)],
    }
    service = build(cast(Context, FakeContext(tmp_path, section)))
    from tests.strategy_rig import StrategyRig

    rig = StrategyRig()
    rig.core = service.core  # type: ignore[assignment]
    assert rig.prepare(request("mine")).errors == ()
    del sys.modules["my_strategies_of_this_test"]


@pytest.mark.req("S-03")
@pytest.mark.parametrize("action", ["stop", "pause", "resume"])
def test_a_request_becomes_the_event_of_its_action(action: str, tmp_path: Path) -> None:
    service = build(cast(Context, FakeContext(tmp_path, {})))
    kind = service.requests[f"control.{action}"]
    asked = SessionRequest(operator="kim", session=SessionId("s1"))
    assert (kind.kind, kind.name) == (SessionRequest, action)
    assert kind.make("r1", asked, 7) == SessionAsked(
        at_ns=7, request_id="r1", action=action, request=asked
    )
