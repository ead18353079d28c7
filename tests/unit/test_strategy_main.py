"""The strategy service as it is put together."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from schemas.base import BootId, InstrumentId, SessionId
from schemas.control import SessionAsked, SessionRequest
from schemas.errors import UserError
from schemas.market import QuoteReceived
from schemas.results import StrategyTerms
from services.runtime.serve import Context, Service
from services.runtime.settings import load_settings
from services.strategy.__main__ import build
from services.strategy.measured import Measured
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
        self.clock = time.time_ns


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "my_strategies_of_this_test.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", sys.path[:])
    return folder


@contextmanager
def built(folder: Path, strategy: Mapping[str, object]) -> Iterator[Service]:
    """The service, its processes ended at the end."""
    service = build(cast(Context, FakeContext(folder, strategy)))
    try:
        yield service
    finally:
        assert service.adapter is not None
        asyncio.run(service.adapter.close())


@pytest.mark.req("S-02", "S-10")
@pytest.mark.parametrize("isolation", ["own_code", "none"])
def test_a_strategy_of_your_own_is_found_in_its_folder(
    isolation: str, own_folder: Path, tmp_path: Path
) -> None:
    section = {
        "classes": {"mine": "my_strategies_of_this_test:Mine"},
        "folders": [str(own_folder)],
        "isolation": isolation,
    }
    with built(tmp_path, section) as service:
        assert QuoteReceived in service.core.hears
        assert isinstance(service.core, Measured)
        assert service.core._sessions._catalogue.mistakes("mine") == []
    # code of one's own does not run in the service's process, unless that is asked for
    assert ("my_strategies_of_this_test" in sys.modules) is (isolation == "none")
    sys.modules.pop("my_strategies_of_this_test", None)


@pytest.mark.req("S-14")
def test_a_section_that_cannot_be_sliced_out_says_so_and_where(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught, built(tmp_path, {"sessions_max": 0}):
        pass
    assert caught.value.code == "LTS-002"
    assert str(tmp_path / "config.json") in str(caught.value)
    assert "sessions_max" in str(caught.value)


@pytest.mark.req("S-03")
@pytest.mark.parametrize("action", ["stop", "pause", "resume"])
def test_a_request_becomes_the_event_of_its_action(action: str, tmp_path: Path) -> None:
    with built(tmp_path, {"isolation": "none"}) as service:
        kind = service.requests[f"control.{action}"]
    asked = SessionRequest(operator="kim", session=SessionId("s1"))
    assert (kind.kind, kind.name) == (SessionRequest, action)
    assert kind.make("r1", asked, 7) == SessionAsked(
        at_ns=7, request_id="r1", action=action, request=asked
    )


@pytest.mark.req("S-05")
def test_a_start_is_checked_by_what_it_would_run_with_defaults_included(tmp_path: Path) -> None:
    section = {"isolation": "none", "parameters": {"ema_cross": {"slow": 40}}}
    with built(tmp_path, section) as service:
        core, reader = service.core, cast(Any, service.adapter)._adapters[2]
        asked = request("ema_cross", symbols=("ALPHA",), config_overrides={"fast": 5})
        terms: StrategyTerms = reader._terms_of(asked)
        created, _ = cast(Any, core)._sessions.starts.check(asked, "", 1, 0)
        wrong = msgspec.structs.replace(asked, config_overrides={"fast": 50})
        assert reader._terms_of(wrong).instruments == ()
    assert terms == StrategyTerms(
        strategy="ema_cross",
        strategy_version=created.strategy_version,
        parameters=created.parameters,
        instruments=(InstrumentId("sim:ALPHA"),),
    )
    assert (terms.parameters["fast"], terms.parameters["slow"]) == (5, 40)
    assert len(terms.parameters) > 2
