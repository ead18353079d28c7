"""The clients a strategy needs, each asked at its own door over a real connection (S-06)."""

import asyncio
import os
import stat
from pathlib import Path

from schemas.errors import SluiceError, UserError
from schemas.prerequisites import Check
from services.prerequisites.config import ALLOWED, ClientTerms, LiveConfig
from services.venue_door import Address, Welcome, address_file, probed, read_address

MS_PER_S = 1_000


async def client_checks(strategy: str, config: LiveConfig, data_dir: Path) -> tuple[Check, ...]:
    """Return four checks a client: reachable, authenticated, within its rate, right endpoint.

    In live mode a strategy that names no client has nothing to trade through: that fails too.
    """
    names = config.needs(strategy)
    if not names and ALLOWED[config.mode] == ALLOWED[config.mode.LIVE]:
        needed = f"clients of {strategy} in live.strategies, at endpoints for production"
        return (Check(name="clients", is_ok=False, found="none named", needed=needed),)
    asked = (_checked(name, config, data_dir) for name in names)
    return tuple(check for found in await asyncio.gather(*asked) for check in found)


async def _checked(name: str, config: LiveConfig, data_dir: Path) -> tuple[Check, ...]:
    terms = config.clients.get(name)
    if terms is None:
        known = ", ".join(config.clients) or "none"
        needed = f"a table live.clients.{name}"
        return (Check(name=f"client.{name}", is_ok=False, found=f"only {known}", needed=needed),)
    endpoint = _endpoint(name, terms, config)
    if not endpoint.is_ok:  # not a byte is sent to where this mode may not talk
        return (endpoint,)
    try:
        address = _address(terms, data_dir)
        welcome = await probed(address, config.client_timeout_ms / MS_PER_S)
    except SluiceError as error:
        found = str(error.fields.get("found", error))
        needed = "a client that answers"
        reached = Check(name=f"client.{name}.reachable", is_ok=False, found=found, needed=needed)
        return (endpoint, reached)
    where = f"{address.host}:{address.port}"
    reached = Check(
        name=f"client.{name}.reachable", is_ok=True, found=where, needed="a client that answers"
    )
    return (endpoint, reached, *_of_welcome(name, terms, welcome))


def _endpoint(name: str, terms: ClientTerms, config: LiveConfig) -> Check:
    allowed = ALLOWED[config.mode]
    needed = f"{' or '.join(allowed)} in mode {config.mode}"
    return Check(
        name=f"client.{name}.endpoint",
        is_ok=terms.endpoint in allowed,
        found=terms.endpoint,
        needed=needed,
    )


def _of_welcome(name: str, terms: ClientTerms, welcome: Welcome) -> tuple[Check, ...]:
    if not welcome.is_ok:
        found = welcome.detail or "it said no"
        needed = "a token that it lets in"
        return (
            Check(name=f"client.{name}.authenticated", is_ok=False, found=found, needed=needed),
        )
    most = welcome.requests_per_s_max
    return (
        Check(name=f"client.{name}.authenticated", is_ok=True, found="let in", needed="let in"),
        Check(
            name=f"client.{name}.said_endpoint",
            is_ok=welcome.environment == terms.endpoint,
            found=welcome.environment or "it did not say",
            needed=f"{terms.endpoint}, as configured",
        ),
        Check(
            name=f"client.{name}.rate",
            is_ok=most is None or terms.requests_per_s <= most,
            found=f"we send {terms.requests_per_s} a second",
            needed="no limit" if most is None else f"at most {most} a second",
        ),
    )


def _address(terms: ClientTerms, data_dir: Path) -> Address:
    """Return where the client is, and what opens it.

    Raises:
        UserError: SLU-102 the token cannot be read, or others than its user may read it.
        VenueError: SLU-130 no paper exchange of ours is up.
    """
    if not terms.host:
        return read_address(address_file(data_dir))
    file = Path(terms.token_file)
    try:
        mode = stat.S_IMODE(os.stat(file).st_mode)
        token = file.read_text().strip()
    except OSError as error:
        found = f"{file}: {error.strerror or error}"
        raise UserError(
            "SLU-102", path=file, found=found, wanted="a file with the token"
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        found = f"{file}: others may read it (mode {mode:o})"
        raise UserError("SLU-102", path=file, found=found, wanted="mode 600")
    return Address(host=terms.host, port=terms.port, token=token)
