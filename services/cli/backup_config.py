"""Which configuration a backup was of: the first start after a restore is under the same one.

Account and limits come from files and variables of the machine, which a restore does not bring
back. With the defaults instead, an empty account would be traded, and look right.
"""

from pathlib import Path

import msgspec

from schemas.errors import StateError, UserError
from services.cli.private_files import write_private
from services.runtime.paths import is_there
from services.runtime.settings import LIMIT_SECTIONS, Settings

NOTICE = "run/restored.json"
"""In a restored data folder, until the first start: what that has to agree with."""

ACCEPT = "--accept-other-configuration"


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """What of a configuration decides about account and limits."""

    account: str = ""
    limits_hash: str = ""
    """Both are empty where it could not be read."""

    sections: dict[str, msgspec.Raw] = {}

    def __str__(self) -> str:
        """Return account and limits, for people."""
        if not self.limits_hash:
            return "a configuration that cannot be read"
        return f"account {self.account}, limits {self.limits_hash}"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore leaves for the first start."""

    backup: str
    configured: Configured


def configured_by(text: bytes, path: Path) -> Configured:
    """Return what the text of a `run/config.json` decides.

    Raises:
        UserError: it is none.
    """
    try:
        sections = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        wanted = "a configuration that `sluice up` wrote"
        raise UserError("SLU-100", path=path, found=error, wanted=wanted) from error
    settings = Settings(path, sections)
    return Configured(
        account=settings.account.id,
        limits_hash=settings.limits_hash,
        sections={name: sections[name] for name in LIMIT_SECTIONS if name in sections},
    )


def note_configuration(data_dir: Path, backup: str) -> Configured:
    """Leave word for the first start of what the restored configuration is; return that."""
    path = data_dir / "run" / "config.json"
    try:
        found = configured_by(path.read_bytes(), path)
    except (OSError, UserError):  # then only a person can say which one it was
        found = Configured()
    write_private(data_dir / NOTICE, msgspec.json.encode(Notice(backup=backup, configured=found)))
    return found


def refuse_another(data_dir: Path, text: bytes, *, is_accepted: bool) -> None:
    """Refuse a first start under another account or other limits than a restored backup was of.

    Args:
        data_dir: of the system.
        text: what `run/config.json` would hold.
        is_accepted: whether a person said that another configuration is meant.

    Raises:
        UserError: SLU-100, it is another one.
        StateError: SLU-148, the word that the restore left cannot be read.
    """
    path = data_dir / NOTICE
    if is_accepted or not is_there(path):
        return
    try:
        notice = msgspec.json.decode(path.read_bytes(), type=Notice)
    except (OSError, msgspec.MsgspecError) as error:
        wanted = f"what `sluice backup restore` wrote; or {ACCEPT}"
        raise StateError("SLU-148", path=path, found=error, wanted=wanted) from error
    before, now = notice.configured, configured_by(text, path)
    if (before.account, before.limits_hash) == (now.account, now.limits_hash):
        return
    other = [name for name in LIMIT_SECTIONS if _plain(before, name) != _plain(now, name)]
    raise UserError(
        "SLU-100",
        path=", ".join(other),
        found=f"{now}: the first start after a restore",
        wanted=f"{before}, as {notice.backup} was of: the same file, variables and options as "
        f"there; or {ACCEPT}, if another one is meant",
    )


def forget_restore(data_dir: Path) -> None:
    """Take the word of a restore away: its first start is under a configuration that was meant."""
    (data_dir / NOTICE).unlink(missing_ok=True)


def _plain(configured: Configured, name: str) -> object:
    raw = configured.sections.get(name)
    return None if raw is None else msgspec.json.decode(raw)
