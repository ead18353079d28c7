"""What the strategy service may be told."""

from typing import Annotated, Any

import msgspec

from services.strategy.confirmations import ConfirmationTerms

Positive = Annotated[int, msgspec.Meta(gt=0)]


class StrategyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which strategies there are, what they are told, and how many sessions may run."""

    classes: dict[str, str] = {}
    """Strategies of your own: the name to start them by, and `module:Class`."""

    folders: tuple[str, ...] = ()
    """Folders searched for the modules of your own strategies, before the installed ones."""

    formulas: tuple[str, ...] = ()
    """Folders of formula files (`*.toml`): each is a strategy by its file's name."""

    parameters: dict[str, dict[str, Any]] = {}
    """Parameters by strategy name. `config_overrides` of a start are laid over them, field by
    field; what neither sets has the strategy's own default."""

    signal_expiry_ms: Positive = 2_000
    """How long a signal may still become an order at the venue, in milliseconds."""

    sessions_max: Positive = 5
    """How many sessions may be running or paused at the same time; a count."""

    confirmation: ConfirmationTerms = ConfirmationTerms()
    """For sessions in SEMI_AUTO and MANUAL: how a person confirms their signals."""
