"""What is no `Exception` ends the session whose strategy raised it, and nothing else."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from schemas.base import BootId, Event
from schemas.errors import FieldError
from schemas.health import AlertRaised, Severity
from schemas.instruments import DataKind, Instrument
from schemas.orders import SignalRaised
from schemas.sessions import SessionState, StrategyFailed
from services.strategy.catalogue import catalogue_of
from services.strategy.config import StrategyConfig
from services.strategy.interface import Parameters, Strategy
from services.strategy.manager import ManagerCore
from tests.builders import ACCOUNT, ALPHA, quote
from tests.strategy_rig import INSTRUMENTS, OWN, StrategyRig, config, every, only, request


class LibraryError(BaseException):
    """As a library may have its own."""


RAISED: dict[str, type[BaseException]] = {
    each.__name__: each
    for each in (
        asyncio.CancelledError,
        GeneratorExit,
        SystemExit,
        LibraryError,
        KeyboardInterrupt,
    )
}


class Named(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What it raises, and where."""

    kind: str
    where: str

    def __post_init__(self) -> None:
        raise_at("parsed", self)


class Leaves(Strategy[Named]):
    """Raise what is named, where that is named."""

    parameters_type = Named

    @classmethod
    def complaints(cls, parameters: Any, instruments: Sequence[Instrument]) -> list[FieldError]:
        raise_at("complaints", parameters)
        return []

    @classmethod
    def needs(cls, parameters: Any, instrument: Instrument) -> tuple[DataKind, ...]:
        raise_at("needs", parameters)
        return ()

    def __init__(self, context: Any, parameters: Named) -> None:
        super().__init__(context, parameters)
        raise_at("made", parameters)

    def on_start(self) -> None:
        raise_at("on_start", self.parameters)

    def on_quote(self, quote: object) -> None:
        self.context.buy(ALPHA, Decimal(1))
        raise_at("on_quote", self.parameters)


def raise_at(where: str, parameters: Named) -> None:
    if parameters.where == where:
        raise RAISED[parameters.kind]("later")


class LiveRig(StrategyRig):
    """The rig with the core of the live service, whose loop takes a person's Ctrl-C."""

    def _made(self) -> ManagerCore:
        catalogue = catalogue_of(self.config)
        return ManagerCore(
            self.config, ACCOUNT, INSTRUMENTS, boot_id=BootId("strategy-1"), catalogue=catalogue
        )


def rig_of(kind: type[StrategyRig]) -> StrategyRig:
    return kind(config(classes=OWN | {"leaves": "tests.unit.test_strategy_leaves:Leaves"}))


def overrides(kind: str, where: str) -> dict[str, Any]:
    return {"config_overrides": {"kind": kind, "where": where}}


@pytest.mark.req("S-14", "G-11")
@pytest.mark.parametrize("where", ["made", "on_start", "on_quote"])
@pytest.mark.parametrize("kind", RAISED)
def test_whatever_a_strategy_of_the_service_raises_ends_its_session_alone(
    kind: str, where: str
) -> None:
    rig = rig_of(LiveRig)
    rig.start("buyeachquote")
    rig.start("leaves", **overrides(kind, where))
    said = rig.tell(quote())
    views = rig.core.describe(0).sessions
    assert [each.state for each in views] == [SessionState.RUNNING, SessionState.FAILED]
    assert only(StrategyFailed, rig.said).error == f"{kind}: later"
    assert only(AlertRaised, rig.said).severity is Severity.CRITICAL
    assert signals_of(said) == ["buyeachquote-1"], "the other goes on, and it says nothing more"


def signals_of(said: Sequence[Event]) -> list[str]:
    return [each.session for each in every(SignalRaised, said)]


@pytest.mark.req("S-01", "S-14")
@pytest.mark.parametrize("kind", RAISED)
def test_a_check_that_leaves_refuses_its_own_start(kind: str) -> None:
    answer = rig_of(LiveRig).prepare(request("leaves", **overrides(kind, "complaints")))
    [error] = answer.errors
    assert error.found == f"{kind} when they were looked at: later"


@pytest.mark.req("S-01", "S-14")
@pytest.mark.parametrize("where", ["parsed", "complaints", "needs"])
def test_a_persons_interrupt_of_a_check_ends_a_backtest_and_is_no_answer(where: str) -> None:
    """A sweep would note it for good as what the strategy said, and go on with the next."""
    asked = request("leaves", **overrides("KeyboardInterrupt", where))
    with pytest.raises(KeyboardInterrupt):
        rig_of(StrategyRig).prepare(asked)
    assert len(rig_of(LiveRig).prepare(asked).errors) == 1, "of the service it ends nothing"


def test_a_persons_interrupt_ends_a_backtest_and_is_no_failure_of_its_strategy() -> None:
    rig = rig_of(StrategyRig)
    rig.start("leaves", **overrides("KeyboardInterrupt", "on_quote"))
    with pytest.raises(KeyboardInterrupt):
        rig.tell(quote())
    assert every(StrategyFailed, rig.said) == []


@pytest.mark.req("S-14")
@pytest.mark.parametrize("kind", ["GeneratorExit", "SystemExit", "BaseException"])
def test_a_module_that_leaves_while_it_is_loaded_is_told(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"leaves_{kind.lower()}"
    (tmp_path / f"{name}.py").write_text(f"raise {kind}('not here')\n")
    settings = StrategyConfig(classes={"mine": f"{name}:Mine"})
    found = catalogue_of(settings).find("mine")
    assert isinstance(found, FieldError)
    assert found.found == f"module {name} cannot be loaded: {kind}: not here"
