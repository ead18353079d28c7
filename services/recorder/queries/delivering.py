"""Reports handed over: every one that was made lies in each folder that wants it, byte for byte."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from schemas.errors import UserError
from schemas.reports import DeliveriesLooked, ReportDelivered
from services.recorder.queries.making import REPORTS_FOLDER

FILE_MODE, FOLDER_MODE = 0o640, 0o750
"""Whoever takes them from there is another user of the group, as a rule."""


def refuse_bad_folders(deliver_to: Sequence[str], data_dir: Path) -> None:
    """Refuse what is no place to hand something over.

    Raises:
        UserError: SLU-100 a folder is relative, or lies in the data folder.
    """
    for text in deliver_to:
        path = Path(text).expanduser()
        if not path.is_absolute() or path.resolve().is_relative_to(data_dir.resolve()):
            wanted = f"an absolute path outside {data_dir}"
            raise UserError("SLU-100", path="reports.deliver_to", found=text, wanted=wanted)


def deliver(
    data_dir: Path, deliver_to: Sequence[str], days_max: int, now_ns: int
) -> DeliveriesLooked:
    """Put every report of the last days into each folder where it is not, or is another one.

    What lies there is the state: a restart delivers nothing twice, and what somebody took away too
    early, or a disk lost, is delivered again.

    Args:
        data_dir: of the system.
        deliver_to: the folders.
        days_max: how many trading days back; a count.
        now_ns: the time, ns since the epoch.
    """
    delivered: list[ReportDelivered] = []
    troubles: list[str] = []
    for to in deliver_to:
        for path in reports_of(data_dir, days_max):
            file = path.relative_to(data_dir)
            target = Path(to).expanduser() / file.relative_to(REPORTS_FOLDER)
            try:
                data = path.read_bytes()
                if target.exists() and target.read_bytes() == data:
                    continue
                _put(data, target)
            except OSError as error:
                troubles.append(f"{to}: {file.name}: {error.strerror or error}")
                break  # the others would not fit either, or the share is away
            digest = hashlib.sha256(data).hexdigest()
            delivered.append(ReportDelivered(at_ns=now_ns, file=str(file), sha256=digest, to=to))
    trouble = "; ".join(troubles)
    return DeliveriesLooked(at_ns=now_ns, delivered=tuple(delivered), trouble=trouble)


def reports_of(data_dir: Path, days_max: int) -> Iterator[Path]:
    """Yield the reports that were made of the last days, oldest first."""
    folder = data_dir / REPORTS_FOLDER
    days = sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    for day in days[-days_max:]:
        yield from sorted(each for each in day.iterdir() if not each.name.startswith("."))


def _put(data: bytes, target: Path) -> None:
    """Write a file that is there whole or not at all.

    Raises:
        OSError: it could not be written; nothing of it is left.
    """
    target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
