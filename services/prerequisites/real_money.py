"""Whether a start may be, by what the shell found for it. Pure; what is not known is a no."""

from typing import TypeVar

from schemas.base import AccountId
from schemas.control import PrepareAsked, StartRequest
from schemas.errors import FieldError
from schemas.prerequisites import Check, PrerequisitesRead, PrerequisitesWanted
from services.prerequisites.config import LiveConfig, Mode

_T = TypeVar("_T")
PRODUCTION = "prod"
READ_MAX = 100
"""Starts whose checks are remembered; a count."""


class RealMoney:
    """What stands between a start and real money, and between a test and production.

    Args:
        config: the `[live]` section.
        environment: `system.environment`.
        account: the account that this system trades.
    """

    def __init__(self, config: LiveConfig, environment: str, account: AccountId) -> None:
        self._config = config
        self._environment = environment
        self._account = account
        self._read: dict[str, tuple[Check, ...]] = {}
        self._waiting: dict[str, PrepareAsked] = {}

    @property
    def is_live(self) -> bool:
        """Whether any place says that real money is traded."""
        return self._config.mode is Mode.LIVE or bool(self._config.account)

    def asks(self, request: StartRequest) -> bool:
        """Return whether the shell must look before this start is answered."""
        return self.is_live or bool(self._config.needs(request.strategy or ""))

    def wanted(self, asked: PrepareAsked, now_ns: int) -> PrerequisitesWanted | None:
        """Return what the shell is asked before this start is answered; None: nothing."""
        if not self.asks(asked.request):
            return None
        self._waiting[asked.start_id] = asked
        _bound(self._waiting)
        return PrerequisitesWanted(at_ns=now_ns, start_id=asked.start_id, request=asked.request)

    def read(self, event: PrerequisitesRead) -> PrepareAsked | None:
        """Take in what the shell found; return the question that can be answered now, once."""
        self._read[event.start_id] = event.checks
        _bound(self._read)
        return self._waiting.pop(event.start_id, None)

    def errors(self, request: StartRequest, start_id: str) -> list[FieldError]:
        """Return all that speaks against a start; nothing was created by it."""
        found = self.disagreements(request) if self.is_live else _not_meant(request)
        if self.asks(request):
            checks = self._read.get(start_id)
            if checks is None:
                wanted = "every check, before the start"
                path = "$.prerequisites"
                return [*found, FieldError(path=path, found="nothing was checked", wanted=wanted)]
            found += [check.error for check in checks if not check.is_ok]
        return found

    def disagreements(self, request: StartRequest) -> list[FieldError]:
        """Return each of the four places that does not say real money as the others do."""
        mode, account = self._config.mode, self._config.account
        found: list[FieldError] = []
        if mode is not Mode.LIVE:
            wanted = f"live, as live.account names {account}" if account else "live"
            found.append(FieldError(path="live.mode", found=mode, wanted=wanted))
        if account != self._account:
            wanted = f"{self._account} (account.id), a second time"
            found.append(FieldError(path="live.account", found=account or "none", wanted=wanted))
        if self._environment != PRODUCTION:
            wanted = f"{PRODUCTION}, to trade real money"
            found.append(
                FieldError(path="system.environment", found=self._environment, wanted=wanted)
            )
        if request.live_account != self._account:
            said = request.live_account or "none"
            wanted = f"{self._account}: a start with real money names its account"
            found.append(FieldError(path="$.live_account", found=said, wanted=wanted))
        return found


def _bound(remembered: dict[str, _T]) -> None:
    if len(remembered) > READ_MAX:
        del remembered[next(iter(remembered))]


def _not_meant(request: StartRequest) -> list[FieldError]:
    if request.live_account is None:
        return []
    wanted = "none: this system trades paper (live.mode)"
    return [FieldError(path="$.live_account", found=request.live_account, wanted=wanted)]
