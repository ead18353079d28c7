"""Load a person's own strategies when the service starts, where they can do no harm."""

from collections.abc import Mapping

import msgspec

from schemas.base import AccountId, InstrumentId
from schemas.errors import FieldError
from schemas.instruments import Instrument
from schemas.isolation import Probed
from services.strategy.catalogue import STRATEGY, Catalogue
from services.strategy.config import Isolation, StrategyConfig
from services.strategy.isolated.forking import Zygote, ask
from services.strategy.isolated.frames import Found, Opening
from services.strategy.isolated.stand_in import stand_in_of


def isolated(
    catalogue: Catalogue,
    config: StrategyConfig,
    account: AccountId,
    instruments: Mapping[InstrumentId, Instrument],
) -> Zygote | None:
    """Have strategies run in processes of their own, as configured; return what starts these.

    Each one is loaded once, to know what it listens to; one that cannot be loaded listens to
    nothing, and whoever starts it is told why. None where all sessions share the service's process.
    """
    if config.isolation is Isolation.NONE:
        return None
    catalogue.isolate(config.isolation)
    zygote = Zygote()
    for name in catalogue.names:
        if catalogue.is_isolated(name):
            opening = Opening(
                config=config,
                account=account,
                instruments=list(instruments.values()),
                memory_mb_max=config.session_memory_mb_max,
                strategy=name,
            )
            found = _loaded(zygote, opening, config.load_ms_max / 1_000)
            probed = Probed(
                at_ns=0,
                start_id="",
                strategy=name,
                wanted=found.wanted,
                version=found.version,
                errors=found.errors,
            )
            catalogue.learn(name, stand_in_of(probed))
    return zygote


def _loaded(zygote: Zygote, opening: Opening, timeout_s: float) -> Found:
    try:
        data = ask(zygote.fork(), opening, timeout_s)
        return msgspec.json.decode(data, type=Found)
    except (OSError, ValueError) as error:
        why = f"it cannot be loaded: {type(error).__name__}: {error}"
        wanted = "a module that loads; mend it, then start it"
        return Found(errors=(FieldError(path=STRATEGY, found=why, wanted=wanted),))
