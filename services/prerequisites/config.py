"""The `[live]` section: what makes this system trade real money, and what must stand before."""

import enum
from decimal import Decimal
from typing import Annotated

import msgspec

Natural = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(gt=0)]


class Mode(enum.StrEnum):
    """Whose money is traded."""

    PAPER = "paper"
    LIVE = "live"


class Endpoint(enum.StrEnum):
    """What a client's endpoint is for."""

    PAPER = "paper"
    TESTNET = "testnet"
    PRODUCTION = "production"


ALLOWED: dict[Mode, tuple[Endpoint, ...]] = {
    Mode.PAPER: (Endpoint.PAPER, Endpoint.TESTNET),
    Mode.LIVE: (Endpoint.PRODUCTION,),
}
"""Which endpoints each mode may talk to: no test ever talks to production, nor the reverse."""


class ClientTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One client that strategies need: a venue, reached through its door."""

    host: str = ""
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)] = 0
    """With `host`: where it is; both left out: the paper exchange of this system."""

    token_file: str = ""
    """File with what opens it; readable by its user only. Not needed without `host`."""

    endpoint: Endpoint = Endpoint.PAPER
    """What we take it for; it must say the same of itself."""

    requests_per_s: Positive = 10
    """What this system sends it at most in a second; it must allow as many."""


class LiveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Paper, unless four places agree on real money: no single word can turn one into the other.

    They are `mode = "live"`, `account` here repeating `account.id`, `system.environment = "prod"`,
    and the start itself, which names the account again. Where some agree and others do not, every
    start is refused.
    """

    mode: Mode = Mode.PAPER
    account: str = ""
    """With `mode = "live"`: the id of the account with the real money, a second time."""

    sharpe_min: Decimal = Decimal(1)
    """The latest backtest of the very version of the strategy must have more than this."""

    paper_days_min: Natural = 5
    """Days on paper of that version that must count."""

    paper_up_s_min: Natural = 21_600
    """A UTC day on paper counts if the sessions of that version ran for so long on it, together
    and without a difference to the venue; in seconds. Seven sessions of the default hour
    (`strategy.session_timeout_s`) are enough: each is measured up to a minute short, so that six
    of them are a little less than six hours."""

    clients: dict[str, ClientTerms] = {}
    """By the name that strategies need them by."""

    strategies: dict[str, tuple[str, ...]] = {}
    """Names of the clients that each strategy needs; `*` for those not listed."""

    client_timeout_ms: Positive = 1_000
    """How long a client may take to answer."""

    def needs(self, strategy: str) -> tuple[str, ...]:
        """Return the names of the clients that a strategy needs."""
        return self.strategies.get(strategy, self.strategies.get("*", ()))
