"""`sluice nats-context`: let the `nats` command line speak to this system with our rights."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from schemas.errors import UserError
from schemas.masking import masked
from services.cli.exits import Exit
from services.cli.locate import Place, locate
from services.cli.output import Output
from services.cli.private_files import write_private
from services.cli.quick_banner import quick_banner

NAME = "sluice"


def nats_context(
    *,
    output: Annotated[
        Path | None, Parameter(help="File to write; else the context `sluice` of the nats command.")
    ] = None,
    user: Annotated[str, Parameter(help="operator or viewer.")] = "operator",
    place: Place | None = None,
) -> Exit:
    """Write a context for the `nats` command line, with an operator's key.

    Raises:
        UserError: SLU-102 the user has no key here.
    """
    found = place or Place()
    said = Output(found.as_json)
    quick_banner(found, said)
    bus = locate(found)
    context = {
        "description": "Sluice",
        "url": bus.url,
        "inbox_prefix": f"_INBOX.{user}",
    }
    if bus.keys_dir is not None:
        key = bus.keys_dir / f"{user}.nk"
        if not key.is_file():
            wanted = "operator or viewer"
            raise UserError("SLU-102", path=key, found="no such file", wanted=wanted)
        context["nkey"] = str(key.resolve())
    path = output if output is not None else default_path()
    write_private(path, msgspec.json.format(msgspec.json.encode(context), indent=2))
    said.data({"file": str(path), "user": user, "url": masked(bus.url)})
    name = str(path) if output is not None else NAME
    said.line(f"wrote {path}")
    said.next_step(
        f"nats --context {name} sub 'exec.>'",
        f"nats --context {name} pub control.halt 'why'",
    )
    return Exit.OK


def default_path() -> Path:
    """Return where the nats command looks for contexts."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "nats" / "context" / f"{NAME}.json"
