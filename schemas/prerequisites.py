"""What is asked before real money is traded, and what was found (S-05, S-06)."""

import msgspec

from schemas.base import Event
from schemas.control import StartRequest
from schemas.errors import FieldError


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must stand."""

    name: str
    is_ok: bool
    found: str
    needed: str

    @property
    def error(self) -> FieldError:
        """Return it as what is wrong with a start."""
        return FieldError(path=f"$.prerequisites.{self.name}", found=self.found, wanted=self.needed)


class PrerequisitesWanted(Event, frozen=True, kw_only=True):
    """A start concerns real money, or names clients: the shell must look before it is answered."""

    start_id: str
    request: StartRequest


class PrerequisitesRead(Event, frozen=True, kw_only=True):
    """What the shell found; all of it, what stands too."""

    start_id: str
    checks: tuple[Check, ...]
