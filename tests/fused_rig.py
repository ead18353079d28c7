"""A whole system in one process on a recording, with limits that let it trade."""

import hashlib
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from schemas.base import AccountId, Event
from schemas.control import StartRequest
from schemas.instruments import Instrument
from schemas.wire import encode
from services.bench.open_limits import open_limits
from services.feed.opening import open_recording
from services.feed.source import Source, recorded
from services.strategy.config import StrategyConfig
from services.system import FusedSystem, FusedTerms

ACCOUNT = AccountId("paper")
CASH = Decimal(1_000_000)
GATE = open_limits(
    ACCOUNT,
    order_quantity_max=Decimal(1_000),
    order_notional_max=Decimal(200_000),
    position_quantity_max=Decimal(1_000),
    position_notional_max=Decimal(200_000),
    price_collar_bps=Decimal(100),
    spread_bps_max=Decimal(100),
    stale_after_ms=5_000,
    gross_notional_max=Decimal(400_000),
    session_messages_max=10_000,
    account_messages_max=10_000,
    message_window_ms=60_000,
    signal_life_ms_max=10_000,
    currency_values={"USD": Decimal(1), "USDT": Decimal(1)},
)
ROW, LIMITS = GATE.default, GATE.accounts[ACCOUNT]


def system(
    instruments: Iterable[Instrument],
    journal: list[bytes] | None = None,
    parameters: dict[str, dict[str, object]] | None = None,
) -> FusedSystem:
    """Return a system over these instruments; `journal` gets every event as its bytes."""
    terms = FusedTerms(
        account=ACCOUNT,
        initial_cash=CASH,
        instruments={each.id: each for each in instruments},
        gate=GATE,
        strategy=StrategyConfig(parameters=parameters or {}),
    )

    def keep(event: Event) -> None:
        assert journal is not None
        journal.append(encode(event))

    return FusedSystem(terms, journal=None if journal is None else keep)


def request(
    source: Source, strategy: str = "ema_cross", overrides: dict[str, object] | None = None
) -> StartRequest:
    return StartRequest(
        config_overrides=overrides or {},
        operator="kim",
        strategy=strategy,
        symbols=tuple(each.id for each in source.instruments()),
        initial_capital=Decimal(100_000),
    )


def journal_of(path: Path, strategy: str = "ema_cross") -> tuple[FusedSystem, Source, list[bytes]]:
    """Run a recording to its end; return the system, the source, and the journal's bytes."""
    source = open_recording(path)
    journal: list[bytes] = []
    found = system(source.instruments(), journal)
    found.run(recorded(source), request(source, strategy))
    return found, source, journal


def digest(journal: Iterable[bytes]) -> str:
    """Return the SHA-256 of the whole journal."""
    found = hashlib.sha256()
    for line in journal:
        found.update(line + b"\n")
    return found.hexdigest()
