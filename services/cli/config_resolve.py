"""From the layers of configuration to what one run of the system is told."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path as FilePath
from typing import Any

import msgspec

from schemas.base import InstrumentId
from schemas.errors import FieldError, UserError
from schemas.instruments import AssetClass, Instrument
from services.cli.config_environment import coerced, environment_layer, type_at
from services.cli.config_instruments import INSTRUMENTS, instrument_complaints, worthless
from services.cli.config_layers import (
    Merged,
    Origin,
    defaults_layer,
    file_layer,
    found_file,
    merge,
    option_layer,
)
from services.cli.config_sections import (
    METERED,
    SECTIONS,
    AccountChoice,
    BusChoice,
    MetricsChoice,
    SystemChoice,
    UpChoice,
)
from services.cli.config_types import Complaint, Path, complaints, did_you_mean
from services.cli.locate import default_root
from services.feed.config import FeedConfig
from services.feed.opening import REPLAY, open_source
from services.runtime.config import BusConfig, MetricsConfig

DEFAULT_ACCOUNT = "default"
"""Row of `[gate.accounts]` for an account that has none of its own."""

SERVICE_SECTIONS = (
    "feed",
    "strategy",
    "gate",
    "executor",
    "venue",
    "breaker",
    "recorder",
    "live",
    "repository",
    "reports",
)
_PATHS: tuple[Path, ...] = (
    ("paths", "data_dir"),
    ("bus", "keys_dir"),
    ("bus", "store_key_file"),
)


class ConfigError(UserError):
    """Everything that is wrong with a configuration, at once.

    Attributes:
        errors: each with file and line, or variable, or option; found; wanted.
    """

    def __init__(self, errors: Sequence[FieldError]) -> None:
        first = errors[0]
        super().__init__("SLU-100", path=first.path, found=first.found, wanted=first.wanted)
        self.errors = tuple(errors)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration as it holds: checked, and paths made absolute."""

    merged: Merged
    file: FilePath | None

    @property
    def data_dir(self) -> FilePath:
        """Folder of everything this system keeps."""
        return FilePath(self.merged.values["paths"]["data_dir"])

    @property
    def bus(self) -> BusChoice:
        """The `[bus]` section."""
        return msgspec.convert(self.merged.values["bus"], BusChoice)

    @property
    def system(self) -> SystemChoice:
        """The `[system]` section."""
        return msgspec.convert(self.merged.values["system"], SystemChoice)

    @property
    def account(self) -> AccountChoice:
        """The `[account]` section."""
        return msgspec.convert(self.merged.values["account"], AccountChoice)

    @property
    def metrics(self) -> MetricsConfig:
        """Where each process serves its metrics, from the `[metrics]` section."""
        choice = msgspec.convert(self.merged.values["metrics"], MetricsChoice)
        ports = {name: choice.port + number for number, name in enumerate(METERED)}
        return MetricsConfig(is_on=choice.is_on, host=choice.host, ports=ports)

    @property
    def up(self) -> UpChoice:
        """The `[up]` section."""
        return msgspec.convert(self.merged.values["up"], UpChoice)

    @property
    def feed(self) -> FeedConfig:
        """The `[feed]` section."""
        return msgspec.convert(self.merged.values["feed"], FeedConfig)

    @property
    def keys_dir(self) -> FilePath:
        """Folder of the bus users' keys."""
        return FilePath(self.bus.keys_dir or self.data_dir / "keys")

    @property
    def store_key_file(self) -> FilePath:
        """File of the key that the bus's store is encrypted with; one a data folder."""
        name = hashlib.sha256(str(self.data_dir.resolve()).encode()).hexdigest()[:16]
        return FilePath(self.bus.store_key_file or _state_home() / "store-keys" / f"{name}.key")


def load_config(
    file: FilePath | None = None,
    options: Mapping[str, tuple[Path, Any]] | None = None,
    settings: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Config:
    """Return the checked configuration: defaults, file, environment, command line.

    Args:
        file: the file named by the user; else `$SLUICE_CONFIG`, or `./sluice.toml` if it is there.
        options: option -> (path, value), for options that stand for a field.
        settings: `section.field=value`, for any field.
        environment: variables; those of this process if None.

    Raises:
        ConfigError: everything that is wrong.
        UserError: the file cannot be read, or is not TOML.
    """
    path = found_file(file)
    layers = [defaults_layer(default_root())]
    if path is not None:
        layers.append(file_layer(path))
    said, wrong = environment_layer(os.environ if environment is None else environment, SECTIONS)
    set_options, set_wrong = _settings(settings)
    layers += [said, option_layer(dict(options or {}) | set_options)]
    merged = merge(layers)
    errors = [_field_error(each, Origin("environment")) for each in wrong]
    errors += [_field_error(each, Origin("command line", "--set")) for each in set_wrong]
    found = [(merged.origin_of(each.path), each) for each in _complaints(merged)]
    found.sort(key=lambda pair: (pair[0].kind, pair[0].name, pair[0].line))  # as they are read
    errors += [_field_error(complaint, origin) for origin, complaint in found]
    if errors:
        raise ConfigError(errors)
    _anchor(merged)
    return Config(merged=merged, file=path)


def instruments_of(config: Config) -> tuple[Instrument, ...]:
    """Return what may be traded: what the feed has data of, and `[[instruments]]` over it.

    Raises:
        UserError: the feed's source cannot be read.
        ConfigError: there is nothing to trade.
    """
    source = open_source(config.feed.source, config.feed)
    found = sized(config, {each.id: each for each in source.instruments()}, "feed.source")
    if not found:
        wanted = "at least one instrument: in the recording, or as [[instruments]]"
        raise ConfigError([FieldError(path="feed.source", found=config.feed.source, wanted=wanted)])
    return found


def sized(
    config: Config, found: Mapping[InstrumentId, Instrument], where: str
) -> tuple[Instrument, ...]:
    """Return what a source has data of, by id, with `[[instruments]]` over it.

    Raises:
        ConfigError: a step or a multiplier is no number above 0; its path begins with `where`.
    """
    every = dict(found)
    for row in config.merged.values.get(INSTRUMENTS, []):
        instrument = msgspec.convert(row, Instrument)
        fed = found.get(instrument.id)
        if fed is not None and "offers" not in row:  # a better description, of the same data
            instrument = msgspec.structs.replace(instrument, offers=fed.offers)
        every[instrument.id] = instrument
    known = tuple(every[key] for key in sorted(every))
    wrong = [each for one in known for each in worthless((where, one.id), one)]
    if wrong:
        raise ConfigError([_field_error(each, Origin("default")) for each in wrong])
    return known


def document(
    config: Config, instruments: Sequence[Instrument], account: dict[str, Any], bus: BusConfig
) -> dict[str, Any]:
    """Return what `run/config.json` holds; the services read nothing else.

    Raises:
        ConfigError: an instrument's currency is not worth one of the account's.
    """
    values = config.merged.values
    gate = _gate(values["gate"], account)
    _check_currencies(gate, account, instruments)
    sections = {name: values.get(name, {}) for name in SERVICE_SECTIONS}
    return {
        "bus": bus,
        "account": account,
        INSTRUMENTS: [msgspec.to_builtins(each) for each in instruments],
        **sections,
        "gate": gate,
        "recorder": _recorder(values.get("recorder", {})),
        "system": values["system"],
        "metrics": config.metrics,
        "paths": {"data_dir": str(config.data_dir)},
    }


def account_of(
    config: Config, instruments: Sequence[Instrument], *, is_fresh: bool, now: datetime
) -> dict[str, Any]:
    """Return the `account` section: what is not chosen follows from the feed.

    A recording begins with the cash configured and no position, so it gets an account of its own.

    Raises:
        ConfigError: instruments of several currencies, and none chosen for the account.
    """
    choice = config.account
    currencies = sorted({each.currency for each in instruments})
    if not choice.currency and len(currencies) != 1:
        wanted = (
            "account.currency, and in gate.accounts.default.currency_values that others count 1"
        )
        found = "instruments in " + ", ".join(currencies)
        raise ConfigError([FieldError(path="account.currency", found=found, wanted=wanted)])
    is_replay = config.feed.source.startswith(REPLAY)
    name = choice.id or ("replay" if is_replay else "paper")
    if is_fresh or (is_replay and not choice.id):
        name += now.astimezone(UTC).strftime("-%Y%m%dT%H%M%S")
    return {
        "id": name,
        "currency": choice.currency or currencies[0],
        "initial_cash": str(choice.initial_cash),
    }


def chosen_symbols(config: Config, instruments: Sequence[Instrument]) -> tuple[InstrumentId, ...]:
    """Return the instruments of the session that `up` starts.

    Raises:
        ConfigError: a symbol is none of the feed's.
    """
    choice = config.up
    ids = [each.id for each in instruments]
    if not choice.symbols:
        traded = [each.id for each in instruments if each.asset_class is not AssetClass.LENDING]
        return tuple(traded[: choice.symbols_max])
    by_name = {each.symbol: each.id for each in instruments} | {each: each for each in ids}
    unknown = [name for name in choice.symbols if name not in by_name]
    if unknown:
        hint = did_you_mean(unknown[0], [name.lower() for name in by_name]).upper()
        wanted = f"some of {', '.join(ids[:20])}" + (f"; {hint}" if hint else "")
        raise ConfigError(
            [FieldError(path="up.symbols", found=name, wanted=wanted) for name in unknown]
        )
    return tuple(by_name[name] for name in choice.symbols)


def _gate(section: Mapping[str, Any], account: Mapping[str, Any]) -> dict[str, Any]:
    """Return the gate's section with a row for this very account."""
    rows = {key: dict(row) for key, row in section.get("accounts", {}).items()}
    default = rows.pop(DEFAULT_ACCOUNT, None)
    row = rows.get(account["id"], default)
    if row is not None:  # a row that nobody chose stays missing, and then everything is denied
        own = {account["currency"]: 1}  # by definition, not by choice
        rows[account["id"]] = {**row, "currency_values": own | row.get("currency_values", {})}
    return {**section, "accounts": rows}


def _check_currencies(
    gate: Mapping[str, Any], account: Mapping[str, Any], instruments: Sequence[Instrument]
) -> None:
    """Refuse instruments whose money is worth something else than the account's.

    Cash, equity, profit and all that breakers see are sums in one currency: pounds counted as
    dollars would halt too late. What nobody has given a value is denied by the gate.

    Raises:
        ConfigError: an instrument's currency is not worth one of the account's.
    """
    values = gate["accounts"].get(account["id"], {}).get("currency_values", {})
    foreign = [each for each in instruments if Decimal(str(values.get(each.currency, 1))) != 1]
    if foreign:
        found = ", ".join(f"{each.id} in {each.currency}" for each in foreign[:10])
        wanted = f"instruments in {account['currency']} or what is worth one of it: another account"
        raise ConfigError([FieldError(path="instruments", found=found, wanted=wanted)])


def _recorder(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recorder's section with a place outside the data folder for its anchors."""
    return {**section, "anchor_dirs": section.get("anchor_dirs") or [str(default_anchors())]}


def default_anchors() -> FilePath:
    """Return where anchors go if nobody chose."""
    return _state_home() / "anchors"


def _state_home() -> FilePath:
    """Return what is ours in the user's folder for state (XDG): it is outside any data folder."""
    if home := os.environ.get("XDG_STATE_HOME"):
        return FilePath(home) / "sluice"
    try:
        return FilePath.home() / ".local" / "state" / "sluice"
    except RuntimeError as error:
        wanted = "HOME or XDG_STATE_HOME; or recorder.anchor_dirs and bus.store_key_file"
        found = "nothing, and this user has no home directory"
        raise ConfigError([FieldError(path="HOME", found=found, wanted=wanted)]) from error


def _settings(settings: Sequence[str]) -> tuple[dict[str, tuple[Path, Any]], list[Complaint]]:
    options: dict[str, tuple[Path, Any]] = {}
    wrong: list[Complaint] = []
    for text in settings:
        dotted, equals, value = text.partition("=")
        path = tuple(dotted.strip().split("."))
        kind = type_at(path, SECTIONS)
        if not equals:
            wrong.append(Complaint((text,), "no =", "section.field=value"))
        elif kind is None:
            hint = did_you_mean(path[0], list(SECTIONS)) or "see `sluice config show`"
            wrong.append(Complaint(path, "a name that nothing here has", hint))
        else:
            options[f"--set {dotted}"] = (path, coerced(value, kind))
    return options, wrong


def _complaints(merged: Merged) -> list[Complaint]:
    found: list[Complaint] = []
    for name, value in merged.values.items():
        if name in SECTIONS:
            found += complaints((name,), value, SECTIONS[name])
        elif name == INSTRUMENTS:
            found += instrument_complaints(value)
        else:
            hint = did_you_mean(name, [*SECTIONS, INSTRUMENTS])
            wanted = hint or f"one of the sections {', '.join([*SECTIONS, INSTRUMENTS])}"
            found.append(Complaint((name,), "a section that nothing here has", wanted))
    return found


def _field_error(complaint: Complaint, origin: Origin) -> FieldError:
    dotted = ".".join(complaint.path)
    where = f"{origin}: {dotted}" if origin.kind != "default" else dotted
    return FieldError(path=where, found=complaint.found, wanted=complaint.wanted)


def _anchor(merged: Merged) -> None:
    """Make every path absolute: relative to the file that says it, or to where we are."""
    for section, field in _PATHS:
        text = merged.values[section][field]
        if text:
            merged.values[section][field] = str(_absolute(text, merged.origin_of((section, field))))
    source = merged.values["feed"]["source"]
    if source.startswith(REPLAY) and source != REPLAY:
        origin = merged.origin_of(("feed", "source"))
        path = _absolute(source.removeprefix(REPLAY), origin)
        merged.values["feed"]["source"] = f"{REPLAY}{path}"
    for name in ("folders", "formulas"):
        folders = merged.values["strategy"].get(name, [])
        origin = merged.origin_of(("strategy", name))
        merged.values["strategy"][name] = [str(_absolute(each, origin)) for each in folders]


def _absolute(text: str, origin: Origin) -> FilePath:
    folder = origin.folder or FilePath.cwd()
    return (folder / FilePath(text).expanduser()).resolve()
