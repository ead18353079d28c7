"""`sluice config check` and `sluice config show`."""

import re
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from schemas import masking
from schemas.masking import MASK
from services.cli.config_layers import leaves
from services.cli.config_resolve import (
    Config,
    ConfigError,
    account_of,
    chosen_symbols,
    instruments_of,
    load_config,
)
from services.cli.exits import Exit
from services.cli.locate import Place
from services.cli.output import Output
from services.cli.quick_banner import quick_banner

_SECRET_NAME = re.compile(r"password|passwd|secret|token|private|credential|api_key", re.IGNORECASE)

File = Annotated[
    Path | None, Parameter(name="--config", help="The file; else $SLUICE_CONFIG or ./sluice.toml.")
]
Settings = Annotated[
    list[str] | None, Parameter(name="--set", negative=(), help="SECTION.FIELD=VALUE")
]

config_app = App(name="config", help="Check the configuration, or show where it comes from.")


config_app.command(
    "services.cli.config_write:write", name="write", help="Write what services run by; start none."
)


@config_app.command
def check(*, config: File = None, sets: Settings = None, place: Place | None = None) -> Exit:
    """Say everything that is wrong with the configuration; change nothing."""
    output = _begin(place)
    found = load_config(config, _options(place), sets or ())
    _refuse_broken_formulas(found)
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
    rows = [row for row in shown_rows(found) if section in (None, row[0].split(".")[0])]
    output.data({name: {"value": value, "from": origin} for name, value, origin in rows})
    output.table("", ("field", "value", "from"), rows)
    output.next_step("sluice config check", "sluice up")
    return Exit.OK


def _refuse_broken_formulas(config: Config) -> None:
    """Raise what a start would say of each formula file, before anybody starts one.

    Raises:
        ConfigError: a file or a folder of `strategy.formulas` cannot be used.
    """
    from services.strategy.catalogue import catalogue_of
    from services.strategy.config import StrategyConfig

    choice = msgspec.convert(config.merged.values["strategy"], StrategyConfig)
    errors = catalogue_of(choice).formula_mistakes()
    if errors:
        raise ConfigError(errors)


def shown_rows(config: Config) -> list[tuple[str, Any, str]]:
    """Return every value with its dotted name and origin; secrets masked."""
    return [
        (".".join(path), masked(path[-1], value), str(config.merged.origin_of(path)))
        for path, value in leaves(config.merged.values)
    ]


def masked(name: str, value: Any) -> Any:
    """Return the value unless its name or its form is that of a secret."""
    if _SECRET_NAME.search(name) and value not in ("", None):
        return MASK
    return masking.masked(value) if isinstance(value, str) else value


def _begin(place: Place | None) -> Output:
    output = Output((place or Place()).as_json)
    quick_banner(place or Place(), output)
    return output


def _options(place: Place | None) -> dict[str, tuple[tuple[str, ...], Any]]:
    if place is None or place.data_dir is None:
        return {}
    return {"--data-dir": (("paths", "data_dir"), str(place.data_dir))}


__all__ = ["ConfigError", "config_app", "masked", "shown_rows"]
