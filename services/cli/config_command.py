"""`sluice config check` and `sluice config show`."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from schemas import masking
from schemas.errors import UserError
from services.cli.config_environment import type_at
from services.cli.config_layers import leaves
from services.cli.config_resolve import (
    Config,
    ConfigError,
    account_of,
    chosen_symbols,
    instruments_of,
    load_config,
)
from services.cli.config_sections import SECTIONS
from services.cli.config_types import did_you_mean, names_secret
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.output import Output
from services.cli.quick_banner import quick_banner

File = Annotated[
    Path | None, Parameter(name="--config", help="The file; else $SLUICE_CONFIG or ./sluice.toml.")
]
Settings = Annotated[
    list[str] | None,
    Parameter(name="--set", negative=(), help="SECTION.FIELD=VALUE, as often as needed."),
]

FOLDERS = (("strategy", "folders"), ("strategy", "formulas"))
"""Fields whose mistakes are told without where they were made: that is known here."""

config_app = App(name="config", help="Check the configuration, or show where it comes from.")


config_app.command(
    "services.cli.config_write:write", name="write", help="Write what services run by; start none."
)


@config_app.command
def check(*, config: File = None, sets: Settings = None, place: Place | None = None) -> Exit:
    """Say everything that is wrong with the configuration; change nothing."""
    output = _begin(place)
    found = load_config(config, _options(place), sets or ())
    _refuse_strategies(found)
    instruments = instruments_of(found)
    import datetime

    now = datetime.datetime.now(datetime.UTC)
    account = account_of(found, instruments, is_fresh=False, now=now)
    symbols = chosen_symbols(found, instruments)
    output.data(
        {
            "is_ok": True,
            "file": str(found.file) if found.file else None,
            "account": account,
            "instruments": [each.id for each in instruments],
        }
    )
    output.line(f"the configuration is valid ({found.file or 'defaults: no sluice.toml here'})")
    output.line(
        f"account {account['id']}, {account['initial_cash']} {account['currency']}; "
        f"{len(instruments)} instruments, {len(symbols)} of them for the session of `sluice up`"
    )
    output.next_step("sluice config show", "sluice up")
    return Exit.OK


@config_app.command
def show(
    section: Annotated[str | None, Parameter(help="Only this section.")] = None,
    *,
    config: File = None,
    sets: Settings = None,
    place: Place | None = None,
) -> Exit:
    """Show every value and where it came from; secrets are masked."""
    output = _begin(place)
    found = load_config(config, _options(place), sets or ())
    _refuse_section(section, found)
    rows = [row for row in shown_rows(found) if section in (None, row[0].split(".")[0])]
    output.data({name: {"value": value, "from": origin} for name, value, origin in rows})
    output.table("", ("field", "value", "from"), rows)
    output.next_step("sluice config check", "sluice up")
    return Exit.OK


def _refuse_section(section: str | None, config: Config) -> None:
    known = list(config.merged.values)
    if section is not None and section not in known:
        wanted = did_you_mean(section, known) or f"one of {', '.join(known)}"
        raise UserError("SLU-103", path="config show", found=repr(section), wanted=wanted)


def _refuse_strategies(config: Config) -> None:
    """Raise what a start would say of each formula file, and of the session that `up` starts.

    Raises:
        ConfigError: a folder of `strategy.folders`, or a file or a folder of `strategy.formulas`,
            cannot be used, or there is no such strategy as `up.strategy`.
    """
    from services.cli.own_strategies import mistakes_of
    from services.strategy.catalogue import STRATEGY
    from services.strategy.config import StrategyConfig

    choice = msgspec.convert(config.merged.values["strategy"], StrategyConfig)
    fields = {".".join(field): field for field in FOLDERS} | {STRATEGY: ("up", "strategy")}
    errors = []
    for each in mistakes_of(config.up.strategy, choice):
        if field := fields.get(each.path):
            where = f"{config.merged.origin_of(field)}: {'.'.join(field)}"
            each = msgspec.structs.replace(each, path=where)
        errors.append(each)
    if errors:
        raise ConfigError(errors)


def shown_rows(config: Config) -> list[tuple[str, Any, str]]:
    """Return every value with its dotted name and origin; secrets masked."""
    return [
        (".".join(path), masked(path, value), str(config.merged.origin_of(path)))
        for path, value in leaves(config.merged.values)
    ]


def masked(path: tuple[str, ...], value: Any) -> Any:
    """Return the value without its secrets: all of it where it, or a table around it, is one."""
    around = (None, *(type_at(path[:depth], SECTIONS) for depth in range(1, len(path))))
    named = (name for name, table in zip(path, around, strict=True) if names_secret(name, table))
    return masking.masked_value(next(named, ""), value)


def _begin(place: Place | None) -> Output:
    output = Output((place or Place()).as_json)
    quick_banner(place or Place(), output)
    return output


def _options(place: Place | None) -> dict[str, tuple[tuple[str, ...], Any]]:
    if place is None or place.data_dir is None:
        return {}
    return {"--data-dir": (("paths", "data_dir"), str(place.data_dir))}


__all__ = ["ConfigError", "config_app", "masked", "shown_rows"]
