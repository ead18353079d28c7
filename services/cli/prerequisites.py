"""`sluice prerequisites STRATEGY`: what a start with real money needs, and what there is (S-05)."""

import asyncio
import sys
from typing import Any

import msgspec

from schemas.control import StartRequest
from schemas.errors import FieldError, UserError
from schemas.prerequisites import Check
from services.cli.desk import at_desk
from services.cli.exits import Exit
from services.cli.locate import Place, data_dir_of
from services.cli.output import Output
from services.prerequisites.config import Mode
from services.prerequisites.gather import Sources, gathered, sources_of
from services.prerequisites.real_money import RealMoney
from services.runtime.settings import load_settings
from services.strategy.catalogue import catalogue_of
from services.strategy.config import StrategyConfig
from services.strategy.versions import version_of

OPERATOR = "prerequisites"


def prerequisites(strategy: str, *, place: Place | None = None) -> Exit:
    """Show every check before real money, with what was found and what is needed.

    Starts nothing. Ends with 4 while anything is missing.
    """
    return asyncio.run(_prerequisites(strategy, place or Place()))


async def _prerequisites(strategy: str, place: Place) -> Exit:
    output = Output(place.as_json)
    settings = load_settings(data_dir_of(place) / "run" / "config.json")
    config = settings.section("strategy", StrategyConfig)
    sys.path[:0] = config.folders
    found = catalogue_of(config).find(strategy)
    if isinstance(found, FieldError):
        raise UserError("SLU-103", path="STRATEGY", found=found.found, wanted=found.wanted)
    sources = sources_of(settings)
    version = version_of(found)
    async with at_desk(place) as desk:

        async def ask(service: str, kind: type[Any]) -> Any:
            return await desk.ask(service, kind)

        checks = (*_places(sources), *await gathered(strategy, version, _as_live(sources), ask))
    output.data({"strategy": strategy, "strategy_version": version, "checks": checks})
    rows = [("ok" if each.is_ok else "NO", each.name, each.found, each.needed) for each in checks]
    output.table(f"{strategy}, version {version}", ("", "check", "found", "needed"), rows)
    missing = sum(not each.is_ok for each in checks)
    if missing:
        output.line(f"{missing} of {len(checks)} missing: real money is refused")
        output.next_step(f"sluice backtest {strategy}", "sluice parity SESSION")
    return Exit.REFUSED if missing else Exit.OK


def _as_live(sources: Sources) -> Sources:
    """Return the sources with the mode that is asked about, whatever is configured now."""
    live = msgspec.structs.replace(sources.live, mode=Mode.LIVE)
    return msgspec.structs.replace(sources, live=live)


def _places(sources: Sources) -> list[Check]:
    """Return each place of the configuration that does not say real money yet."""
    request = StartRequest(operator=OPERATOR, live_account=sources.account)
    guard = RealMoney(sources.live, sources.environment, sources.account)
    return [
        Check(name=each.path, is_ok=False, found=each.found, needed=each.wanted)
        for each in guard.disagreements(request)
    ]
